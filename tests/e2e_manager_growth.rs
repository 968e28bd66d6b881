// SPDX-License-Identifier: Apache-2.0
//! balancer-manager in a real httpd: members that join while the server runs, and changes of health checks.

mod support;

use support::ajp_peer::Peer;
use support::black_hole::BlackHole;
use support::client::Client;
use support::httpd::{Front, Httpd, Mpm};
use support::manager::{
    answers, assert_all, familiar, load_checks, manage, post, server, values, wait_until_idle, xml,
};
use support::{PATIENCE, wait_until};

const MPMS: [Mpm; 2] = [Mpm::Event, Mpm::Prefork];

/// One member of the file, room for two more.
fn growing(a: &Peer) -> String {
    format!(
        "<Proxy balancer://c>\nBalancerMember {} route=A\n\
         ProxySet stickysession=JSESSIONID nonce=secret growth=2\n</Proxy>\nProxyPass / balancer://c/",
        a.url()
    )
}

fn join(httpd: &Httpd, peer: &Peer, form: &str) {
    post(httpd, &format!("b=c&nonce=secret&b_wyes=1&b_nwrkr={}", peer.url()));
    post(httpd, &format!("b=c&nonce=secret&w={}&{form}", peer.url()));
}

fn names(httpd: &Httpd) -> Vec<String> {
    let mut names = values(&xml(httpd), "name");
    names.retain(|name| !name.starts_with("balancer://"));
    names
}

/// What a form of the manager is answered with, by both, line by line.
#[track_caller]
fn assert_same(fronts: &[Httpd; 2], peers: [&Peer; 3], method: &str, text: &str) {
    let text = ["A", "B", "C"]
        .iter()
        .zip(peers)
        .fold(text.to_owned(), |text, (name, peer)| text.replace(&format!("@{name}"), &peer.url()));
    let [stock, ours] = fronts.each_ref().map(|httpd| {
        let response = match method {
            "GET" => manage(httpd, "GET", &format!("/bm?{text}"), ""),
            _ => manage(httpd, "POST", "/bm", &text),
        };
        let page = response.text().replace(&httpd.address().port().to_string(), "PORT");
        // Methods come in another order, and we have a way to choose no condition.
        let is_known =
            |line: &String| line.contains("<option value='by") || line.contains("<option value='' ");
        let lines = if response.status == 200 { familiar(&page) } else { Vec::new() };
        let lines = lines.iter().map(|line| without_load(line));
        (response.status, lines.filter(|line| !is_known(line)).collect::<Vec<_>>())
    });
    for (ours, stock) in ours.1.iter().zip(&stock.1) {
        assert_eq!(ours, stock, "{method} {text}");
    }
    assert_eq!((ours.0, ours.1.len()), (stock.0, stock.1.len()), "{method} {text}");
}

/// A row of the page without the column `Load`: where changes make the counters begin anew, stock waits for a request.
fn without_load(line: &str) -> String {
    let mut cells: Vec<&str> = line.split("<td>").collect();
    if line.starts_with("<td><a ") && cells.len() > 11 {
        cells.remove(9);
    }
    let line = cells.join("<td>");
    if line.contains("<httpd:lbstatus>") { String::new() } else { line }
}

