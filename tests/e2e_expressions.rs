// SPDX-License-Identifier: Apache-2.0
//! `ProxyPassMatch`, `ProxyPass ~` and groups in the targets of sections: which back end gets which path.
//! With `MARGAY_FRONT=stock` the same table is checked against mod_proxy.

mod support;

use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Builder, Front, Httpd};

/// A back end that answers with its name and the path it got.
fn echo(name: &'static str) -> Peer {
    Peer::start(move |conn, head| {
        conn.read_body(head, 8186)?;
        let query = head.attributes.iter().find(|(code, _)| code == "5");
        let query = query.map(|(_, value)| format!("?{value}")).unwrap_or_default();
        conn.answer(200, &[], &[format!("{name} {}{query}", head.uri).as_bytes()])
    })
}

fn cluster(a: &Peer) -> String {
    format!("<Proxy balancer://c>\nBalancerMember {} route=A\n</Proxy>", a.url())
}

#[track_caller]
fn answers(httpd: &Httpd, table: &[(&str, &str)]) {
    for (target, expected) in table {
        let response = Client::new(httpd.address()).get(target).expect("a response");
        let got = if response.status == 200 { response.text() } else { response.status.to_string() };
        assert_eq!(got, *expected, "{target}\n{}", httpd.error_log());
    }
}

fn builder(name: &str, a: &Peer) -> Builder {
    Httpd::builder(name).line(cluster(a))
}

#[test]
fn expressions_lead_where_their_groups_say() {
    let (a, b) = (echo("A"), echo("B"));
    let httpd = builder("match", &a)
        .line("ProxyPassMatch ^/no/ !")
        .line("ProxyPassMatch ^/g/(\\w+)/(.*)$ balancer://c/$2/$1")
        .line(format!("ProxyPassMatch ^/w/(.*)$ {}/work/$1 timeout=5", b.url()))
        .line("ProxyPass ~ ^/tilde/(.*)$ balancer://c/t/$1")
        .line("ProxyPassMatch \\.gif$ balancer://c/img")
        .line(format!("ProxyPassMatch ^/host(/.*)$ {}$1", b.url()))
        .line("ProxyPassMatch ^/port/(\\d+)(/.*)$ ajp://127.0.0.1:$1$2")
        .line("ProxyPassMatch ^/name/(\\w+)(/.*)$ balancer://$1/by-name$2")
        .line("ProxyPassMatch (?i)^/ANY/ balancer://c")
        .line("ProxyPassMatch ^/amp/(.*)$ balancer://c/&/$1")
        .line("ProxyPassMatch ^/nocanon/(.*)$ balancer://c/$1 nocanon")
        .line("ProxyPassMatch ^/enc/(.*)$ balancer://c/$1 mapping=encoded")
        .line("ProxyPassMatch ^/srv/(.*)$ balancer://c/$1 mapping=servlet")
        .line("ProxyPassMatch ^/question/(.*)$ balancer://c/x?$1")
        .start();
    let port = b.port();
    answers(
        &httpd,
        &[
            ("/no/x.gif", "404"),
            ("/g/one/two/three", "A /two/three/one"),
            ("/g/one/two?q=1", "A /two/one?q=1"),
            ("/g/one", "404"),
            ("/w/x", "B /work/x"),
            ("/tilde/x", "A /t/x"),
            ("/img/a/b.gif", "A /img/img/a/b.gif"),
            ("/img/a/b.gif.txt", "404"),
            ("/host/x", "B /x"),
            (&format!("/port/{port}/x"), "B /x"),
            ("/name/c/x", "A /by-name/x"),
            ("/name/none/x", "500"),
            ("/any/x", "A /any/x"),
            ("/amp/x", "A /&/x"),
            ("/w/a%20b", "B /work/a%20b"),
            ("/nocanon/a%20b%7Ec/?q", "A /a%20b%7Ec/?q"),
            ("/enc/a%3Bb", "A /a%3Bb"),
            ("/srv/a;v=1/b", "A /a;v=1/b"),
            ("/question/y", "A /x%3Fy"),
        ],
    );
}

