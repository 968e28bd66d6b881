// SPDX-License-Identifier: Apache-2.0
//! Two scripted nodes behind one balancer: the stage of most tests of failure.

use super::ajp_peer::Peer;
use super::client::{Client, Response};
use super::httpd::{Builder, Httpd};

/// Log lines that tell of a node that failed, from stock's modules and from ours.
pub const DEAD_NODE: &[&str] = &["[proxy:error", "[proxy_ajp:error", "[proxy_balancer:error", "[margay:"];

/// Nodes that answer with their names, A and B.
pub fn two_peers() -> (Peer, Peer) {
    (Peer::named("A"), Peer::named("B"))
}

/// httpd with the members A and B, each with the parameters `member`, and `pass` at the end of `ProxyPass`.
pub fn balancer(name: &str, a: &Peer, b: &Peer, member: &str, pass: &str) -> Builder {
    over(name, &a.url(), &b.url(), member, pass)
}

/// The same with addresses.
pub fn over(name: &str, a: &str, b: &str, member: &str, pass: &str) -> Builder {
    Httpd::builder(name)
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {a} route=A {member}"))
        .line(format!("    BalancerMember {b} route=B {member}"))
        .line("</Proxy>")
        .line(format!("ProxyPass / balancer://c/ {pass}"))
        // One process: the connections and attempts of a test can be counted.
        .mpm_lines(
            "StartServers 1\nServerLimit 1\nThreadsPerChild 32\nMaxRequestWorkers 32\nMaxSpareThreads 32\n\
             MinSpareThreads 1",
        )
}

/// A GET with that cookie, on a connection of its own.
pub fn get(httpd: &Httpd, cookie: &str) -> Response {
    Client::new(httpd.address()).get_with_cookie("/x", cookie).expect("a response")
}

/// What a client with that cookie sees: the name of the node, or the status.
pub fn seen_by(httpd: &Httpd, cookie: &str) -> String {
    let response = get(httpd, cookie);
    match response.status {
        200 => response.text(),
        status => status.to_string(),
    }
}
