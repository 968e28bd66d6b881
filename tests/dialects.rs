// SPDX-License-Identifier: Apache-2.0
//! Small configurations and what is said about them, word by word.
//!
//! `tests/vectors/config/*.cases` hold the input and the expected text, so that a change of wording shows as a
//! difference. `MARGAY_BLESS=1 cargo test --test dialects` writes what is said now.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use margay::config::plan::{Encoding, Flush, Method, ReverseFrom, SiteId, Target, Via, Worker};
use margay::config::{Directive, Draft, Facts, Finding, Origin, Place, Plan, SectionKind, SiteFacts};
use proptest::prelude::*;

#[path = "support/conf.rs"]
mod conf;
use conf::{Read, read};

/// One case of a file: title, input, expected text.
struct Case {
    title: String,
    input: String,
    expected: String,
}

fn cases(text: &str) -> Vec<Case> {
    text.split("### ")
        .skip(1)
        .map(|block| {
            let (title, rest) = block.split_once('\n').unwrap_or((block, ""));
            let (input, expected) = rest.split_once("---\n").unwrap_or((rest, ""));
            Case {
                title: title.to_owned(),
                input: input.to_owned(),
                expected: expected.trim_end().to_owned(),
            }
        })
        .collect()
}

fn said(outcome: &Read) -> String {
    let mut text = String::new();
    for finding in &outcome.findings {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        let file = match &*finding.origin.file {
            "httpd.conf" => String::new(),
            other => format!("{other} "),
        };
        let _ = writeln!(text, "{severity} {file}line {}: {finding}", finding.origin.line);
    }
    if text.is_empty() { "accepted".into() } else { text.trim_end().to_owned() }
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/config").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let head = text.split("### ").next().unwrap_or_default();
    let (mut blessed, mut wrong) = (head.to_owned(), String::new());
    for case in cases(&text) {
        let now = said(&read(&case.input));
        let _ = write!(blessed, "### {}\n{}---\n{now}\n\n", case.title, case.input);
        if now != case.expected {
            let _ = write!(wrong, "\n{}\n expected {}\n but said {now}\n", case.title, case.expected);
        }
    }
    if std::env::var_os("MARGAY_BLESS").is_some() {
        fs::write(&path, format!("{}\n", blessed.trim_end())).unwrap();
    } else {
        assert!(wrong.is_empty(), "{name}:{wrong}");
    }
}

#[test]
fn broken_rules_say_what_is_wrong() {
    check("pass.cases");
}

#[test]
fn other_proxies_and_blocked_hosts_are_read() {
    check("forward.cases");
}

#[test]
fn directives_that_do_not_act_yet_say_so() {
    check("later.cases");
}

#[test]
fn broken_members_and_settings_say_what_is_wrong() {
    check("member.cases");
}

#[test]
fn values_out_of_range_say_what_is_allowed() {
    check("value.cases");
}

#[test]
fn broken_reverse_rules_and_server_values_say_what_is_wrong() {
    check("server.cases");
}

#[test]
fn lines_that_are_not_meant_are_warned_about() {
    check("lint.cases");
}

#[test]
fn tutorial_configurations_are_explained() {
    check("tutorial.cases");
}

#[test]
fn virtual_hosts_inherit_and_say_what_they_lose() {
    check("inherit.cases");
}

#[test]
fn broken_health_checks_say_what_is_wrong() {
    check("health.cases");
}

#[test]
fn broken_lines_of_mod_jk_say_what_is_wrong() {
    check("jk_directives.cases");
}

#[test]
fn broken_workers_say_what_is_wrong() {
    check("jk_workers.cases");
}

#[test]
fn broken_rules_of_mod_jk_say_what_is_wrong() {
    check("jk_rules.cases");
}

fn plan(input: &str) -> Plan {
    let outcome = read(input);
    outcome.plan.unwrap_or_else(|| panic!("{:#?}", outcome.findings))
}

fn destination(plan: &Plan, site: usize, rule: usize) -> &margay::config::plan::Destination {
    match &plan.sites[site].mounts.iter().nth(rule).unwrap().target {
        Target::Forward(destination) => destination,
        Target::Exclude | Target::Named(_) => panic!("nobody the plan knows"),
    }
}

