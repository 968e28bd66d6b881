// SPDX-License-Identifier: Apache-2.0
//! A cluster of real Tomcats, on loopback or in a network of its own, as the tutorial configures it, and the agent's configuration that belongs to it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::httpd::free_port;
use super::network::Host;
use super::tomcat::{Connector, Line, START_LIMIT, Tomcat};
use super::{scratch_dir, source_dir};

/// How members know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Multicast,
    /// StaticMembershipInterceptor, without multicast.
    Interceptor,
    /// StaticMembershipService
    Service,
}

/// What all members of a cluster have in common.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Which Tomcats.
    pub line: Line,
    pub membership: Membership,
    pub group: IpAddr,
    /// Nobody else on this machine uses it.
    pub group_port: u16,
    /// What the membership is told besides.
    pub domain: String,
    pub ttl: u32,
    pub send_options: u32,
    pub frequency: u64,
    pub drop_time: u64,
    /// Interceptors in front of TcpFailureDetector, and what agent.toml says about them.
    pub interceptors: (String, String),
    /// More attributes of TcpFailureDetector and of the sender's Transport.
    pub detector: &'static str,
    pub transport: &'static str,
    /// The members of static membership; the agent is the last.
    pub static_members: Vec<SocketAddr>,
    pub agent_port: u16,
    /// Where the agent listens, and which interface it uses: an address, or `auto`.
    pub agent_bind: String,
}

impl Cluster {
    pub fn new() -> Cluster {
        let group_port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        Cluster {
            line: Line::Ten,
            membership: Membership::Multicast,
            group: IpAddr::V4(Ipv4Addr::new(228, 0, 0, 4)),
            group_port: group_port.expect("a free port").port(),
            domain: String::new(),
            ttl: 1,
            send_options: 8,
            frequency: 200,
            drop_time: 1500,
            interceptors: Default::default(),
            detector: "",
            transport: "",
            static_members: Vec::new(),
            agent_port: free_port(),
            agent_bind: HERE.to_string(),
        }
    }

    /// The tutorial's own numbers, or the next free ones.
    pub fn of_tutorial(group_port: u16, agent_port: u16) -> Cluster {
        Cluster { group_port, agent_port, frequency: 500, drop_time: 3000, ..Cluster::new() }
    }

    /// One in which two Tomcats and the agent know each other beforehand.
    pub fn with_static_members(membership: Membership) -> Cluster {
        let cluster = Cluster::new();
        let ports = [free_port(), free_port(), cluster.agent_port];
        let static_members = ports.map(|port| SocketAddr::new(HERE, port)).to_vec();
        Cluster { membership, static_members, ..cluster }
    }

    /// The tutorial's element, for the member on this machine whose receiver has that port.
    pub fn element(&self, receiver: u16) -> String {
        self.element_at(SocketAddr::new(HERE, receiver))
    }

    /// The tutorial's element, for the member whose receiver is there.
    pub fn element_at(&self, receiver: SocketAddr) -> String {
        let Cluster { send_options, frequency, drop_time, group, group_port, ttl, .. } = self;
        let (host, port) = (receiver.ip(), receiver.port());
        let domain = match self.domain.as_str() {
            "" => String::new(),
            domain => format!("domain=\"{domain}\""),
        };
        let (start, membership, last) = match self.membership {
            Membership::Multicast => (
                15,
                format!(
                    r#"<Membership className="org.apache.catalina.tribes.membership.McastService" address="{group}" port="{group_port}"
                    bind="{host}" ttl="{ttl}" {domain} frequency="{frequency}" dropTime="{drop_time}"/>"#
                ),
                String::new(),
            ),
            Membership::Interceptor => (
                3,
                String::new(),
                format!(
                    r#"<Interceptor className="org.apache.catalina.tribes.group.interceptors.StaticMembershipInterceptor">
          {}
        </Interceptor>"#,
                    self.static_members(receiver)
                ),
            ),
            Membership::Service => (
                15,
                format!(
                    r#"<Membership className="org.apache.catalina.tribes.membership.StaticMembershipService">
          {}
        </Membership>"#,
                    self.static_members(receiver)
                ),
                String::new(),
            ),
        };
        let (first, detector, transport) = (&self.interceptors.0, self.detector, self.transport);
        format!(
            r#"      <Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster" channelSendOptions="{send_options}" channelStartOptions="{start}">
        <Manager className="org.apache.catalina.ha.session.DeltaManager" expireSessionsOnShutdown="false" notifyListenersOnReplication="true"/>
        <Channel className="org.apache.catalina.tribes.group.GroupChannel">
          {membership}
          <Receiver className="org.apache.catalina.tribes.transport.nio.NioReceiver" address="{host}" port="{port}" autoBind="1"
                    selectorTimeout="5000" maxThreads="6"/>
          <Sender className="org.apache.catalina.tribes.transport.ReplicationTransmitter">
            <Transport className="org.apache.catalina.tribes.transport.nio.PooledParallelSender" {transport}/>
          </Sender>
          {first}
          <Interceptor className="org.apache.catalina.tribes.group.interceptors.TcpFailureDetector" {detector}/>
          <Interceptor className="org.apache.catalina.tribes.group.interceptors.MessageDispatchInterceptor"/>
          {last}
        </Channel>
        <Valve className="org.apache.catalina.ha.tcp.ReplicationValve" filter=""/>
        <Valve className="org.apache.catalina.ha.session.JvmRouteBinderValve"/>
        <ClusterListener className="org.apache.catalina.ha.session.ClusterSessionListener"/>
      </Cluster>
"#
        )
    }

