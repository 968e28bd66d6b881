// SPDX-License-Identifier: Apache-2.0
//! A real httpd in a temporary prefix, configured by small calls.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::process::{self, Memory};
use super::{PATIENCE, log, profile_dir, scratch_dir, wait_until};

/// How httpd spreads connections over processes and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mpm {
    Event,
    Worker,
    Prefork,
}

impl Mpm {
    pub const ALL: [Mpm; 3] = [Mpm::Event, Mpm::Worker, Mpm::Prefork];

    pub const fn name(self) -> &'static str {
        match self {
            Mpm::Event => "event",
            Mpm::Worker => "worker",
            Mpm::Prefork => "prefork",
        }
    }
}

/// Which modules stand between httpd and Tomcat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Ours.
    Margay,
    /// mod_proxy, mod_proxy_balancer, mod_proxy_http and mod_proxy_ajp: what the expectations are checked against.
    Stock,
    /// The same, and mod_jk.
    ModJk,
}

impl Front {
    /// Ours, unless the environment variable `MARGAY_FRONT` is `stock` or `mod_jk`.
    pub fn chosen() -> Front {
        match std::env::var("MARGAY_FRONT").as_deref() {
            Ok("stock") => Front::Stock,
            Ok("mod_jk") => Front::ModJk,
            _ => Front::Margay,
        }
    }

    pub fn is_margay(self) -> bool {
        self == Front::Margay
    }

    fn load_lines(self) -> Vec<String> {
        match self {
            Front::Margay => vec![format!("LoadModule margay_module {}", module_file().display())],
            Front::Stock => STOCK.iter().map(|name| load_line(name)).collect(),
            Front::ModJk => STOCK.iter().chain(&["jk"]).map(|name| load_line(name)).collect(),
        }
    }
}

const STOCK: [&str; 8] = [
    "slotmem_shm",
    "proxy",
    "proxy_http",
    "proxy_balancer",
    "proxy_ajp",
    "lbmethod_byrequests",
    "lbmethod_bytraffic",
    "lbmethod_bybusyness",
];

/// The module under test: the file `MARGAY_MODULE` names, or the one cargo built beside this program.
pub fn module_path() -> PathBuf {
    std::env::var_os("MARGAY_MODULE").map_or_else(|| profile_dir().join("libmargay.so"), PathBuf::from)
}

fn module_file() -> PathBuf {
    let file = module_path();
    assert!(file.exists(), "there is no {}: run `cargo build` first (or set MARGAY_MODULE)", file.display());
    file
}

/// The server program, as apxs names it or where Debian puts it.
pub fn httpd_program() -> PathBuf {
    let ask = |name: &str| apxs_value(name).filter(|value| !value.is_empty());
    match (ask("SBINDIR"), ask("PROGNAME")) {
        (Some(dir), Some(name)) => Path::new(&dir).join(name),
        _ => PathBuf::from("/usr/sbin/apache2"),
    }
}

