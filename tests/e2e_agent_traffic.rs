// SPDX-License-Identifier: Apache-2.0
//! Steady traffic while one of two real Tomcats dies and returns, with the agent: no request fails, and none waits for the dead one.
//!
//! What the machine delays is told from what the dead node delays by witnesses, which ask the other node at the same moments. A machine
//! that is too busy for that is looked at again: who waits for a dead node does so each time.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use support::client::Client;
use support::cluster::{Cluster, start_slowly};
use support::httpd::{Builder, Front, Httpd};
use support::manager::{values, xml};
use support::steady::{Asked, Steady};
use support::tomcat::{Connector, Tomcat};
use support::{PATIENCE, process, profile_dir, scratch_dir, wait_until};

const PAGE: &str = "/get?name=n";
const EVERY: Duration = Duration::from_millis(20);

/// How often a smooth time is looked for.
const ROUNDS: u32 = 5;

/// One scene at a time: its virtual machines are busy enough with themselves.
static ALONE: Mutex<()> = Mutex::new(());

struct Scene {
    nodes: [Tomcat; 2],
    httpd: Httpd,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    fn start(connector: Connector, member: &str) -> Scene {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = scratch_dir("traffic");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
        let cluster = Cluster::new();
        let mut nodes = ["A", "B"].map(|route| cluster.node_with(connector, route));
        let httpd = builder(&agent_toml(&cluster, &folder), &nodes, member).start();
        wait_until("the agent", PATIENCE, || httpd.error_log().contains("the agent is ready"));
        nodes.iter_mut().for_each(Tomcat::launch_again);
        nodes.iter_mut().for_each(|node| node.wait_ready(|_| {}));
        let scene = Scene { nodes, httpd, _alone: alone };
        ["A", "B"].iter().for_each(|route| drop(scene.session_at(route)));
        let known = || scene.httpd.error_log().matches("jvmRoute is known").count() >= 2;
        wait_until("the routes", PATIENCE, known);
        scene.wait_until_all_serve();
        scene
    }

    /// One user whose session is at that node.
    fn session_at(&self, route: &str) -> Client {
        let mut client = Client::with_cookies(self.httpd.address());
        wait_until("a session at the node", PATIENCE, || {
            client = Client::with_cookies(self.httpd.address());
            let response = client.get("/set?name=n&value=1");
            response.is_ok()
                && client.cookie("JSESSIONID").is_some_and(|id| id.ends_with(&format!(".{route}")))
        });
        // Between Tomcats a change may overtake the session that it is of, and is lost then; not a second time.
        client.get("/set?name=n&value=1").expect("a response");
        client
    }

    fn states(&self) -> Vec<String> {
        values(&xml(&self.httpd), "status")
    }

    fn wait_until_a_is_out(&self) {
        wait_until("A to be out", PATIENCE, || self.states()[0].contains("Gone"));
    }

    fn wait_until_all_serve(&self) {
        let serves = |text: &String| text.trim() == "Init Ok";
        wait_until("both to serve", PATIENCE, || self.states().iter().all(serves));
    }

    /// Two users with sessions at each node, and two without any.
    fn traffic(&self) -> Steady {
        let users = ["A", "A", "B", "B"].map(|route| self.session_at(route));
        Steady::start(users.into_iter().chain(self.strangers(2)), PAGE, EVERY)
    }

    /// Two users with sessions at one node, and four without any.
    fn traffic_of(&self, route: &str) -> Steady {
        let users = [route; 2].map(|route| self.session_at(route));
        Steady::start(users.into_iter().chain(self.strangers(4)), PAGE, EVERY)
    }

    fn strangers(&self, count: usize) -> impl Iterator<Item = Client> {
        std::iter::repeat_n(self.httpd.address(), count).map(Client::new)
    }

    /// The same page of B by the same httpd, but never of A.
    fn witnesses(&self) -> Steady {
        Steady::start(self.strangers(3), "/alone/get?name=n", EVERY)
    }

    /// Whoever met A dead was told at once.
    fn assert_nobody_waited(&self) {
        let log = self.httpd.error_log();
        let of_a = format!("member {}: ", self.nodes[0].url());
        let failed = log.lines().filter(|line| line.contains("MGY3") && line.contains(&of_a));
        let waited: Vec<_> = failed
            .filter(|line| !line.contains("Connection refused") && !line.contains("closed the connection"))
            .collect();
        assert!(waited.is_empty(), "{waited:?}");
    }
}

fn agent_toml(cluster: &Cluster, folder: &Path) -> PathBuf {
    let file = folder.join("agent.toml");
    let text = cluster.agent_toml().replace("VAULT", &folder.join("vault").display().to_string());
    fs::write(&file, text + &format!("[control]\nsocket = \"{}/agent.sock\"\n", folder.display()))
        .expect("a file");
    file
}

fn builder(agent: &Path, nodes: &[Tomcat; 2], member: &str) -> Builder {
    let line = |node: &Tomcat| format!("BalancerMember {} route={} {member}", node.url(), node.route());
    Httpd::builder("traffic")
        .front(Front::Margay)
        .line("<Location /bm>\nSetHandler balancer-manager\n</Location>\nProxyPass /bm !")
        .line(format!(
            "<Proxy balancer://c>\n{}\n{}\nProxySet stickysession=JSESSIONID\n</Proxy>\n\
             ProxyPass /alone/ {}/\nProxyPass / balancer://c/",
            line(&nodes[0]),
            line(&nodes[1]),
            nodes[1].url(),
        ))
        .line(format!(
            "MargayAgent On\nMargayAgentConfig {}\nMargayAgentProgram {}",
            agent.display(),
            profile_dir().join("margay").display()
        ))
}

