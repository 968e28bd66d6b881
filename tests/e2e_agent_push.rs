// SPDX-License-Identifier: Apache-2.0
//! The agent tells the module who lives: a real httpd, a real agent, scripted nodes of a cluster and AJP members.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use margay::shared::{HandedOver, Link};
use nix::sys::signal::Signal;

use support::ajp_peer::Peer;
use support::client::Client;
use support::cluster::Cluster;
use support::httpd::{Builder, Front, Httpd, Mpm, free_port};
use support::load::{Load, expect_ok};
use support::manager::{values, xml};
use support::node::{Node, free_group};
use support::{PATIENCE, process, profile_dir, scratch_dir, wait_until};

const DROP_TIME: u64 = 1500;

/// Two AJP members with the routes A and B, the nodes they belong to, and what an agent needs to meet them.
struct Scene {
    folder: PathBuf,
    group: u16,
    receiver: u16,
    a: Peer,
    b: Peer,
}

impl Scene {
    fn new() -> Scene {
        let folder = scratch_dir("push");
        // The agent runs as another user than the test.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        Scene { folder, group: free_group(), receiver: free_port(), a, b }
    }

    fn config(&self, more: &str) -> PathBuf {
        let file = self.folder.join("agent.toml");
        let Scene { folder, group, receiver, .. } = self;
        let text = format!(
            "[membership]\nport = {group}\nbind = \"127.0.0.1\"\nfrequency = 100\ndropTime = {DROP_TIME}\n\
             [receiver]\naddress = \"127.0.0.1\"\nport = {receiver}\nautoBind = 1\n\
             [vault]\npath = \"{0}/vault\"\n[control]\nsocket = \"{0}/agent.sock\"\n{more}",
            folder.display()
        );
        fs::write(&file, text).expect("agent.toml");
        file
    }

    fn builder(&self, more: &str) -> Builder {
        let (a, b) = (self.a.url(), self.b.url());
        Httpd::builder("push")
            .front(Front::Margay)
            .line("<Location /bm>\nSetHandler balancer-manager\n</Location>\nProxyPass /bm !")
            .line(format!(
                "<Proxy balancer://c>\nBalancerMember {a} route=A retry=60\nBalancerMember {b} route=B retry=60\n\
                 ProxySet stickysession=JSESSIONID {more}\n</Proxy>\nProxyPass / balancer://c/"
            ))
    }

    /// httpd starts the agent.
    fn supervised(&self, more: &str) -> Builder {
        let (config, program) = (self.config(""), profile_dir().join("margay"));
        self.builder(more).line(format!(
            "MargayAgent On\nMargayAgentConfig {}\nMargayAgentProgram {}",
            config.display(),
            program.display()
        ))
    }

    /// The nodes of A and B, once the agent knows which member each is.
    fn nodes(&self, httpd: &Httpd) -> (Node, Node) {
        let nodes = (Node::start(self.group), Node::start(self.group));
        self.introduce(httpd, &nodes.0, "A");
        self.introduce(httpd, &nodes.1, "B");
        nodes
    }

    /// A node makes sessions until the agent has said that it knows the route.
    fn introduce(&self, httpd: &Httpd, node: &Node, route: &str) {
        let known =
            |log: &str| log.matches(&format!("a node's jvmRoute is known member={}", node.address())).count();
        wait_until("the agent to know a node", PATIENCE, || {
            known(&httpd.error_log()) > 0
                || self.agent_log().contains(&format!("known member={}", node.address()))
                || {
                    node.make_session(&format!("S{}.{route}", node.address().port()), self.receiver);
                    std::thread::sleep(Duration::from_millis(50));
                    false
                }
        });
    }

    /// Of an agent that httpd did not start.
    fn agent_log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn start_agent(&self, more: &str) -> Agent {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let mut command = Command::new(profile_dir().join("margay"));
        command
            .args(["agent", "--config"])
            .arg(self.config(more))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Agent(process::spawn(&mut command, "margay (cargo build makes it)"))
    }
}

/// One that httpd did not start; killed when this is dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        process::kill(&mut self.0);
    }
}

/// The status words of both members.
fn states(httpd: &Httpd) -> Vec<String> {
    values(&xml(httpd), "status").iter().map(|text| text.trim().to_owned()).collect()
}

fn page(httpd: &Httpd) -> String {
    Client::new(httpd.address()).get("/bm").expect("the page").text()
}

#[track_caller]
fn wait_for_states(httpd: &Httpd, expected: [&str; 2]) {
    wait_until(&format!("the states {expected:?}, now {:?}", states(httpd)), PATIENCE, || {
        states(httpd) == expected
    });
}

