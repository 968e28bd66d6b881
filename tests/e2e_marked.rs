// SPDX-License-Identifier: Apache-2.0
//! Requests that other modules mark for a back end: `RewriteRule … [P]` in servers and sections, `SetHandler "proxy:…"`.
//! With `MARGAY_FRONT=stock` the same expectations are checked against mod_proxy.

mod support;

use support::ajp_peer::Peer;
use support::client::Client;
use support::http_peer::Peer as HttpPeer;
use support::httpd::{Builder, Httpd, free_port};

/// A back end that answers with its name, the path, and the query string it got.
fn echo(name: &'static str) -> Peer {
    Peer::start(move |conn, head| {
        conn.read_body(head, 8186)?;
        let query = head.attributes.iter().find(|(code, _)| code == "5");
        let query = query.map(|(_, value)| format!("?{value}")).unwrap_or_default();
        conn.answer(200, &[], &[format!("{name} {}{query}", head.uri).as_bytes()])
    })
}

fn builder(name: &str) -> Builder {
    Httpd::builder(name).module("rewrite").module("authn_core").module("authz_host")
}

/// Status, and the body if the back end answered.
fn ask(httpd: &Httpd, target: &str) -> (u16, String) {
    let response = Client::new(httpd.address()).get(target).expect("a response");
    (response.status, if response.status == 200 { response.text() } else { String::new() })
}

#[track_caller]
fn answers(httpd: &Httpd, table: &[(&str, &str)]) {
    for (target, expected) in table {
        let (status, text) = ask(httpd, target);
        let got = if status == 200 { text } else { status.to_string() };
        assert_eq!(got, *expected, "{target}\n{}", httpd.error_log());
    }
}

fn cluster(a: &Peer) -> String {
    format!("<Proxy balancer://c>\nBalancerMember {} route=A\n</Proxy>", a.url())
}

#[test]
fn a_rewrite_rule_of_the_server_leads_to_balancers_workers_and_strangers() {
    let (a, worker, stranger) = (echo("A"), echo("W"), echo("S"));
    let httpd = builder("rewrite-server")
        .line(cluster(&a))
        .line(format!("ProxyPass /declared {}/deep", worker.url()))
        .line("ProxyPass /taken balancer://c/rule")
        .line("RewriteEngine On")
        .line("RewriteRule ^/b/(.*)$ balancer://c/x/$1 [P]")
        .line("RewriteRule ^/B/(.*)$ BALANCER://C/x/$1 [P]")
        .line(format!("RewriteRule ^/w/(.*)$ {}/deep/$1 [P]", worker.url()))
        .line(format!("RewriteRule ^/s/(.*)$ {}/far/$1 [P]", stranger.url()))
        .line("RewriteRule ^/q/(.*)$ balancer://c/$1?z=1 [P]")
        .line("RewriteRule ^/qsa/(.*)$ balancer://c/$1?z=1 [P,QSA]")
        .line("RewriteRule ^/ne/(.*)$ balancer://c/$1 [P,NE]")
        .line("RewriteRule ^/taken/(.*)$ balancer://c/rewritten/$1 [P]")
        .line("RewriteRule ^/nobody/(.*)$ balancer://none/$1 [P]")
        .line("RewriteRule ^/bare$ balancer://c [P]")
        .start();
    answers(
        &httpd,
        &[
            ("/b/y?q=1", "A /x/y?q=1"),
            ("/B/y", "A /x/y"),
            ("/b/a%20b%25", "A /x/a%20b%25"),
            ("/w/y", "W /deep/y"),
            ("/s/y?q", "S /far/y?q"),
            ("/q/y?q=1", "A /y?z=1"),
            ("/qsa/y?q=1", "A /y?z=1&q=1"),
            ("/ne/y", "A /y"),
            ("/ne/y?q=1", "A /y?q=1"),
            ("/taken/y", "A /rewritten/y"),
            ("/nobody/y", "500"),
            ("/bare", "A /"),
            ("/other", "404"),
        ],
    );
}

