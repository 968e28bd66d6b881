// SPDX-License-Identifier: Apache-2.0
//! Steady traffic while one of two real Tomcats dies and returns, with the agent: no request fails, and none waits for the dead one.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

struct Scene {
    nodes: [Tomcat; 2],
    httpd: Httpd,
}

impl Scene {
    fn start(connector: Connector, retry: u32) -> Scene {
        let folder = scratch_dir("traffic");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
        let cluster = Cluster::new();
        let mut nodes = ["A", "B"].map(|route| cluster.node_with(connector, route));
        let httpd = builder(&agent_toml(&cluster, &folder), &nodes, retry).start();
        wait_until("the agent", PATIENCE, || httpd.error_log().contains("the agent is ready"));
        nodes.iter_mut().for_each(Tomcat::launch_again);
        nodes.iter_mut().for_each(|node| node.wait_ready(|_| {}));
        let scene = Scene { nodes, httpd };
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
    fn witness(&self) -> Steady {
        Steady::start(self.strangers(1), "/alone/get?name=n", EVERY / 2)
    }
}

fn agent_toml(cluster: &Cluster, folder: &Path) -> PathBuf {
    let file = folder.join("agent.toml");
    let text = cluster.agent_toml().replace("VAULT", &folder.join("vault").display().to_string());
    fs::write(&file, text + &format!("[control]\nsocket = \"{}/agent.sock\"\n", folder.display()))
        .expect("a file");
    file
}

fn builder(agent: &Path, nodes: &[Tomcat; 2], retry: u32) -> Builder {
    let line = |node: &Tomcat| format!("BalancerMember {} route={} retry={retry}", node.url(), node.route());
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

/// No request failed, and none waited for what only requests that could go to A met.
fn assert_smooth(what: &str, asked: &[Asked], witnesses: &[Asked]) {
    let failed: Vec<_> = asked.iter().filter_map(|one| one.answer.as_ref().err()).collect();
    assert!(failed.is_empty(), "{what}: {failed:?}");
    let of_session = |one: &&Asked| {
        one.answer.as_ref().is_ok_and(|page| page.line("session").is_some_and(|id| id != "none"))
    };
    let lost = asked
        .iter()
        .filter(of_session)
        .filter(|one| one.answer.as_ref().is_ok_and(|page| page.line("value").as_deref() != Some("1")));
    let lost: Vec<_> = lost.collect();
    assert!(lost.is_empty(), "{what}: {} sessions without what they had: {:?}", lost.len(), lost.first());
    println!("{what}: {}", figures(asked, witnesses));
    let delayed: Vec<_> = asked.iter().filter(|one| one.own_delay(witnesses) > DELAYED).collect();
    assert!(delayed.is_empty(), "{what}: {delayed:?}");
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
    let mut scene = Scene::start(connector, 60);
    for round in ["first", "second"] {
        let (traffic, witness) = (scene.traffic(), scene.witness());
        traffic.wait_for_more(300);
        scene.nodes[0].kill_9();
        scene.wait_until_a_is_out();
        traffic.wait_for_more(300);
        assert_smooth(&format!("the {round} death"), &traffic.stop(), &witness.stop());
        // It is cold, and takes a processor for itself: it may answer late, but it answers.
        let (traffic, witness) = (scene.traffic_of("B"), scene.witness());
        scene.nodes[0].launch_again();
        scene.wait_until_all_serve();
        traffic.wait_for_more(600);
        let (asked, witnesses) = (traffic.stop(), witness.stop());
        println!("the {round} return: {}", figures(&asked, &witnesses));
        let failed: Vec<_> = asked.iter().filter_map(|one| one.answer.as_ref().err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        scene.nodes[0].wait_ready(|_| {});
    }
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
    let scene = Scene::start(Connector::Ajp, 60);
    let start = Instant::now();
    process::signal(scene.nodes[0].pid(), Signal::SIGSTOP);
    scene.wait_until_a_is_out();
    println!("a Tomcat that hangs is out after {:?}", start.elapsed());
    let (traffic, witness) = (scene.traffic_of("B"), scene.witness());
    traffic.wait_for_more(300);
    assert_smooth("beside a Tomcat that hangs", &traffic.stop(), &witness.stop());
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
        let mut scene = Scene::start(connector, 1);
        start_slowly(&scene.nodes[0], starts);
        scene.nodes[0].kill_9();
        scene.wait_until_a_is_out();
        let (traffic, witness) = (scene.traffic_of("B"), scene.witness());
        scene.nodes[0].launch_again();
        scene.wait_until_all_serve();
        traffic.wait_for_more(300);
        let (asked, witnesses) = (traffic.stop(), witness.stop());
        println!("a slow start: {}", figures(&asked, &witnesses));
        let failed: Vec<_> = asked.iter().filter_map(|one| one.answer.as_ref().err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        // What it takes while it is cold is less than a part of what it takes to start.
        let waited: Vec<_> = asked.iter().filter(|one| one.own_delay(&witnesses) > starts / 4).collect();
        assert!(waited.is_empty(), "{waited:?}");
    }
}