/// The agent among httpd's processes.
fn agent_of(httpd: &Httpd) -> Option<u32> {
    let is_agent = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("margay\0agent"))
    };
    httpd.children().into_iter().find(is_agent)
}

fn wait_for_agent(httpd: &Httpd, but: Option<u32>) -> u32 {
    wait_until("the agent", PATIENCE, || agent_of(httpd).is_some_and(|pid| Some(pid) != but));
    agent_of(httpd).expect("it was there")
}

fn answer(httpd: &Httpd, cookie: &str) -> String {
    let response = Client::new(httpd.address()).get_with_cookie("/x", cookie).expect("a response");
    format!("{} {}", response.status, response.text())
}

const BOTH: [&str; 2] = ["Init Ok", "Init Ok"];
const WITHOUT_A: [&str; 2] = ["Init Gone", "Init Ok"];

#[test]
fn a_leave_notice_takes_a_member_out_and_a_join_puts_it_back_without_any_request() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, _b) = scene.nodes(&httpd);
    assert_eq!(states(&httpd), BOTH);
    scene.a.go_down();
    a.leave();
    wait_for_states(&httpd, WITHOUT_A);
    assert!(page(&httpd).contains("its node told the cluster that it stops"), "{}", page(&httpd));
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 B");
    assert_eq!(scene.a.requests(), 0);

    let again = Node::start(scene.group);
    scene.introduce(&httpd, &again, "A");
    assert_eq!(states(&httpd), WITHOUT_A, "its connector is not there yet");
    scene.a.come_back();
    wait_for_states(&httpd, BOTH);
    assert!(page(&httpd).contains("the agent sees that its node answers again"));
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 A");
    httpd.assert_no_unexpected(&[]);
}

#[test]
fn sessions_of_a_lost_node_go_to_a_node_of_its_cluster_before_others() {
    let (scene, c) = (Scene::new(), Peer::named("C"));
    let (a, b) = (scene.a.url(), scene.b.url());
    // C is no node, and would get nearly all of what may go anywhere.
    let balancer = format!(
        "<Proxy balancer://d>\nBalancerMember {a} route=A\nBalancerMember {b} route=B lbset=1\n\
         BalancerMember {} route=C\nProxySet stickysession=JSESSIONID\n</Proxy>\n\
         <Location /d/>\nProxyPass balancer://d/\n</Location>",
        c.url()
    );
    let httpd = scene.supervised("").line(balancer).start();
    let (a, _b) = scene.nodes(&httpd);
    let ask = |cookie: &str| {
        let response = Client::new(httpd.address()).get_with_cookie("/d/x", cookie).expect("a response");
        format!("{} {}", response.status, response.text())
    };
    assert_eq!(ask("JSESSIONID=1.A"), "200 A");
    scene.a.go_down();
    a.leave();
    wait_until("A to be out", PATIENCE, || states(&httpd).iter().any(|state| state == "Init Gone"));
    for _ in 0..3 {
        assert_eq!(ask("JSESSIONID=1.A"), "200 B", "B has a copy of the session, C has none");
        assert_eq!(ask("none=1"), "200 C");
    }
    scene.b.go_down();
    assert_eq!(ask("JSESSIONID=1.A"), "200 C", "nobody else is left");
}

#[test]
fn a_silent_death_is_known_without_any_request() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, _b) = scene.nodes(&httpd);
    scene.a.go_down();
    let start = Instant::now();
    drop(a);
    wait_for_states(&httpd, WITHOUT_A);
    println!("known after {:?}", start.elapsed());
    assert!(page(&httpd).contains("its node takes no connection"), "{}", page(&httpd));
    assert_eq!(scene.a.requests() + scene.b.requests(), 0);
}

#[test]
fn a_node_that_only_the_agent_misses_stays_in_service() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, _b) = scene.nodes(&httpd);
    let before = scene.a.cpings();
    drop(a);
    wait_until("the agent to ask the connector", PATIENCE, || scene.a.cpings() >= before + 2);
    assert_eq!(states(&httpd), BOTH);
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 A");
}

#[test]
fn a_node_that_hangs_is_out_until_it_answers() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, _b) = scene.nodes(&httpd);
    let before = scene.a.cpings();
    a.fall_silent();
    wait_until("the agent to ask the connector", PATIENCE, || scene.a.cpings() >= before + 2);
    assert_eq!(states(&httpd), BOTH, "its connector answers");
    scene.a.answer_cping(false);
    wait_for_states(&httpd, WITHOUT_A);
    assert!(
        page(&httpd).contains("its node is silent in the cluster and does not answer"),
        "{}",
        page(&httpd)
    );
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 B");
    scene.a.answer_cping(true);
    wait_for_states(&httpd, BOTH);
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 A");
}

