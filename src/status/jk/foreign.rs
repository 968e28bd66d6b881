// SPDX-License-Identifier: Apache-2.0
//! The `balancer://` balancers in mod_jk's words, so that scripts that read the status worker see all of a server.

use super::live::{Live, seconds_of};
use super::model::{
    AjpSettings, AjpView, BalancerSettings, BalancerView, MapView, MemberSettings, MemberView,
};
use crate::base::status::Status;
use crate::config::jk::plan::{Activation, JkMethod};
use crate::config::plan::{BalancerId, Matching, SiteId, Target, Worker};
use crate::shared::JkState;
use crate::status::view::{self, State};

/// All of them, each once. `taken` are names that mean other workers.
pub(super) fn balancers(live: &Live<'_>, taken: &[String]) -> Vec<BalancerView> {
    let state = State {
        plan: live.plan,
        region: live.region,
        bindings: live.bindings,
        site: SiteId(0),
        threads: 0,
        now: live.now,
    };
    let mut names: Vec<String> = taken.to_vec();
    let ids = (0..live.plan.balancers.len()).filter_map(|number| u32::try_from(number).ok()).map(BalancerId);
    let mut found = Vec::new();
    for id in ids {
        let shown = state.balancer(id);
        let name = free_name(&plain(&shown.name), &names);
        found.push(balancer(live, &shown, &name));
        names.push(name);
    }
    found
}

/// Names of properties are parted by dots, and some readers end them at a colon.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect()
}

/// The name itself, or with the first number that makes it one of its own.
fn free_name(name: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn balancer(live: &Live<'_>, shown: &view::BalancerView, name: &str) -> BalancerView {
    let mut names = Vec::new();
    let members = shown.members.iter().map(|member| {
        let label = match member.route.as_str() {
            "" => format!("{}_{}", member.host, member.port),
            route => route.to_owned(),
        };
        let own = free_name(&plain(&format!("{name}_{label}")), &names);
        names.push(own.clone());
        self::member(live, member, own)
    });
    let members: Vec<MemberView> = members.collect();
    BalancerView {
        name: name.to_owned(),
        settings: BalancerSettings {
            sticky: shown.sticky.is_some(),
            sticky_force: shown.no_failover,
            retries: shown.max_attempts.unwrap_or(0),
            method: match shown.method {
                "bytraffic" => JkMethod::Traffic,
                "bybusyness" => JkMethod::Busyness,
                _ => JkMethod::Request,
            },
            recover_time: shown.members.iter().map(rest).min().unwrap_or(0),
            ..BalancerSettings::default()
        },
        busy: members.iter().map(|member| member.ajp.busy).sum(),
        members,
        maps: maps(live, shown.id),
        is_foreign: true,
        ..BalancerView::default()
    }
}

/// How long a member is left alone after an error, in seconds.
fn rest(member: &view::MemberView) -> u32 {
    member.retry.map_or(60, |retry| u32::try_from(retry.as_secs()).unwrap_or(u32::MAX))
}

fn member(live: &Live<'_>, shown: &view::MemberView, name: String) -> MemberView {
    let millis = |time: Option<std::time::Duration>| {
        time.map_or(0, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
    };
    let gone = live.gone(live.region.member(live.bindings.member(shown.id)).gone());
    let state = if gone.is_some() { JkState::Error } else { state(shown) };
    let error_at = shown.error_time.filter(|_| is_error(shown.status)).map(|at| live.stamp(at));
    let left = error_at
        .map_or(0, |at| u64::from(rest(shown)).saturating_sub(seconds_of(live.now).saturating_sub(at.unix)));
    MemberView {
        ajp: AjpView {
            kind: if shown.scheme() == "ajp" { "ajp13" } else { shown.scheme() }.to_owned(),
            settings: AjpSettings {
                host: shown.host.clone(),
                port: shown.port,
                pool_timeout: u32::try_from(shown.ttl).unwrap_or(u32::MAX),
                prepost_timeout: millis(shown.ping),
                ..AjpSettings::default()
            },
            address: format!("{}:{}", shown.host, shown.port),
            source: "undefined".into(),
            state,
            used: shown.elected,
            transferred: shown.sent,
            read: shown.received,
            busy: u64::from(shown.busy),
            error_at,
            name,
            ..AjpView::default()
        },
        settings: MemberSettings {
            activation: activation(shown.status),
            lbfactor: (shown.load_factor / 100).max(1),
            route: shown.route.clone(),
            redirect: shown.redirect.clone(),
            domain: String::new(),
            distance: i32::try_from(shown.lbset).unwrap_or(i32::MAX),
        },
        state,
        lb_mult: 1,
        lb_value: u64::try_from(shown.lbstatus).unwrap_or(0),
        elected: shown.elected,
        sessions: 0,
        recover: (left, left),
        gone,
    }
}

/// A draining member keeps its sessions, one that is disabled or stopped gets nothing.
fn activation(status: Status) -> Activation {
    if status.has(Status::STOPPED) || status.has(Status::DISABLED) {
        Activation::Stopped
    } else if status.has(Status::DRAIN) {
        Activation::Disabled
    } else {
        Activation::Active
    }
}

fn is_error(status: Status) -> bool {
    status.has(Status::ERROR) || status.has(Status::HC_FAIL)
}

fn state(shown: &view::MemberView) -> JkState {
    match () {
        () if is_error(shown.status) && shown.retries > 0 => JkState::Recover,
        () if is_error(shown.status) => JkState::Error,
        () if shown.elected == 0 => JkState::Idle,
        () => JkState::Ok,
    }
}

/// The `ProxyPass` rules of the servers that lead to it.
fn maps(live: &Live<'_>, id: BalancerId) -> Vec<MapView> {
    let mut maps = Vec::new();
    for server in live.servers {
        let Some(site) = live.plan.sites.get(server.site.0 as usize) else { continue };
        for mount in site.mounts.iter() {
            let Target::Forward(to) = &mount.target else { continue };
            if to.worker != Worker::Balancer(id) {
                continue;
            }
            let is_prefix = matches!(mount.matching, Matching::Prefix);
            maps.push(MapView {
                server: server.label.clone(),
                uri: format!("{}{}", mount.path, if is_prefix { "*" } else { "" }),
                kind: "Wildchar".into(),
                source: "ProxyPass",
                reply_timeout: -1,
                ..MapView::default()
            });
        }
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_nothing_that_ends_the_name_of_a_property() {
        assert_eq!(plain("c_127.0.0.1_8009"), "c_127_0_0_1_8009");
        assert_eq!(free_name("c", &["a".into()]), "c");
        assert_eq!(free_name("c", &["c".into(), "c_2".into()]), "c_3");
    }

    #[test]
    fn flags_are_put_in_words_of_activation() {
        assert_eq!(activation(Status::DRAIN), Activation::Disabled);
        assert_eq!(activation(Status::DRAIN.with(Status::STOPPED)), Activation::Stopped);
        assert_eq!(activation(Status::DISABLED), Activation::Stopped);
        assert_eq!(activation(Status::HOT_STANDBY), Activation::Active);
    }
}
