// SPDX-License-Identifier: Apache-2.0
//! Whatever is wrong in a line of ours at a reload, the server goes on with the last good configuration, for every virtual
//! host and section; and a bug costs one request.

mod support;

use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Builder, Front, Httpd, Mpm, load_line};
use support::wait_until;

const PATIENCE: std::time::Duration = support::PATIENCE;
/// A line of ours that cannot be used.
const BROKEN: &str = "ProxyPass /broken ajp://127.0.0.1:1/ rout=x";

fn margay(name: &str) -> Builder {
    Httpd::builder(name).front(Front::Margay)
}

fn ask(httpd: &Httpd, host: &str, target: &str) -> (u16, String) {
    let raw = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut client = Client::new(httpd.address());
    client.send_raw(raw.as_bytes()).expect("sent");
    let response = client.read_response("GET").expect("a response");
    (response.status, response.text())
}

/// Reloads a file that `-t` refuses, and waits until the new children serve.
fn reload_broken(httpd: &Httpd) {
    assert!(!httpd.check().ok, "-t accepts what the reload is to survive");
    httpd.graceful();
    assert!(httpd.is_running());
    let log = httpd.error_log();
    assert!(log.contains("MGY0905"), "nothing says that the last good configuration is kept:\n{log}");
}

#[test]
fn moved_hosts_and_sections_keep_their_rules() {
    let (main, a, b, s) = (Peer::named("main"), Peer::named("A"), Peer::named("B"), Peer::named("S"));
    let host = |name: &str, peer: &Peer, path: &str| {
        format!(
            "<VirtualHost *>\nServerName {name}\nProxyPass {path} {}/\n<Location /s>\nProxyPass {}/\n</Location>\n</VirtualHost>",
            peer.url(),
            s.url()
        )
    };
    let httpd = margay("moved")
        .line(format!("ProxyPass /m/ {}/", main.url()))
        .line("<VirtualHost *>\nServerName plain.example\n</VirtualHost>")
        .line(host("a.example", &a, "/a/"))
        .line(host("b.example", &b, "/b/"))
        .start();
    let serves_as_before = |when: &str| {
        for (name, target, expected) in [
            ("plain.example", "/m/x", "main"),
            ("a.example", "/a/x", "A"),
            ("b.example", "/b/x", "B"),
            ("a.example", "/s/x", "S"),
            ("b.example", "/s/x", "S"),
        ] {
            assert_eq!(ask(&httpd, name, target), (200, expected.to_owned()), "{when}: {name}{target}");
        }
        assert_eq!(ask(&httpd, "b.example", "/a/x").0, 404, "{when}");
    };
    serves_as_before("at the start");
    httpd.rewrite(|lines| {
        lines.insert(0, format!("# moves everything\n#\n{BROKEN}\n<Location /sx>\nProxyPass !\n</Location>"));
        // A host that nobody knew before is not served by another's rules.
        lines.push(
            "<VirtualHost *>\nServerName new.example\nProxyPass /n/ ajp://127.0.0.1:1/\n</VirtualHost>"
                .into(),
        );
    });
    reload_broken(&httpd);
    serves_as_before("after the reload");
    assert_eq!(ask(&httpd, "new.example", "/m/x").0, 404);
}

#[test]
fn a_section_that_is_not_closed_does_not_end_the_server() {
    let a = Peer::named("A");
    let httpd = margay("unclosed").line(format!("ProxyPass /a/ {}/", a.url())).start();
    for broken in
        ["<Proxy balancer://c\n</Proxy>", "<ProxyMatch (>\n</ProxyMatch>", "<Proxy balancer://c bogus=1>\n</Proxy>"]
    {
        httpd.rewrite(|lines| lines.push(broken.to_owned()));
        reload_broken(&httpd);
        assert_eq!(ask(&httpd, "x", "/a/x"), (200, "A".to_owned()), "{broken}");
        httpd.rewrite(|lines| {
            lines.pop();
        });
    }
}

#[test]
fn a_stock_module_that_turns_up_at_a_reload_does_not_end_the_server() {
    let a = Peer::named("A");
    let httpd = margay("beside").line(format!("ProxyPass /a/ {}/", a.url())).start();
    httpd.rewrite(|lines| lines.insert(0, load_line("proxy")));
    let verdict = httpd.check();
    assert!(!verdict.ok && verdict.text.contains("MGY0901"), "{}", verdict.text);
    reload_broken(&httpd);
    assert!(httpd.error_log().contains("MGY0901"));
}

#[test]
fn a_bug_costs_one_request() {
    for mpm in Mpm::ALL {
        let a = Peer::named("A");
        let httpd = margay("bug")
            .mpm(mpm)
            .module("setenvif")
            .line("SetEnvIf Request_URI ^/a/bug margay-panic")
            .line("<Proxy balancer://c>")
            .line(format!("BalancerMember {}", a.url()))
            .line("</Proxy>")
            .line("ProxyPass /a/ balancer://c/")
            .start();
        assert_eq!(ask(&httpd, "x", "/a/x").0, 200, "{mpm:?}");
        let children = httpd.children();
        for _ in 0..5 {
            assert_eq!(ask(&httpd, "x", "/a/bug").0, 500, "{mpm:?}");
            assert_eq!(ask(&httpd, "x", "/a/x").0, 200, "{mpm:?}");
        }
        assert!(children.iter().all(|pid| httpd.children().contains(pid)), "{mpm:?}: a child died");
        wait_until("the line in the log", PATIENCE, || httpd.error_log().contains("MGY9001"));
        httpd.assert_no_unexpected(&["MGY9001"]);
    }
}
