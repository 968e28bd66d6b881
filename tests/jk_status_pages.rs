// SPDX-License-Identifier: Apache-2.0
//! The pages of the status worker, byte for byte beside those of mod_jk 1.2.48: captures of servers that had served some
//! requests (`captures/`), and pages of one that had served none, for many parameters (`idle.json.gz`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use margay::config::jk::plan::{Activation, JkMethod, JkStatus};
use margay::config::origin::Origin;
use margay::shared::JkState;
use margay::status::jk::answer::{State, answer};
use margay::status::jk::figures::Stamp;
use margay::status::jk::model::{
    AjpSettings, AjpView, BalancerSettings, BalancerView, Gone, MapView, MemberSettings, MemberView,
    ServerView, View,
};
use margay::status::jk::{Action, Evidence, Page, Query, Refusal, Visit};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/jk_status")
}

/// What a test's server knows: a view, and what was asked of it.
struct Known {
    view: View,
    actions: Vec<String>,
}

impl State for Known {
    fn view(&self) -> View {
        self.view.clone()
    }

    fn act(&mut self, action: &Action<'_>) -> Result<(), Refusal> {
        self.actions.push(format!("{action:?}"));
        Ok(())
    }
}

const NOW: u64 = 1_795_333_601;

fn ajp(name: &str, port: u16) -> AjpView {
    AjpView {
        name: name.into(),
        kind: "ajp13".into(),
        settings: AjpSettings {
            host: "127.0.0.1".into(),
            port,
            ping_timeout: 10_000,
            connect_timeout: 10_000,
            prepost_timeout: 10_000,
            retries: 2,
            retry_interval: 100,
            ping_interval: 100,
            packet_size: 8192,
            ..AjpSettings::default()
        },
        address: format!("127.0.0.1:{port}"),
        source: "undefined".into(),
        state: JkState::Idle,
        reset_at: NOW - 1,
        ..AjpView::default()
    }
}

fn member(name: &str, port: u16, activation: Activation) -> MemberView {
    MemberView {
        ajp: ajp(name, port),
        settings: MemberSettings { activation, lbfactor: 1, route: name.into(), ..MemberSettings::default() },
        lb_mult: 1,
        ..MemberView::default()
    }
}

const MAIN: &str = "www.example.test";
const HOST: &str = "vhost.example.test [127.0.0.1:18181]";

fn map(server: &str, uri: &str, kind: &str) -> MapView {
    MapView {
        server: server.into(),
        uri: uri.into(),
        kind: kind.into(),
        source: if server == MAIN { "JkMount" } else { "uriworkermap" },
        reply_timeout: -1,
        ..MapView::default()
    }
}

fn balancer(name: &str, members: Vec<MemberView>, maps: Vec<MapView>) -> BalancerView {
    BalancerView {
        name: name.into(),
        settings: BalancerSettings {
            sticky: true,
            retries: 2,
            retry_interval: 100,
            recover_time: 60,
            error_escalation_time: 30,
            ..BalancerSettings::default()
        },
        members,
        maintenance: (59, 119),
        reset_at: NOW - 1,
        maps,
        ..BalancerView::default()
    }
}

/// The server of `captures/README.md` before its first request.
fn idle() -> View {
    let mut node1 = member("node1", 18940, Activation::Active);
    node1.settings.lbfactor = 2;
    let mut node2 = member("node2", 18941, Activation::Active);
    node2.lb_mult = 2;
    node2.settings.redirect = "node1".into();
    node2.settings.domain = "dom2".into();
    let everybody = map(HOST, "/vh/static/*", "Unmount Wildchar");
    let maps = vec![
        map(MAIN, "/app/static/*", "Unmount Wildchar"),
        map(MAIN, "/app/*", "Wildchar"),
        map(MAIN, "/app", "Exact"),
        everybody.clone(),
        map(HOST, "/off/*", "Disabled Wildchar"),
        MapView {
            sticky_ignore: true,
            stateless: true,
            fail_on_status: "-404,503".into(),
            active: "node1".into(),
            disabled: "node2".into(),
            ..map(HOST, "/ext/*", "Wildchar")
        },
        map(HOST, "/vh/*", "Wildchar"),
        map(HOST, "/vh", "Exact"),
    ];
    let slow = |uri, kind| MapView { reply_timeout: 30_000, use_server_errors: 500, ..map(MAIN, uri, kind) };
    let mut solo = ajp("solo", 18942);
    solo.maps = vec![slow("/solo/*", "Wildchar"), slow("/solo", "Exact"), everybody];
    View {
        server: ServerView {
            name: MAIN.into(),
            port: 80,
            software: "Apache/2.4.71 (Debian) mod_jk/1.2.48".into(),
            version: "mod_jk/1.2.48".into(),
            now: Stamp { unix: NOW, offset: 0 },
        },
        balancers: vec![balancer("balancer", vec![node1, node2], maps)],
        ajp: vec![solo],
        status: ["jkmanager", "jkwatch", "jkuser"].map(str::to_owned).to_vec(),
        properties: properties(&folder().join("captures/dump.properties")),
    }
}

