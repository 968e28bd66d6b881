// SPDX-License-Identifier: Apache-2.0
//! The agent beside mod_jk's lines: a real httpd with a balancer of workers.properties, a real agent, real Tomcats.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use support::agent::program;
use support::client::Client;
use support::cluster::Cluster;
use support::httpd::{Front, Httpd, free_port};
use support::load::{Load, expect_ok};
use support::tomcat::{Connector, Tomcat};
use support::{PATIENCE, process, scratch_dir, wait_until};

/// Two Tomcats of a cluster, the workers of mod_jk's lines that lead to them, and the agent that httpd starts.
struct Scene {
    httpd: Httpd,
    cluster: Cluster,
    nodes: [Tomcat; 2],
}

/// Tomcat waits until what a request did is everywhere, so that no kill comes before that.
const SYNCHRONOUS: u32 = 6;
/// The tutorial's mode.
const ASYNCHRONOUS: u32 = 8;

fn receiver() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// With `channelSendOptions` of that mode; `None` where Tomcat is not installed.
fn scene(mode: u32) -> Option<Scene> {
    if let Some(what) = support::tomcat::missing() {
        eprintln!("skipped: {what}");
        return None;
    }
    let folder = scratch_dir("agent-jk");
    // The agent runs as another user than the test.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
    let cluster =
        Cluster { static_members: vec![receiver(), receiver()], send_options: mode, ..Cluster::new() };
    let nodes = ["A", "B"].map(|route| cluster.node_with(Connector::Ajp, route));
    let config = folder.join("agent.toml");
    let text = cluster.agent_toml().replace("VAULT", &folder.join("vault").display().to_string());
    fs::write(&config, text + &format!("[control]\nsocket = \"{}/agent.sock\"\n", folder.display()))
        .expect("a file");
    let [a, b] = nodes.each_ref().map(Tomcat::port);
    let workers = format!(
        "worker.list=lb,status\n\
         worker.A.host=127.0.0.1\nworker.A.port={a}\nworker.B.host=127.0.0.1\nworker.B.port={b}\n\
         worker.lb.type=lb\nworker.lb.balance_workers=A,B\nworker.lb.sticky_session=true\n\
         worker.status.type=status\n"
    );
    fs::write(folder.join("workers.properties"), workers).expect("a file");
    let httpd = Httpd::builder("agent-jk")
        .front(Front::Margay)
        .line(format!(
            "JkWorkersFile {0}/workers.properties\nJkLogFile {0}/jk.log\nJkShmFile {0}/jk-shm\n\
             JkMount /* lb\nJkMount /jkstatus status\n<Location /bm>\nSetHandler balancer-manager\n</Location>\n\
             JkUnMount /bm lb\n\
             <Proxy balancer://other>\nBalancerMember ajp://127.0.0.1:{a} route=A\n</Proxy>\nProxyPass /other balancer://other\n\
             MargayAgent On\nMargayAgentConfig {1}\nMargayAgentProgram {2}",
            folder.display(),
            config.display(),
            program().display()
        ))
        .start();
    wait_until("the agent", PATIENCE, || httpd.error_log().contains("the agent is ready"));
    let mut scene = Scene { httpd, cluster, nodes };
    scene.nodes.iter_mut().for_each(Tomcat::launch_again);
    scene.nodes.iter_mut().for_each(|node| node.wait_ready(|_| {}));
    Some(scene)
}

impl Scene {
    fn get(&self, target: &str) -> String {
        let response = Client::new(self.httpd.address()).get(target).expect("a page");
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        response.text()
    }

    /// An attribute of a member, as properties show it.
    fn value(&self, name: &str) -> Option<String> {
        let page = self.get("/jkstatus?mime=prop");
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    }

    /// The state of the member, without what only tells whether it was used lately.
    fn state(&self, member: &str) -> String {
        let state = self.value(&format!("worker.{member}.state")).expect("its state");
        state.trim_end_matches("/IDLE").to_owned()
    }

    #[track_caller]
    fn wait_for(&self, member: &str, state: &str) -> Duration {
        let start = Instant::now();
        wait_until(&format!("{member} to be {state}, not {}", self.state(member)), PATIENCE, || {
            self.state(member) == state
        });
        start.elapsed()
    }

