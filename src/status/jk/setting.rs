// SPDX-License-Identifier: Apache-2.0
//! What can be changed while the server runs: names of parameters, their ranges, and reading them from a request.
//!
//! As in mod_jk, a number out of range changes nothing and says nothing; a text that is too long is an error, but does not
//! keep other values from being changed.

use super::model::{AjpSettings, BalancerSettings, MemberSettings};
use super::query::Query;
use crate::base::text::leading_integer;
use crate::config::jk::boolean;
use crate::config::jk::plan::{Activation, JkLock, JkMethod};

/// The longest text that a route, redirect, domain or host can have, in bytes.
pub const LONGEST_TEXT: usize = 60;

/// A value of a member or of an AJP worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Activation,
    LbFactor,
    Route,
    Redirect,
    Domain,
    Distance,
    Host,
    Port,
    PoolTimeout,
    PingTimeout,
    ConnectTimeout,
    PrepostTimeout,
    ReplyTimeout,
    Retries,
    RetryInterval,
    PingInterval,
    RecoveryOptions,
    BusyLimit,
    PacketSize,
}

use Setting as S;

/// Those that only members of a balancer have, in the order of the form.
pub const BALANCING: [Setting; 6] =
    [S::Activation, S::LbFactor, S::Route, S::Redirect, S::Domain, S::Distance];

/// Those of every AJP worker, in the order of the form. The first two cannot be changed for all members at once.
pub const AJP: [Setting; 13] = [
    S::Host,
    S::Port,
    S::PoolTimeout,
    S::PingTimeout,
    S::ConnectTimeout,
    S::PrepostTimeout,
    S::ReplyTimeout,
    S::Retries,
    S::RetryInterval,
    S::PingInterval,
    S::RecoveryOptions,
    S::BusyLimit,
    S::PacketSize,
];

impl Setting {
    /// Name of the parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            S::Activation => "vwa",
            S::LbFactor => "vwf",
            S::Route => "vwn",
            S::Redirect => "vwr",
            S::Domain => "vwc",
            S::Distance => "vwd",
            S::Host => "vahst",
            S::Port => "vaprt",
            S::PoolTimeout => "vacpt",
            S::PingTimeout => "vapng",
            S::ConnectTimeout => "vact",
            S::PrepostTimeout => "vapt",
            S::ReplyTimeout => "vart",
            S::Retries => "var",
            S::RetryInterval => "vari",
            S::PingInterval => "vacpi",
            S::RecoveryOptions => "varo",
            S::BusyLimit => "vabl",
            S::PacketSize => "vamps",
        }
    }

    /// Label in forms.
    pub fn label(self) -> &'static str {
        match self {
            S::Activation => "Activation",
            S::LbFactor => "LB Factor",
            S::Route => "Route",
            S::Redirect => "Redirect Route",
            S::Domain => "Cluster Domain",
            S::Distance => "Distance",
            S::Host => "Hostname",
            S::Port => "Port",
            S::PoolTimeout => "Connection Pool Timeout",
            S::PingTimeout => "Ping Timeout",
            S::ConnectTimeout => "Connect Timeout",
            S::PrepostTimeout => "Prepost Timeout",
            S::ReplyTimeout => "Reply Timeout",
            S::Retries => "Retries",
            S::RetryInterval => "Retry Interval",
            S::PingInterval => "Connection Ping Interval",
            S::RecoveryOptions => "Recovery Options",
            S::BusyLimit => "Busy Limit",
            S::PacketSize => "Max Packet Size",
        }
    }

    /// Can it be changed for all members of a balancer at once (`att`)?
    pub fn for_all(self) -> bool {
        !matches!(self, S::Host | S::Port)
    }

    /// The one of this parameter that can be changed for all members at once.
    pub fn of_attribute(parameter: &str) -> Option<Self> {
        let mut all = BALANCING.into_iter().chain(AJP);
        all.find(|setting| setting.for_all() && setting.parameter() == parameter)
    }

    fn is_text(self) -> bool {
        matches!(self, S::Route | S::Redirect | S::Domain | S::Host)
    }

    /// Smallest and largest number.
    fn range(self) -> (i64, i64) {
        let least = match self {
            S::LbFactor | S::Retries | S::RetryInterval | S::PingInterval => 1,
            S::PacketSize => 8192,
            _ => 0,
        };
        let most = match self {
            S::Port => i64::from(u16::MAX),
            S::PacketSize => 65_536,
            _ => i64::from(i32::MAX),
        };
        (least, most)
    }

    /// Its name in messages.
    fn noun(self) -> &'static str {
        match self {
            S::Route => "route",
            S::Redirect => "redirect",
            S::Domain => "domain",
            S::Host => "host name",
            other => other.label(),
        }
    }

    /// The value as pages show it.
    pub fn shown(self, ajp: &AjpSettings, member: &MemberSettings) -> String {
        match self {
            S::Activation => (member.activation as u8).to_string(),
            S::LbFactor => member.lbfactor.to_string(),
            S::Route => member.route.clone(),
            S::Redirect => member.redirect.clone(),
            S::Domain => member.domain.clone(),
            S::Distance => member.distance.to_string(),
            S::Host => ajp.host.clone(),
            S::Port => ajp.port.to_string(),
            S::PoolTimeout => ajp.pool_timeout.to_string(),
            S::PingTimeout => ajp.ping_timeout.to_string(),
            S::ConnectTimeout => ajp.connect_timeout.to_string(),
            S::PrepostTimeout => ajp.prepost_timeout.to_string(),
            S::ReplyTimeout => ajp.reply_timeout.to_string(),
            S::Retries => ajp.retries.to_string(),
            S::RetryInterval => ajp.retry_interval.to_string(),
            S::PingInterval => ajp.ping_interval.to_string(),
            S::RecoveryOptions => ajp.recovery_options.to_string(),
            S::BusyLimit => ajp.busy_limit.to_string(),
            S::PacketSize => ajp.packet_size.to_string(),
        }
    }

    /// Longest text a form takes; `None` for numbers.
    pub fn max_length(self) -> Option<usize> {
        self.is_text().then_some(LONGEST_TEXT)
    }
}

