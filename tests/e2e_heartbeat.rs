// SPDX-License-Identifier: Apache-2.0
//! `lbmethod=heartbeat`: the load members announce decides, whether it comes from a file, from mod_heartmonitor, or
//! from real mod_heartbeat senders over UDP.

mod support;

use std::fs;
use std::net::{TcpStream, UdpSocket};

use support::client::Client;
use support::http_peer::Peer;
use support::httpd::{Builder, Front, Httpd, free_port, load_line};
use support::{PATIENCE, wait_until};

const FRONTS: [Front; 2] = [Front::Stock, Front::Margay];

fn front(name: &str, front: Front) -> Builder {
    let builder = Httpd::builder(name).front(front);
    if front.is_margay() { builder } else { builder.line(load_line("lbmethod_heartbeat")) }
}

fn balancer(builder: Builder, members: &[&Peer]) -> Builder {
    let mut lines = vec!["<Proxy balancer://c>".to_owned()];
    lines.extend(members.iter().map(|peer| format!("BalancerMember {} retry=0", peer.url())));
    lines.push("ProxySet lbmethod=heartbeat\n</Proxy>\nProxyPass /c/ balancer://c/".to_owned());
    builder.line(lines.join("\n"))
}

fn ask(httpd: &Httpd) -> (u16, String) {
    let response = Client::new(httpd.address()).get("/c/x").expect("a response");
    (response.status, response.text())
}

/// How many of `count` requests each of the names answered.
fn shares(httpd: &Httpd, names: [&str; 2], count: usize) -> [usize; 2] {
    let mut client = Client::new(httpd.address());
    let answers: Vec<String> = (0..count).map(|_| client.get("/c/x").expect("a response").text()).collect();
    names.map(|name| answers.iter().filter(|answer| *answer == name).count())
}

#[test]
fn the_file_of_mod_heartmonitor_is_read_as_stock_reads_it() {
    for kind in FRONTS {
        let (a, b) = (Peer::named_on("127.0.0.2", "A"), Peer::named_on("127.0.0.3", "B"));
        let httpd = balancer(front("hb-file", kind).line("HeartbeatStorage beats.txt"), &[&a, &b]).start();
        let file = httpd.prefix().join("run/beats.txt");
        assert_eq!(ask(&httpd).0, 503, "{kind:?}: without a file");
        wait_until("the line in the log", PATIENCE, || httpd.error_log().contains("AH01213"));
        let write = |text: &str| fs::write(&file, text).expect("the file");
        write(
            "# a comment\n127.0.0.2 &ready=75&busy=1&lastseen=1&port=80\n127.0.0.3 &ready=25&busy=1&lastseen=1&port=80\n",
        );
        let [of_a, of_b] = shares(&httpd, ["A", "B"], 200);
        assert!(of_a + of_b == 200 && (110..190).contains(&of_a), "{kind:?}: {of_a} and {of_b}");
        // Silent for ten seconds, or nothing to offer.
        for silent in ["&ready=75&busy=1&lastseen=10", "&ready=0&busy=9&lastseen=0"] {
            write(&format!("127.0.0.3 &ready=25&busy=1&lastseen=9\n127.0.0.2 {silent}\n"));
            let [of_a, of_b] = shares(&httpd, ["A", "B"], 40);
            // Stock counts one place too many, which now and then goes to a member that has none.
            assert!(of_a + of_b == 40 && of_a <= usize::from(!kind.is_margay()) * 10, "{kind:?}: {of_a}");
        }
        write("127.0.0.9 &ready=9&busy=1&lastseen=0\n");
        assert_eq!(ask(&httpd).0, 503, "{kind:?}: nobody was heard of");
        httpd.assert_no_crash();
    }
}

#[test]
fn a_new_member_gets_something_even_if_it_has_few_places() {
    let a = Peer::named_on("127.0.0.2", "A");
    let httpd = balancer(front("hb-few", Front::Margay), &[&a]).start();
    fs::write(httpd.prefix().join("run/hb.dat"), "127.0.0.2 &ready=3&busy=0&lastseen=0\n").expect("the file");
    assert_eq!(ask(&httpd), (200, "A".to_owned()), "the standard file");
    httpd.assert_no_unexpected(&[]);
}

#[test]
fn two_members_of_one_machine_share_its_heartbeat() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = balancer(front("hb-same", Front::Margay), &[&a, &b]).start();
    fs::write(httpd.prefix().join("run/hb.dat"), "127.0.0.1 &ready=50&busy=5&lastseen=0\n")
        .expect("the file");
    let [of_a, of_b] = shares(&httpd, ["A", "B"], 100);
    assert!(of_a > 20 && of_b > 20, "{of_a} and {of_b}");
}

#[test]
fn a_member_that_drains_or_failed_is_left_out() {
    let (a, b) = (Peer::named_on("127.0.0.2", "A"), Peer::named_on("127.0.0.3", "B"));
    let lines = format!(
        "<Proxy balancer://c>\nBalancerMember {} status=+N\nBalancerMember {}\nProxySet lbmethod=heartbeat\n</Proxy>\n\
         ProxyPass /c/ balancer://c/",
        a.url(),
        b.url()
    );
    let httpd = front("hb-drain", Front::Margay).line(lines).start();
    let beats = "127.0.0.2 &ready=90&busy=5&lastseen=0\n127.0.0.3 &ready=9&busy=5&lastseen=0\n";
    fs::write(httpd.prefix().join("run/hb.dat"), beats).expect("the file");
    assert_eq!(shares(&httpd, ["A", "B"], 30), [0, 30]);
    b.go_down();
    assert_eq!(ask(&httpd).0, 503);
}