    /// One user whose session is at the node of that route.
    fn session_at(&self, route: &str) -> Client {
        let mut client = Client::with_cookies(self.httpd.address());
        wait_until("a session at the node", PATIENCE, || {
            client = Client::with_cookies(self.httpd.address());
            let response = client.get("/number?name=n&value=1");
            response.is_ok()
                && client.cookie("JSESSIONID").is_some_and(|id| id.ends_with(&format!(".{route}")))
        });
        client
    }

    /// A session at each node, from which the agent learns who is who.
    fn introduce(&self) {
        for route in ["A", "B"] {
            self.session_at(route);
        }
        wait_until("the routes", PATIENCE, || {
            self.httpd.error_log().matches("jvmRoute is known").count() >= 2
        });
    }

    fn agent(&self) -> u32 {
        let is_agent = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("margay\0agent"))
        };
        self.httpd.children().into_iter().find(is_agent).expect("the agent")
    }
}

/// Raises the user's number, and says who answered.
#[track_caller]
fn count(user: &mut Client, to: u32) -> String {
    let before = user.get("/get?name=n").expect("a response");
    assert_eq!(before.line("value"), Some((to - 1).to_string()), "{}", before.text());
    let response = user.get(&format!("/number?name=n&value={to}")).expect("a response");
    let id = response.line("session").unwrap_or_default();
    id.split_once('.').map(|(_, route)| route.to_owned()).unwrap_or_default()
}

/// So long a node may be silent, and so long its connector is asked and pages are read on a busy machine.
const NOTICED: Duration = Duration::from_millis(1500 + 1500);

#[test]
fn a_worker_whose_tomcat_is_killed_is_out_without_a_request_and_back_with_it() {
    let Some(mut scene) = scene(SYNCHRONOUS) else { return };
    scene.introduce();
    let mut user = scene.session_at("A");
    let served = scene.value("worker.A.elected");
    for line in ["worker.A.agent", "worker.A.agent_since"] {
        assert_eq!(scene.value(line), None);
    }

    scene.nodes[0].kill_9();
    let noticed = scene.wait_for("A", "ERR");
    println!("a death without traffic is known after {noticed:?}");
    assert!(noticed < NOTICED, "{noticed:?}");
    assert_eq!(scene.value("worker.A.elected"), served, "nobody was sent there");
    assert_eq!(scene.value("worker.A.errors").as_deref(), Some("0"));
    assert_eq!(scene.value("worker.lb.bad").as_deref(), Some("1"));
    let why = "its node takes no connection";
    assert!(
        scene.value("worker.A.agent").is_some_and(|text| text.contains(why)),
        "{:?}",
        scene.value("worker.A.agent")
    );
    for target in ["/jkstatus", "/jkstatus?mime=xml", "/jkstatus?mime=txt", "/jkstatus?cmd=show&w=lb", "/bm"]
    {
        assert!(scene.get(target).contains(why), "{target}: {}", scene.get(target));
    }
    assert_eq!(scene.state("B"), "OK");
    // The same Tomcat in a balancer of mod_proxy's lines, which the page lists as well.
    wait_until("the other balancer", PATIENCE, || scene.state("other_A") == "ERR");
    assert!(scene.value("worker.other_A.agent").is_some_and(|text| text.contains(why)));

    // Its user goes on at the other one at once, and the dead one is not asked.
    assert_eq!(count(&mut user, 2), "B");
    assert_eq!(count(&mut user, 3), "B");
    assert_eq!(scene.value("worker.A.errors").as_deref(), Some("0"));

    scene.nodes[0].restart();
    scene.wait_for("A", "OK");
    assert_eq!(scene.value("worker.A.agent"), None);
    let mut back = scene.session_at("A");
    assert_eq!(count(&mut back, 2), "A");
    assert_eq!(count(&mut user, 4), "B", "it stays where it is");

    // With traffic, which finds out first; its rest of recover_time (60 s) is not waited for.
    let load =
        Load::start(4, scene.httpd.address(), |client| expect_ok(client.get("/get?name=n")).map(|_| ()));
    load.wait_for_more(200);
    scene.nodes[0].kill_9();
    scene.wait_for("A", "ERR");
    wait_until("the reason", PATIENCE, || scene.value("worker.A.agent").is_some());
    load.wait_for_more(200);
    let outcome = load.stop();
    println!("{} requests around a death, the slowest took {:?}", outcome.requests, outcome.slowest);
    assert_eq!(outcome.failures, [] as [String; 0]);
    let load =
        Load::start(4, scene.httpd.address(), |client| expect_ok(client.get("/get?name=n")).map(|_| ()));
    scene.nodes[0].restart();
    wait_until("A to serve", PATIENCE, || scene.state("A") == "OK");
    load.wait_for_more(200);
    assert_eq!(load.stop().failures, [] as [String; 0]);
    assert_eq!(count(&mut back, 3), "A", "it had no need to move");
    scene.httpd.assert_no_crash();
}

