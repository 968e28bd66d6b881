// SPDX-License-Identifier: Apache-2.0
//! Beside a real mod_proxy: loaded first it keeps its directives, loaded later it is refused, and restarts may change
//! which of the two it is.

mod support;

use std::fs;

use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Builder, Front, Httpd, Mpm, load_line};

const REAL: [&str; 4] = ["slotmem_shm", "proxy", "proxy_balancer", "proxy_ajp"];

fn margay(name: &str) -> Builder {
    Httpd::builder(name).front(Front::Margay)
}

fn with_real_before(mut builder: Builder) -> Builder {
    for name in REAL.into_iter().chain(["lbmethod_byrequests"]) {
        builder = builder.module(name);
    }
    builder
}

fn ask(httpd: &Httpd, target: &str) -> (u16, String) {
    let response = Client::new(httpd.address()).get(target).expect("a response");
    (response.status, response.text())
}

fn notices(httpd: &Httpd) -> usize {
    httpd.error_log().matches("MGY0912").count()
}

/// Lines of every kind that both would carry out.
fn rules(a: &Peer) -> String {
    format!(
        "<Proxy balancer://c>\nBalancerMember {0} route=A\nProxySet stickysession=JSESSIONID\n</Proxy>\n\
         ProxyPass /c/ balancer://c/\nProxyPassReverse /c/ balancer://c/\nProxyPass /a/ {0}/\n\
         <Location /l/>\nProxyPass {0}/\n</Location>\n\
         RewriteEngine On\nRewriteRule ^/w/(.*)$ {0}/$1 [P]\n\
         <Location /manager>\nSetHandler balancer-manager\n</Location>",
        a.url()
    )
}

const TARGETS: [&str; 4] = ["/c/x", "/a/x", "/l/x", "/w/x"];

#[test]
fn a_real_module_that_was_loaded_first_serves_and_one_notice_says_so() {
    for mpm in Mpm::ALL {
        let a = Peer::named("A");
        let httpd = with_real_before(margay("real-first")).mpm(mpm).module("rewrite").line(rules(&a)).start();
        let verdict = httpd.check();
        assert!(verdict.ok && verdict.text.matches("MGY0912").count() == 1, "{}", verdict.text);
        for target in TARGETS {
            assert_eq!(ask(&httpd, target), (200, "A".to_owned()), "{mpm:?} {target}");
        }
        let (status, page) = ask(&httpd, "/manager");
        assert!(status == 200 && !page.contains("Margay"), "{page}");
        assert_eq!(notices(&httpd), 1, "{mpm:?}: {}", httpd.error_log());
        httpd.graceful();
        assert_eq!(ask(&httpd, "/c/x"), (200, "A".to_owned()), "{mpm:?}");
        assert_eq!(notices(&httpd), 1, "{mpm:?}: said again at a restart that changed nothing");
        // The real manager's complaint about a request without a Referer.
        httpd.assert_no_unexpected(&["AH10187"]);
    }
}

#[test]
fn mistakes_in_the_lines_of_a_real_module_are_its_own() {
    let verdict =
        with_real_before(margay("real-words")).line("ProxyPass /a/ ajp://127.0.0.1:1/ rout=x").check();
    assert!(!verdict.ok && verdict.text.contains("unknown Worker parameter"), "{}", verdict.text);
    assert!(!verdict.text.contains("MGY01"), "{}", verdict.text);
}

#[test]
fn a_real_module_loaded_later_is_refused_with_both_ways_out() {
    let rule = "ProxyPass /a/ ajp://127.0.0.1:1/";
    let with_rule = margay("real-later").line(load_line("proxy")).line(rule).check();
    let section = margay("real-section").line(load_line("proxy")).line("<Proxy *>\n</Proxy>").check();
    let no_rule = margay("real-alone").line(load_line("proxy")).check();
    for verdict in [with_rule, section, no_rule] {
        let ways = ["MGY0901", "remove their LoadModule lines", "move its LoadModule line above"];
        assert!(!verdict.ok && ways.iter().all(|way| verdict.text.contains(way)), "{}", verdict.text);
    }
}

#[test]
fn restarts_may_change_who_is_in_charge() {
    for mpm in Mpm::ALL {
        let a = Peer::named("A");
        let httpd = margay("real-order").mpm(mpm).module("rewrite").line(rules(&a)).start();
        let file = httpd.prefix().join("conf/httpd.conf");
        let alone = fs::read_to_string(&file).expect("the configuration");
        let ours = alone.lines().find(|line| line.starts_with("LoadModule margay")).expect("our line");
        let real: Vec<String> = REAL.into_iter().chain(["lbmethod_byrequests"]).map(load_line).collect();
        let real = real.join("\n");
        let before = alone.replacen(ours, &format!("{real}\n{ours}"), 1);
        let after = alone.replacen(ours, &format!("{ours}\n{real}"), 1);
        let nobody_of_ours = alone.replacen(ours, &real, 1);
        for (step, text) in
            [&before, &alone, &before, &nobody_of_ours, &before, &alone, &after, &alone, &before]
                .into_iter()
                .enumerate()
        {
            fs::write(&file, text).expect("the configuration");
            let is_refused = text == &after;
            assert_eq!(httpd.check().ok, !is_refused, "{mpm:?} step {step}");
            httpd.graceful();
            assert_eq!(httpd.error_log().contains("MGY0905"), step >= 6, "{mpm:?} step {step}");
            for target in TARGETS {
                assert_eq!(ask(&httpd, target), (200, "A".to_owned()), "{mpm:?} step {step} {target}");
            }
        }
        assert!(httpd.stop(), "{mpm:?}");
        httpd.assert_no_crash();
        httpd.assert_no_unexpected(&["MGY0901", "MGY0903", "MGY0905"]);
    }
}