#[test]
fn requests_go_on_without_a_failure_while_a_node_dies_and_comes_back() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, _b) = scene.nodes(&httpd);
    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/x")).map(|_| ()));
    load.wait_for_more(100);
    scene.a.go_down();
    drop(a);
    wait_until("A to be out", PATIENCE, || states(&httpd)[0].contains("Gone"));
    load.wait_for_more(100);
    let again = Node::start(scene.group);
    scene.a.come_back();
    scene.introduce(&httpd, &again, "A");
    // Its 60 seconds of rest are not waited for.
    wait_for_states(&httpd, BOTH);
    let before = scene.a.requests();
    load.wait_for_more(100);
    let outcome = load.stop();
    println!("{} requests, the slowest took {:?}", outcome.requests, outcome.slowest);
    assert_eq!(outcome.failures, [] as [String; 0]);
    assert!(scene.a.requests() > before);
}

#[test]
fn what_the_agent_says_never_takes_out_everybody_and_an_answer_overrules_it() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, b) = scene.nodes(&httpd);
    for peer in [&scene.a, &scene.b] {
        peer.answer_cping(false);
    }
    a.only_say_goodbye();
    b.only_say_goodbye();
    wait_for_states(&httpd, ["Init Gone", "Init Gone"]);
    assert_eq!(answer(&httpd, "JSESSIONID=1.B"), "200 B");
    // Its answer counts more than a notice of before.
    wait_until("B to be back", PATIENCE, || page(&httpd).contains("it is reachable"));
}

#[test]
fn what_an_agent_said_lapses_while_it_hangs_and_is_forgotten_when_it_is_killed() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let (a, _b) = scene.nodes(&httpd);
    let agent = wait_for_agent(&httpd, None);
    scene.a.answer_cping(false);
    a.only_say_goodbye();
    wait_for_states(&httpd, WITHOUT_A);
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 B");

    let load = Load::start(2, httpd.address(), |client| expect_ok(client.get("/x")).map(|_| ()));
    process::signal(agent, Signal::SIGSTOP);
    wait_for_states(&httpd, BOTH);
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 A");
    process::signal(agent, Signal::SIGKILL);
    let begun = |count| {
        wait_until("the next agent to begin", PATIENCE, || {
            httpd.error_log().matches("the agent begins").count() == count
        });
    };
    begun(2);
    let second = wait_for_agent(&httpd, Some(agent));
    process::signal(second, Signal::SIGKILL);
    begun(3);
    let third = wait_for_agent(&httpd, Some(second));
    assert!(process::is_alive(third));
    load.wait_for_more(50);
    assert_eq!(load.stop().failures, [] as [String; 0]);
    let log = httpd.error_log();
    assert!(log.contains("with status 9; it is started again in 1 s"), "{log}");
    assert!(log.contains("with status 9; it is started again in 2 s"), "{log}");
    assert_eq!(states(&httpd), BOTH);
}

#[test]
fn an_agent_that_hangs_for_long_is_killed_and_started_again() {
    for mpm in [Mpm::Event, Mpm::Prefork] {
        let scene = Scene::new();
        let httpd = scene.supervised("").mpm(mpm).start();
        let agent = wait_for_agent(&httpd, None);
        wait_until("the agent to be heard", PATIENCE, || httpd.error_log().contains("the agent is ready"));
        process::signal(agent, Signal::SIGSTOP);
        wait_for_agent(&httpd, Some(agent));
        let log = httpd.error_log();
        assert!(log.contains(&format!("MGY0937: the agent (pid {agent}) has been silent")), "{mpm:?}: {log}");
        wait_until("the next to begin", PATIENCE, || {
            httpd.error_log().matches("the agent begins").count() == 2
        });
    }
}