fn apxs_value(name: &str) -> Option<String> {
    let output = Command::new("apxs").args(["-q", name]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The `LoadModule` line of a module that comes with httpd.
pub fn load_line(name: &str) -> String {
    let dir = apxs_value("LIBEXECDIR").filter(|dir| !dir.is_empty());
    let dir = dir.unwrap_or_else(|| "/usr/lib/apache2/modules".to_string());
    format!("LoadModule {name}_module {dir}/mod_{name}.so")
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// The access log shows what the module said about each request.
const ACCESS_FORMAT: &str = concat!(
    r#"LogFormat "%m %U%q %>s route=%{BALANCER_WORKER_ROUTE}e name=%{BALANCER_NAME}e "#,
    r#"sticky=%{BALANCER_SESSION_STICKY}e sroute=%{BALANCER_SESSION_ROUTE}e "#,
    r#"changed=%{BALANCER_ROUTE_CHANGED}e worker=%{BALANCER_WORKER_NAME}e" e2e"#
);

/// A configuration that is being written.
pub struct Builder {
    name: String,
    mpm: Mpm,
    front: Front,
    first: Vec<String>,
    modules: Vec<String>,
    lines: Vec<String>,
    port: u16,
    mpm_lines: Option<String>,
    prefix: Option<PathBuf>,
}

impl Builder {
    pub fn mpm(mut self, mpm: Mpm) -> Builder {
        self.mpm = mpm;
        self
    }

    pub fn front(mut self, front: Front) -> Builder {
        self.front = front;
        self
    }

    /// Loads a module that comes with httpd, by its short name.
    pub fn module(mut self, name: &str) -> Builder {
        self.modules.push(name.to_string());
        self
    }

    /// Adds a line in front of every `LoadModule`.
    pub fn first_line(mut self, line: impl Into<String>) -> Builder {
        self.first.push(line.into());
        self
    }

    /// Adds a line (or several) to the configuration.
    pub fn line(mut self, line: impl Into<String>) -> Builder {
        self.lines.push(line.into());
        self
    }

    /// Process and thread numbers in place of the small ones that tests use by default.
    pub fn mpm_lines(mut self, lines: impl Into<String>) -> Builder {
        self.mpm_lines = Some(lines.into());
        self
    }

    /// Uses this folder in place of a new one below `target/e2e`.
    pub fn prefix(mut self, dir: PathBuf) -> Builder {
        self.prefix = Some(dir);
        self
    }

    /// The port that `start` will listen on, for lines that need it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Listens on this port in place of a free one.
    pub fn at_port(mut self, port: u16) -> Builder {
        self.port = port;
        self
    }

    fn text(&self, prefix: &Path) -> String {
        let mut text = self.first.clone();
        text.extend([
            format!("ServerRoot {}", prefix.display()),
            format!("DefaultRuntimeDir {}/run", prefix.display()),
            format!("PidFile {}/run/httpd.pid", prefix.display()),
            format!("ErrorLog {}/error.log", prefix.display()),
            "LogLevel warn".to_string(),
            format!("Listen 127.0.0.1:{}", self.port),
            "ServerName 127.0.0.1".to_string(),
            load_line(&format!("mpm_{}", self.mpm.name())),
            load_line("authz_core"),
        ]);
        text.extend(self.modules.iter().map(|name| load_line(name)));
        text.extend(self.front.load_lines());
        if nix::unistd::geteuid().is_root() {
            text.push("User www-data\nGroup www-data".to_string());
        }
        text.push(self.mpm_lines.clone().unwrap_or_else(|| small_mpm(self.mpm).to_string()));
        text.push(format!("DocumentRoot {}/htdocs", prefix.display()));
        text.push(ACCESS_FORMAT.to_string());
        text.push(format!("CustomLog {}/access.log e2e", prefix.display()));
        text.extend(self.lines.iter().cloned());
        text.join("\n") + "\n"
    }

    fn write(&self) -> PathBuf {
        let prefix = self.prefix.clone().unwrap_or_else(|| scratch_dir(&self.name));
        for folder in ["run", "htdocs", "conf"] {
            fs::create_dir_all(prefix.join(folder)).expect("a folder of the prefix");
        }
        fs::write(prefix.join("conf/httpd.conf"), self.text(&prefix)).expect("the configuration");
        prefix
    }

    /// What `httpd -t` says to this configuration.
    pub fn check(&self) -> Verdict {
        run_to_end(&self.write(), &["-t"])
    }

    /// What a start says that is expected to be refused.
    ///
    /// # Panics
    /// If the server starts after all.
    pub fn start_refused(&self) -> Verdict {
        let prefix = self.write();
        let mut child = spawn(&prefix);
        let start = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status;
            }
            if started(&prefix) > 0 || start.elapsed() > PATIENCE {
                process::end(&mut child, Signal::SIGTERM, PATIENCE);
                panic!("httpd started with a configuration it had to refuse");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Verdict { ok: status.success(), text: output_of(&prefix) + &read(&prefix.join("error.log")) }
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Panics
    /// With all that httpd said, if it ends instead.
    pub fn start(self) -> Httpd {
        let prefix = self.write();
        let mut child = spawn(&prefix);
        wait_until("httpd to start", PATIENCE, || {
            if let Some(status) = child.try_wait().expect("our own child") {
                panic!(
                    "httpd ended with {status}:\n{}{}",
                    output_of(&prefix),
                    read(&prefix.join("error.log"))
                );
            }
            started(&prefix) > 0 && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        Httpd { builder: Mutex::new(self), prefix, child: Mutex::new(child) }
    }
}

/// Few processes, so that tests see shared state between two of them and start quickly.
const fn small_mpm(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => "StartServers 4\nMinSpareServers 2\nMaxSpareServers 8\nMaxRequestWorkers 32",
        _ => {
            "ServerLimit 4\nStartServers 2\nThreadsPerChild 16\nMinSpareThreads 16\nMaxSpareThreads 64\n\
             MaxRequestWorkers 64"
        }
    }
}

fn command(prefix: &Path) -> Command {
    let mut command = Command::new(httpd_program());
    command.arg("-d").arg(prefix).arg("-f").arg(prefix.join("conf/httpd.conf")).stdin(Stdio::null());
    command
}

fn run_to_end(prefix: &Path, arguments: &[&str]) -> Verdict {
    let output = command(prefix).args(arguments).output().expect("httpd can be run");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Verdict { ok: output.status.success(), text }
}

fn spawn(prefix: &Path) -> Child {
    let output = fs::File::create(prefix.join("output.txt")).expect("a file for the output");
    let errors = output.try_clone().expect("the same file");
    let mut command = command(prefix);
    command.arg("-DFOREGROUND").stdout(output).stderr(errors);
    // When httpd stops, it sends SIGTERM to its whole process group.
    command.process_group(0);
    process::spawn(&mut command, "httpd (package apache2-bin)")
}

fn output_of(prefix: &Path) -> String {
    read(&prefix.join("output.txt"))
}

fn read(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// How often the server has come up: once after the start, once after each restart.
fn started(prefix: &Path) -> usize {
    read(&prefix.join("error.log")).matches("resuming normal operations").count()
}

/// What httpd said and whether its exit status was 0.
#[derive(Debug)]
pub struct Verdict {
    pub ok: bool,
    pub text: String,
}

/// A running server; it is stopped when this is dropped.
pub struct Httpd {
    builder: Mutex<Builder>,
    prefix: PathBuf,
    child: Mutex<Child>,
}

impl Httpd {
    /// A configuration for the front that was chosen for this run, under the event MPM.
    pub fn builder(name: &str) -> Builder {
        Builder {
            name: name.to_string(),
            mpm: Mpm::Event,
            front: Front::chosen(),
            first: Vec::new(),
            modules: Vec::new(),
            lines: Vec::new(),
            port: free_port(),
            mpm_lines: None,
            prefix: None,
        }
    }

    fn builder_now(&self) -> std::sync::MutexGuard<'_, Builder> {
        self.builder.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn child_now(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.builder_now().port))
    }

    pub fn front(&self) -> Front {
        self.builder_now().front
    }

    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The process that watches over the others.
    pub fn pid(&self) -> u32 {
        self.child_now().id()
    }

    /// The processes that serve requests.
    pub fn children(&self) -> Vec<u32> {
        process::children(self.pid())
    }

    /// True while the parent process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.child_now().try_wait(), Ok(None))
    }

    /// Sends the graceful restart without waiting for it.
    pub fn ask_graceful(&self) {
        process::signal(self.pid(), Signal::SIGUSR1);
    }

    /// A graceful restart, complete when the server says that it is up again.
    pub fn graceful(&self) {
        let before = started(&self.prefix);
        self.ask_graceful();
        wait_until("the graceful restart", PATIENCE, || {
            assert!(self.is_running(), "httpd ended at a graceful restart:\n{}", self.error_log());
            started(&self.prefix) > before
        });
    }

    /// How often the server has come up.
    pub fn starts(&self) -> usize {
        started(&self.prefix)
    }

    /// Replaces the lines of the configuration file; a restart makes them count.
    pub fn rewrite(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut builder = self.builder_now();
        change(&mut builder.lines);
        let text = builder.text(&self.prefix);
        fs::write(self.prefix.join("conf/httpd.conf"), text).expect("the configuration");
    }

    /// What `httpd -t` says to the configuration file as it is now.
    pub fn check(&self) -> Verdict {
        run_to_end(&self.prefix, &["-t"])
    }

    pub fn error_log(&self) -> String {
        output_of(&self.prefix) + &read(&self.prefix.join("error.log"))
    }

    pub fn access_log(&self) -> String {
        read(&self.prefix.join("access.log"))
    }

    /// Fails on every line at `warn` or worse that contains none of the `allowed` texts.
    #[track_caller]
    pub fn assert_no_unexpected(&self, allowed: &[&str]) {
        let text = self.error_log();
        let lines = log::unexpected(&text, allowed);
        assert!(lines.is_empty(), "unexpected lines in the error log:\n{}", lines.join("\n"));
    }

    /// Fails if a child has crashed.
    #[track_caller]
    pub fn assert_no_crash(&self) {
        let text = self.error_log();
        let lines: Vec<&str> = text.lines().filter(|line| log::is_crash(line)).collect();
        assert!(lines.is_empty(), "a child crashed:\n{}", lines.join("\n"));
    }

    /// The memory of the parent.
    pub fn parent_memory(&self) -> Memory {
        process::memory(self.pid())
    }

    /// The memory of all processes together, each shared page counted once.
    pub fn total_pss(&self) -> u64 {
        let all = self.children();
        all.iter().chain([&self.pid()]).map(|&pid| process::memory(pid).pss).sum()
    }

    /// Stops the server; false if it had to be killed.
    pub fn stop(&self) -> bool {
        process::end(&mut self.child_now(), Signal::SIGTERM, Duration::from_secs(30))
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        self.stop();
    }
}