/// Forms and what they do, one after the other.
const FORMS: &[&str] = &[
    "b_nwrkr=@C",
    "b_nwrkr=@C&b_wyes=0",
    "b_nwrkr=@C&b_wyes=2&b_tmo=9",
    "b_nwrkr=@C&b_wyes=1&b_tmo=3",
    "b_nwrkr=@C&b_wyes=1",
    "b_nwrkr=@A&b_wyes=1&b_tmo=44",
    "b_nwrkr=@C/app&b_wyes=1",
    "b_nwrkr=foo&b_wyes=1",
    "b_nwrkr=/x&b_wyes=1",
    "b_nwrkr=&b_wyes=1",
    "w=@C&w_wr=R&w_rr=A&w_lf=3.5&w_ls=4&w_status_H=1",
    "w=@C&w_status_D=0&w_status_H=0&w_ls=0",
    "b_nwrkr=HTTP://LOCALHOST:80/Foo&b_wyes=1&b_sforce=1",
    "b_nwrkr=ajp://127.0.0.1:2&b_wyes=1&b_sforce=0",
    "w=@C&w_hm=GET&w_hi=600s&w_hu=/a&w_he=fine",
    "w=@A&w_hm=get&w_hi=599s",
    "w=@A&w_hm=bogus&w_hi=99",
    "w=@A&w_hi=5min&w_hp=0&w_hf=0",
    "w=@A&w_hi=abc&w_hp=3x&w_hf=7",
    "w=@A&w_hi=-5&w_hp=-1&w_hf=",
    "w=@A&w_hu=/health&w_he=FINE",
    "w=@A&w_he=other",
    "w=@A&w_hm=CPING",
    "w=@A&w_hm=HEAD11&w_he=other",
    "w=@A&w_hm=TCP&w_he=other",
    "w=@A&w_hm=NONE",
    "w=@A&w_he=&w_hu=",
    "w=@B&w_hm=NONE&w_hi=10000000",
    "w=@A&w_status_C=1",
    "w=@A&w_status_C=0&w_status_D=1&w_status_N=1&w_status_I=1&w_status_R=1&w_status_S=1",
    "w=@A&w_status_D=0&w_status_N=0&w_status_I=0&w_status_R=0&w_status_S=0",
    "w=@A&w_lf=0.5",
    "w=@A&w_lf=101",
    "w=@A&w_lf=100.00",
    "w=@A&w_lf=1.009",
    "w=@A&w_lf=abc",
    "w=@A&w_ls=99",
    "w=@A&w_ls=100",
    "w=@A&w_ls=-1",
    "w=@A&w_ls=",
    "w=@A&w_wr=a%20b%22%3C&w_rr=x%26y",
    "w=@A&w_wr=&w_rr=",
    "b_tmo=7200&b_max=99&b_sforce=1&b_ss=A|B",
    "b_tmo=7201&b_max=100&b_sforce=2&b_ss=&b_lbm=ByRequests",
    "b_tmo=-1&b_max=-1&b_sforce=x&b_lbm=nonsense",
    "b_tmo=&b_max=&b_sforce=&b_lbm=",
    "b_ss=-",
    "b_ss=S|",
    "b_ss=|",
    "b_ss=S|s|t",
    "w=http://nobody&w_lf=3",
];

#[test]
fn every_form_does_what_it_does_to_stock() {
    let peers = [Peer::named("A"), Peer::named("B"), Peer::named("C")];
    // With maxattempts= written, stock's number does not stay behind when a member joins.
    let lines = format!(
        "ProxyHCExpr fine {{%{{REQUEST_STATUS}} =~ /^2/}}\nProxyHCExpr other {{%{{REQUEST_STATUS}} =~ /^3/}}\n\
         <Proxy balancer://c>\nBalancerMember {} route=A\n\
         BalancerMember {} hcmethod=OPTIONS hcinterval=3600 hcpasses=2 hcfails=3 hcuri=/up hcexpr=fine\n\
         ProxySet nonce=secret growth=3 maxattempts=1 stickysession=JSESSIONID\n</Proxy>\n\
         <Proxy balancer://full>\nBalancerMember ajp://127.0.0.1:1\nProxySet nonce=secret\n</Proxy>\n\
         ProxyPass /full balancer://full\nProxyPass / balancer://c/",
        peers[0].url(),
        peers[1].url()
    );
    let fronts = [Front::Stock, Front::Margay].map(|front| {
        let mut builder = server("manager-table", front, Mpm::Event, "");
        if front == Front::Stock {
            builder = builder.line(load_checks());
        }
        builder.line(&lines).start()
    });
    let peers = [&peers[0], &peers[1], &peers[2]];
    for page in ["", "b=c", "b=full", "b=C&w=@A", "b=c&w=@B", "b=c&W=@B", "xml=1", "xml", "XML=1"] {
        assert_same(&fronts, peers, "GET", page);
    }
    for form in FORMS {
        assert_same(&fronts, peers, "POST", &format!("b=c&nonce=secret&{form}"));
    }
    for form in [
        "b=full&nonce=secret&b_nwrkr=@C&b_wyes=1",
        "b=full&nonce=wrong&b_nwrkr=@C&b_wyes=1",
        "b=full&b_nwrkr=@C&b_wyes=1",
        "b=nobody&nonce=secret&b_nwrkr=@C&b_wyes=1",
        "b=c&nonce=secret&xml=1",
    ] {
        assert_same(&fronts, peers, "POST", form);
    }
    for page in ["b=c", "b=c&w=@C", "b=c&w=http://localhost/Foo", "xml=1"] {
        assert_same(&fronts, peers, "GET", page);
    }
}