#[test]
fn the_first_rule_in_the_file_wins_whatever_its_kind() {
    let a = echo("A");
    let httpd = builder("order", &a)
        .line("ProxyPass /one/a balancer://c/prefix")
        .line("ProxyPassMatch ^/one balancer://c/expression")
        .line("ProxyPass /one/b balancer://c/late")
        .line("ProxyPassMatch ^/two/x !")
        .line("ProxyPass /two balancer://c/two")
        .start();
    answers(
        &httpd,
        &[
            ("/one/a/y", "A /prefix/y"),
            ("/one/b/y", "A /expression/one/b/y"),
            ("/two/x", "404"),
            ("/two/y", "A /two/y"),
        ],
    );
}

#[test]
fn variables_are_put_into_rules_that_ask_for_it() {
    let (a, b) = (echo("A"), echo("B"));
    let httpd = builder("variables", &a)
        .module("setenvif")
        .line("SetEnvIf Host . IN=app OUT=inner WHO=c")
        .line("ProxyPassInterpolateEnv On")
        .line("ProxyPass /${IN}/one balancer://c/${OUT} interpolate")
        .line("ProxyPass /name balancer://${WHO}/x interpolate")
        .line(format!("ProxyPass /unset {}/${{NOBODY}}x interpolate", b.url()))
        .line("ProxyPass /literal balancer://c/lit")
        .line("ProxyPassMatch ^/match/(.*)$ balancer://c/${OUT}/$1 interpolate")
        .line("ProxyPass /app balancer://c/late")
        .line("<Location /off>\nProxyPassInterpolateEnv Off\n</Location>")
        .line("ProxyPass /off balancer://c/${OUT} interpolate")
        .line("ProxyPass /${IN}-servlet balancer://c/s interpolate mapping=servlet")
        .start();
    answers(
        &httpd,
        &[
            ("/app/one/x", "A /inner/x"),
            ("/app/two", "A /late/two"),
            ("/name/y", "A /x/y"),
            ("/unset/y", "B /x/y"),
            ("/literal/y", "A /lit/y"),
            ("/match/y", "A /inner/y"),
            ("/off/y", "A /$%7BOUT%7D/y"),
            ("/other", "404"),
        ],
    );
    if Front::chosen().is_margay() {
        answers(&httpd, &[("/app-servlet;a/y;b/../z", "A /s;a/z")]);
    }
}

#[test]
fn what_the_administrator_keeps_out_is_not_matched() {
    let a = echo("A");
    let httpd = builder("no-proxy", &a)
        .module("setenvif")
        .line("SetEnvIf Request_URI /local/ no-proxy")
        .line("ProxyPassMatch ^/x(/.*)$ balancer://c$1")
        .line("<LocationMatch \"^/y/[a-z]+\">\nProxyPass balancer://c/y/$0\n</LocationMatch>")
        .start();
    answers(
        &httpd,
        &[("/x/a", "A /a"), ("/x/local/a", "404"), ("/y/a", "A /y//y/a"), ("/y/a/local/b", "404")],
    );
}

#[test]
fn sections_have_expressions_too() {
    let a = echo("A");
    let httpd = builder("sections", &a)
        .line("<LocationMatch \"^/g/([a-z]+)/\">\nProxyPass balancer://c/named/$1\n</LocationMatch>")
        .line("<LocationMatch \"^/whole/[a-z]+\">\nProxyPass balancer://c/all\n</LocationMatch>")
        .line("<LocationMatch \"^/match/\">\nProxyPassMatch balancer://c/m\n</LocationMatch>")
        .line("<Location /plain>\nProxyPassMatch balancer://c/p\n</Location>")
        .line("<Location ~ \"^/tilde/([0-9]+)$\">\nProxyPass balancer://c/t/$1\n</Location>")
        .start();
    answers(
        &httpd,
        &[
            ("/g/abc/x", "A /named/abc"),
            ("/g/1/x", "404"),
            ("/whole/x/y", "A /all/whole/x/y"),
            ("/match/x", "A /m/match/x"),
            ("/plain/x", "A /p/plain/x"),
            ("/tilde/42", "A /t/42"),
        ],
    );
}