/// With the workers that only the idle server has.
fn idle_with_more() -> View {
    let mut view = idle();
    let members =
        vec![member("node3", 18943, Activation::Disabled), member("node4", 18944, Activation::Stopped)];
    let everybody = map(HOST, "/vh/static/*", "Unmount Wildchar");
    let mut two = balancer("two", members, vec![map(MAIN, "/two", "Exact"), everybody.clone()]);
    two.settings.method = JkMethod::Busyness;
    view.balancers.push(two);
    let mut one = ajp("one", 18945);
    one.maps = vec![everybody];
    view.ajp.push(one);
    let dump = &recorded()["/jkmanager?cmd=dump&mime=prop"].body;
    view.properties = properties_of(dump);
    view
}

fn properties(file: &Path) -> Vec<(String, String)> {
    properties_of(&fs::read_to_string(file).expect("a capture"))
}

fn properties_of(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let begin = |(name, _): &(String, String)| name != "ServerRoot";
    pairs.skip_while(begin).filter(|(name, _)| !name.contains(".result.")).collect()
}

/// After some requests: node1 did them, node2 failed.
fn used(lbfactor: u32, state: JkState) -> View {
    let mut view = idle();
    let balancer = &mut view.balancers[0];
    balancer.max_busy = 1;
    let node1 = &mut balancer.members[0];
    node1.state = JkState::Ok;
    node1.settings.lbfactor = lbfactor;
    (node1.lb_value, node1.elected, node1.sessions) = (7, 7, 6);
    (node1.ajp.transferred, node1.ajp.read, node1.ajp.max_busy) = (1507, 406, 1);
    (node1.ajp.connected, node1.ajp.max_connected) = (1, 1);
    let node2 = &mut balancer.members[1];
    node2.state = state;
    let is_error = state == JkState::Error;
    (node2.lb_mult, node2.lb_value) = (u64::from(lbfactor), if is_error { 2 } else { 7 });
    (node2.elected, node2.sessions, node2.ajp.errors, node2.ajp.max_busy) = (1, 1, 1, 1);
    node2.recover = if is_error { (60, 120) } else { (0, 0) };
    node2.ajp.error_at = Some(Stamp { unix: NOW, offset: 0 });
    let solo = &mut view.ajp[0];
    solo.state = JkState::Ok;
    solo.connected = 1;
    if is_error {
        (solo.used, solo.transferred, solo.read, solo.max_busy, solo.max_connected) = (1, 204, 58, 1, 1);
    } else {
        solo.reset_at = NOW;
    }
    view
}

fn style(path: &str, good: &[&str], bad: &[&str]) -> JkStatus {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let watches = path == "/jkwatch";
    JkStatus {
        name: path[1..].into(),
        origin: Origin::new("conf", 1),
        css: watches.then(|| "/style.css".into()),
        namespace: if watches { "" } else { "jk:" }.into(),
        xmlns: if watches { "" } else { "xmlns:jk=\"http://tomcat.apache.org\"" }.into(),
        doctype: None,
        prefix: if watches { "jkwatch" } else { "worker" }.into(),
        read_only: watches,
        users: if path == "/jkuser" { vec!["bob".into()] } else { vec![] },
        user_case_insensitive: false,
        good: words(good),
        bad: words(bad),
    }
}

fn visit(known: &mut Known, style: &JkStatus, target: &str) -> Page {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = Query::parse(query.as_bytes());
    answer(&Visit { query: &query, path, style, user: None, evidence: Evidence::default() }, known)
}

const GOOD: [&str; 4] = ["a.o", "a.n", "a.b", "a.r"];
const BAD: [&str; 2] = ["e", "s"];

/// With the last line of HTML pages, which says who made them, as in the vectors.
fn without_maker(page: &str) -> String {
    page.replace(concat!("Margay/", env!("CARGO_PKG_VERSION")), "FOOTER")
}

