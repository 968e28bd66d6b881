// SPDX-License-Identifier: Apache-2.0
//! A real Tomcat of the distribution, in a folder of its own, with the tutorial's session page.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{ajp_text, process, source_dir};

const HOME: &str = "/usr/share/tomcat10";
/// Starting a JVM and compiling a page on a busy machine.
pub const START_LIMIT: Duration = Duration::from_secs(180);

/// What a Tomcat listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connector {
    Ajp,
    Http,
}

/// Which Tomcat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// 9.0, of the package libtomcat9-java.
    Nine,
    /// 10.1, of the package tomcat10-common.
    Ten,
}

/// A Tomcat with one connector. It is killed when this is dropped.
pub struct Tomcat {
    line: Line,
    route: String,
    connector: Connector,
    host: IpAddr,
    port: u16,
    /// What stands in front of its command.
    wrapper: Vec<String>,
    base: PathBuf,
    child: Option<Child>,
    /// Bytes of its log that were there before the process was started last.
    log_before: usize,
    /// How its virtual machine is set up.
    machine: Vec<String>,
}

impl Tomcat {
    /// Starts a Tomcat in `base` and waits until its page answers.
    ///
    /// # Panics
    /// With the end of its log, if it does not come up.
    pub fn start(base: PathBuf, route: &str, port: u16) -> Tomcat {
        let mut tomcat = Tomcat::launch(base, route, port);
        tomcat.wait_ready(|_| {});
        tomcat
    }

    /// Starts the process with an AJP connector and returns at once.
    pub fn launch(base: PathBuf, route: &str, port: u16) -> Tomcat {
        Tomcat::launch_with(Connector::Ajp, base, route, port)
    }

    /// Starts the process and returns at once.
    pub fn launch_with(connector: Connector, base: PathBuf, route: &str, port: u16) -> Tomcat {
        let mut tomcat = Tomcat::prepare(connector, base, route, port);
        tomcat.launch_again();
        tomcat
    }