/// New values of one member or AJP worker: those that stay are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerChange {
    pub ajp: AjpSettings,
    pub member: MemberSettings,
    /// What is new, in the order in which it was read.
    pub changed: Vec<Setting>,
}

/// Reads the new values of one worker. `old` is what is in force, `settings` what may be changed, `value` finds the text of
/// a parameter. Texts that are too long come back as a complaint.
pub fn worker_change<'q>(
    name: &str,
    old: (&AjpSettings, &MemberSettings),
    settings: &[Setting],
    value: impl Fn(Setting) -> Option<&'q str>,
) -> (WorkerChange, Option<String>) {
    let mut change = WorkerChange { ajp: old.0.clone(), member: old.1.clone(), changed: Vec::new() };
    let mut complaint = None;
    for &setting in settings {
        let Some(text) = value(setting) else { continue };
        if setting.is_text() && text.len() > LONGEST_TEXT {
            let noun = setting.noun();
            complaint.get_or_insert_with(|| {
                format!("new {noun} '{text}' too long for sub worker '{name}', see log file for details.")
            });
            continue;
        }
        if put(&mut change, setting, text)
            && setting.shown(&change.ajp, &change.member) != setting.shown(old.0, old.1)
        {
            change.changed.push(setting);
        }
    }
    (change, complaint)
}

/// False if the text is no value for the setting.
fn put(change: &mut WorkerChange, setting: Setting, text: &str) -> bool {
    let (ajp, member) = (&mut change.ajp, &mut change.member);
    let place = match setting {
        S::Activation => {
            member.activation = activation(text);
            return true;
        }
        S::Route | S::Redirect | S::Domain | S::Host => {
            let place = match setting {
                S::Route => &mut member.route,
                S::Redirect => &mut member.redirect,
                S::Domain => &mut member.domain,
                _ => &mut ajp.host,
            };
            text.clone_into(place);
            return true;
        }
        S::Port => {
            let Some(port) = number(setting, text).and_then(|port| u16::try_from(port).ok()) else {
                return false;
            };
            ajp.port = port;
            return true;
        }
        S::Distance => {
            let Some(distance) = number(setting, text).and_then(|distance| i32::try_from(distance).ok()) else {
                return false;
            };
            member.distance = distance;
            return true;
        }
        S::LbFactor => &mut member.lbfactor,
        S::PoolTimeout => &mut ajp.pool_timeout,
        S::PingTimeout => &mut ajp.ping_timeout,
        S::ConnectTimeout => &mut ajp.connect_timeout,
        S::PrepostTimeout => &mut ajp.prepost_timeout,
        S::ReplyTimeout => &mut ajp.reply_timeout,
        S::Retries => &mut ajp.retries,
        S::RetryInterval => &mut ajp.retry_interval,
        S::PingInterval => &mut ajp.ping_interval,
        S::RecoveryOptions => &mut ajp.recovery_options,
        S::BusyLimit => &mut ajp.busy_limit,
        S::PacketSize => &mut ajp.packet_size,
    };
    let Some(number) = number(setting, text) else { return false };
    *place = if setting == S::PacketSize { number.next_multiple_of(1024) } else { number };
    true
}