#[track_caller]
fn assert_same(name: &str, ours: &str, stock: &str) {
    let (ours, stock) = (ours.trim_end(), stock.trim_end());
    if ours != stock {
        let mut lines = ours.lines().zip(stock.lines()).enumerate();
        let differs = lines.find(|(_, (ours, stock))| ours != stock);
        let lengths = (ours.lines().count(), stock.lines().count());
        panic!("{name}: first difference, and numbers of lines: {differs:#?} {lengths:?}");
    }
}

#[test]
fn pages_are_those_of_the_captures() {
    let small: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(folder().join("captures/small.json")).unwrap()).unwrap();
    let capture = |name: &str| match small.get(name) {
        Some(text) => text.clone(),
        None => fs::read_to_string(folder().join("captures").join(name)).unwrap(),
    };
    let (rec, err) = (JkState::Recover, JkState::Error);
    for (name, target, lbfactor, state) in [
        ("list.html", "/jkmanager?cmd=list&mime=html", 2, err),
        ("list.xml", "/jkmanager?cmd=list&mime=xml", 3, rec),
        ("list.txt", "/jkmanager?cmd=list&mime=txt", 4, rec),
        ("list.properties", "/jkmanager?cmd=list&mime=prop", 5, rec),
        ("show-lb.html", "/jkmanager?cmd=show&w=balancer&mime=html", 2, err),
        ("show-lb.xml", "/jkmanager?cmd=show&w=balancer&mime=xml", 3, rec),
        ("show-lb.txt", "/jkmanager?cmd=show&w=balancer&mime=txt", 4, rec),
        ("show-lb.properties", "/jkmanager?cmd=show&w=balancer&mime=prop", 5, rec),
        ("show-member.html", "/jkmanager?cmd=show&w=balancer&sw=node1&mime=html", 2, err),
        ("show-member.xml", "/jkmanager?cmd=show&w=balancer&sw=node1&mime=xml", 3, rec),
        ("show-member.txt", "/jkmanager?cmd=show&w=balancer&sw=node1&mime=txt", 4, rec),
        ("show-member.properties", "/jkmanager?cmd=show&w=balancer&sw=node1&mime=prop", 5, rec),
        ("show-ajp.html", "/jkmanager?cmd=show&w=solo&mime=html", 2, err),
        ("show-ajp.xml", "/jkmanager?cmd=show&w=solo&mime=xml", 3, rec),
        ("show-ajp.txt", "/jkmanager?cmd=show&w=solo&mime=txt", 4, rec),
        ("show-ajp.properties", "/jkmanager?cmd=show&w=solo&mime=prop", 5, rec),
        ("version.html", "/jkmanager?cmd=version&mime=html", 2, err),
        ("version.xml", "/jkmanager?cmd=version&mime=xml", 2, err),
        ("version.txt", "/jkmanager?cmd=version&mime=txt", 2, err),
        ("version.properties", "/jkmanager?cmd=version&mime=prop", 2, err),
        ("dump.html", "/jkmanager?cmd=dump&mime=html", 2, err),
        ("dump.xml", "/jkmanager?cmd=dump&mime=xml", 2, err),
        ("dump.txt", "/jkmanager?cmd=dump&mime=txt", 2, err),
        ("dump.properties", "/jkmanager?cmd=dump&mime=prop", 2, err),
        ("reset.html", "/jkmanager?cmd=reset&w=solo&mime=html", 2, err),
        ("reset.xml", "/jkmanager?cmd=reset&w=solo&mime=xml", 2, err),
        ("reset.txt", "/jkmanager?cmd=reset&w=solo&mime=txt", 2, err),
        ("reset.properties", "/jkmanager?cmd=reset&w=solo&mime=prop", 2, err),
        ("recover-ok.html", "/jkmanager?cmd=recover&w=balancer&sw=node2&mime=html", 2, err),
        ("recover-fail.xml", "/jkmanager?cmd=recover&w=balancer&sw=node1&mime=xml", 2, err),
        ("recover-fail.txt", "/jkmanager?cmd=recover&w=balancer&sw=node1&mime=txt", 2, err),
        ("recover-fail.properties", "/jkmanager?cmd=recover&w=balancer&sw=node1&mime=prop", 2, err),
        ("update.html", "/jkmanager?cmd=update&w=balancer&sw=node1&vwf=3&mime=html", 2, err),
        ("update.xml", "/jkmanager?cmd=update&w=balancer&sw=node1&vwf=4&mime=xml", 2, err),
        ("update.txt", "/jkmanager?cmd=update&w=balancer&sw=node1&vwf=5&mime=txt", 2, err),
        ("update.properties", "/jkmanager?cmd=update&w=balancer&sw=node1&vwf=6&mime=prop", 2, err),
        ("error-nocmd.html", "/jkmanager?cmd=bogus&mime=html", 2, err),
        ("error-nocmd.xml", "/jkmanager?cmd=bogus&mime=xml", 2, err),
        ("error-nocmd.txt", "/jkmanager?cmd=bogus&mime=txt", 2, err),
        ("error-nocmd.properties", "/jkmanager?cmd=bogus&mime=prop", 2, err),
        ("error-noworker.html", "/jkmanager?cmd=show&w=nope&mime=html", 2, err),
        ("error-noworker.xml", "/jkmanager?cmd=show&w=nope&mime=xml", 2, err),
        ("error-noworker.txt", "/jkmanager?cmd=show&w=nope&mime=txt", 2, err),
        ("error-noworker.properties", "/jkmanager?cmd=show&w=nope&mime=prop", 2, err),
        ("error-mime.out", "/jkmanager?mime=bogus", 2, err),
        ("edit-lb.html", "/jkmanager?cmd=edit&w=balancer", 6, rec),
        ("edit-member.html", "/jkmanager?cmd=edit&w=balancer&sw=node1", 6, rec),
        ("edit-ajp.html", "/jkmanager?cmd=edit&w=solo", 6, rec),
        ("edit-attribute.html", "/jkmanager?cmd=edit&w=balancer&att=vwa", 6, rec),
        ("edit.xml", "/jkmanager?cmd=edit&w=balancer&mime=xml", 6, rec),
        ("readonly-list.html", "/jkwatch", 6, rec),
        ("readonly-list.xml", "/jkwatch?mime=xml", 6, rec),
        ("readonly-list.properties", "/jkwatch?mime=prop", 6, rec),
        ("readonly-denied.html", "/jkwatch?cmd=reset&w=solo", 6, rec),
        ("readonly-denied.xml", "/jkwatch?cmd=reset&w=solo&mime=xml", 6, rec),
        ("user-denied.html", "/jkuser", 6, rec),
        ("user-denied.xml", "/jkuser?mime=xml", 6, rec),
        ("list-refresh.html", "/jkmanager?re=5&opt=384", 6, rec),
        ("xss.html", "/jkmanager?cmd=show&w=%3Cscript%3E&x=%22%3E", 6, rec),
    ] {
        let path = target.split('?').next().unwrap();
        let mut known = Known { view: used(lbfactor, state), actions: vec![] };
        let page = visit(&mut known, &style(path, &GOOD, &BAD), target);
        assert_same(name, &without_maker(&page.body), &capture(name));
    }
}

