// SPDX-License-Identifier: Apache-2.0
//! What lines of mod_jk come to: values, defaults, and what virtual hosts have.

use std::time::Duration;

use margay::config::jk::plan::{
    Activation, FailOnStatus, JkLock, JkMethod, JkOptions, JkPlan, JkTarget, Recovery, RuleSource, UriForm,
};
use margay::config::jk::read_mount_file;
use margay::config::plan::{Scheme, SiteId};
use margay::config::{Directive, Draft, Facts, Origin, Place, Plan, Severity};
use serde::Deserialize;

#[path = "support/conf.rs"]
mod conf;

fn plan(text: &str) -> Plan {
    let read = conf::read(text);
    read.plan.unwrap_or_else(|| panic!("{:#?}", read.findings))
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn unset_attributes_have_the_documented_defaults() {
    let plan = plan(
        "JkWorkerProperty worker.list=w,lb,st
         JkWorkerProperty worker.lb.type=lb
         JkWorkerProperty worker.lb.balance_workers=n1.a,n2
         JkWorkerProperty worker.st.type=status
         JkMount /x w",
    );
    let jk = &plan.jk;
    assert_eq!((jk.is_used, jk.maintain, jk.watchdog), (true, 60 * SECOND, Duration::ZERO));
    assert_eq!(jk.members.len(), plan.members.len());
    let types: Vec<_> = jk.workers.iter().map(|worker| worker.target.type_name()).collect();
    assert_eq!(types, ["ajp13", "lb", "status"]);

    let (member, common) = (jk.members[0].as_ref().unwrap(), &plan.members[0]);
    assert_eq!((common.scheme, common.name.as_str(), common.port), (Scheme::Ajp, "ajp://localhost", 8009));
    assert_eq!((common.route.as_str(), common.timeout, common.connect_timeout), ("", None, None));
    assert_eq!((member.balancer, member.lbfactor, member.distance), (None, 1, 0));
    assert_eq!((member.connect_ping, member.prepost_ping, member.ping_timeout), (None, None, 10 * SECOND));
    assert_eq!((member.ping_interval, member.reply_timeout), (Duration::ZERO, None));
    assert_eq!((member.retries, member.retry_interval), (2, 100 * MILLISECOND));
    assert_eq!(member.acquire_timeout, 200 * MILLISECOND);
    assert_eq!((member.recovery, member.busy_limit, member.packet_size), (Recovery(0), 0, 8192));
    assert_eq!((member.pool_size, member.pool_min_size, member.pool_timeout), (None, None, Duration::ZERO));

    let balancer = &jk.balancers[0];
    assert_eq!((balancer.sticky, balancer.sticky_force, balancer.set_session_cookie), (true, false, false));
    assert_eq!((balancer.method, balancer.lock), (JkMethod::Request, JkLock::Optimistic));
    assert_eq!((balancer.retries, balancer.lb_retries, balancer.retry_interval), (2, 2, 100 * MILLISECOND));
    assert_eq!((balancer.recover_time, balancer.error_escalation_time), (60 * SECOND, 30 * SECOND));
    assert_eq!((balancer.max_reply_timeouts, balancer.packet_size), (0, 8192));
    assert_eq!(
        (balancer.session_cookie.as_str(), balancer.session_path.as_str()),
        ("JSESSIONID", ";jsessionid")
    );
    assert_eq!(balancer.session_cookie_path, "/");
    let routes: Vec<_> = balancer
        .members
        .iter()
        .map(|id| (plan.member(*id).route.as_str(), jk.member(*id).unwrap().domain.as_str()))
        .collect();
    assert_eq!(routes, [("n1.a", "n1"), ("n2", "")]);

    let status = &jk.status[0];
    assert_eq!(
        (status.namespace.as_str(), status.prefix.as_str(), status.read_only),
        ("jk:", "worker", false)
    );
    assert_eq!(status.xmlns, "xmlns:jk=\"http://tomcat.apache.org\"");
    assert_eq!((status.good.join(" "), status.bad.join(" ")), ("a.o a.n a.b a.r".into(), "e s".into()));
}

#[test]
fn every_attribute_arrives() {
    let plan = plan(
        "JkWorkersFile w
@file w
worker.list=lb
worker.maintain=10
worker.t.host=Node1
worker.t.source=127.0.0.2
worker.t.prefer_ipv6=yes
worker.t.socket_timeout=10
worker.t.socket_keepalive=True
worker.t.socket_buffer=16k
worker.t.ping_mode=CI
worker.t.ping_timeout=5000
worker.t.prepost_timeout=700
worker.t.reply_timeout=60000
worker.t.retries=0
worker.t.retry_interval=10
worker.t.recovery_options=3
worker.t.fail_on_status=500, -404
worker.t.busy_limit=100
worker.t.cachesize=10
worker.t.connection_pool_minsize=0
worker.t.cache_timeout=600
worker.t.max_packet_size=10000
worker.a.reference=worker.t
worker.a.secret=own
worker.a.lbfactor=3
worker.a.distance=1
worker.a.disabled=true
worker.a.jvm_route=r.1
worker.a.redirect=b
worker.b.reference=worker.a
worker.b.route=b
worker.b.port=0
worker.b.domain=d
worker.b.activation=A
worker.lb.type=lb
worker.lb.secret=shared
worker.lb.balance_workers=a b
worker.lb.balance_workers=c
worker.lb.method=Session
worker.lb.lock=1
worker.lb.sticky_session=off
worker.lb.sticky_session_force=T
worker.lb.retries=3
worker.lb.lb_retries=4
worker.lb.recover_time=7
worker.lb.session_cookie=SID
worker.lb.session_path=sid
worker.lb.set_session_cookie=1
worker.lb.session_cookie_path=/app
@end",
    );
    let jk = &plan.jk;
    let [a, b, c] = [0, 1, 2].map(|at| jk.members[at].as_ref().unwrap());
    let common = &plan.members[0];
    assert_eq!(jk.maintain, 10 * SECOND);
    assert_eq!((common.name.as_str(), a.host.as_str(), common.tcp_keepalive), ("ajp://node1", "Node1", true));
    assert_eq!((a.source.unwrap().to_string().as_str(), a.prefer_ipv6), ("127.0.0.2", true));
    assert_eq!((common.timeout, common.connect_timeout), (Some(10 * SECOND), Some(10 * SECOND)));
    assert_eq!((common.receive_buffer, a.packet_size, common.packet_size), (16384, 10240, 10240));
    assert_eq!((a.connect_ping, a.prepost_ping), (Some(5 * SECOND), Some(700 * MILLISECOND)));
    assert_eq!((a.ping_interval, a.reply_timeout), (50 * SECOND, Some(60 * SECOND)));
    assert_eq!((a.retries, a.acquire_timeout, a.recovery), (1, 10 * MILLISECOND, Recovery(3)));
    assert_eq!((&a.fail_on_status, a.busy_limit), (&FailOnStatus(vec![500, -404]), 100));
    assert_eq!((a.pool_size, a.pool_min_size, a.pool_timeout), (Some(10), Some(0), 600 * SECOND));
    assert_eq!((a.lbfactor, a.distance, a.activation), (3, 1, Activation::Disabled));
    assert_eq!((common.route.as_str(), common.redirect.as_str(), a.domain.as_str()), ("r.1", "b", "r"));
    // A worker has the secret of its template, else its balancer's.
    let secrets: Vec<_> = plan.members.iter().map(|member| member.secret.as_str()).collect();
    assert_eq!(secrets, ["own", "own", "shared"]);
    assert_eq!((b.activation, b.domain.as_str(), plan.members[1].port), (Activation::Stopped, "d", 0));
    assert_eq!((c.activation, c.lbfactor), (Activation::Active, 1));

    let lb = &jk.balancers[0];
    assert_eq!(
        (lb.method, lb.lock, lb.sticky, lb.sticky_force),
        (JkMethod::Session, JkLock::Pessimistic, false, true)
    );
    assert_eq!((lb.retries, lb.lb_retries, lb.packet_size), (3, 4, 10240));
    assert_eq!((lb.recover_time, lb.error_escalation_time), (7 * SECOND, 3 * SECOND));
    assert_eq!((lb.session_cookie.as_str(), lb.session_path.as_str()), ("SID", ";sid"));
    assert_eq!((lb.set_session_cookie, lb.session_cookie_path.as_str()), (true, "/app"));
}

#[test]
fn ping_modes_fill_what_is_zero() {
    let plan = plan(
        "JkWorkersFile w
@file w
worker.list=a,b,c
worker.a.ping_mode=A
worker.a.connect_timeout=0
worker.a.connection_ping_interval=0
worker.b.ping_mode=A
worker.b.connect_timeout=-1
worker.b.prepost_timeout=5
worker.b.recovery_options=-1
worker.c.ping_mode=CP
worker.c.ping_timeout=0
@end",
    );
    let pings = |at: usize| {
        let member = plan.jk.members[at].as_ref().unwrap();
        (member.connect_ping, member.prepost_ping, member.ping_interval)
    };
    assert_eq!(pings(0), (Some(10 * SECOND), Some(10 * SECOND), 100 * SECOND));
    assert_eq!(pings(1), (None, Some(5 * MILLISECOND), 100 * SECOND));
    assert_eq!(pings(2), (None, None, Duration::ZERO));
    assert!(plan.jk.members[1].as_ref().unwrap().recovery.has(Recovery::ALWAYS_GET));
}

#[test]
fn without_any_property_there_is_one_worker() {
    let plan = plan("JkMount /x ajp13");
    let [worker] = &plan.jk.workers[..] else { panic!("one worker") };
    assert_eq!(
        (worker.name.as_str(), worker.target),
        ("ajp13", JkTarget::Ajp(margay::config::plan::MemberId(0)))
    );
    assert_eq!(plan.members[0].name, "ajp://localhost");
}

#[test]
fn without_a_line_of_mod_jk_nothing_of_it_is_there() {
    let plan = plan("ProxyPass /a ajp://h/");
    assert!(!plan.jk.is_used && plan.jk.workers.is_empty() && plan.jk.sites.is_empty());
    assert_eq!(plan.members.len(), 1);
}

#[test]
fn members_of_both_dialects_stand_in_one_list_and_have_different_keys() {
    let plan = plan(
        "JkWorkerProperty worker.list=w,lb
         JkWorkerProperty worker.lb.type=lb
         JkWorkerProperty worker.lb.balance_workers=w
         JkMount /x w
         ProxyPass /a ajp://localhost/",
    );
    let is_jk: Vec<_> = plan.jk.members.iter().map(Option::is_some).collect();
    assert_eq!((plan.members.len(), is_jk), (3, vec![false, true, true]));
    let keys: std::collections::HashSet<_> = plan.members.iter().map(|member| member.key).collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(plan.jk.member(margay::config::plan::MemberId(0)).map(|_| ()), None);
}

#[test]
fn keys_do_not_depend_on_the_order_of_the_file() {
    let keys = |list: &str| {
        let plan = plan(&format!("JkWorkerProperty worker.list={list}\nJkMount /x a"));
        let mut keys: Vec<_> = plan.members.iter().map(|member| member.key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys("a,b,c"), keys("c,a,b"));
}

#[test]
fn properties_are_dumped_as_read_with_references_worked_in() {
    let plan = plan(
        "JkWorkerProperty worker.list=a
JkWorkersFile w
@file w
worker.t.port=8010
worker.a.reference=worker.t
v=1
v=2
worker.list=b
@end",
    );
    let dumped: Vec<String> =
        plan.jk.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        dumped,
        [
            "worker.list=a,b",
            "ServerRoot=/srv",
            "worker.t.port=8010",
            "worker.a.reference=worker.t",
            "v=1*2",
            "worker.a.port=8010"
        ]
    );
}

#[test]
fn references_bring_all_that_begins_with_the_name() {
    let plan = plan(
        "JkWorkersFile w
@file w
worker.list=c
worker.c.reference=worker.d
worker.d.x.port=1
worker.d.reference=worker.e
worker.e.host=h
worker.e.sub.port=1
worker.c.reference.port=7
@end",
    );
    let dumped: Vec<String> =
        plan.jk.properties.iter().skip(8).map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        dumped,
        [
            "worker.d.host=h",
            "worker.d.sub.port=1",
            "worker.c.x.port=1",
            "worker.c.host=h",
            "worker.c.sub.port=1"
        ]
    );
}