fn number(setting: Setting, text: &str) -> Option<u32> {
    let (least, most) = setting.range();
    let number = leading_integer(text).0;
    (least..=most).contains(&number).then(|| u32::try_from(number).ok()).flatten()
}

/// The new settings of a balancer, all of them; equal to `old` if nothing changes.
pub fn balancer_change(old: BalancerSettings, query: &Query) -> BalancerSettings {
    let mut new = old;
    let number = |name: &str, least: i64| {
        let number = leading_integer(query.get(name)?).0;
        (least..=i64::from(i32::MAX)).contains(&number).then(|| u32::try_from(number).ok()).flatten()
    };
    new.retries = number("vlr", 1).unwrap_or(old.retries);
    new.retry_interval = number("vlri", 1).unwrap_or(old.retry_interval);
    new.recover_time = number("vlt", 1).unwrap_or(old.recover_time);
    new.error_escalation_time = number("vlee", 1).unwrap_or(old.error_escalation_time);
    new.max_reply_timeouts = number("vlx", 0).unwrap_or(old.max_reply_timeouts);
    new.sticky = checkbox(query, "vls", old.sticky);
    new.sticky_force = checkbox(query, "vlf", old.sticky_force);
    new.method = query.get("vlm").map_or(old.method, method);
    new.lock = query.get("vll").map_or(old.lock, lock);
    new
}

/// Browsers send nothing for a box that is not checked: with all other fields of the form there, that means off.
fn checkbox(query: &Query, name: &str, old: bool) -> bool {
    const OTHERS: [&str; 7] = ["vlr", "vlri", "vlt", "vlee", "vlx", "vlm", "vll"];
    match query.get(name) {
        Some(text) => boolean(text).unwrap_or(old),
        None if OTHERS.iter().all(|other| query.get(other).is_some()) => false,
        None => old,
    }
}

/// First letter or number; anything else is the first.
fn activation(text: &str) -> Activation {
    match text.bytes().next() {
        Some(b'd' | b'D' | b'1') => Activation::Disabled,
        Some(b's' | b'S' | b'2') => Activation::Stopped,
        _ => Activation::Active,
    }
}

fn method(text: &str) -> JkMethod {
    match text.bytes().next() {
        Some(b't' | b'T' | b'1') => JkMethod::Traffic,
        Some(b'b' | b'B' | b'2') => JkMethod::Busyness,
        Some(b's' | b'S' | b'3') => JkMethod::Session,
        Some(b'n' | b'N' | b'4') => JkMethod::Next,
        _ => JkMethod::Request,
    }
}

fn lock(text: &str) -> JkLock {
    match text.bytes().next() {
        Some(b'p' | b'P' | b'1') => JkLock::Pessimistic,
        _ => JkLock::Optimistic,
    }
}