#[test]
fn a_rewrite_rule_of_a_section_leads_there_too() {
    let (a, stranger) = (echo("A"), echo("S"));
    let prefix = support::scratch_dir("rewrite-section");
    let httpd = builder("rewrite-section")
        .prefix(prefix.clone())
        .line(cluster(&a))
        .line("ProxyPass /both/ balancer://c/rule/")
        .line("<Location /loc>\nRewriteEngine On")
        .line(format!("RewriteRule ^ {}/loc [P]\n</Location>", stranger.url()))
        .line("<Location /both/moved>\nRewriteEngine On\nRewriteRule .* balancer://c/moved [P]\n</Location>")
        .line(format!("<Directory {}/htdocs>\nRewriteEngine On", prefix.display()))
        .line("RewriteRule ^h/(.*)$ balancer://c/htdocs/$1 [P]")
        .line("RewriteRule ^query/(.*)$ balancer://c/$1?z=1 [P,QSA]\n</Directory>")
        .start();
    answers(
        &httpd,
        &[
            ("/loc/x?q", "S /loc?q"),
            ("/both/x", "A /rule/x"),
            ("/both/moved", "A /moved"),
            ("/h/a%20b/c?q", "A /htdocs/a%20b/c?q"),
            ("/query/x?q", "A /x?z=1&q"),
            ("/elsewhere", "404"),
        ],
    );
}

#[test]
fn a_handler_of_a_section_gets_the_path_of_the_file() {
    let (a, worker, stranger) = (echo("A"), echo("W"), echo("S"));
    let httpd = builder("handler")
        .module("mime")
        .line("TypesConfig /dev/null")
        .line(cluster(&a))
        .line(format!("ProxyPass /declared {}/", worker.url()))
        .line("<Location /b>\nSetHandler \"proxy:balancer://c/base\"\n</Location>")
        .line(format!("<Location /w>\nSetHandler \"proxy:{}\"\n</Location>", worker.url()))
        .line(format!("<Location /s>\nSetHandler \"proxy:{}\"\n</Location>", stranger.url()))
        .line(format!("AddHandler \"proxy:{}\" .jsp", worker.url()))
        .module("setenvif")
        .line("SetEnvIf X-To \"^(\\w+)$\" TO=proxy:balancer://$1/base")
        .line("<Location /e>\nSetHandler \"%{reqenv:TO}\"\n</Location>")
        .line("<Location /nobody>\nSetHandler \"proxy:balancer://none\"\n</Location>")
        .start();
    let root = httpd.prefix().join("htdocs");
    let root = root.display();
    answers(
        &httpd,
        &[
            ("/b/x?q=1", &format!("A /base{root}/b?q=1")),
            ("/w", &format!("W {root}/w")),
            ("/s", &format!("S {root}/s")),
            ("/page.jsp?q", &format!("W {root}/page.jsp?q")),
            ("/nobody", "500"),
        ],
    );
    let mut client = Client::new(httpd.address());
    let response = client.request("GET", "/e", &[("X-To", "c")], b"").expect("a response");
    assert_eq!(response.text(), format!("A /base{root}/e"), "{}", httpd.error_log());
    let response = client.request("GET", "/e", &[("X-To", "none")], b"").expect("a response");
    assert_eq!(response.status, 500);
}

#[test]
fn sections_about_back_ends_guard_rewritten_requests() {
    let a = echo("A");
    let httpd = builder("guarded")
        .line(cluster(&a))
        .line("<Proxy balancer://c/secret>\nRequire all denied\n</Proxy>")
        .line("RewriteEngine On\nRewriteRule ^/b/(.*)$ balancer://c/$1 [P]")
        .start();
    answers(&httpd, &[("/b/open", "A /open"), ("/b/secret", "403"), ("/b/secret/x", "403")]);
}