#[test]
fn a_member_that_joins_serves_in_all_children_and_stays_over_graceful_restarts() {
    for mpm in MPMS {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let httpd = server("manager-join", Front::Margay, mpm, &growing(&a)).start();
        assert_all(&answers(&httpd, "JSESSIONID=s.B", 8), "A");
        post(&httpd, &format!("b=c&nonce=secret&b_wyes=1&b_nwrkr={}", b.url()));
        assert_eq!(values(&xml(&httpd), "status"), ["Init Ok ", "Init Dis "], "{mpm:?}");
        assert_all(&answers(&httpd, "JSESSIONID=s.B", 8), "A");

        post(&httpd, &format!("b=c&nonce=secret&w={}&w_status_D=0&w_wr=B", b.url()));
        assert_all(&answers(&httpd, "JSESSIONID=s.B", 12), "B");
        assert_all(&answers(&httpd, "JSESSIONID=s.A", 12), "A");
        let spread = answers(&httpd, "", 12);
        assert_eq!(spread.iter().filter(|answer| *answer == "B").count(), 6, "{mpm:?}: {spread:?}");
        assert!(httpd.access_log().contains(&format!("worker={}", b.url())), "{}", httpd.access_log());

        httpd.graceful();
        assert_all(&answers(&httpd, "JSESSIONID=s.B", 12), "B");
        // Whoever is tried and fails gives the request to the other, in both directions.
        a.go_down();
        assert_all(&answers(&httpd, "JSESSIONID=s.A", 12), "B");
        wait_until_idle(&httpd);
        assert_eq!(names(&httpd), [a.url(), b.url()], "{mpm:?}");
        httpd.assert_no_crash();
    }
}

#[test]
fn what_the_file_says_goes_before_who_joined() {
    let (a, b, c) = (Peer::named("A"), Peer::named("B"), Peer::named("C"));
    let httpd = server("manager-file", Front::Margay, Mpm::Event, &growing(&a)).start();
    join(&httpd, &b, "w_status_D=0&w_wr=north&w_lf=5");
    join(&httpd, &c, "w_status_D=0&w_wr=C");
    assert_all(&answers(&httpd, "JSESSIONID=s.C", 4), "C");
    httpd.rewrite(|lines| {
        let declared = format!("BalancerMember {} route=B loadfactor=2", b.url());
        let at = lines.iter().position(|line| line.contains("<Proxy balancer://c>")).expect("the balancer");
        lines[at] = lines[at].replace("</Proxy>", &format!("{declared}\n</Proxy>"));
    });
    httpd.graceful();
    wait_until("the file's values", PATIENCE, || {
        names(&httpd) == [a.url(), b.url(), c.url()] && values(&xml(&httpd), "route") == ["A", "B", "C"]
    });
    assert_all(&answers(&httpd, "JSESSIONID=s.B", 4), "B");
    assert_all(&answers(&httpd, "JSESSIONID=s.C", 4), "C");
    // The place that became free again can be taken.
    let d = Peer::named("D");
    join(&httpd, &d, "w_status_D=0&w_wr=D");
    assert_all(&answers(&httpd, "JSESSIONID=s.D", 4), "D");

    httpd.rewrite(|lines| {
        lines.iter_mut().for_each(|line| *line = line.replace("balancer://c", "balancer://other"));
    });
    httpd.graceful();
    wait_until("the new balancer", PATIENCE, || names(&httpd) == [a.url(), b.url()]);
}

#[test]
fn with_balancer_persist_who_joined_survives_a_stop() {
    for persist in ["On", "Off"] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let lines = format!("BalancerPersist {persist}\n{}", growing(&a));
        let httpd = server("manager-join-persist", Front::Margay, Mpm::Event, &lines).start();
        join(&httpd, &b, "w_status_D=0&w_wr=B&w_hm=TCP&w_hi=900s&w_hf=4");
        assert_all(&answers(&httpd, "JSESSIONID=s.B", 3), "B");
        let (prefix, port) = (httpd.prefix().to_owned(), httpd.address().port());
        assert!(httpd.stop());
        drop(httpd);

        let builder = server("manager-join-persist", Front::Margay, Mpm::Event, &lines);
        let again = builder.prefix(prefix).at_port(port).start();
        let is_back = persist == "On";
        assert_eq!(names(&again).len(), 1 + usize::from(is_back), "{persist}");
        assert_all(&answers(&again, "JSESSIONID=s.B", 3), if is_back { "B" } else { "A" });
        let page = manage(&again, "GET", "/bm", "").text();
        assert_eq!(
            page.contains("<td>TCP</td><td>900000ms</td><td>1 (0)</td><td>4 (0)</td>"),
            is_back,
            "{page}"
        );
    }
}