#[test]
fn a_balancer_gets_its_members_and_settings() {
    let plan = plan(
        "<Proxy balancer://C growth=5>
           BalancerMember AJP://Node1:8009 route=a loadfactor=2.5 lbset=1 status=+H ping=500ms \"secret=s t\"
           BalancerMember ajp://[::1]:8010/ctx route=b max=7 smax=3 ttl=9 retry=0 enablereuse=off keepalive=on
           ProxySet lbmethod=bybusyness nofailover=On timeout=3 maxattempts=0 \"failonstatus=500, 503\"
         </Proxy>
         ProxyPass /x balancer://c/y stickysession=JSESSIONID|jsessionid stickysessionsep=off forcerecovery=off
         ProxyPass / balancer://c/",
    );
    let [balancer] = &plan.balancers[..] else { panic!("one balancer") };
    assert_eq!((balancer.name.as_str(), balancer.method, balancer.growth), ("c", Method::ByBusyness, 5));
    assert_eq!((balancer.no_failover, balancer.force_recovery), (true, false));
    assert_eq!((balancer.wait, balancer.max_attempts), (Some(Duration::from_secs(3)), Some(0)));
    assert_eq!(balancer.fail_on_status, [500, 503]);
    let sticky = balancer.sticky.as_ref().unwrap();
    assert_eq!((sticky.cookie.as_str(), sticky.path.as_str()), ("JSESSIONID", "jsessionid"));
    assert_eq!((sticky.separator, sticky.origin.line), (None, 6));

    let [one, two] = &plan.members[..] else { panic!("two members") };
    assert_eq!((one.name.as_str(), one.host.as_str(), one.port), ("ajp://node1", "node1", 8009));
    assert_eq!((one.load_factor, one.lbset, one.secret.as_str()), (250, 1, "s t"));
    assert_eq!((one.status.to_string().as_str(), one.ping), ("Stby ", Some(Duration::from_millis(500))));
    assert_eq!(
        (two.name.as_str(), two.host.as_str(), two.path.as_str()),
        ("ajp://[::1]:8010/ctx", "::1", "/ctx")
    );
    assert_eq!((two.pool.max, two.pool.soft_max, two.pool.reuse), (7, Some(3), false));
    assert_eq!(
        (two.pool.ttl, two.retry, two.tcp_keepalive),
        (Some(Duration::from_secs(9)), Duration::ZERO, true)
    );

    let rule = destination(&plan, 0, 0);
    assert_eq!((rule.path.as_str(), rule.open_authority), ("/y", false));
    assert_eq!(rule.worker, destination(&plan, 0, 1).worker);
}

#[test]
fn unset_parameters_have_the_documented_defaults() {
    let plan = plan("<Proxy balancer://c>\nBalancerMember ajp://h\n</Proxy>\nProxyPass / balancer://c/");
    let (member, balancer) = (&plan.members[0], &plan.balancers[0]);
    assert_eq!((member.load_factor, member.lbset, member.status.0), (100, 0, 0));
    assert_eq!((member.retry, member.timeout, member.connect_timeout), (Duration::from_secs(60), None, None));
    assert_eq!((member.pool.max, member.pool.min, member.pool.soft_max), (0, 0, None));
    assert_eq!((member.packet_size, member.flush, member.pool.reuse), (8192, Flush::Off, true));
    assert_eq!(
        (balancer.method, balancer.force_recovery, balancer.no_failover),
        (Method::ByRequests, true, false)
    );
    assert_eq!((&balancer.sticky, balancer.wait, balancer.max_attempts), (&None, None, None));
    let site = &plan.sites[0];
    assert_eq!((site.via, site.max_forwards, site.timeout), (Via::Off, None, Duration::from_secs(77)));
}