    /// Writes the folder and starts nothing.
    pub fn prepare(connector: Connector, base: PathBuf, route: &str, port: u16) -> Tomcat {
        let route = route.to_string();
        let quick = ["-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
        let machine = quick.map(str::to_owned).to_vec();
        let (line, host, wrapper) = (Line::Ten, IpAddr::V4(Ipv4Addr::LOCALHOST), Vec::new());
        let tomcat =
            Tomcat { line, route, connector, host, port, wrapper, base, child: None, log_before: 0, machine };
        tomcat.write_base();
        tomcat
    }

    /// Another Tomcat than 10.1, from the next start on.
    pub fn set_line(&mut self, line: Line) {
        self.line = line;
        self.write("conf/web.xml", &line.in_its_words(WEB_XML));
    }

    pub fn line(&self) -> Line {
        self.line
    }

    /// It lives at another address, reached by the words in front of its command. To be said before [`Tomcat::set_engine`].
    pub fn move_to(&mut self, host: IpAddr, wrapper: Vec<String>) {
        self.host = host;
        self.wrapper = wrapper;
    }

    /// Writes server.xml anew, with `elements` inside of its engine.
    pub fn set_engine(&self, elements: &str) {
        self.write("conf/server.xml", &server_xml(self.connector, &self.route, self.address(), elements));
    }

    /// A second virtual host, with the applications of that folder.
    pub fn add_host(&self, name: &str, folder: &str) {
        fs::create_dir_all(self.base.join(folder)).expect("a folder of the Tomcat");
        let file = self.base.join("conf/server.xml");
        let text = fs::read_to_string(&file).expect("server.xml");
        let host = format!(
            "<Host name=\"{name}\" appBase=\"{folder}\" unpackWARs=\"false\" autoDeploy=\"false\"/>\n"
        );
        fs::write(file, text.replace("    </Engine>", &format!("      {host}    </Engine>")))
            .expect("server.xml");
    }

    /// Other settings of its virtual machine than those that start quickly.
    pub fn set_machine(&mut self, settings: &[&str]) {
        self.machine = settings.iter().map(|setting| (*setting).to_owned()).collect();
    }

    /// Writes a file, and the folders it is in.
    pub fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub fn write_bytes(&self, name: &str, text: &[u8]) {
        let file = self.base.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder of the Tomcat");
        fs::write(file, text).expect("a file of the Tomcat");
    }

    /// What it logged since it was started last.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes[self.log_before.min(bytes.len())..]).into_owned()
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    pub fn route(&self) -> &str {
        &self.route
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `ajp://127.0.0.1:port`, or the same with `http`.
    pub fn url(&self) -> String {
        let scheme = if self.connector == Connector::Ajp { "ajp" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// `AJP` or `HTTP`.
    pub fn protocol(&self) -> &'static str {
        if self.connector == Connector::Ajp { "AJP" } else { "HTTP" }
    }

    /// The process; 0 while it is down.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub fn log_file(&self) -> PathBuf {
        self.base.join("logs/tomcat.log")
    }

    fn write_base(&self) {
        for folder in ["conf", "logs", "temp", "work", "webapps/ROOT"] {
            fs::create_dir_all(self.base.join(folder)).expect("a folder of the Tomcat");
        }
        self.set_engine("");
        self.write("conf/web.xml", WEB_XML);
        self.write("conf/catalina.properties", PROPERTIES);
        self.write("conf/logging.properties", LOGGING);
        let page = source_dir().join("tests/tutorial/index.jsp");
        fs::copy(page, self.base.join("webapps/ROOT/index.jsp")).expect("the tutorial's page");
    }

    /// Starts the process again, on the same port and in the same folder.
    pub fn launch_again(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("its log");
        self.log_before = log.metadata().map_or(0, |about| usize::try_from(about.len()).unwrap_or(0));
        let errors = log.try_clone().expect("the same file");
        let mut words = self.wrapper.iter().map(String::as_str).chain(["java"]);
        let mut command = Command::new(words.next().unwrap_or("java"));
        command
            .args(words)
            .args(&self.machine)
            .arg(format!("-Djava.util.logging.config.file={}/conf/logging.properties", self.base.display()))
            // Without it Java sends to groups by IPv6 sockets, which the loopback interface refuses.
            .arg(format!("-Djava.net.preferIPv4Stack={}", self.host.is_ipv4()))
            .arg("-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager")
            .arg(format!("-Dcatalina.home={}", self.line.home(&self.base)))
            .arg(format!("-Dcatalina.base={}", self.base.display()))
            .arg(format!("-Djava.io.tmpdir={}/temp", self.base.display()))
            .args(["-classpath", &self.line.class_path()])
            .args(["org.apache.catalina.startup.Bootstrap", "start"])
            .current_dir(&self.base)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        // Ctrl-C at the terminal is for us, who then end it in order.
        command.process_group(0);
        self.child = Some(process::spawn(&mut command, "java (package default-jre-headless)"));
    }

    /// Waits until the page answers; `progress` is told the seconds so far, once a second.
    pub fn wait_ready(&mut self, mut progress: impl FnMut(u64)) {
        let start = Instant::now();
        let mut told = 0;
        while !self.is_ready() {
            if self.has_ended() || start.elapsed() > START_LIMIT {
                panic!("Tomcat {} did not start:\n{}", self.route, self.log_end());
            }
            if start.elapsed().as_secs() > told {
                told = start.elapsed().as_secs();
                progress(told);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Is there no process, or has it ended by itself?
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Does the page answer? The first time this also compiles it.
    pub fn is_ready(&self) -> bool {
        let address = self.address();
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(address)?;
            if self.connector == Connector::Http {
                stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
                let mut start = [0; 12];
                stream.read_exact(&mut start)?;
                return Ok(start.ends_with(b" 200"));
            }
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            stream.write_all(&ajp_text::CPING)?;
            let mut pong = [0; 5];
            stream.read_exact(&mut pong)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            stream.write_all(&ajp_text::get_request("/"))?;
            let mut head = [0; 7];
            stream.read_exact(&mut head)?;
            Ok(pong == ajp_text::CPONG && head[4..] == [4, 0, 200])
        };
        ask().unwrap_or(false)
    }

    pub fn log_end(&self) -> String {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The hardest end: no socket is closed in order, nothing is told to anybody.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::kill(&mut child);
        }
    }

    /// Back on the same port, after [`Tomcat::kill_9`].
    pub fn restart(&mut self) {
        self.launch_again();
        self.wait_ready(|_| {});
    }

    /// An ordered end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::end(&mut child, Signal::SIGTERM, Duration::from_secs(10));
        }
    }
}

impl Drop for Tomcat {
    fn drop(&mut self) {
        self.kill_9();
    }
}

impl Line {
    /// Where its own files are. The package of 9.0 has none but the jars.
    fn home(self, base: &Path) -> String {
        match self {
            Line::Nine => base.display().to_string(),
            Line::Ten => HOME.to_owned(),
        }
    }