/// What a request may wait for a dead node.
const DELAYED: Duration = Duration::from_millis(100);

/// No request failed, and each session has what was put into it.
fn assert_served(what: &str, asked: &[Asked]) {
    for one in asked {
        let page = one.answer.as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
        let has_session = page.line("session").is_some_and(|id| id != "none");
        assert!(!has_session || page.line("value").as_deref() == Some("1"), "{what}: {}", page.text());
    }
}

/// Did none wait for what only requests that could go to A met?
fn is_smooth(what: &str, asked: &[Asked], witnesses: &[Asked]) -> bool {
    println!("{what}: {}", figures(asked, witnesses));
    asked.iter().all(|one| one.own_delay(witnesses) <= DELAYED)
}

fn figures(asked: &[Asked], witnesses: &[Asked]) -> String {
    let mut times: Vec<_> = asked.iter().map(|one| one.took).collect();
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    let own = asked.iter().map(|one| one.own_delay(witnesses)).max();
    format!(
        "{} requests, median {:?}, 99% {:?}, 99.9% {:?}, slowest {:?}, of that by itself {own:?}",
        times.len(),
        at(500),
        at(990),
        at(999),
        times.last()
    )
}

fn dies_and_returns(connector: Connector) {
    if let Some(what) = support::tomcat::missing() {
        eprintln!("skipped: {what}");
        return;
    }
    let mut scene = Scene::start(connector, "retry=60");
    let mut was_smooth = false;
    for round in 1..=ROUNDS {
        let (traffic, witnesses) = (scene.traffic(), scene.witnesses());
        traffic.wait_for_more(300);
        scene.nodes[0].kill_9();
        scene.wait_until_a_is_out();
        traffic.wait_for_more(300);
        let (asked, witnesses) = (traffic.stop(), witnesses.stop());
        assert_served("a death", &asked);
        was_smooth |= is_smooth("a death", &asked, &witnesses);
        // It is cold, and takes a processor for itself: it may answer late, but it answers.
        let (traffic, witnesses) = (scene.traffic_of("B"), scene.witnesses());
        scene.nodes[0].launch_again();
        scene.wait_until_all_serve();
        traffic.wait_for_more(600);
        let (asked, witnesses) = (traffic.stop(), witnesses.stop());
        assert_served("a return", &asked);
        is_smooth("a return", &asked, &witnesses);
        if was_smooth && round > 1 {
            return scene.assert_nobody_waited();
        }
        scene.nodes[0].wait_ready(|_| {});
    }
    panic!("at each death, requests waited");
}

#[test]
fn no_request_fails_or_waits_when_a_tomcat_behind_ajp_is_killed() {
    dies_and_returns(Connector::Ajp);
}

#[test]
fn no_request_fails_or_waits_when_a_tomcat_behind_http_is_killed() {
    dies_and_returns(Connector::Http);
}

#[test]
fn no_request_goes_to_a_tomcat_that_hangs_once_the_agent_misses_it() {
    if let Some(what) = support::tomcat::missing() {
        eprintln!("skipped: {what}");
        return;
    }
    let scene = Scene::start(Connector::Ajp, "retry=60");
    let start = Instant::now();
    process::signal(scene.nodes[0].pid(), Signal::SIGSTOP);
    scene.wait_until_a_is_out();
    println!("a Tomcat that hangs is out after {:?}", start.elapsed());
    let is_smooth = (0..ROUNDS).any(|_| {
        let (traffic, witnesses) = (scene.traffic_of("B"), scene.witnesses());
        traffic.wait_for_more(300);
        let (asked, witnesses) = (traffic.stop(), witnesses.stop());
        assert_served("beside a Tomcat that hangs", &asked);
        is_smooth("beside a Tomcat that hangs", &asked, &witnesses)
    });
    assert!(is_smooth, "each time, requests waited");
    process::signal(scene.nodes[0].pid(), Signal::SIGCONT);
    scene.wait_until_all_serve();
}

#[test]
fn no_request_waits_for_a_tomcat_that_takes_connections_long_before_it_serves() {
    if let Some(what) = support::tomcat::missing() {
        eprintln!("skipped: {what}");
        return;
    }
    let starts = Duration::from_secs(4);
    for connector in [Connector::Ajp, Connector::Http] {
        // The module alone would try it every second.
        let mut scene = Scene::start(connector, "retry=1");
        start_slowly(&scene.nodes[0], starts);
        scene.nodes[0].kill_9();
        scene.wait_until_a_is_out();
        let (traffic, witnesses) = (scene.traffic_of("B"), scene.witnesses());
        scene.nodes[0].launch_again();
        scene.wait_until_all_serve();
        traffic.wait_for_more(300);
        let (asked, witnesses) = (traffic.stop(), witnesses.stop());
        assert_served("a slow start", &asked);
        is_smooth("a slow start", &asked, &witnesses);
        // What it takes while it is cold is less than a part of what it takes to start.
        let waited: Vec<_> = asked.iter().filter(|one| one.own_delay(&witnesses) > starts / 4).collect();
        assert!(waited.is_empty(), "{waited:?}");
    }
}