#[test]
fn a_refused_member_says_why_in_the_log() {
    let a = Peer::named("A");
    let httpd = server("manager-refuse", Front::Margay, Mpm::Event, &growing(&a)).start();
    let refused = |form: &str, why: &str| {
        assert_eq!(manage(&httpd, "POST", "/bm", &format!("b=c&nonce=secret&b_wyes=1&{form}")).status, 400);
        let log = httpd.error_log();
        assert!(log.lines().any(|line| line.contains("MGY4005") && line.contains(why)), "{why}: {log}");
    };
    refused("b_nwrkr=balancer://d", "a balancer cannot be a member of a balancer (AH10163)");
    refused("b_nwrkr=ftp://127.0.0.1/", "cannot speak ftp");
    refused(&format!("b_nwrkr={}/x", a.url()), "is a member already (AH10164)");
    for port in [2, 3] {
        post(&httpd, &format!("b=c&nonce=secret&b_wyes=1&b_nwrkr=ajp://127.0.0.1:{port}"));
    }
    refused("b_nwrkr=ajp://127.0.0.1:4", "the 2 places of growth= are taken");
    assert_eq!(names(&httpd).len(), 3);
}

#[test]
fn checks_that_are_switched_on_and_off_act_within_an_interval() {
    for mpm in MPMS {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let httpd = server("manager-checks-on", Front::Margay, mpm, &growing(&a))
            .line("LogLevel margay:info")
            .start();
        join(&httpd, &b, "w_status_D=0&w_wr=B");
        b.go_down();
        // Nobody asks B, so only a check can know.
        post(&httpd, &format!("b=c&nonce=secret&w={}&w_hm=CPING&w_hi=100", b.url()));
        let status = |expected: &str| {
            wait_until(expected, PATIENCE, || values(&xml(&httpd), "status")[1] == expected);
        };
        status("Init HcFl ");
        let page = manage(&httpd, "GET", "/bm", "").text();
        assert!(page.contains(" GMT: it failed its health checks"), "{page}");
        b.come_back();
        status("Init Ok ");
        post(&httpd, &format!("b=c&nonce=secret&w={}&w_hm=NONE", b.url()));
        assert!(manage(&httpd, "GET", "/bm", "").text().contains("<td>NONE</td><td>100ms</td>"), "{mpm:?}");
        b.go_down();
        post(&httpd, &format!("b=c&nonce=secret&w={}&w_hm=TCP", b.url()));
        status("Init HcFl ");
        httpd.graceful();
        status("Init HcFl ");
        b.come_back();
        status("Init Ok ");
        httpd.assert_no_crash();
    }
}

#[test]
fn the_page_says_since_when_and_why_a_member_is_dead() {
    let (refuses, silent) = (Peer::named("A"), BlackHole::open());
    let lines = format!(
        "<Proxy balancer://c>\nBalancerMember {} route=A retry=600\n\
         BalancerMember {} route=B connectiontimeout=200ms retry=600\n\
         ProxySet nonce=secret stickysession=JSESSIONID forcerecovery=Off\n</Proxy>\n\
         <Proxy balancer://slow>\nBalancerMember {} timeout=1 retry=600\n\
         ProxySet failontimeout=on\n</Proxy>\nProxyPass /slow balancer://slow\nProxyPass / balancer://c/",
        refuses.url(),
        silent.url(),
        refuses.url(),
    );
    let httpd = server("manager-why", Front::Margay, Mpm::Event, &lines).start();
    let reasons = || -> Vec<String> {
        let page = manage(&httpd, "GET", "/bm", "").text();
        let rows = page.lines().filter(|line| line.starts_with("<td><a "));
        rows.map(|row| row.rsplit("<td>").next().unwrap_or_default().replace("</td></tr>", "")).collect()
    };
    refuses.set_script(|conn, _| {
        conn.wait_until_told();
        conn.answer(200, &[], &[b"late"])
    });
    let _ = Client::new(httpd.address()).get("/slow");
    assert!(reasons()[2].contains(" GMT: it did not answer in time"), "{:?}", reasons());
    refuses.tell();
    refuses.go_down();
    assert_all(&answers(&httpd, "", 1), "503");
    for reason in &reasons()[..2] {
        assert!(reason.contains(" GMT: no connection could be made"), "{:?}", reasons());
    }
    let mut statuses = values(&xml(&httpd), "status");
    statuses.dedup();
    assert_eq!(statuses, ["Init Err "]);
}