#[derive(serde::Deserialize)]
struct Recorded {
    r#type: String,
    body: String,
}

fn recorded() -> BTreeMap<String, Recorded> {
    let packed = fs::read(folder().join("idle.json.gz")).expect("the recorded pages");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("text");
    serde_json::from_str(&text).expect("pages by target")
}

#[test]
fn pages_for_all_kinds_of_parameters_are_those_of_mod_jk() {
    let legend = "<tr><th>Name</th><td>Worker name";
    let after = "Timestamp of the last error</td></tr>\n";
    for (target, stock) in recorded() {
        let path = target.split('?').next().unwrap();
        let (good, bad): (&[&str], &[&str]) =
            if path == "/jkwatch" { (&["a.o"], &["d"]) } else { (&GOOD, &BAD) };
        let mut known = Known { view: idle_with_more(), actions: vec![] };
        let page = visit(&mut known, &style(path, good, bad), &target);
        assert_eq!(page.content_type, stock.r#type, "{target}");
        let mut ours = without_maker(&page.body);
        if let (Some(from), Some(to)) = (ours.find(legend), ours.find(after)) {
            ours.replace_range(from..to + after.len(), "LEGEND\n");
        }
        assert_same(&target, &ours, &normalised(&stock.body));
    }
}

/// The recorded times as the model has them.
fn normalised(body: &str) -> String {
    let mut body = body.to_owned();
    for (from, to) in TIMES {
        body = body.replace(from, to);
    }
    body
}

const TIMES: [(&str, &str); 4] = [
    ("1795353574", "1795333601"),
    ("1795353573", "1795333600"),
    ("20261122131934", "20261122074641"),
    ("2026-11-22 13:19:34", "2026-11-22 07:46:41"),
];

proptest::proptest! {
    /// Whatever is asked, there is a page, and nothing of the query string becomes markup in it.
    #[test]
    fn no_parameter_becomes_markup(
        names in proptest::collection::vec("cmd|mime|w|sw|att|val[01]|re|opt|from|psw|v[lwa][a-z]{1,3}|[a-z<\"&%]{1,3}", 0..8),
        values in proptest::collection::vec(
            "list|show|edit|update|html|xml|balancer|node1|solo|<x>|%3Cx%3E|\"x|%22x|'|&|%00|%ff|\\PC{0,8}|[0-9-]{1,12}", 8),
    ) {
        let pairs: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("{name}={value}")).collect();
        let target = format!("/jkmanager?{}", pairs.join("&"));
        let mut known = Known { view: idle(), actions: vec![] };
        let page = visit(&mut known, &style("/jkmanager", &GOOD, &BAD), &target);
        proptest::prop_assert!(!page.body.contains("<x>") && !page.body.contains("=\"\"x"), "{}\n{}", target, page.body);
        proptest::prop_assert!(page.body.bytes().all(|byte| byte == b'\n' || byte >= b' '), "{}", target);
    }
}

