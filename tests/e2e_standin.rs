// SPDX-License-Identifier: Apache-2.0
//! Where a configuration asks for mod_proxy by name, Margay answers: `<IfModule>`, `LogLevel`, `Mutex`.

mod support;

use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Builder, Front, Httpd, Mpm, load_line};
use support::{PATIENCE, wait_until};

const NAMES: [&str; 9] = [
    "proxy",
    "proxy_balancer",
    "proxy_ajp",
    "proxy_http",
    "proxy_hcheck",
    "lbmethod_byrequests",
    "lbmethod_bytraffic",
    "lbmethod_bybusyness",
    "lbmethod_heartbeat",
];

fn margay(name: &str) -> Builder {
    Httpd::builder(name).front(Front::Margay)
}

fn status(httpd: &Httpd, target: &str) -> u16 {
    Client::new(httpd.address()).get(target).expect("a response").status
}

/// A request that ends in the middle of its body: the core speaks about it at level info.
fn broken_off(httpd: &Httpd, target: &str) {
    let mut client = Client::new(httpd.address());
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    client.send_raw(head.as_bytes()).expect("sent");
    client.send_raw(&[b'x'; 50_000]).expect("sent");
    client.finish_sending();
    let _ = client.read_response("POST");
}

#[test]
fn guards_with_the_old_names_are_true() {
    let a = Peer::named("A");
    let mut builder = margay("guards");
    for name in NAMES {
        builder = builder
            .line(format!("<IfModule mod_{name}.c>\nProxyPass /file/{name}/ {}/\n</IfModule>", a.url()))
            .line(format!("<IfModule {name}_module>\nProxyPass /symbol/{name}/ {}/\n</IfModule>", a.url()));
    }
    let httpd = builder
        .line("<IfModule mod_slotmem_shm.c>\nProxyPass /slotmem/ ajp://127.0.0.1:1/\n</IfModule>")
        .line("<IfModule proxy_fcgi_module>\nProxyPass /fcgi/ ajp://127.0.0.1:1/\n</IfModule>")
        .start();
    for name in NAMES {
        assert_eq!(status(&httpd, &format!("/file/{name}/x")), 200, "mod_{name}.c");
        assert_eq!(status(&httpd, &format!("/symbol/{name}/x")), 200, "{name}_module");
    }
    assert_eq!(status(&httpd, "/slotmem/x"), 404, "a provider that is not ours is claimed");
    assert_eq!(status(&httpd, "/fcgi/x"), 404, "a protocol that is not ours is claimed");
}

#[test]
fn a_define_before_the_module_turns_the_names_off() {
    let a = Peer::named("A");
    let guarded = format!("<IfModule mod_proxy.c>\nProxyPass /a/ {}/\n</IfModule>", a.url());
    let httpd = margay("no-compat").first_line("Define MARGAY_NO_COMPAT").line(&guarded).start();
    assert_eq!(status(&httpd, "/a/x"), 404);
    httpd.graceful();
    assert_eq!(status(&httpd, "/a/x"), 404);
    httpd.assert_no_unexpected(&[]);
    let verdict =
        margay("no-compat-log").first_line("Define MARGAY_NO_COMPAT").line("LogLevel proxy:debug").check();
    assert!(!verdict.ok && verdict.text.contains("Cannot find module proxy"), "{}", verdict.text);
}

#[test]
fn levels_of_the_old_names_let_our_lines_through() {
    let a = Peer::named("A");
    for (name, tag) in [
        ("proxy", "proxy"),
        ("proxy_module", "proxy"),
        ("mod_proxy.c", "proxy"),
        ("proxy_balancer", "proxy_balancer"),
        ("proxy_ajp_module", "proxy_ajp"),
        ("margay", "margay"),
    ] {
        let httpd = margay("levels")
            .line(format!("LogLevel warn {name}:info"))
            .line(format!("ProxyPass /a/ {}/", a.url()))
            .start();
        broken_off(&httpd, "/a/x");
        let is_shown = || {
            httpd
                .error_log()
                .lines()
                .any(|line| line.contains(&format!("[{tag}:info]")) && line.contains("MGY"))
        };
        wait_until(&format!("a line of ours at info for LogLevel {name}:info"), PATIENCE, is_shown);
    }
}

#[test]
fn the_level_of_a_section_counts_for_its_requests() {
    let (loud, quiet) = (Peer::named("loud"), Peer::named("quiet"));
    let httpd = margay("section-level")
        .line(format!("ProxyPass /loud/ {}/", loud.url()))
        .line(format!("ProxyPass /quiet/ {}/", quiet.url()))
        .line("<Location /loud>\nLogLevel proxy:debug\n</Location>")
        .start();
    broken_off(&httpd, "/quiet/x");
    broken_off(&httpd, "/loud/x");
    wait_until("a line at info", PATIENCE, || httpd.error_log().contains("[proxy:info]"));
    assert!(!httpd.error_log().contains(&quiet.url()), "{}", httpd.error_log());
}

#[test]
fn mutex_lines_of_mod_proxy_are_taken() {
    let verdict = margay("mutex").line("Mutex sem proxy").line("Mutex fcntl proxy-balancer-shm").check();
    assert!(verdict.ok, "{}", verdict.text);
}

#[test]
fn restarts_link_and_unlink_the_names_whatever_is_loaded_beside() {
    for mpm in Mpm::ALL {
        let a = Peer::named("A");
        let httpd = margay("names")
            .mpm(mpm)
            .module("rewrite")
            .module("headers")
            .line(load_line("alias"))
            .line(load_line("setenvif"))
            .line(format!("<IfModule mod_proxy.c>\nProxyPass /a/ {}/\n</IfModule>", a.url()))
            .line("<IfModule setenvif_module>\nSetEnvIf Host x y\n</IfModule>")
            .line("LogLevel proxy_balancer:info")
            .start();
        for _ in 0..10 {
            httpd.graceful();
            assert_eq!(status(&httpd, "/a/x"), 200, "{mpm:?}");
        }
        // Which modules are loaded may change too.
        httpd.rewrite(|lines| {
            lines.remove(0);
            lines.push(load_line("dir"));
        });
        for _ in 0..3 {
            httpd.graceful();
            assert_eq!(status(&httpd, "/a/x"), 200, "{mpm:?}");
        }
        assert!(httpd.stop(), "{mpm:?}");
        httpd.assert_no_crash();
        httpd.assert_no_unexpected(&[]);
        assert!(!httpd.error_log().contains("AH00525"), "{mpm:?}: {}", httpd.error_log());
    }
}

#[test]
fn modules_that_list_others_can_look_at_the_names() {
    let httpd = margay("listed")
        .module("info")
        .module("status")
        .line("<Location /info>\nSetHandler server-info\n</Location>")
        .line("<Location /status>\nSetHandler server-status\n</Location>")
        .start();
    for page in ["/info", "/info?mod_proxy.c", "/info?mod_proxy_balancer.c", "/info?hooks", "/status"] {
        assert_eq!(status(&httpd, page), 200, "{page}");
    }
    httpd.assert_no_crash();
}