#[test]
fn the_slots_of_a_real_mod_heartmonitor_are_read() {
    for kind in FRONTS {
        let (a, b) = (Peer::named_on("127.0.0.1", "A"), Peer::named_on("::1", "B"));
        let six = free_port();
        let mut builder = front("hb-slots", kind);
        if kind.is_margay() {
            builder = builder.line(load_line("slotmem_shm"));
        }
        // The group all hosts are in: joining it sends nothing.
        let httpd = balancer(builder, &[&a, &b])
            .line(load_line("heartmonitor"))
            .line(format!("HeartbeatListen 224.0.0.1:{}\nListen [::1]:{six}", free_port()))
            .line("<Location /beat>\nSetHandler heartbeat\n</Location>")
            .start();
        assert_eq!(ask(&httpd).0, 503, "{kind:?}: nobody was heard of");
        let post = |address: std::net::SocketAddr, text: &str| {
            let raw = format!("POST /beat HTTP/1.0\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            let mut client = Client::new(address);
            client.send_raw(raw.as_bytes()).expect("sent");
            assert_eq!(client.read_response("POST").expect("a response").status, 200, "{kind:?}");
        };
        post(httpd.address(), "v=1&ready=60&busy=3");
        let [of_a, of_b] = shares(&httpd, ["A", "B"], 20);
        assert_eq!([of_a, of_b], [20, 0], "{kind:?}");
        // Stock knows the member by the letters of its URL.
        if kind.is_margay() {
            post(([0, 0, 0, 0, 0, 0, 0, 1], six).into(), "v=1&ready=20&busy=3");
            let [of_a, of_b] = shares(&httpd, ["A", "B"], 200);
            assert!(of_a + of_b == 200 && (110..190).contains(&of_a), "{of_a} and {of_b}");
            httpd.graceful();
        }
        httpd.assert_no_crash();
    }
}

/// Passes messages on to a port of loopback from an address of its own: all of one machine come from the same one
/// otherwise. The port it takes them at.
fn relay(from: &'static str, to: u16) -> u16 {
    let inlet = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = inlet.local_addr().expect("its number").port();
    let outlet = UdpSocket::bind((from, 0)).expect("a free port");
    std::thread::spawn(move || {
        let mut message = [0; 1024];
        while let Ok(length) = inlet.recv(&mut message) {
            let _ = outlet.send_to(&message[..length], ("127.0.0.1", to));
        }
    });
    port
}

/// An httpd with mod_heartbeat that announces itself, with this many threads.
fn sender(name: &str, to: u16, threads: usize) -> Httpd {
    Httpd::builder(name)
        .front(Front::Stock)
        .mpm_lines(format!(
            "ServerLimit 1\nStartServers 1\nThreadsPerChild {threads}\nMinSpareThreads {threads}\nMaxSpareThreads {threads}\n\
             MaxRequestWorkers {threads}"
        ))
        .line(load_line("heartbeat"))
        .line(format!("HeartbeatAddress 127.0.0.1:{to}"))
        .start()
}

#[test]
fn real_senders_are_heard_and_the_loaded_one_gets_less() {
    let port = free_port();
    let (a, b) = (Peer::named_on("127.0.0.2", "A"), Peer::named_on("127.0.0.3", "B"));
    let httpd = balancer(front("hb-udp", Front::Margay), &[&a, &b])
        .line(format!("HeartbeatListen 127.0.0.1:{port}"))
        .line("LogLevel info")
        .start();
    assert_eq!(ask(&httpd).0, 503, "nobody was heard of");
    let idle = sender("hb-idle", relay("127.0.0.2", port), 40);
    wait_until("the first sender is heard", PATIENCE, || ask(&httpd).0 == 200);
    let loaded = sender("hb-loaded", relay("127.0.0.3", port), 40);
    // Requests that never end keep its threads busy.
    let _busy: Vec<TcpStream> = (0..38)
        .map(|_| {
            let mut stream = TcpStream::connect(loaded.address()).expect("a connection");
            std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n").expect("sent");
            stream
        })
        .collect();
    // The idle one announces 40 free threads and gets a quarter of that; the loaded one has 2, as soon as it says so.
    wait_until("the loaded one gets less", PATIENCE, || {
        let [of_a, of_b] = shares(&httpd, ["A", "B"], 60);
        of_a + of_b == 60 && of_b > 0 && of_a > 2 * of_b
    });
    // A restart of the front end hands the listening over.
    httpd.graceful();
    assert!(idle.stop(), "the sender stops");
    wait_until("the silent one is left out", PATIENCE, || shares(&httpd, ["A", "B"], 20) == [0, 20]);
    httpd.assert_no_unexpected(&["AH01170", "MGY2002"]);
}

#[test]
fn the_module_starts_alone_and_refuses_what_cannot_be_heard() {
    let alone =
        front("hb-alone", Front::Margay).line("HeartbeatStorage hb.dat\nHeartbeatMaxServers 20").check();
    assert!(alone.ok, "{}", alone.text);
    for (line, text) in [
        ("HeartbeatListen 239.0.0.1", "No port provided"),
        ("HeartbeatListen 27999", "No host provided"),
        ("HeartbeatListen nobody.invalid:1", "apr_sockaddr_info_get failed"),
        ("HeartbeatListen 239.0.0.1:1\nHeartbeatListen 239.0.0.1:2", "May only be specified once"),
        ("HeartbeatMaxServers 5", "greater or equal than 10"),
        ("<VirtualHost *>\nHeartbeatStorage x\n</VirtualHost>", "cannot occur within <VirtualHost>"),
        ("<Location />\nHeartbeatStorage x\n</Location>", "not allowed"),
    ] {
        let verdict = front("hb-refused", Front::Margay).line(line).check();
        assert!(!verdict.ok && verdict.text.contains(text), "{line}: {}", verdict.text);
    }
}
