// SPDX-License-Identifier: Apache-2.0
//! Lines of mod_jk in a real httpd: the promises that hold whatever containers and clients do, both dialects in one
//! server, and real Tomcats.

mod support;

use support::ajp_peer::{After, Peer};
use support::ajp_text;
use support::client::{Client, Response};
use support::httpd::{Front, Httpd, Mpm, free_port, load_line};
use support::load::{Load, expect_ok};
use support::tomcat::Tomcat;
use support::{PATIENCE, jk, scratch_dir, source_dir, wait_until};

fn get(httpd: &Httpd, target: &str, cookie: &str) -> Response {
    Client::new(httpd.address()).get_with_cookie(target, cookie).expect("a response")
}

/// What the tutorial's file says, with other ports and another value of `sticky_session`.
fn tutorial_workers(a: u16, b: u16, sticky: &str) -> String {
    let file = source_dir().join("httpd-conf/examples/tutorial-jk.properties");
    let text = std::fs::read_to_string(file).expect("the tutorial's workers");
    let changed = text
        .replace("port=8009", &format!("port={a}"))
        .replace("port=8010", &format!("port={b}"))
        .replace("sticky_session=1", &format!("sticky_session={sticky}"));
    assert!(changed.contains(&format!("port={a}")) && changed.contains(&format!("sticky_session={sticky}")));
    changed
}

/// httpd with the tutorial's file.
fn tutorial(a: &Tomcat, b: &Tomcat, sticky: &str) -> Httpd {
    let dir = scratch_dir("jk-tutorial");
    let workers = dir.join("workers.properties");
    let recover = "worker.lbcluster1.recover_time=2\n";
    let text = tutorial_workers(a.port(), b.port(), sticky) + recover;
    std::fs::write(&workers, text).expect("the workers");
    std::fs::create_dir_all(dir.join("logs")).expect("a folder");
    let file = source_dir().join("httpd-conf/examples/tutorial-jk.conf");
    let text = std::fs::read_to_string(file).expect("the tutorial's lines");
    let text = text.replace("conf/workers.properties", &workers.display().to_string());
    Httpd::builder("jk-tutorial").module("authz_host").prefix(dir).line(text).start()
}

#[test]
fn the_tutorial_keeps_sessions_survives_a_killed_tomcat_and_has_a_status_page() {
    let launch = |route: &str| Tomcat::launch(scratch_dir(route), route, free_port());
    let (mut a, mut b) = (launch("TomcatA"), launch("TomcatB"));
    a.wait_ready(|_| {});
    b.wait_ready(|_| {});

    let httpd = tutorial(&a, &b, "1");
    let mut browser = Client::with_cookies(httpd.address());
    let first = browser.get("/").expect("a page");
    let node = first.line("node").expect("the node says its name");
    for count in 2..=6 {
        let page = browser.get("/").expect("a page");
        assert_eq!(page.line("node").as_ref(), Some(&node));
        assert_eq!(page.line("count"), Some(count.to_string()));
    }
    let status = get(&httpd, "/status/?mime=txt", "");
    assert!(status.text().contains("Member: name=TomcatA"), "{}", status.text());

    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/")).map(|_| ()));
    load.wait_for_more(200);
    a.kill_9();
    load.wait_for_more(400);
    a.restart();
    wait_until("TomcatA to be used again", PATIENCE, || {
        get(&httpd, "/", "").line("node").as_deref() == Some("TomcatA")
    });
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "failed: {:?}", outcome.failures);
    httpd.assert_no_crash();

    let httpd = tutorial(&a, &b, "0");
    let mut browser = Client::with_cookies(httpd.address());
    let nodes: Vec<_> = (0..4).map(|_| browser.get("/").expect("a page").line("node")).collect();
    assert!(nodes.windows(2).all(|pair| pair[0] != pair[1]), "{nodes:?}");
}

#[test]
fn a_post_that_a_container_began_is_sent_to_nobody_else() {
    for body in [&b""[..], b"payload"] {
        for after in [After::Close, After::Reset] {
            let (a, b) = (Peer::named("A"), Peer::named("B"));
            let httpd =
                jk::builder("jk-post", Some("lb"), &[("a", &a), ("b", &b)]).line("JkMount /* lb").start();
            a.set_script(move |conn, head| {
                conn.read_first_body(head)?;
                Ok(after)
            });
            let mut client = Client::new(httpd.address());
            let response =
                client.request("POST", "/x", &[("Cookie", "JSESSIONID=s.a")], body).expect("a response");
            assert_eq!(response.status, 502);
            assert_eq!((a.requests(), b.requests()), (1, 0), "{after:?}");
            httpd.assert_no_crash();
        }
    }
}

