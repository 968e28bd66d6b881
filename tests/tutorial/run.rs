// SPDX-License-Identifier: Apache-2.0
//! What `make run` starts: two Tomcats with the tutorial's cluster, the agent as its third member, httpd with an example's
//! configuration, and a page to look at.
//!
//! The argument names the example, a file of httpd-conf/examples without its ending.
//!
//! Everything lives in `target/run`, listens on loopback only and ends with Ctrl-C.

#[path = "../support/mod.rs"]
mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use support::agent::{self, Agent};
use support::cluster::{Cluster, DISTRIBUTABLE};
use support::httpd::{Builder, Front, Httpd, module_path};
use support::tomcat::{self, Connector, Tomcat};

/// How long a Tomcat that died stays away before it is started again.
const AWAY: Duration = Duration::from_secs(30);
/// The same for the first, if both died.
const BOTH_AWAY: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("make run: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let ended = watch_signals()?;
    if let Some(text) = tomcat::missing() {
        return Err(text);
    }
    if Front::chosen().is_margay() && !module_path().exists() {
        return Err(format!("{} is not there: run `cargo build` first", module_path().display()));
    }
    if !agent::program().exists() {
        return Err(format!("{} is not there: run `cargo build` first", agent::program().display()));
    }
    let dir = run_dir()?;
    let example = Example::chosen()?;
    let ports = Ports::choose(&example);
    let front = front(&dir, &example, &ports)?;

    let cluster = Cluster::of_tutorial(ports.group, ports.agent);
    let mut agent = Agent::prepare(dir.join("agent"), &cluster.agent_toml());
    agent.set_level("info");
    agent.launch();
    let tomcat = |route: &str, port, receiver| {
        let mut tomcat = Tomcat::prepare(example.connector, dir.join(route), route, port);
        tomcat.set_engine(&cluster.element(receiver));
        tomcat.write("webapps/ROOT/WEB-INF/web.xml", DISTRIBUTABLE);
        tomcat.launch_again();
        tomcat
    };
    let mut tomcats =
        vec![tomcat("TomcatA", ports.a, ports.receivers[0]), tomcat("TomcatB", ports.b, ports.receivers[1])];
    if !wait_for(&mut tomcats, &ended)? {
        return Ok(());
    }
    let httpd = front.start();
    explain(&httpd, &tomcats, &agent, example.file.with_extension("properties").exists());
    stay(&httpd, &mut tomcats, &ended);

    println!("\nStopping httpd …");
    httpd.stop();
    for tomcat in &mut tomcats {
        println!("Stopping {} …", tomcat.route());
        tomcat.stop();
    }
    println!("Stopping the agent …");
    agent.stop();
    println!("All ended. The logs stay in {}", dir.display());
    Ok(())
}

fn watch_signals() -> Result<Arc<AtomicBool>, String> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, ended.clone()).map_err(|error| error.to_string())?;
    }
    Ok(ended)
}

/// `target/run`, emptied; the next free name while another run uses it.
fn run_dir() -> Result<PathBuf, String> {
    let target = support::profile_dir().parent().expect("the target folder").to_path_buf();
    let mut number = 1;
    let dir = loop {
        let name = if number == 1 { "run".to_string() } else { format!("run-{number}") };
        let dir = target.join(name);
        if !is_in_use(&dir) {
            break dir;
        }
        number += 1;
    };
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|error| {
            format!("{} cannot be emptied ({error}): was it made by another user? Remove it.", dir.display())
        })?;
    }
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let _ = std::fs::write(dir.join("pid"), std::process::id().to_string());
    Ok(dir)
}

fn is_in_use(dir: &Path) -> bool {
    let pid = std::fs::read_to_string(dir.join("pid")).ok().and_then(|text| text.trim().parse().ok());
    pid.is_some_and(support::process::is_alive)
}