#[test]
fn workers_of_targets_with_groups_keep_connections_only_if_told() {
    let (plain, kept) = (echo("P"), echo("K"));
    let a = echo("A");
    let httpd = builder("reuse", &a)
        .mpm_lines("ServerLimit 1\nStartServers 1\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 8\nMaxRequestWorkers 8")
        .line(format!("ProxyPassMatch ^/p/(.*)$ {}/$1", plain.url()))
        .line(format!("ProxyPassMatch ^/k/(.*)$ {}/$1 enablereuse=on", kept.url()))
        .start();
    answers(&httpd, &[("/p/1", "P /1"), ("/p/2", "P /2"), ("/k/first", "K /first"), ("/k/next", "K /next")]);
    assert_eq!((plain.connections(), kept.connections()), (2, 1));
}

#[test]
fn sections_about_back_ends_take_expressions_and_name_their_groups() {
    let a = echo("A");
    // Stock takes the tilde, and then refuses what stands behind it.
    let tilde = match Front::chosen() {
        Front::Margay => "<Proxy ~ \"/tilde$\">\nRequire all denied\n</Proxy>",
        _ => "<ProxyMatch \"/tilde$\">\nRequire all denied\n</ProxyMatch>",
    };
    let httpd = builder("proxymatch", &a)
        .module("authz_host")
        .line("ProxyPass / balancer://c/")
        .line("<ProxyMatch \"^balancer://c/(?<part>[a-z]+)/secret\">\nRequire all denied\n</ProxyMatch>")
        .line(tilde)
        .line("<proxymatch \"c/(?<first>[a-z]+)/(?<second>[a-z]+)?\">\nProxyPreserveHost On\n</proxymatch>")
        .line("LogFormat \"%U first=%{MATCH_FIRST}e second=%{MATCH_SECOND}e\" names")
        .line("CustomLog names.log names")
        .start();
    answers(
        &httpd,
        &[
            ("/shop/secret", "403"),
            ("/shop/open", "A /shop/open"),
            ("/1/secret", "A /1/secret"),
            ("/x/tilde", "403"),
            ("/x/tilde/y", "A /x/tilde/y"),
        ],
    );
    let named = || std::fs::read_to_string(httpd.prefix().join("names.log")).unwrap_or_default();
    support::wait_until("the access log", support::PATIENCE, || named().lines().count() == 5);
    for line in
        ["/shop/open first=shop second=open", "/1/secret first=- second=-", "/x/tilde/y first=x second=tilde"]
    {
        assert!(named().lines().any(|logged| logged == line), "{line}: {}", named());
    }
    for _ in 0..3 {
        httpd.graceful();
        answers(&httpd, &[("/shop/secret", "403"), ("/shop/open", "A /shop/open")]);
    }
    httpd.assert_no_crash();
}

#[test]
fn a_wrong_expression_is_refused_with_its_place() {
    let a = echo("A");
    for line in
        ["ProxyPassMatch ^/(x balancer://c/", "ProxyPass ~ \"[\" !", "<ProxyMatch \"(\">\n</ProxyMatch>"]
    {
        let builder = builder("wrong", &a).line(line);
        let verdict = builder.check();
        assert!(!verdict.ok && verdict.text.contains("could not be compiled"), "{line}: {}", verdict.text);
        if Front::chosen().is_margay() {
            assert!(verdict.text.contains("httpd.conf:"), "{}", verdict.text);
        }
    }
}

#[test]
fn a_wrong_expression_at_a_reload_keeps_the_rules() {
    let a = echo("A");
    let httpd =
        builder("reload", &a).front(Front::Margay).line("ProxyPassMatch ^/x/(.*)$ balancer://c/$1").start();
    answers(&httpd, &[("/x/1", "A /1")]);
    httpd.rewrite(|lines| lines.push("ProxyPassMatch ^/(y !".to_owned()));
    httpd.graceful();
    assert!(httpd.error_log().contains("MGY0905"));
    answers(&httpd, &[("/x/1", "A /1")]);
    httpd.rewrite(|lines| {
        lines.pop();
        lines.push("ProxyPassMatch ^/y/(.*)$ balancer://c/y/$1".to_owned());
    });
    for _ in 0..3 {
        httpd.graceful();
        answers(&httpd, &[("/x/1", "A /1"), ("/y/1", "A /y/1")]);
    }
    httpd.assert_no_crash();
}