#[test]
fn a_change_names_what_it_changes() {
    for (query, actions) in [
        ("cmd=update&w=balancer&sw=*&vwf=9", 2),
        ("cmd=update&w=balancer&att=vwa&val1=S", 1),
        ("cmd=update&w=balancer&att=vahst&val1=S", 0),
        ("cmd=update&w=balancer&vlr=2", 0),
        ("cmd=update&w=balancer&vlr=3", 1),
        ("cmd=update&w=solo&vamps=9000", 1),
        ("cmd=reset&w=balancer", 1),
        ("cmd=reset&w=balancer&sw=node2", 1),
        ("cmd=recover&w=balancer&sw=node2", 1),
        ("cmd=recover&w=balancer&sw=node1", 0),
        ("cmd=update&w=balancer&sw=node1&vwf=9&opt=32", 0),
    ] {
        let mut known = Known { view: used(2, JkState::Error), actions: vec![] };
        visit(&mut known, &style("/jkmanager", &GOOD, &BAD), &format!("/jkmanager?{query}"));
        assert_eq!(known.actions.len(), actions, "{query}: {:?}", known.actions);
    }
}

#[test]
fn a_member_that_the_agent_took_out_is_in_stocks_error_state_with_the_reason_behind_all_that_is_stocks() {
    let page = |gone: Option<Gone>, format: &str, command: &str| {
        let mut view = idle();
        let node1 = &mut view.balancers[0].members[0];
        (node1.state, node1.gone) = (JkState::Error, gone);
        let mut known = Known { view, actions: vec![] };
        let target = format!("/jkmanager?{command}&mime={format}");
        visit(&mut known, &style("/jkmanager", &GOOD, &BAD), &target).body
    };
    let gone = Gone { since: Stamp { unix: NOW - 3, offset: 0 }, why: "its node is \"gone\" & away" };
    let unix = NOW - 3;
    for (format, added) in [
        (
            "html",
            "<p>Member node1 is out: its node is &quot;gone&quot; &amp; away (the agent, 2026-11-22 07:46:38 +0000).</p>\n".into(),
        ),
        (
            "xml",
            format!(
                "        agent=\"its node is &quot;gone&quot; &amp; away\"\n        agent_since=\"{unix}\"\n"
            ),
        ),
        ("txt", format!(" agent=\"its node is \"gone\" & away\" agent_since={unix}")),
        (
            "prop",
            format!("worker.node1.agent=its node is \"gone\" & away\nworker.node1.agent_since={unix}\n"),
        ),
    ] {
        for command in ["cmd=list", "cmd=show&w=balancer", "cmd=show&w=balancer&sw=node1"] {
            let (with, without) = (page(Some(gone), format, command), page(None, format, command));
            assert_eq!(with.matches(&added).count(), 1, "{format} {command}: {with}");
            assert_same(command, &with.replace(&added, ""), &without);
        }
        let other = page(Some(gone), format, "cmd=show&w=balancer&sw=node2");
        assert!(!other.contains("agent"), "{other}");
    }
}