#[test]
fn a_tomcat_that_stops_in_order_is_out_at_once_and_an_agent_that_hangs_or_dies_costs_no_request() {
    let Some(mut scene) = scene(ASYNCHRONOUS) else { return };
    scene.introduce();
    let mut user = scene.session_at("A");
    let served = scene.value("worker.A.elected");
    scene.nodes[0].stop();
    scene.wait_for("A", "ERR");
    assert_eq!(scene.value("worker.A.agent").as_deref(), Some("its node told the cluster that it stops"),);
    assert_eq!(user.get("/get?name=n").expect("a response").status, 200);
    assert_eq!(scene.value("worker.A.elected"), served);
    scene.nodes[0].restart();
    scene.wait_for("A", "OK");

    let load = Load::start(4, scene.httpd.address(), |client| {
        expect_ok(client.get("/set?name=k&value=v")).map(|_| ())
    });
    load.wait_for_more(50);
    let agent = scene.agent();
    process::signal(agent, Signal::SIGSTOP);
    load.wait_for_more(50);
    // What it would say now nobody hears, so that httpd finds out itself.
    scene.nodes[0].kill_9();
    load.wait_for_more(100);
    process::signal(agent, Signal::SIGKILL);
    wait_until("the next agent", PATIENCE, || {
        scene.httpd.error_log().matches("the agent begins").count() == 2
    });
    scene.nodes[0].restart();
    load.wait_for_more(100);
    let outcome = load.stop();
    println!("{} requests, the slowest took {:?}", outcome.requests, outcome.slowest);
    assert_eq!(outcome.failures, [] as [String; 0]);
}

#[test]
fn nobody_is_taken_for_another_where_no_session_told_who_is_who() {
    let Some(mut scene) = scene(SYNCHRONOUS) else { return };
    scene.nodes[0].kill_9();
    scene.wait_for("A", "ERR");
    assert_eq!(scene.value("worker.A.agent").as_deref(), Some("its node takes no connection"));
    assert_eq!(scene.state("B"), "OK");
    scene.nodes[0].restart();
    scene.wait_for("A", "OK");

    // Once it is known, it stays known of Tomcats that go on, also to the next agent.
    scene.introduce();
    process::signal(scene.agent(), Signal::SIGKILL);
    wait_until("the next agent", PATIENCE, || {
        scene.httpd.error_log().matches("the module in httpd is told who lives").count() == 2
            && scene.httpd.error_log().matches("a member joined").count() >= 5
    });
    scene.nodes.iter_mut().for_each(Tomcat::stop);
    for route in ["A", "B"] {
        scene.wait_for(route, "ERR");
        let why = scene.value(&format!("worker.{route}.agent"));
        assert_eq!(why.as_deref(), Some("its node told the cluster that it stops"));
    }

    // What was known is wrong after a start with each other's ports.
    let receivers = scene.cluster.static_members.clone();
    for (node, receiver) in scene.nodes.iter().zip(receivers.iter().rev()) {
        node.set_engine(&scene.cluster.element(receiver.port()));
    }
    scene.nodes.iter_mut().for_each(Tomcat::launch_again);
    scene.nodes.iter_mut().for_each(|node| node.wait_ready(|_| {}));
    for route in ["A", "B"] {
        scene.wait_for(route, "OK");
    }
    let taken_out = |scene: &Scene, place: usize| {
        let line = format!("taken out member=ajp://127.0.0.1:{} ", scene.nodes[place].port());
        scene.httpd.error_log().matches(&line).count()
    };
    assert!(taken_out(&scene, 0) > 0);
    for (place, other) in [(0, 1), (1, 0)] {
        let (name, other_name) = (["A", "B"][place], ["A", "B"][other]);
        let before = taken_out(&scene, other);
        scene.nodes[place].kill_9();
        scene.wait_for(name, "ERR");
        assert_eq!(scene.state(other_name), "OK");
        scene.nodes[place].restart();
        scene.wait_for(name, "OK");
        assert_eq!((scene.state(other_name).as_str(), taken_out(&scene, other)), ("OK", before));
    }
    let mut user = scene.session_at("A");
    assert_eq!(count(&mut user, 2), "A");
}