#[test]
fn the_agent_outlives_graceful_restarts_and_ends_with_httpd() {
    for mpm in Mpm::ALL {
        let scene = Scene::new();
        let httpd = scene.supervised("").mpm(mpm).start();
        let (a, _b) = scene.nodes(&httpd);
        let agent = wait_for_agent(&httpd, None);
        if nix::unistd::geteuid().is_root() {
            let status = fs::read_to_string(format!("/proc/{agent}/status")).expect("its status");
            let user = status.lines().find(|line| line.starts_with("Uid:")).expect("its user");
            assert!(user.split_whitespace().skip(1).all(|id| id != "0"), "{user}");
        }
        // As logrotate does.
        fs::rename(httpd.prefix().join("error.log"), httpd.prefix().join("error.log.1")).expect("the log");
        httpd.graceful();
        wait_until("a line in the new log", PATIENCE, || httpd.error_log().contains("httpd was restarted"));
        assert_eq!(agent_of(&httpd), Some(agent), "{mpm:?}");
        scene.a.go_down();
        a.leave();
        wait_for_states(&httpd, WITHOUT_A);
        assert!(httpd.stop(), "{mpm:?}");
        wait_until("the agent to end", PATIENCE, || !process::is_alive(agent));
    }
}

#[test]
fn the_agent_ends_when_httpds_parent_is_killed() {
    let scene = Scene::new();
    let httpd = scene.supervised("").mpm(Mpm::Event).start();
    let agent = wait_for_agent(&httpd, None);
    wait_until("the agent to begin", PATIENCE, || httpd.error_log().contains("the agent begins"));
    let children = httpd.children();
    process::signal(httpd.pid(), Signal::SIGKILL);
    wait_until("the agent to end", PATIENCE, || !process::is_alive(agent));
    for child in children {
        process::signal(child, Signal::SIGKILL);
    }
}

#[test]
fn a_graceful_restart_starts_and_ends_the_agent_as_the_file_says() {
    let scene = Scene::new();
    let httpd = scene.supervised("").start();
    let agent = wait_for_agent(&httpd, None);
    httpd.rewrite(|lines| {
        lines.iter_mut().for_each(|line| *line = line.replace("MargayAgent On", "MargayAgent Off"))
    });
    httpd.graceful();
    wait_until("the agent to end", PATIENCE, || !process::is_alive(agent));
    httpd.rewrite(|lines| {
        lines.iter_mut().for_each(|line| *line = line.replace("MargayAgent Off", "MargayAgent On"))
    });
    httpd.graceful();
    wait_for_agent(&httpd, Some(agent));
}

#[test]
fn httpd_serves_without_an_agent_that_cannot_run() {
    let scene = Scene::new();
    let httpd = scene.builder("").line("MargayAgent On\nMargayAgentProgram /nowhere/margay").start();
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 A");
    let log = httpd.error_log();
    assert!(log.contains("MGY0930") && log.contains("/nowhere/margay: No such file"), "{log}");

    let broken = scene.folder.join("broken.toml");
    fs::write(&broken, "[membership]\nportt = 1\n").expect("a file");
    let lines = format!(
        "MargayAgent On\nMargayAgentConfig {}\nMargayAgentProgram {}",
        broken.display(),
        profile_dir().join("margay").display()
    );
    let httpd = scene.builder("").line(lines).start();
    wait_until("the refusal", PATIENCE, || httpd.error_log().contains("did you mean port?"));
    wait_until("the next try", PATIENCE, || {
        httpd.error_log().contains("status 1; it is started again in 1 s")
    });
    assert_eq!(answer(&httpd, "JSESSIONID=1.A"), "200 A");
}

#[test]
fn an_agent_that_is_a_service_asks_for_the_memory() {
    let scene = Scene::new();
    let socket = scene.folder.join("httpd.sock");
    let control = format!("httpd = \"{}\"\n", socket.display());
    let mut agent = scene.start_agent(&control);
    for mpm in [Mpm::Event, Mpm::Prefork] {
        let httpd =
            scene.builder("").mpm(mpm).line(format!("MargayAgentSocket {}", socket.display())).start();
        let (a, _b) = scene.nodes(&httpd);
        scene.a.go_down();
        a.leave();
        wait_for_states(&httpd, WITHOUT_A);
        httpd.graceful();
        wait_for_states(&httpd, WITHOUT_A);
        assert!(httpd.stop());
        assert!(!socket.exists());
        scene.a.come_back();
    }
    assert!(process::end(&mut agent.0, Signal::SIGTERM, Duration::from_secs(10)));
}

#[test]
fn a_stranger_is_not_given_the_memory() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let scene = Scene::new();
    let socket = scene.folder.join("httpd.sock");
    let httpd = scene.builder("").line(format!("MargayAgentSocket {} games", socket.display())).start();
    let mode = fs::metadata(&socket).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // Even where the file lets everybody in.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("the socket");
    let user = |name: &str| {
        nix::unistd::User::from_name(name).expect("the list of users").expect("a user of Debian")
    };
    let ask = |name: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "one_asks_for_the_memory", "--nocapture"]).env("MARGAY_ASK", &socket);
        let output =
            command.uid(user(name).uid.as_raw()).gid(user(name).gid.as_raw()).output().expect("ourselves");
        String::from_utf8_lossy(&output.stdout).contains("it is handed over")
    };
    assert!(!ask("nobody"));
    assert!(ask("games"));
    assert!(ask("www-data"));
    drop(httpd);
}

