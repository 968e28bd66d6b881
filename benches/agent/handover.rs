// SPDX-License-Identifier: Apache-2.0
//! A Tomcat that starts in a cluster of one other member, which has all sessions: the agent or a Tomcat.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Failure;
use super::support::cluster::{Cluster, wait_for_log};
use super::support::tomcat::{Connector, Tomcat};
use super::support::{httpd, scratch_dir};

const APPLICATION: &str =
    "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"6.0\"><distributable/></web-app>";

/// What Tomcat itself says of how many sessions it has.
const COUNT: &str = r#"<%@ page session="false" import="java.lang.management.*,javax.management.*" %><%
MBeanServer server = ManagementFactory.getPlatformMBeanServer();
ObjectName manager = new ObjectName("Catalina:type=Manager,host=localhost,context=/");
%>sessions=<%= server.getAttribute(manager, "activeSessions") %>;"#;

/// A node with the tutorial's cluster; its receiver's port is the second. Nothing is started.
pub fn node(cluster: &Cluster, route: &str) -> (Tomcat, u16) {
    let receiver = httpd::free_port();
    let mut tomcat = Tomcat::prepare(Connector::Http, scratch_dir("bench"), route, httpd::free_port());
    // With the three seconds that it has otherwise, a Tomcat cannot hand over so much: the node that asks gets nothing.
    let patient = "PooledParallelSender\" timeout=\"120000\"";
    tomcat.set_engine(&cluster.element(receiver).replace("PooledParallelSender\"", patient));
    tomcat.write("webapps/ROOT/WEB-INF/web.xml", APPLICATION);
    tomcat.write("webapps/ROOT/sessions.jsp", COUNT);
    // What a Tomcat in production has; with less it collects garbage all the time.
    tomcat.set_machine(&["-Xms64m", "-Xmx2g"]);
    (tomcat, receiver)
}

/// How long a Tomcat that starts waits for its sessions, as it says itself.
pub fn starts(cluster: &Cluster, sessions: usize) -> Result<Duration, Failure> {
    let (mut tomcat, _) = node(cluster, "B");
    tomcat.launch_again();
    wait_for_log(&tomcat, "Server startup in");
    let log = tomcat.log();
    let took = log
        .split_once("received in [")
        .and_then(|(_, rest)| rest.split(']').next()?.replace([',', '.'], "").parse::<u64>().ok())
        .ok_or_else(|| format!("no sessions were given to a node that started:\n{}", tomcat.log_end()))?;
    let has = count(&tomcat)?;
    if has != sessions {
        return Err(format!("a node that started has {has} sessions of {sessions}").into());
    }
    Ok(Duration::from_millis(took))
}

fn count(tomcat: &Tomcat) -> Result<usize, Failure> {
    let mut stream = TcpStream::connect(tomcat.address())?;
    stream.write_all(b"GET /sessions.jsp HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let number = text.split_once("sessions=").and_then(|(_, rest)| rest.split(';').next()?.parse().ok());
    number.ok_or_else(|| format!("no number of sessions in: {text}").into())
}