    fn static_members(&self, own: SocketAddr) -> String {
        let mut text = String::new();
        for member in &self.static_members {
            let (host, port, id) = (member.ip(), member.port(), unique_id(*member));
            let element = if *member == own { "LocalMember" } else { "Member" };
            let _ = write!(
                text,
                r#"<{element} className="org.apache.catalina.tribes.membership.StaticMember" host="{host}" port="{port}" uniqueId="{id}"/>"#
            );
        }
        text
    }

    /// The agent's configuration; `VAULT` stands for its vault.
    pub fn agent_toml(&self) -> String {
        let Cluster { frequency, drop_time, group, group_port, domain, ttl, agent_port, agent_bind, .. } =
            self;
        let mut text = format!(
            "[membership]\nfrequency = {frequency}\ndropTime = {drop_time}\ndomain = \"{domain}\"\nttl = {ttl}\n"
        );
        if self.membership == Membership::Multicast {
            let _ = write!(text, "address = \"{group}\"\nport = {group_port}\nbind = \"{agent_bind}\"\n");
        } else {
            let class = if self.membership == Membership::Service { "service" } else { "interceptor" };
            let (agent, nodes) = self.static_members.split_last().expect("the agent");
            let id = unique_id(*agent);
            let _ = write!(text, "multicast = false\nclass = \"{class}\"\nuniqueId = \"{id}\"\n");
            for node in nodes {
                let (host, port, id) = (node.ip(), node.port(), unique_id(*node));
                let _ = write!(
                    text,
                    "[[membership.static]]\nhost = \"{host}\"\nport = {port}\nuniqueId = \"{id}\"\n"
                );
            }
        }
        let _ = write!(text, "[receiver]\naddress = \"{agent_bind}\"\nport = {agent_port}\nautoBind = 1\n");
        text.push_str(&self.interceptors.1);
        text.push_str("[vault]\npath = \"VAULT\"\n");
        text
    }

    /// A Tomcat of this cluster with the tests' application as its main one. Nothing is started.
    pub fn node(&self, route: &str) -> Tomcat {
        self.node_with(Connector::Http, route)
    }

    /// As [`Cluster::node`], with another connector.
    pub fn node_with(&self, connector: Connector, route: &str) -> Tomcat {
        let at = usize::from(route != "A");
        let here = || SocketAddr::new(HERE, free_port());
        let receiver = self.static_members.get(at).copied().unwrap_or_else(here);
        self.clustered(Tomcat::prepare(connector, scratch_dir(route), route, free_port()), receiver)
    }

    /// As [`Cluster::node`], on a host of a network.
    pub fn node_on(&self, host: &Host, address: IpAddr, route: &str) -> Tomcat {
        let mut tomcat = Tomcat::prepare(Connector::Http, scratch_dir(route), route, 8080);
        tomcat.move_to(address, host.wrapper());
        self.clustered(tomcat, SocketAddr::new(address, 4000))
    }

    fn clustered(&self, mut tomcat: Tomcat, receiver: SocketAddr) -> Tomcat {
        tomcat.set_line(self.line);
        tomcat.set_engine(&format!("{REALM}{}", self.element_at(receiver)));
        tomcat.write("conf/users.xml", USERS);
        deploy(&tomcat, "webapps/ROOT");
        tomcat
    }
}