    fn class_path(self) -> String {
        match self {
            Line::Nine => NINE.map(nine).join(":"),
            Line::Ten => format!("{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"),
        }
    }

    /// The jar with the servlet interface, for a compiler.
    pub fn servlet_api(self) -> String {
        match self {
            Line::Nine => nine("servlet-api"),
            Line::Ten => format!("{HOME}/lib/servlet-api.jar"),
        }
    }

    /// A web.xml or a source, written for 10.1, as this one reads it.
    pub fn in_its_words(self, text: &str) -> String {
        match self {
            Line::Nine => text
                .replace("https://jakarta.ee/xml/ns/jakartaee", "http://xmlns.jcp.org/xml/ns/javaee")
                .replace("version=\"6.0\"", "version=\"4.0\"")
                .replace("import jakarta.", "import javax."),
            Line::Ten => text.to_owned(),
        }
    }

    /// Is it not there because the archive of this system has none? Then its tests have nothing to run, and say so.
    ///
    /// # Panics
    /// If it is not there though it could be.
    pub fn is_no_more(self) -> bool {
        if self == Line::Ten || Path::new(&nine("catalina")).exists() {
            return false;
        }
        if in_archive("tomcat10-common") {
            assert!(!in_archive("libtomcat9-java"), "there is no Tomcat 9.0: install libtomcat9-java");
        } else {
            let is_debian = Command::new("apt-cache").arg("--version").output().is_ok();
            assert!(
                !is_debian,
                "nothing is known of the archive: apt-get update, then install libtomcat9-java"
            );
        }
        println!("skipped: there is no Tomcat 9.0, and the archive of this system has no libtomcat9-java");
        true
    }
}

/// Can apt install it? What is only installed has no file in the archive.
fn in_archive(package: &str) -> bool {
    let known = Command::new("apt-cache").args(["show", package]).output();
    known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("Filename:"))
}

/// The jars of Tomcat 9.0 that a cluster needs.
const NINE: [&str; 14] = [
    "catalina",
    "catalina-ha",
    "tribes",
    "coyote",
    "juli",
    "servlet-api",
    "api",
    "util",
    "util-scan",
    "jni",
    "jaspic-api",
    "annotations-api",
    "el-api",
    "jsp-api",
];

fn nine(name: &str) -> String {
    format!("/usr/share/java/tomcat9-{name}.jar")
}

/// What of the packages is missing, in words; `None` when a Tomcat can be started.
pub fn missing() -> Option<String> {
    let jar = format!("{HOME}/bin/bootstrap.jar");
    if !Path::new(&jar).exists() {
        return Some(format!("{jar} is not there: install tomcat10-common"));
    }
    match Command::new("java").arg("-version").output() {
        Ok(output) if output.status.success() => None,
        _ => Some("java cannot be run: install default-jre-headless".to_string()),
    }
}

fn server_xml(connector: Connector, route: &str, address: SocketAddr, elements: &str) -> String {
    let (host, port) = (address.ip(), address.port());
    let protocol = match connector {
        Connector::Ajp => r#"protocol="AJP/1.3" secretRequired="false""#,
        Connector::Http => r#"protocol="HTTP/1.1""#,
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector {protocol} address="{host}" port="{port}"
               maxThreads="64" minSpareThreads="4"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="{route}">
{elements}      <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false"/>
    </Engine>
  </Service>
</Server>
"#
    )
}

const WEB_XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true">
  <servlet>
    <servlet-name>jsp</servlet-name>
    <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param><param-name>development</param-name><param-value>false</param-value></init-param>
  </servlet>
  <servlet-mapping><servlet-name>jsp</servlet-name><url-pattern>*.jsp</url-pattern></servlet-mapping>
  <servlet>
    <servlet-name>default</servlet-name>
    <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class>
  </servlet>
  <servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
  <welcome-file-list><welcome-file>index.jsp</welcome-file></welcome-file-list>
</web-app>
"#;

const PROPERTIES: &str = "\
common.loader=\"${catalina.home}/lib\",\"${catalina.home}/lib/*.jar\"
server.loader=
shared.loader=
package.access=
package.definition=
tomcat.util.scan.StandardJarScanFilter.jarsToSkip=*.jar
tomcat.util.scan.StandardJarScanFilter.jarsToScan=
";

const LOGGING: &str = "\
handlers = java.util.logging.ConsoleHandler
.level = INFO
java.util.logging.ConsoleHandler.level = INFO
java.util.logging.ConsoleHandler.formatter = org.apache.juli.OneLineFormatter
";