#[test]
fn characters_that_would_split_a_request_are_refused() {
    let a = echo("A");
    let httpd = builder("split")
        .line(cluster(&a))
        .line("RewriteEngine On")
        .line("RewriteRule ^/ne/(.*)$ balancer://c/$1 [P,NE]")
        .line("RewriteRule ^/query/(.*)$ balancer://c/x?$1 [P,NE]")
        .start();
    for target in ["/ne/a%0d%0ab?q", "/ne/a%20b?q", "/query/a%0ab"] {
        assert_eq!(ask(&httpd, target).0, 403, "{target}");
    }
    assert_eq!(a.requests(), 0);
}

#[test]
fn a_stranger_is_asked_on_a_new_connection_each_time_with_the_time_limit_of_the_server() {
    let stranger = echo("S");
    let httpd = builder("stranger")
        .line("ProxyTimeout 1")
        .line("RewriteEngine On")
        .line(format!("RewriteRule ^/s/(.*)$ {}/$1 [P]", stranger.url()))
        .line(format!("RewriteRule ^/down/(.*)$ ajp://127.0.0.1:{}/$1 [P]", free_port()))
        .start();
    answers(&httpd, &[("/s/1", "S /1"), ("/s/2", "S /2"), ("/down/x", "503"), ("/down/x", "503")]);
    assert_eq!(stranger.connections(), 2);
    stranger.set_script(|conn, _| {
        conn.wait_for_close(support::PATIENCE);
        Ok(support::ajp_peer::After::Close)
    });
    assert_ne!(ask(&httpd, "/s/3").0, 200);
}

#[test]
fn back_ends_of_http_are_reached_too() {
    let (declared, stranger) = (HttpPeer::named("W"), HttpPeer::named("S"));
    let httpd = builder("http")
        .line(format!("ProxyPass /declared {}/deep", declared.url()))
        .line("RewriteEngine On")
        .line(format!("RewriteRule ^/w/(.*)$ {}/deep/$1 [P]", declared.url()))
        .line(format!("RewriteRule ^/s/(.*)$ {}/far/$1 [P]", stranger.url()))
        .line(format!("ProxyPassMatch ^/m/(.*)$ {}/match/$1", stranger.url()))
        .line(format!("<Location /h>\nSetHandler \"proxy:{}/base\"\n</Location>", declared.url()))
        .start();
    answers(
        &httpd,
        &[("/w/a%20b?q", "W"), ("/s/1", "S"), ("/s/2", "S"), ("/m/x", "S"), ("/h", "W"), ("/w/again", "W")],
    );
    let targets = |peer: &HttpPeer| -> Vec<String> {
        peer.seen().iter().map(|seen| seen.head.target().to_owned()).collect()
    };
    let file = format!("/base{}/htdocs/h", httpd.prefix().display());
    assert_eq!(targets(&declared), ["/deep/a%20b?q", &file, "/deep/again"]);
    assert_eq!(targets(&stranger), ["/far/1", "/far/2", "/match/x"]);
    assert!(stranger.connections() >= 2, "a back end that nobody declared is asked on a kept connection");
}

#[test]
fn a_name_that_looks_marked_is_not_forwarded() {
    let a = echo("A");
    let target = format!("proxy:{}/x", a.url());
    let httpd = builder("unmarked")
        .line(cluster(&a))
        .line("RewriteEngine On")
        .line(format!("RewriteRule ^/u$ {target}"))
        .line(format!("RewriteRule ^/l$ {target} [L]"))
        .line(format!("RewriteRule ^/pt$ {target} [PT]"))
        .line(format!("<Location /t>\nForceType \"{target}\"\n</Location>"))
        .start();
    for path in ["/u", "/l", "/pt", "/proxy:balancer://c/x"] {
        assert_ne!(ask(&httpd, path).0, 200, "{path}");
    }
    // Stock takes the type of a file for a handler.
    if httpd.front().is_margay() {
        assert_ne!(ask(&httpd, "/t").0, 200);
    }
    assert_eq!(a.requests(), 0);
}
