// SPDX-License-Identifier: Apache-2.0
//! A server with balancer-manager, and requests as its pages make them.

use super::ajp_peer::Peer;
use super::client::{Client, Response};
use super::httpd::{Builder, Front, Httpd, Mpm, load_line};
use super::{PATIENCE, wait_until};

/// Loads stock's health checks; some builds of httpd have the watchdog built in.
pub fn load_checks() -> String {
    let watchdog = format!("<IfModule !watchdog_module>\n{}\n</IfModule>\n", load_line("watchdog"));
    watchdog + &load_line("proxy_hcheck")
}

pub fn server(name: &str, front: Front, mpm: Mpm, lines: &str) -> Builder {
    Httpd::builder(name)
        .front(front)
        .mpm(mpm)
        .line("<Location /bm>\nSetHandler balancer-manager\n</Location>\nProxyPass /bm !")
        .line(lines)
}

/// Two members, a session cookie and a known nonce.
pub fn pair(a: &Peer, b: &Peer) -> String {
    format!(
        "<Proxy balancer://c>\nBalancerMember {} route=A\nBalancerMember {} route=B\n\
         ProxySet stickysession=JSESSIONID nonce=secret\n</Proxy>\nProxyPass / balancer://c/",
        a.url(),
        b.url()
    )
}

/// A request for the manager from one of its own pages.
pub fn manage(httpd: &Httpd, method: &str, target: &str, body: &str) -> Response {
    let form = [("Referer", "http://127.0.0.1/bm"), ("Content-Type", "application/x-www-form-urlencoded")];
    Client::new(httpd.address()).request(method, target, &form, body.as_bytes()).expect("a response")
}

pub fn post(httpd: &Httpd, body: &str) -> String {
    let response = manage(httpd, "POST", "/bm", body);
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

pub fn xml(httpd: &Httpd) -> String {
    manage(httpd, "GET", "/bm?xml=1", "").text()
}

/// All values of an element, in order.
pub fn values(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<httpd:{name}>"), format!("</httpd:{name}>"));
    let rest = xml.split(&open).skip(1);
    rest.map(|rest| rest.split(&close).next().unwrap_or_default().to_owned()).collect()
}

/// Waits until no request counts as busy: stock lets go of a member only after the client has its response.
pub fn wait_until_idle(httpd: &Httpd) {
    wait_until("no busy member", PATIENCE, || values(&xml(httpd), "busy").iter().all(|busy| busy == "0"));
}

/// Who answers each of `count` requests with this cookie, each on a connection of its own so that all children have
/// their share.
pub fn answers(httpd: &Httpd, cookie: &str, count: usize) -> Vec<String> {
    let one = |_| {
        let response = Client::new(httpd.address()).get_with_cookie("/x", cookie).expect("a response");
        if response.status == 200 { response.text() } else { response.status.to_string() }
    };
    (0..count).map(one).collect()
}

#[track_caller]
pub fn assert_all(answers: &[String], expected: &str) {
    assert!(answers.iter().all(|answer| answer == expected), "{answers:?}, all should be {expected}");
}

/// The lines of a page that stock and we have in common, without what names the memory they keep their state in.
pub fn familiar(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| !line.contains("persisted"));
    lines
        .map(|line| {
            let line = line.replace("<th>Last Change</th>", "");
            if let Some((before, _)) = line.split_once(" [p") {
                return before.to_owned();
            }
            match line.rsplit_once("<td>") {
                Some((before, change)) if change.contains(" GMT: ") => format!("{before}</tr>"),
                _ => line,
            }
        })
        .collect()
}