#[test]
fn members_of_balancers_get_the_checks_that_are_written() {
    use margay::config::health::{CheckMethod, HttpVersion, Verb};
    let plan = plan(
        "ProxyTimeout 9
         ProxyHCTPsize 3
         ProxyHCTemplate web hcmethod=HEAD11 hcinterval=5 hcfails=2
         ProxyHCTemplate WEB hcmethod=TCP
         ProxyHCExpr up {1}
         ProxyHCExpr up {2}
         BalancerMember balancer://c ajp://a hcfails=7 hctemplate=web hcpasses=4 hcexpr=up
         BalancerMember balancer://c ajp://b
         BalancerMember balancer://c ajp://d hcinterval=5
         ProxyPass /x ajp://e hcmethod=TCP",
    );
    let named = |name: &str| plan.members.iter().find(|member| member.name == name).unwrap();
    let [one, two, three, plain] = ["ajp://a", "ajp://b", "ajp://d", "ajp://e"].map(named);
    let check = one.health.as_ref().unwrap();
    assert_eq!(check.method, CheckMethod::Http(Verb::Head, HttpVersion::Http11));
    assert_eq!((check.interval, check.fails, check.passes), (Duration::from_secs(5), 2, 4));
    assert_eq!(check.expression.as_ref().unwrap().text, "2");
    assert_eq!(check.timeout, Duration::from_secs(9));
    assert_eq!([&two.health, &three.health, &plain.health], [&None; 3]);
    assert_eq!(plan.check_threads, 3);
}

#[test]
fn a_plain_worker_is_never_in_error_and_its_rule_carries_the_path() {
    let plan = plan(
        "ProxyPass /a ajp://h:8010/b timeout=4\nProxyPass /c ajp://h:8010/bb\nProxyPass /d ajp://h:8010",
    );
    let [member, other] = &plan.members[..] else { panic!("two workers: {:?}", plan.members) };
    assert_eq!((member.name.as_str(), member.path.as_str()), ("ajp://h:8010/b", ""));
    assert_eq!(member.status.to_string(), "Ign ");
    assert_eq!(other.name, "ajp://h:8010");
    assert_eq!(destination(&plan, 0, 0).path, "/b");
    assert_eq!(destination(&plan, 0, 1).path, "/bb");
    assert_eq!(destination(&plan, 0, 0).worker, destination(&plan, 0, 1).worker);
    assert!(destination(&plan, 0, 2).open_authority);
}