/// Does a member's name fit the pattern, in which `*` stands for anything and `?` for one character?
pub fn is_meant(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut last_star = None;
    while place < name.len() {
        if pattern.get(at).is_some_and(|&byte| byte == b'?' || byte == name[place] && byte != b'*') {
            at += 1;
            place += 1;
        } else if pattern.get(at) == Some(&b'*') {
            last_star = Some((at, place));
            at += 1;
        } else if let Some((star, from)) = last_star {
            // The last star takes one character more.
            last_star = Some((star, from + 1));
            at = star + 1;
            place = from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> (AjpSettings, MemberSettings) {
        let ajp = AjpSettings {
            host: "h".into(),
            port: 8009,
            retries: 2,
            packet_size: 8192,
            ..AjpSettings::default()
        };
        (ajp, MemberSettings { lbfactor: 1, route: "r".into(), ..MemberSettings::default() })
    }

    fn change(query: &str) -> (WorkerChange, Option<String>) {
        let (ajp, member) = old();
        let query = Query::parse(query.as_bytes());
        let all: Vec<Setting> = BALANCING.into_iter().chain(AJP).collect();
        worker_change("n", (&ajp, &member), &all, |setting| query.get(setting.parameter()))
    }

    #[test]
    fn what_is_out_of_range_changes_nothing() {
        for query in [
            "vwf=0",
            "vwf=abc",
            "vwd=-1",
            "var=0",
            "vari=0",
            "vacpi=0",
            "vamps=1",
            "vamps=70000",
            "vaprt=-1",
            "vaprt=70000",
            "vart=-3",
            "vabl=99999999999",
            "vwa=A",
            "vwa=nonsense",
            "vwn=r",
            "vahst=h",
            "vaprt=8009",
            "vwf=1",
            "",
        ] {
            let (change, complaint) = change(query);
            assert_eq!((change.changed, complaint), (vec![], None), "{query}");
        }
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        let (change, _) = change("vwf=4x&vamps=9000&vwa=stop&vwn=&vaprt=x");
        assert_eq!((change.member.lbfactor, change.ajp.packet_size, change.ajp.port), (4, 9216, 0));
        assert_eq!((change.member.activation, change.member.route.as_str()), (Activation::Stopped, ""));
        assert_eq!(change.changed.len(), 5);
    }

    #[test]
    fn a_text_too_long_is_an_error_but_the_rest_is_changed() {
        let (change, complaint) = change(&format!("vwn={}&vwf=7&vahst={}", "y".repeat(61), "z".repeat(60)));
        assert_eq!(change.changed, [S::LbFactor, S::Host]);
        let text = complaint.unwrap();
        assert!(
            text.starts_with("new route 'yyy")
                && text.ends_with("too long for sub worker 'n', see log file for details.")
        );
    }

    #[test]
    fn settings_of_a_balancer_are_letters_numbers_and_words() {
        let old =
            BalancerSettings { sticky: true, retries: 2, recover_time: 60, ..BalancerSettings::default() };
        let new = |query: &str| balancer_change(old, &Query::parse(query.as_bytes()));
        assert_eq!(new("vlr=0&vlt=0&vlx=-1&vlr=x&vlri="), old);
        assert_eq!(
            (new("vlm=t").method, new("vlm=4").method, new("vlm=?").method),
            (JkMethod::Traffic, JkMethod::Next, JkMethod::Request)
        );
        assert_eq!(new("vll=P").lock, JkLock::Pessimistic);
        for (text, on) in [
            ("on", true),
            ("1", true),
            ("T", true),
            ("yes", true),
            ("0", false),
            ("off", false),
            ("No", false),
        ] {
            assert_eq!(new(&format!("vls={text}")).sticky, on, "{text}");
        }
        for odd in ["", "10", "00", "2", "s", "offx"] {
            assert!(new(&format!("vls={odd}")).sticky, "{odd}: nothing changes");
            assert!(!new(&format!("vlf={odd}")).sticky_force, "{odd}: nothing changes");
        }
    }

    #[test]
    fn a_box_that_a_whole_form_leaves_out_is_not_checked() {
        let old = BalancerSettings { sticky: true, ..BalancerSettings::default() };
        let form = "vlr=2&vlri=100&vlt=60&vlee=30&vlx=0&vlm=0&vll=0";
        assert!(!balancer_change(old, &Query::parse(form.as_bytes())).sticky);
        assert!(balancer_change(old, &Query::parse(b"vlr=2&vlri=100&vlt=60&vlee=30&vlx=0&vlm=0")).sticky);
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "node1", true),
            ("n*1", "node1", true),
            ("n*1", "node12", false),
            ("n?de1", "node1", true),
            ("*2", "node2", true),
            ("*o*e*", "node2", true),
            ("node1", "node1", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*a*b", "xaxbxb", true),
        ] {
            assert_eq!(is_meant(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }
}