/// Does nothing by itself: the test above has it run as other users.
#[test]
fn one_asks_for_the_memory() {
    let Some(socket) = std::env::var_os("MARGAY_ASK") else { return };
    let link = Link::of(UnixStream::connect(socket).expect("the socket"));
    if let Ok(Some(Ok(HandedOver::Region(_)))) = link.receive() {
        println!("it is handed over");
    }
}

/// One user whose session is at the node of that route; its requests are repeated by the load.
fn session_at(httpd: &Httpd, route: &str) -> Client {
    let mut client = Client::with_cookies(httpd.address());
    wait_until("a session at the node", PATIENCE, || {
        client = Client::with_cookies(httpd.address());
        let response = client.get("/set?name=n&value=1");
        // In asynchronous mode the first change may overtake the session, and is lost to other Tomcats.
        let again = client.get("/set?name=n&value=1");
        response.is_ok()
            && again.is_ok()
            && client.cookie("JSESSIONID").is_some_and(|id| id.ends_with(&format!(".{route}")))
    });
    client
}

#[test]
fn real_tomcats_die_leave_and_return_without_a_failed_request() {
    if let Some(what) = support::tomcat::missing() {
        eprintln!("skipped: {what}");
        return;
    }
    let folder = scratch_dir("push");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
    let cluster = Cluster::new();
    let mut nodes = [cluster.node("A"), cluster.node("B")];
    let config = folder.join("agent.toml");
    let text = cluster.agent_toml().replace("VAULT", &folder.join("vault").display().to_string());
    fs::write(&config, text + &format!("[control]\nsocket = \"{}/agent.sock\"\n", folder.display()))
        .expect("a file");
    let members =
        nodes.each_ref().map(|node| format!("BalancerMember {} route={} retry=60", node.url(), node.route()));
    let httpd = Httpd::builder("push")
        .front(Front::Margay)
        .line("<Location /bm>\nSetHandler balancer-manager\n</Location>\nProxyPass /bm !")
        .line(format!(
            "<Proxy balancer://c>\n{}\nProxySet stickysession=JSESSIONID\n</Proxy>\nProxyPass / balancer://c/",
            members.join("\n")
        ))
        .line(format!(
            "MargayAgent On\nMargayAgentConfig {}\nMargayAgentProgram {}",
            config.display(),
            profile_dir().join("margay").display()
        ))
        .start();
    wait_until("the agent", PATIENCE, || httpd.error_log().contains("the agent is ready"));
    nodes.iter_mut().for_each(|node| node.launch_again());
    nodes.iter_mut().for_each(|node| node.wait_ready(|_| {}));
    for route in ["A", "B"] {
        session_at(&httpd, route);
    }
    wait_until("the routes", PATIENCE, || httpd.error_log().matches("jvmRoute is known").count() >= 2);
    wait_for_states(&httpd, BOTH);

    // With traffic, one is killed.
    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/get?name=n")).map(|_| ()));
    load.wait_for_more(200);
    nodes[0].kill_9();
    wait_until("A to be out", PATIENCE, || states(&httpd)[0].contains("Gone"));
    load.wait_for_more(200);
    let outcome = load.stop();
    println!("{} requests around a death, the slowest took {:?}", outcome.requests, outcome.slowest);
    assert_eq!(outcome.failures, [] as [String; 0]);
    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/get?name=n")).map(|_| ()));
    nodes[0].restart();
    wait_for_states(&httpd, BOTH);
    load.wait_for_more(200);
    assert_eq!(load.stop().failures, [] as [String; 0]);

    // Without traffic, one is killed.
    let start = Instant::now();
    nodes[0].kill_9();
    wait_for_states(&httpd, WITHOUT_A);
    println!("a death without traffic is known after {:?}", start.elapsed());
    nodes[0].restart();
    wait_for_states(&httpd, BOTH);

    // It stops in order, and its sessions are at the other one.
    let mut user = session_at(&httpd, "A");
    nodes[0].stop();
    wait_for_states(&httpd, WITHOUT_A);
    assert!(page(&httpd).contains("its node told the cluster that it stops"), "{}", page(&httpd));
    let response = user.get("/get?name=n").expect("a response");
    assert_eq!(response.line("value").as_deref(), Some("1"), "{}", response.text());
}