#[test]
fn a_worker_made_by_a_section_serves_the_rule_and_keeps_its_settings() {
    let plan = plan(
        "<Proxy ajp://h:8010/>\nProxySet connectiontimeout=5 status=+D\nProxySet status=-D+I\n</Proxy>\nProxyPass / ajp://h:8010/",
    );
    let [member] = &plan.members[..] else { panic!("one worker") };
    assert_eq!(member.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(member.status.to_string(), "Ign ");
}

#[test]
fn a_server_timeout_is_copied_when_the_worker_is_declared() {
    let plan = plan(
        "BalancerMember balancer://c ajp://early
         ProxyTimeout 1
         ProxyIOBufferSize 9000
         BalancerMember balancer://c ajp://late
         BalancerMember balancer://c ajp://own timeout=5 iobuffersize=65535
         <VirtualHost v>
           ProxyTimeout 10
           ProxyPass / balancer://c/
         </VirtualHost>",
    );
    let timeouts: Vec<_> = plan.members.iter().map(|m| m.timeout.map(|t| t.as_secs())).collect();
    assert_eq!(timeouts, [None, Some(1), Some(5)]);
    let sizes: Vec<_> = plan.members.iter().map(|m| m.packet_size).collect();
    assert_eq!(sizes, [9216, 9216, 65536]);
    assert_eq!((plan.sites[0].timeout.as_secs(), plan.sites[1].timeout.as_secs()), (1, 10));
}

const MAIN: &str =
    "<Proxy balancer://c>\nBalancerMember ajp://a route=a\n</Proxy>\nProxyPass /main balancer://c/main\n";

#[test]
fn a_virtual_host_shares_the_members_it_inherits() {
    let plan = plan(&format!(
        "{MAIN}<VirtualHost v>\nProxyPass /own balancer://c/own nofailover=on\n</VirtualHost>\n<VirtualHost w>\nProxyVia on\n</VirtualHost>"
    ));
    assert_eq!(plan.members.len(), 1);
    let [main, own] = &plan.balancers[..] else { panic!("two balancers") };
    assert_eq!(main.members, own.members);
    assert_ne!(main.key, own.key);
    assert!(!main.no_failover && own.no_failover);
    let paths: Vec<_> = plan.sites[1].mounts.iter().map(|mount| mount.path.as_str()).collect();
    assert_eq!(paths, ["/main", "/own"]);
    assert_eq!(destination(&plan, 1, 0).worker, destination(&plan, 1, 1).worker);
    assert_eq!(destination(&plan, 2, 0).worker, destination(&plan, 0, 0).worker);
    assert_eq!(plan.sites[2].via, Via::On);
}

#[test]
fn two_virtual_hosts_with_a_balancer_of_one_name_have_separate_members() {
    let vhost = |name| {
        format!(
            "<VirtualHost {name}>\n<Proxy balancer://c>\nBalancerMember ajp://a\n</Proxy>\nProxyPass / balancer://c/\n</VirtualHost>\n"
        )
    };
    let both = plan(&format!("{}{}", vhost("v"), vhost("w")));
    assert_eq!((both.members.len(), both.balancers.len()), (2, 2));
    assert_ne!(both.members[0].key, both.members[1].key);
    assert_ne!(both.balancers[0].key, both.balancers[1].key);
    let again = plan(&format!("ProxyVia on\n{}{}", vhost("v"), vhost("w")));
    assert_eq!(both.members[1].key, again.members[1].key);
}

#[test]
fn servers_with_one_key_keep_their_balancers_apart() {
    let mut draft = Draft::new();
    for (site, line) in [("main server", 1), ("a", 2), ("b", 3)] {
        let site = draft.site(site, None);
        let place = Place { site, section: None };
        let args = "balancer://c ajp://h";
        if site != SiteId(0) {
            draft.directive(Directive::BalancerMember, place, args, Origin::new("t", line)).unwrap();
        }
    }
    let site = SiteFacts { key: "*:80 www".into(), ..SiteFacts::default() };
    let facts = Facts { sites: vec![site; 3], ..Facts::default() };
    let plan = draft.compile(&facts).plan.unwrap();
    assert_ne!(plan.members[0].key, plan.members[1].key);
    assert_ne!(plan.balancers[0].key, plan.balancers[1].key);
}

#[test]
fn with_both_switches_off_only_the_rules_are_inherited() {
    let off = |switches: &str| {
        plan(&format!("{MAIN}<VirtualHost v>\n{switches}\nProxyPass /own balancer://c/own\n</VirtualHost>"))
    };
    let balancer_of = |plan: &Plan| match destination(plan, 1, 0).worker {
        Worker::Balancer(id) => plan.balancer(id).members.len(),
        Worker::Member(_) => panic!("a plain worker"),
    };
    assert_eq!(balancer_of(&off("ProxyPassInherit Off")), 1);
    assert_eq!(balancer_of(&off("BalancerInherit Off")), 1);
    let none = off("ProxyPassInherit Off\nBalancerInherit Off");
    assert_eq!((balancer_of(&none), none.sites[1].mounts.len()), (0, 2));
}

#[test]
fn lists_at_server_level_are_those_of_the_main_server_then_the_own() {
    let plan = plan(
        "ProxyPreserveHost On
         ProxyPassReverse /a /b
         ProxyPassReverseCookiePath /b /a
         <VirtualHost v>
           ProxyPassReverse /c /d
           ProxyPassReverseCookieDomain in.example out.example
         </VirtualHost>",
    );
    let defaults = plan.section(plan.sites[1].defaults);
    let publics: Vec<_> = defaults.reverse.iter().map(|rule| rule.public.as_str()).collect();
    assert_eq!((publics, defaults.preserve_host), (vec!["/a", "/c"], Some(true)));
    assert_eq!((defaults.cookie_path.len(), defaults.cookie_domain.len()), (1, 1));
    assert_eq!(plan.section(plan.sites[0].defaults).reverse.len(), 1);
}

#[test]
fn reverse_rules_know_their_balancer() {
    let plan = plan(
        "<Proxy balancer://c>\nBalancerMember ajp://a\n</Proxy>
         ProxyPassReverse / BALANCER://C/
         ProxyPassReverse /x balancer://c/y
         ProxyPassReverse /z http://other/
         <Location /in>
           ProxyPassReverse /out INTERPOLATE
           ProxyPreserveHost off
         </Location>",
    );
    let rules = &plan.section(plan.sites[0].defaults).reverse;
    assert!(matches!(&rules[0].internal, ReverseFrom::Balancer { path, .. } if path.is_empty()));
    assert!(matches!(&rules[1].internal, ReverseFrom::Balancer { path, .. } if path == "/y"));
    assert_eq!(rules[2].internal, ReverseFrom::Prefix("http://other/".into()));
    let section = plan.sections.iter().find(|section| section.preserve_host == Some(false)).unwrap();
    assert_eq!(section.reverse[0].public, "/in");
    assert_eq!(section.reverse[0].internal, ReverseFrom::Path("/out".into()));
}

#[test]
fn the_last_rule_of_a_section_counts_and_patterns_take_the_whole_path() {
    let plan = plan(
        "<Location /in>\nProxyPass !\nProxyPass ajp://h/x nocanon\n</Location>
         <LocationMatch \"\\.[jx]sp$\">\nProxyPass ajp://h/x\n</LocationMatch>",
    );
    let mounts: Vec<_> = plan.sections.iter().filter_map(|section| section.mount.as_ref()).collect();
    assert_eq!((mounts[0].rest(b"/in/y"), mounts[0].rest(b"/inner")), (Some(3), None));
    assert_eq!((mounts[0].encoding, mounts[0].target_text()), (Encoding::AsReceived, "ajp://h/x"));
    assert_eq!(mounts[1].rest(b"/a/b.jsp"), Some(0));
}

#[test]
fn a_refused_line_leaves_no_plan() {
    let mut draft = Draft::new();
    let site = draft.site("main server", None);
    let place = Place { site, section: None };
    assert!(draft.directive(Directive::ProxyVia, place, "maybe", Origin::new("t", 1)).is_err());
    let outcome = draft.compile(&Facts::default());
    assert!(outcome.plan.is_none() && outcome.findings.len() == 1);
}

fn is_one_line(finding: &Finding) -> bool {
    !finding.to_string().contains(|c: char| c.is_control())
}

fn arguments() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("/".to_owned()),
        Just("!".to_owned()),
        Just("balancer://c".to_owned()),
        Just("ajp://h:8009/".to_owned()),
        Just("route=a".to_owned()),
        "(stickysession|timeout|ping|status|loadfactor|failonstatus|addressttl|lbmethod)=[0-9a-zA-Z.|,+ é-]{0,6}",
        "[a-zA-Z:/\\[\\]\"'\\\\*?=!~%$@#.\u{0}-\u{1f}é-]{0,12}",
    ];
    prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_argument_text_panics_or_breaks_the_line(
        lines in prop::collection::vec((0..Directive::ALL.len(), arguments(), 0usize..4), 0..8),
        handler in arguments(),
    ) {
        let mut draft = Draft::new();
        let main = draft.site("main server", None);
        let vhost = draft.site("vhost", Some(Origin::new("t", 1)));
        let origin = Origin::new("t", 7);
        for (number, args, place) in lines {
            let directive = Directive::ALL[number].directive;
            let (site, section) = match place {
                0 => (main, None),
                1 => (vhost, None),
                2 => (vhost, Some(draft.section(vhost, SectionKind::Location, &args, origin.clone()))),
                _ => match draft.proxy_container(main, &args, origin.clone()) {
                    Ok(section) => (main, Some(section)),
                    Err(_) => (main, None),
                },
            };
            let _ = draft.directive(directive, Place { site, section }, &args, origin.clone());
        }
        let handlers = vec![margay::config::HandlerPlace {
            site: SiteId(1),
            path: handler,
            handler: "balancer-manager".into(),
            origin,
        }];
        let facts = Facts { sites: vec![SiteFacts::default()], handlers, ..Facts::default() };
        let outcome = draft.compile(&facts);
        prop_assert!(outcome.findings.iter().all(is_one_line), "{:?}", outcome.findings);
    }
}
