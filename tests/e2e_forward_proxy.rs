// SPDX-License-Identifier: Apache-2.0
//! A forward proxy, other proxies in front of back ends, and hosts that are not asked: with mod_proxy and with Margay,
//! clients, back ends, other proxies and the access log have to see the same.
//!
//! The tables are in `tests/forward_proxy/*.cases`, written like those of `tests/beside_stock`; but every `=== name` is a
//! server of its own, because a client of a forward proxy does not choose a virtual host. `{A}` and `{B}` are back ends,
//! `{R}` and `{S}` other proxies.

mod support;

#[path = "beside_stock/cases.rs"]
mod cases;
#[path = "beside_stock/compare.rs"]
mod compare;
#[path = "forward_proxy/stage.rs"]
mod stage;

use cases::Table;
use stage::Stage;
use support::httpd::Httpd;

/// Fails with every case of a table in which the fronts disagree without a reason, or agree in spite of one.
#[track_caller]
fn assert_alike(name: &str) {
    let table = Table::read_from("forward_proxy", name);
    let mut wrong = Vec::new();
    let mut count = 0;
    for site in &table.sites {
        let stage = Stage::start(name, site);
        for case in &site.cases {
            count += 1;
            let (stock, margay) = stage.play(site, case);
            if let Some(complaint) = compare::judge(case, &stock, &margay) {
                wrong.push(format!("[{} / {}] line {}: {complaint}", site.name, case.name, case.line));
            }
        }
        stage.assert_no_crash();
    }
    assert!(count > 0, "{name}.cases has no case");
    assert!(wrong.is_empty(), "{name}.cases: {} cases are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn foreign_urls_are_forwarded_alike() {
    assert_alike("forward");
}

#[test]
fn other_proxies_are_asked_alike() {
    assert_alike("remote");
}

#[test]
fn hosts_are_kept_out_alike() {
    assert_alike("block");
}

/// What `-t` says to these lines.
fn said(name: &str, lines: &[&str]) -> String {
    let builder = Httpd::builder(name).module("authz_host").module("access_compat");
    let verdict = lines.iter().fold(builder, |builder, line| builder.line(*line)).check();
    assert!(verdict.ok, "{}", verdict.text);
    verdict.text
}

#[test]
fn a_forward_proxy_for_everybody_is_warned_about() {
    let on = "ProxyRequests On";
    for (number, open) in [
        &[on][..],
        &[on, "<Proxy \"*\">\nRequire all granted\n</Proxy>"],
        &[on, "<Proxy \"http://one.example/\">\nRequire all denied\n</Proxy>"],
        // Does not apply to URLs of others.
        &[on, "<Location \"/\">\nRequire ip 10\n</Location>"],
        &[on, "<Directory \"/\">\nRequire ip 10\n</Directory>"],
        &[on, "<Proxy \"*\">\nRequire ip 10\n</Proxy>\n<Proxy \"*\">\nRequire all granted\n</Proxy>"],
        &["<VirtualHost *:1>\nProxyRequests On\n</VirtualHost>"],
    ]
    .into_iter()
    .enumerate()
    {
        let text = said(&format!("open-{number}"), open);
        assert!(text.contains("MGY0330"), "{open:?}: {text}");
        assert!(text.contains("httpd.conf:"), "{text}");
    }
    for (number, closed) in [
        &["ProxyRequests Off"][..],
        &[on, "<Proxy \"*\">\nRequire ip 10\n</Proxy>"],
        &[on, "<Proxy \"*\">\n<RequireAll>\nRequire ip 10\nRequire method GET\n</RequireAll>\n</Proxy>"],
        &[on, "<Proxy \"http://*\">\nOrder deny,allow\nDeny from all\nAllow from 10\n</Proxy>"],
        &[on, "<ProxyMatch \"^http\">\nRequire local\n</ProxyMatch>"],
        &[on, "<Proxy ~ \"^http\">\nRequire local\n</Proxy>"],
        &[on, "<LocationMatch \".\">\nRequire local\n</LocationMatch>"],
        &["<Proxy \"*\">\nRequire local\n</Proxy>", "<VirtualHost *:1>\nProxyRequests On\n</VirtualHost>"],
    ]
    .into_iter()
    .enumerate()
    {
        let text = said(&format!("closed-{number}"), closed);
        assert!(!text.contains("MGY0330"), "{closed:?}: {text}");
    }
}

#[test]
fn work_of_other_modules_is_named_in_the_log() {
    use support::client::Client;
    let httpd = Httpd::builder("others-work").line("ProxyRequests On").start();
    for (request, module) in [
        ("CONNECT www.example.test:443 HTTP/1.1", "mod_proxy_connect"),
        ("GET ftp://www.example.test/ HTTP/1.1", "mod_proxy_ftp"),
    ] {
        let mut client = Client::new(httpd.address());
        client.send_raw(format!("{request}\r\nHost: www.example.test\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(client.read_response("GET").unwrap().status, 500, "{request}");
        assert!(httpd.error_log().contains(module), "{}", httpd.error_log());
    }
}