/// Paths that lead to a worker in each of the hosts A, B, C: `m`ain, `f`ile, `o`wn.
fn table(main: &str, hosts: &str) -> [String; 3] {
    let copy = if hosts.is_empty() { String::new() } else { format!("JkMountCopy {hosts}") };
    let plan = plan(&format!(
        "JkMount /main/* ajp13
JkMountFile map
@file map
/file/*=ajp13
@end
{main}
<VirtualHost b>
{copy}
JkLogLevel info
</VirtualHost>
<VirtualHost c>
{copy}
JkMount /own/* ajp13
</VirtualHost>"
    ));
    // Host A has no line of mod_jk; httpd gives such a host the id of the main server.
    [plan.jk.site(SiteId(0), false), plan.jk.site(SiteId(1), false), plan.jk.site(SiteId(2), false)].map(
        |site| {
            let leads = |path: &[u8]| site.mounts.find(path).is_some();
            let paths: [(&[u8], char); 3] = [(b"/main/x", 'm'), (b"/file/x", 'f'), (b"/own/x", 'o')];
            paths.into_iter().filter(|(path, _)| leads(path)).map(|(_, letter)| letter).collect()
        },
    )
}

#[test]
fn virtual_hosts_have_the_rules_that_were_measured() {
    assert_eq!(table("", "On"), ["", "mf", "mfo"]);
    assert_eq!(table("JkMountCopy All", "On"), ["mf", "mf", "mfo"]);
    assert_eq!(table("JkMountCopy All", "Off"), ["mf", "", "o"]);
    assert_eq!(table("JkMountCopy On", ""), ["", "", "o"]);
}

#[test]
fn the_main_server_has_its_own_rules() {
    let plan = plan("JkMount /main/* ajp13");
    assert!(plan.jk.site(SiteId(0), true).mounts.find(b"/main/x").is_some());
    assert!(plan.jk.site(SiteId(0), false).mounts.find(b"/main/x").is_none());
}

#[test]
fn copied_rules_give_way_to_own_ones_of_the_same_path() {
    let plan = plan(
        "JkWorkerProperty worker.list=a,b
         JkMount /x a
         JkMount /y a
         JkAutoAlias webapps
         <VirtualHost v>
         JkMountCopy On
         JkMount /x b
         </VirtualHost>",
    );
    let site = &plan.jk.sites[1];
    let lines: Vec<_> =
        site.mounts.rules().iter().map(|rule| (rule.pattern.as_str(), rule.origin.line)).collect();
    assert_eq!(lines, [("/x", 7), ("/y", 3)]);
    assert_eq!(site.auto_alias.as_deref(), Some("/srv/webapps"));
}

#[test]
fn rules_of_workers_belong_to_the_main_servers_table() {
    let plan = plan(
        "JkWorkerProperty worker.list=a
         JkWorkerProperty worker.a.mount=/w/* /l|/r
         JkMount /x a
         <VirtualHost shares>
         JkMountCopy On
         </VirtualHost>
         <VirtualHost own>
         JkMountCopy On
         JkMount /y a
         </VirtualHost>",
    );
    let sources =
        |site: usize| plan.jk.sites[site].mounts.rules().iter().map(|rule| rule.source).collect::<Vec<_>>();
    use RuleSource::{Directive, Worker};
    // X|Y is one pattern here.
    assert_eq!(sources(0), [Worker, Worker, Directive]);
    assert_eq!(sources(1), sources(0));
    assert_eq!(sources(2), [Directive, Directive]);
    assert!(std::sync::Arc::ptr_eq(&plan.jk.sites[0].mounts, &plan.jk.sites[1].mounts));
}

#[test]
fn values_are_inherited_one_by_one() {
    let plan = plan(
        "JkOptions +FlushPackets +RejectUnsafeURI ForwardURIEscaped
         JkWorkerIndicator W
         JkLocalAddrIndicator ADDRESS
         JkEnvVar A 1
         JkEnvVar B 2
         JkLogFile logs/jk
         JkLogLevel debug
         JkRequestLogFormat %w
         JkStripSession On ;sid
         JkExtractSSL Off
         JkMountFileReload 0
         JkMountFile map
@file map
@end
         <VirtualHost v>
         JkOptions -FlushPackets +DisableReuse
         JkHTTPSIndicator H
         JkEnvVar B 3
         JkEnvVar C
         JkLogLevel WARN
         JkMountFile map
         </VirtualHost>
         <VirtualHost w>
         JkOptions ForwardURIProxy
         JkStripSession Off
         JkMountFile map
         JkMountFileReload 5
         </VirtualHost>",
    );
    let [v, w] = [&plan.jk.sites[1], &plan.jk.sites[2]];
    let expected = JkOptions {
        uri: UriForm::Escaped,
        disable_reuse: true,
        reject_unsafe_uri: true,
        ..JkOptions::default()
    };
    assert_eq!((v.options, w.options.uri), (expected, UriForm::Proxy));
    assert_eq!((v.indicators.worker.as_str(), v.indicators.local_addr.as_str()), ("W", "ADDRESS"));
    assert_eq!((v.indicators.https.as_str(), w.indicators.https.as_str()), ("H", "HTTPS"));
    let variables: Vec<_> =
        v.env_vars.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(variables, [("B", Some("3")), ("C", None), ("A", Some("1"))]);
    assert_eq!((v.log.file.as_deref(), v.log.request_format.as_deref()), (Some("logs/jk"), Some("%w")));
    assert_eq!(format!("{:?} {:?}", v.log.level, w.log.level), "Warn Debug");
    assert_eq!((v.strip_session.as_deref(), w.strip_session.as_deref()), (Some(";sid"), None));
    assert!(!v.extract_ssl);
    let reload = |site: &margay::config::jk::plan::JkSite| site.mount_file.as_ref().unwrap().reload;
    assert_eq!((reload(v), reload(w)), (None, Some(5 * SECOND)));
    assert_eq!(v.mount_file.as_ref().unwrap().path, "/srv/map");
}

#[test]
fn a_host_that_shares_the_main_servers_table_shares_what_belongs_to_it() {
    let plan = plan(
        "JkMount /x* ajp13
         JkOptions +RejectUnsafeURI
         <VirtualHost v>
         JkMountCopy On
         JkOptions -RejectUnsafeURI
         </VirtualHost>",
    );
    assert!(plan.jk.sites[1].options.reject_unsafe_uri);
    let site = &plan.jk.sites[1];
    assert!(matches!(site.find(&site.mounts, b"/x%y", &mut Vec::new()), Ok(None)));
}

fn two_members() -> JkPlan {
    plan(
        "JkWorkerProperty worker.list=lb
         JkWorkerProperty worker.lb.type=lb
         JkWorkerProperty worker.lb.balance_workers=n1,n2
         JkMount /x lb",
    )
    .jk
}

#[test]
fn extensions_change_what_they_name() {
    let jk = two_members();
    let line = "/x=lb;reply_timeout=5000;sticky_ignore=1;stateless=1;active=n1,n2;disabled=n2;stopped=n1;\
                fail_on_status=500 -404;use_server_errors=404;session_cookie=SID;session_path=;sid;\
                set_session_cookie=1;session_cookie_path=/y";
    let (rules, _) = read_mount_file(line, "map", &jk);
    let extensions = &rules[0].extensions;
    assert_eq!(extensions.reply_timeout, Some(Some(5 * SECOND)));
    assert_eq!((extensions.sticky_ignore, extensions.stateless), (true, true));
    let members = &jk.balancers[0].members;
    let last = |at: usize| extensions.activation.iter().rfind(|(id, _)| *id == members[at]).unwrap().1;
    assert_eq!((last(0), last(1)), (Activation::Stopped, Activation::Disabled));
    assert_eq!(extensions.fail_on_status, Some(FailOnStatus(vec![500, -404])));
    assert_eq!((extensions.use_server_errors, extensions.set_session_cookie), (404, Some(true)));
    assert_eq!(
        (extensions.session_cookie.as_deref(), extensions.session_path.as_deref()),
        (Some("SID"), Some(";sid"))
    );
    assert_eq!(extensions.session_cookie_path.as_deref(), Some("/y"));
    let written: Vec<_> = extensions.written.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(written, ["reply_timeout", "active", "disabled", "stopped", "fail_on_status"]);
    let timeout = |text: &str| {
        let (rules, _) = read_mount_file(&format!("/x=lb;reply_timeout={text}"), "map", &jk);
        rules[0].extensions.reply_timeout
    };
    assert_eq!((timeout("0"), timeout("-1")), (Some(None), None));
}

#[test]
fn a_mount_file_read_again_replaces_its_rules_and_bad_ones_cost_only_themselves() {
    let jk = two_members();
    let (rules, findings) = read_mount_file("/a=lb\n*.jsp=lb\n|/b=lb\n/c|/d=nobody\n", "map", &jk);
    let patterns: Vec<_> = rules.iter().map(|rule| rule.pattern.as_str()).collect();
    assert_eq!(patterns, ["/a", "/b", "/c", "/c/d"]);
    assert!(findings.len() == 3 && findings.iter().all(|finding| finding.severity == Severity::Warning));
    let mounts = jk.sites[0].mounts.with_file(rules);
    assert_eq!((mounts.rules().len(), mounts.find(b"/x").is_some()), (5, true));
    assert!(mounts.with_file(Vec::new()).find(b"/a").is_none());
}

/// Random properties, and what mod_jk's status worker dumped of them; `None`: it did not start.
#[derive(Deserialize)]
struct Recorded {
    lines: Vec<String>,
    file: Vec<String>,
    dump: Option<Vec<String>>,
}

#[test]
fn random_properties_are_read_as_mod_jk_reads_them() {
    let cases: Vec<Recorded> = serde_json::from_str(include_str!("vectors/jk/properties.json")).unwrap();
    for case in &cases {
        let mut draft = Draft::new();
        let place = Place { site: draft.site("main server", None), section: None };
        let mut take = |directive, text: &str| {
            draft.directive(directive, place, text, Origin::new("httpd.conf", 1)).unwrap();
        };
        take(Directive::JkWorkersFile, "w");
        case.lines.iter().for_each(|line| take(Directive::JkWorkerProperty, line));
        let mut facts = Facts { server_root: "/srv".into(), ..Facts::default() };
        facts.environment.insert("HOMEX".into(), "/hx".into());
        facts.files.insert("/srv/w".into(), Ok(case.file.join("\n")));
        let dump = draft.compile(&facts).plan.map(|plan| {
            let shown = plan.jk.properties.iter().filter(|(name, _)| !name.ends_with(".secret"));
            shown.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        });
        assert_eq!(dump, case.dump, "{:?} {:#?}", case.lines, case.file);
    }
    assert!(cases.len() > 40 && cases.iter().any(|case| case.dump.is_none()));
}
