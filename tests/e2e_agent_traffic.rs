// SPDX-License-Identifier: Apache-2.0
//! Steady traffic while one of two real Tomcats dies and returns, with the agent: no request fails, and none waits for the dead one.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::client::Client;
use support::cluster::Cluster;
use support::httpd::{Builder, Front, Httpd};
use support::manager::{values, xml};
use support::steady::{Asked, Steady};
use support::tomcat::{Connector, Tomcat};
use support::{PATIENCE, profile_dir, scratch_dir, wait_until};

const PAGE: &str = "/get?name=n";
const EVERY: Duration = Duration::from_millis(20);

struct Scene {
    nodes: [Tomcat; 2],
    httpd: Httpd,
}

impl Scene {
    fn start(connector: Connector, member: &str) -> Scene {
        let folder = scratch_dir("traffic");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own folder");
        let cluster = Cluster::new();
        let mut nodes = ["A", "B"].map(|route| cluster.node_with(connector, route));
        let httpd = builder(&agent_toml(&cluster, &folder), &nodes, member).start();
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
        let mut clients: Vec<_> = ["A", "A", "B", "B"].map(|route| self.session_at(route)).into();
        clients.extend([0, 1].map(|_| Client::new(self.httpd.address())));
        Steady::start(clients, PAGE, EVERY)
    }
}

fn agent_toml(cluster: &Cluster, folder: &std::path::Path) -> PathBuf {
    let file = folder.join("agent.toml");
    let text = cluster.agent_toml().replace("VAULT", &folder.join("vault").display().to_string());
    fs::write(&file, text + &format!("[control]\nsocket = \"{}/agent.sock\"\n", folder.display()))
        .expect("a file");
    file
}

fn builder(agent: &std::path::Path, nodes: &[Tomcat; 2], member: &str) -> Builder {
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

fn show(what: &str, start: Instant, asked: &[Asked], witnesses: &[Asked]) {
    let mut times: Vec<_> = asked.iter().map(|one| one.took).collect();
    times.sort();
    let at = |of: usize| times.get(times.len() * of / 1000).copied().unwrap_or_default();
    let own = asked.iter().map(|one| one.own_delay(witnesses)).max().unwrap_or_default();
    println!(
        "{what}: {} requests, median {:?}, 99% {:?}, 99.9% {:?}, max {:?}, own {own:?}; witness max {:?}",
        times.len(), at(500), at(990), at(999), times.last(), witnesses.iter().map(|one| one.took).max()
    );
    for one in asked.iter().filter(|one| one.took > Duration::from_millis(60)) {
        println!("  at {:?} took {:?} own {:?} {:?}", one.due.saturating_duration_since(start), one.took, one.own_delay(witnesses),
            one.answer.as_ref().map(|answer| answer.line("session")));
    }
}

#[test]
fn measure_kill_and_return() {
    for (connector, member) in [(Connector::Ajp, "retry=60"), (Connector::Http, "retry=60"), (Connector::Ajp, "retry=60 ping=1")] {
        let mut scene = Scene::start(connector, member);
        let witness = || {
            [Steady::witness(scene.httpd.address(), "/alone/get?name=n", Duration::from_millis(10))]
        };
        for round in 0..2 {
            println!("{connector:?} {member} round {round}");
            for kill in [false, true] {
                let (start, traffic, control) = (Instant::now(), scene.traffic(), witness());
                traffic.wait_for_more(600);
                if kill {
                    println!("kill at {:?}", start.elapsed());
                    scene.nodes[0].kill_9();
                    scene.wait_until_a_is_out();
                    println!("known at {:?}", start.elapsed());
                }
                traffic.wait_for_more(600);
                let asked = traffic.stop();
                let control: Vec<_> = control.into_iter().flat_map(|one| one.stop()).collect();
                show(if kill { "kill" } else { "baseline" }, start, &asked, &control);
                let bad: Vec<_> = asked.iter().filter_map(|one| one.answer.as_ref().err()).collect();
                println!("bad {bad:?}");
            }
            let traffic = Steady::start([0,1,2,3].map(|_| Client::new(scene.httpd.address())).into_iter().chain([scene.session_at("B")]), PAGE, EVERY);
            let (start, control) = (Instant::now(), witness());
            scene.nodes[0].launch_again();
            scene.wait_until_all_serve();
            println!("back at {:?}", start.elapsed());
            traffic.wait_for_more(1200);
            let asked = traffic.stop();
            let control: Vec<_> = control.into_iter().flat_map(|one| one.stop()).collect();
            show("return", start, &asked, &control);
            let bad: Vec<_> = asked.iter().filter_map(|one| one.answer.as_ref().err()).collect();
            println!("bad {bad:?}");
            std::thread::sleep(Duration::from_secs(5));
        }
        println!("{}", scene.httpd.error_log().lines().filter(|line| line.contains("MGY") || line.contains("balancer member")).collect::<Vec<_>>().join("\n"));
    }
}