#[test]
fn answers_of_two_containers_are_never_mixed() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = jk::builder("jk-mixed", Some("lb"), &[("a", &a), ("b", &b)]).line("JkMount /* lb").start();
    a.set_script(|conn, _| {
        let mut bytes = ajp_text::headers_packet(200, &[("Content-Type", "text/plain")]);
        for _ in 0..8 {
            bytes.extend_from_slice(&ajp_text::chunk_packet(&[b'a'; 8000]));
        }
        conn.send(&bytes)?;
        Ok(After::Close)
    });
    let response = get(&httpd, "/x", "JSESSIONID=s.a");
    assert!(!response.complete, "an answer that was cut looks whole");
    assert!(response.body.iter().all(|byte| *byte == b'a'), "{}", response.text());
    assert_eq!(b.requests(), 0);
    httpd.assert_no_crash();
}

#[test]
fn no_header_of_a_container_ends_a_child() {
    let a = Peer::named("A");
    let httpd = jk::builder("jk-header", None, &[("a", &a)]).line("JkMount /* a").start();
    assert_eq!(get(&httpd, "/x", "").status, 200);
    let children = httpd.children();
    let text = |value: &[u8]| [&(value.len() as u16).to_be_bytes()[..], value, b"\0"].concat();
    let head = |name: &[u8], value: &[u8]| {
        let payload = [&[4, 0, 200][..], &text(b"OK"), &[0, 1], name, value].concat();
        [b"AB", &(payload.len() as u16).to_be_bytes()[..], &payload].concat()
    };
    let strange = [
        head(&[0xA0, 0x00], &text(b"x")),
        head(&[0xA0, 0xFF], &text(b"x")),
        head(&[0xFF, 0xFF], &text(b"x")),
        head(&text(b"X-A"), &[0xFF, 0xFF]),
        head(&text(b"X-A"), &[0x7F, 0xFF]),
        head(&text(b""), &text(b"x")),
        head(&text(b"X\r\nA"), &text(b"x\r\nInjected: yes")),
        b"AB\0\x04\x04\0\xC8\xFF".to_vec(),
        b"AB\0\0".to_vec(),
        b"AB\xFF\xFF".to_vec(),
    ];
    for bytes in strange {
        let sent = bytes.clone();
        a.set_script(move |conn, _| {
            conn.send(&sent)?;
            Ok(After::Close)
        });
        if let Ok(response) = Client::new(httpd.address()).get("/x") {
            assert!(response.header("Injected").is_none(), "{bytes:x?}");
        }
    }
    a.set_script(|conn, _| conn.answer(200, &[], &[b"A"]));
    assert_eq!(get(&httpd, "/x", "").text(), "A");
    assert!(children.iter().all(|pid| httpd.children().contains(pid)), "a child died");
    httpd.assert_no_crash();
}

#[test]
fn a_malformed_message_is_502_and_where_it_is_wanted_500_as_by_mod_jk() {
    let a = Peer::named("A");
    let httpd = jk::builder("jk-malformed", None, &[("a", &a)])
        .module("setenvif")
        .line("JkMount /* a\nSetEnvIf Request_URI ^/old margay-jk-500=1")
        .start();
    a.set_script(|conn, _| {
        // Of no known type.
        conn.send(b"AB\0\x01\x63")?;
        Ok(After::Keep)
    });
    let expected = if httpd.front().is_margay() { 502 } else { 500 };
    assert_eq!((get(&httpd, "/new", "").status, get(&httpd, "/old", "").status), (expected, 500));
}

#[test]
fn a_stray_answer_is_not_given_to_the_next_client() {
    let a = Peer::named("A");
    let httpd = jk::builder("jk-stray", None, &[("a", &a)])
        .line("JkMount /* a")
        .mpm_lines("StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8")
        .start();
    a.set_script(|conn, head| {
        let mut bytes = ajp_text::headers_packet(200, &[("Content-Length", "3")]);
        bytes.extend_from_slice(&ajp_text::chunk_packet(b"own"));
        bytes.extend_from_slice(&ajp_text::end_packet(true));
        if head.uri == "/twice" {
            // A whole second answer that nobody asked for.
            bytes.extend_from_slice(&ajp_text::headers_packet(200, &[("Content-Length", "6")]));
            bytes.extend_from_slice(&ajp_text::chunk_packet(b"secret"));
            bytes.extend_from_slice(&ajp_text::end_packet(true));
        }
        conn.send(&bytes)?;
        Ok(After::Keep)
    });
    for _ in 0..5 {
        assert_eq!(get(&httpd, "/twice", "").text(), "own");
        assert_eq!(get(&httpd, "/next", "").text(), "own");
    }
    httpd.assert_no_crash();
}