/// The configuration that is shown.
struct Example {
    file: PathBuf,
    connector: Connector,
    /// The members as the file names them.
    members: [(&'static str, u16); 2],
}

impl Example {
    /// That of the first argument, else the tutorial's.
    fn chosen() -> Result<Example, String> {
        let name = std::env::args().nth(1).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "tutorial-proxy".to_owned());
        let (connector, members) = match name.as_str() {
            "tutorial-proxy" => {
                (Connector::Ajp, [("ajp://127.0.0.1:8009", 8009), ("ajp://127.0.0.1:8010", 8010)])
            }
            "tutorial-http" => {
                (Connector::Http, [("http://127.0.0.1:8081", 8081), ("http://127.0.0.1:8082", 8082)])
            }
            "tutorial-jk" => (Connector::Ajp, [("port=8009", 8009), ("port=8010", 8010)]),
            _ => {
                return Err(format!(
                    "there is no example {name}: write EXAMPLE=tutorial-proxy, EXAMPLE=tutorial-http or \
                     EXAMPLE=tutorial-jk"
                ));
            }
        };
        let file = support::source_dir().join(format!("httpd-conf/examples/{name}.conf"));
        Ok(Example { file, connector, members })
    }
}

/// Where everything listens: the tutorial's ports, or the next free ones.
struct Ports {
    http: u16,
    a: u16,
    b: u16,
    /// Of the cluster: the group, the Tomcats' receivers, the agent's.
    group: u16,
    receivers: [u16; 2],
    agent: u16,
}

impl Ports {
    fn choose(example: &Example) -> Ports {
        let [(_, a), (_, b)] = example.members;
        let a = free_from("TomcatA", a, &[b]);
        let b = free_from("TomcatB", b, &[a]);
        let is_free = |port: &u16| std::net::UdpSocket::bind(("0.0.0.0", *port)).is_ok();
        let group = (45564..).find(is_free).expect("one of the ports above is free");
        let first = free_from("TomcatA's receiver", 4000, &[a, b]);
        let second = free_from("TomcatB's receiver", 4001, &[a, b, first]);
        let agent = free_from("the agent", 4002, &[a, b, first, second]);
        let http = free_from("httpd", 8080, &[a, b, first, second, agent]);
        Ports { http, a, b, group, receivers: [first, second], agent }
    }
}

fn free_from(who: &str, wanted: u16, taken: &[u16]) -> u16 {
    let is_free = |port: &u16| !taken.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (wanted..).find(is_free).expect("one of the ports above is free");
    if port != wanted {
        println!("Port {wanted} is taken; {who} uses {port}.");
    }
    port
}

/// httpd with the example file, its addresses replaced where the ports were taken; checked with `-t`.
fn front(dir: &Path, example: &Example, ports: &Ports) -> Result<Builder, String> {
    let written = |from: &Path, name: &str, change: &dyn Fn(String) -> String| {
        let text = std::fs::read_to_string(from).map_err(|error| format!("{}: {error}", from.display()))?;
        let file = dir.join(name);
        std::fs::write(&file, change(text)).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok::<PathBuf, String>(file)
    };
    let with_ports = |text: String| {
        let [(a, port_a), (b, port_b)] = example.members;
        let moved = |member: &str, from: u16, to: u16| member.replace(&from.to_string(), &to.to_string());
        text.replace(a, &moved(a, port_a, ports.a)).replace(b, &moved(b, port_b, ports.b))
    };
    let workers = example.file.with_extension("properties");
    let workers = match workers.exists() {
        true => Some(written(&workers, "workers.properties", &with_ports)?),
        false => None,
    };
    let file = written(&example.file, "example.conf", &|text| match &workers {
        Some(workers) => text.replace("conf/workers.properties", &workers.display().to_string()),
        None => with_ports(text),
    })?;
    std::fs::create_dir_all(dir.join("httpd/logs")).map_err(|error| error.to_string())?;
    let example = &example.file;
    let builder = Httpd::builder("run")
        .prefix(dir.join("httpd"))
        .at_port(ports.http)
        .module("authz_host")
        .line(format!("Include {}", file.display()));
    println!("Checking {} and {} with httpd -t …", front_name(), example.display());
    let verdict = builder.check();
    match verdict.ok {
        true => Ok(builder),
        false => Err(format!("httpd refuses it:\n{}", verdict.text)),
    }
}

/// Waits for all Tomcats, saying so; false if the user does not want to wait.
fn wait_for(tomcats: &mut [Tomcat], ended: &AtomicBool) -> Result<bool, String> {
    let start = Instant::now();
    let mut told = 0;
    for tomcat in tomcats {
        while !tomcat.is_ready() {
            if ended.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if tomcat.has_ended() || start.elapsed() > support::tomcat::START_LIMIT {
                return Err(format!("{} did not start; see {}", tomcat.route(), tomcat.log_file().display()));
            }
            let seconds = start.elapsed().as_secs();
            if seconds > told {
                told = seconds;
                println!("Waiting for {} ({seconds} s) …", tomcat.route());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let (route, protocol) = (tomcat.route(), tomcat.protocol());
        println!("{route} answers on {protocol} port {} (process {}).", tomcat.port(), tomcat.pid());
    }
    Ok(true)
}

/// What stands in front; `MARGAY_FRONT=stock` shows what the same file does without Margay.
fn front_name() -> &'static str {
    match Front::chosen() {
        Front::Margay => "Margay",
        Front::Stock => "mod_proxy",
        Front::ModJk => "mod_jk",
    }
}

fn explain(httpd: &Httpd, tomcats: &[Tomcat], agent: &Agent, is_jk: bool) {
    let url = format!("http://{}/", httpd.address());
    let first = &tomcats[0];
    println!(
        "
httpd with {front} balances over {a} and {b}.

  Open    {url}
          and reload: the node stays and the counter rises.
          {url}{manager} shows the members and takes them out and in.

  Or type, several times:
          curl -s -b /tmp/margay-cookies -c /tmp/margay-cookies {url} | grep -E '^(node|count)='

  Let a node die, then ask again: the other one serves, and the counter goes on.
          kill -9 {pid}        ({a}; it is started again after {away} s)

  Let both die. One is started again at once, gets its sessions from the agent, and the counter goes on.
          kill -9 {pid} {pid_b}

  Logs    {prefix}/error.log
          {prefix}/{log}
          {log_a}
          {log_b}
          {log_agent}

Ctrl-C ends all of it.",
        front = front_name(),
        log = if is_jk {
            "logs/mod_jk.log   (a line for each request)"
        } else {
            "access.log   (shows route and session of each request)"
        },
        manager = if is_jk { "status/" } else { "balancer-manager" },
        a = first.route(),
        b = tomcats[1].route(),
        pid = first.pid(),
        pid_b = tomcats[1].pid(),
        log_agent = agent.log_file().display(),
        away = AWAY.as_secs(),
        prefix = httpd.prefix().display(),
        log_a = first.log_file().display(),
        log_b = tomcats[1].log_file().display(),
    );
}

/// Stays until told to end, bringing back Tomcats that died.
fn stay(httpd: &Httpd, tomcats: &mut [Tomcat], ended: &AtomicBool) {
    let mut gone: Vec<Option<Instant>> = tomcats.iter().map(|_| None).collect();
    while !ended.load(Ordering::Relaxed) {
        if !httpd.is_running() {
            println!("httpd has ended; see {}/error.log", httpd.prefix().display());
            return;
        }
        for (tomcat, gone) in tomcats.iter_mut().zip(&mut gone) {
            if gone.is_none() && tomcat.has_ended() {
                println!("{} is gone.", tomcat.route());
                *gone = Some(Instant::now());
            }
        }
        let all_are_gone = gone.iter().all(Option::is_some);
        for (at, tomcat) in tomcats.iter_mut().enumerate() {
            let away = if all_are_gone && at == 0 { BOTH_AWAY } else { AWAY };
            if gone[at].is_some_and(|since| since.elapsed() > away) {
                tomcat.launch_again();
                gone[at] = None;
                println!("{} starts again: process {}.", tomcat.route(), tomcat.pid());
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