/// web.xml of an application whose sessions are replicated.
pub const DISTRIBUTABLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true"><distributable/></web-app>
"#;

/// From its next start on, the main application needs so long until it serves.
pub fn start_slowly(tomcat: &Tomcat, wait: Duration) {
    let slow = format!(
        "</servlet-class><init-param><param-name>wait</param-name><param-value>{}</param-value></init-param>\
         <load-on-startup>1</load-on-startup>",
        wait.as_millis()
    );
    tomcat.write("webapps/ROOT/WEB-INF/web.xml", &APPLICATION.replace("</servlet-class>", &slow));
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Sixteen bytes that belong to an address.
fn unique_id(member: SocketAddr) -> String {
    let [high, low] = member.port().to_be_bytes().map(|byte| byte as i8);
    let last = match member.ip() {
        IpAddr::V4(host) => host.octets()[3],
        IpAddr::V6(host) => host.octets()[15],
    };
    format!("{{{high},{low},{},4,5,6,7,8,9,10,11,12,13,14,15,16}}", last as i8)
}

/// Puts the tests' application into a folder of a Tomcat.
pub fn deploy(tomcat: &Tomcat, folder: &str) {
    let line = tomcat.line();
    tomcat.write(&format!("{folder}/WEB-INF/web.xml"), &line.in_its_words(APPLICATION));
    for class in std::fs::read_dir(classes(line).join("shop")).expect("the application's classes") {
        let class = class.expect("a class").path();
        let name = class.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(&class).expect("a class");
        tomcat.write_bytes(&format!("{folder}/WEB-INF/classes/shop/{name}"), &bytes);
    }
}

/// The application's classes, compiled once by the compiler that Tomcat has for pages.
fn classes(line: Line) -> &'static Path {
    static CLASSES: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    CLASSES[usize::from(line == Line::Nine)].get_or_init(|| compile(line))
}

fn compile(line: Line) -> PathBuf {
    let (sources, into) = (scratch_dir("sources"), scratch_dir("classes"));
    let written = std::fs::read_dir(source_dir().join("tests/e2e_agent/app")).expect("the application");
    for file in written.map(|file| file.expect("a source").path()) {
        let text = std::fs::read_to_string(&file).expect("a source");
        std::fs::write(sources.join(file.file_name().expect("a name")), line.in_its_words(&text))
            .expect("a source");
    }
    let output = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/eclipse-jdt-core.jar"])
        .arg("org.eclipse.jdt.internal.compiler.batch.Main")
        .args(["-source", "17", "-target", "17", "-proc:none", "-nowarn"])
        .args(["-cp", &line.servlet_api(), "-d"])
        .arg(&into)
        .arg(sources)
        .output()
        .expect("java (package default-jre-headless)");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the application does not compile:\n{out}{errors}");
    into
}

/// Waits until a Tomcat logs a line with that text after its last start.
///
/// # Panics
/// With the end of its log, if it does not come.
#[track_caller]
pub fn wait_for_log(tomcat: &Tomcat, text: &str) {
    let start = Instant::now();
    while !tomcat.log().contains(text) {
        assert!(
            start.elapsed() < START_LIMIT,
            "Tomcat {} never logged {text}:\n{}",
            tomcat.route(),
            tomcat.log_end()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

const REALM: &str =
    "      <Realm className=\"org.apache.catalina.realm.MemoryRealm\" pathname=\"conf/users.xml\"/>\n";

const USERS: &str =
    "<tomcat-users><user username=\"anna\" password=\"secret\" roles=\"buyer,reader\"/></tomcat-users>\n";

/// Without `development` and with nothing to scan, a Tomcat starts in two seconds.
const APPLICATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true">
  <distributable/>
  <servlet><servlet-name>pages</servlet-name><servlet-class>shop.Pages</servlet-class></servlet>
  <servlet-mapping><servlet-name>pages</servlet-name><url-pattern>/*</url-pattern></servlet-mapping>
  <login-config><auth-method>BASIC</auth-method></login-config>
  <security-role><role-name>buyer</role-name></security-role>
  <security-role><role-name>reader</role-name></security-role>
  <security-role><role-name>admin</role-name></security-role>
</web-app>
"#;