#[test]
fn both_dialects_serve_in_one_server_and_share_nothing_by_accident() {
    for mpm in Mpm::ALL {
        let (a, b, c) = (Peer::named("A"), Peer::named("B"), Peer::named("C"));
        // The names are the same on purpose.
        let httpd = jk::builder("jk-both", Some("c"), &[("a", &a), ("b", &b)])
            .front(Front::Margay)
            .mpm(mpm)
            .line(format!("<Proxy balancer://c>\nBalancerMember {} route=a\n</Proxy>", c.url()))
            .line("ProxyPass /proxy/ balancer://c/ stickysession=JSESSIONID\nJkMount /jk/* c")
            .line("JkWorkerProperty worker.list=st\nJkWorkerProperty worker.st.type=status\nJkMount /st st")
            .line("<Location /manager>\nSetHandler balancer-manager\n</Location>")
            .start();
        for _ in 0..3 {
            assert_eq!(get(&httpd, "/proxy/x", "JSESSIONID=s.a").text(), "C");
            assert_eq!(get(&httpd, "/jk/x", "JSESSIONID=s.a").text(), "A");
            assert_eq!(get(&httpd, "/jk/x", "JSESSIONID=s.b").text(), "B");
        }
        c.go_down();
        assert_eq!(get(&httpd, "/proxy/x", "").status, 503);
        assert_eq!(get(&httpd, "/jk/x", "JSESSIONID=s.a").text(), "A");
        let page = get(&httpd, "/manager", "").text();
        assert!(page.contains("balancer://c"), "{page}");
        let status = get(&httpd, "/st?mime=txt", "").text();
        assert!(status.contains("name=c type=lb") && status.contains(r#"source="ProxyPass""#), "{status}");
        httpd.graceful();
        assert_eq!(get(&httpd, "/jk/x", "JSESSIONID=s.b").text(), "B");
        httpd.assert_no_crash();
    }
}

#[test]
fn the_first_dialect_that_has_a_rule_is_that_of_mod_proxy() {
    let (a, c) = (Peer::named("A"), Peer::named("C"));
    let httpd = jk::builder("jk-precedence", None, &[("a", &a)])
        .front(Front::Margay)
        .line(format!("JkMount /* a\nProxyPass /p/no/ !\nProxyPass /p/ {}/p/", c.url()))
        .start();
    assert_eq!(get(&httpd, "/p/x", "").text(), "C");
    assert_eq!(get(&httpd, "/p/no/x", "").text(), "A");
    assert_eq!(get(&httpd, "/x", "").text(), "A");
}

#[test]
fn a_real_mod_jk_that_was_loaded_first_serves_and_one_loaded_later_is_refused() {
    let a = Peer::named("A");
    let lines = jk::builder("jk-real-first", None, &[("a", &a)]).front(Front::Margay).line("JkMount /* a");
    let httpd = lines.module("jk").start();
    assert_eq!(get(&httpd, "/x", "").text(), "A");
    assert_eq!(httpd.error_log().matches("MGY0912").count(), 1, "{}", httpd.error_log());
    assert!(jk::log(&httpd).contains("mod_jk.c"), "{}", jk::log(&httpd));

    let verdict = Httpd::builder("jk-real-later").front(Front::Margay).line(load_line("jk")).check();
    let ways = ["MGY0901", "a2dismod jk", "LoadModule line above"];
    assert!(!verdict.ok && ways.iter().all(|way| verdict.text.contains(way)), "{}", verdict.text);
}

#[test]
fn what_the_names_of_mod_jk_guard_is_read() {
    let a = Peer::named("A");
    let httpd = jk::builder("jk-ifmodule", None, &[("a", &a)])
        .line("<IfModule jk_module>\nJkMount /symbol a\n</IfModule>\n<IfModule mod_jk.c>\nJkMount /file a\n</IfModule>")
        .line("LogLevel jk:debug")
        .start();
    assert_eq!(get(&httpd, "/symbol", "").text(), "A");
    assert_eq!(get(&httpd, "/file", "").text(), "A");
}

#[test]
fn maintenance_runs_with_a_watchdog_and_without() {
    for watchdog in ["0", "1"] {
        for mpm in Mpm::ALL {
            let (a, b) = (Peer::named("A"), Peer::named("B"));
            let httpd = jk::builder("jk-watchdog", None, &[("a", &a), ("b", &b)])
                .mpm(mpm)
                .line(format!("JkWatchdogInterval {watchdog}\nJkWorkerProperty worker.maintain=1"))
                .line("JkWorkerProperty worker.b.connection_pool_timeout=1")
                .line("JkWorkerProperty worker.b.connection_pool_minsize=0\nJkMount /x a\nJkMount /b b")
                .mpm_lines(match mpm {
                    Mpm::Prefork => "StartServers 1\nMinSpareServers 1\nMaxSpareServers 1\nMaxRequestWorkers 1",
                    _ => "StartServers 1\nServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4",
                })
                .start();
            assert_eq!(get(&httpd, "/b", "").text(), "B");
            wait_until("the idle connection to be closed", PATIENCE, || {
                if watchdog == "0" {
                    // Without a watchdog, requests for any worker do it.
                    assert_eq!(get(&httpd, "/x", "").text(), "A");
                }
                b.closed() > 0
            });
            httpd.graceful();
            assert_eq!(get(&httpd, "/x", "").text(), "A", "{mpm:?}");
            assert!(httpd.stop(), "{mpm:?}: httpd had to be killed");
            httpd.assert_no_crash();
        }
    }
}
