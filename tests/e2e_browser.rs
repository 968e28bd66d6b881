// SPDX-License-Identifier: Apache-2.0
//! balancer-manager in a real browser: what an administrator clicks, and what other sites try.

mod support;

use support::ajp_peer::Peer;
use support::browser::Browser;
use support::http_peer;
use support::httpd::{Front, Httpd, Mpm};
use support::manager::{answers, assert_all, server, values, xml};

/// Two members and room for a third.
fn start(a: &Peer, b: &Peer) -> Httpd {
    let lines = format!(
        "ProxyHCExpr fine {{%{{REQUEST_STATUS}} =~ /^2/}}\n<Proxy balancer://c>\nBalancerMember {} route=A\n\
         BalancerMember {} route=B\nProxySet stickysession=JSESSIONID nonce=secret growth=1\n</Proxy>\n\
         ProxyPass / balancer://c/",
        a.url(),
        b.url()
    );
    server("browser", Front::Margay, Mpm::Event, &lines).start()
}

fn open(browser: &Browser, httpd: &Httpd) {
    browser.open(&format!("http://{}/bm", httpd.address()));
}

/// A cell of the row of a member, counted from 1.
fn cell(browser: &Browser, member: &str, column: u32) -> String {
    browser.find(&format!("//tr[td/a[text()='{member}']]/td[{column}]")).text()
}

#[test]
fn an_administrator_changes_members_and_lets_one_join_by_clicking() {
    let (a, b, c) = (Peer::named("A"), Peer::named("B"), Peer::named("C"));
    let (httpd, browser) = (start(&a, &b), Browser::start());
    open(&browser, &httpd);
    assert_eq!(browser.find("//h1").text(), "Load Balancer Manager for 127.0.0.1");

    browser.follow(&a.url());
    browser.fill("w_lf", "2.5");
    browser.find("//input[@id='w_status_N1']").click();
    browser.submit();
    assert_eq!(
        (cell(&browser, &a.url(), 4), cell(&browser, &a.url(), 6)),
        ("2.50".into(), "Init Drn Ok".into())
    );
    let document = xml(&httpd);
    assert_eq!(values(&document, "status"), ["Init Drn Ok ", "Init Ok "]);
    assert_eq!(values(&document, "loadfactor"), ["2.50", "2.50", "1.00", "1.00"]);
    assert_all(&answers(&httpd, "", 4), "B");

    browser.follow("balancer://c");
    browser.fill("b_nwrkr", &c.url());
    browser.submit();
    assert!(!browser.source().contains(&format!(">{}<", c.url())), "nobody said to be sure");
    browser.follow("balancer://c");
    browser.fill("b_nwrkr", &c.url());
    browser.find("//input[@id='b_wyes']").click();
    browser.submit();
    assert_eq!(cell(&browser, &c.url(), 6), "Init Dis");

    browser.follow(&c.url());
    browser.find("//input[@id='w_status_D0']").click();
    browser.fill("w_wr", "C");
    browser.submit();
    assert_eq!((cell(&browser, &c.url(), 2), cell(&browser, &c.url(), 6)), ("C".into(), "Init Ok".into()));
    // What the form sends of checks without being asked changes nothing.
    assert_eq!((cell(&browser, &c.url(), 12), cell(&browser, &c.url(), 17)), ("NONE".into(), String::new()));
    assert_all(&answers(&httpd, "JSESSIONID=s.C", 4), "C");

    browser.follow(&c.url());
    browser.find("//select[@name='w_hm']/option[@value='CPING']").click();
    browser.fill("w_hi", "700s");
    browser.submit();
    assert_eq!(
        (cell(&browser, &c.url(), 12), cell(&browser, &c.url(), 13)),
        ("CPING".into(), "700000ms".into())
    );
    browser.follow("balancer://c");
    browser.find("//select[@name='b_lbm']/option[@value='bybusyness']").click();
    browser.submit();
    assert_eq!(values(&xml(&httpd), "lbmethod"), ["bybusyness"]);
    httpd.assert_no_unexpected(&[]);
}

/// A page that sends a form by itself as soon as it is shown.
fn trap(httpd: &Httpd, a: &Peer, policy: &str) -> http_peer::Peer {
    let page = format!(
        "<html><head><title>trap</title><meta name=referrer content={policy}></head><body>\
         <form method=POST action='http://{}/bm'><input name=b value=c><input name=w value='{}'>\
         <input name=nonce value=secret><input name=w_status_D value=1><input name=w_lf value=7></form>\
         <script>document.forms[0].submit()</script></body></html>",
        httpd.address(),
        a.url()
    );
    http_peer::Peer::start(move |conn, _| {
        conn.answer("200 OK", &[("Content-Type", "text/html"), ("Connection", "close")], page.as_bytes())
    })
}

#[test]
fn what_other_sites_send_through_a_browser_changes_nothing() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let (httpd, browser) = (start(&a, &b), Browser::start());
    // A browser asks for an icon too, so that counters move.
    let settings = || ["status", "loadfactor"].map(|name| values(&xml(&httpd), name));
    let before = settings();
    for policy in ["unsafe-url", "no-referrer"] {
        let trap = trap(&httpd, &a, policy);
        browser.open(&format!("http://localhost:{}/trap", trap.port()));
        support::wait_until("the manager's page", support::PATIENCE, || {
            browser.title() == "Balancer Manager"
        });
        assert_eq!(settings(), before, "{policy}");
    }
    let lines = httpd.access_log();
    assert_eq!(lines.matches("POST /bm").count(), 2, "{lines}");

    // Even the server's own page must bring the nonce.
    open(&browser, &httpd);
    browser.follow(&a.url());
    browser.run("document.getElementById('nonce').remove()");
    browser.fill("w_lf", "7");
    browser.submit();
    assert_eq!(cell(&browser, &a.url(), 4), "1.00");
    assert_eq!(settings(), before);
    assert!(httpd.error_log().contains("MGY4003"));
}
