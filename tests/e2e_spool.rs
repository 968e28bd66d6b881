// SPDX-License-Identifier: Apache-2.0
//! Large bodies whose length must be told first are kept in a file, not in memory.

mod support;

use std::fs;

use support::client::Client;
use support::http_peer::Peer;
use support::httpd::{Front, Httpd};
use support::{PATIENCE, wait_until};

const MIB: usize = 1 << 20;
const SIZE: usize = 64 * MIB;

/// The most memory a process ever had, in KiB, pages of files included.
fn high_water(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("our own child");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// A byte of the body by its place: no two neighbouring blocks are alike.
fn byte_at(place: usize) -> u8 {
    (place / 4099 + place % 251) as u8
}

fn post_in_chunks(httpd: &Httpd, target: &str, size: usize) -> u16 {
    let mut client = Client::new(httpd.address());
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_raw(head.as_bytes()).expect("sent");
    for start in (0..size).step_by(MIB) {
        let end = (start + MIB).min(size);
        let mut chunk = format!("{:x}\r\n", end - start).into_bytes();
        chunk.extend((start..end).map(byte_at));
        chunk.extend(b"\r\n");
        client.send_raw(&chunk).expect("sent");
    }
    client.send_raw(b"0\r\n\r\n").expect("sent");
    client.read_response("POST").expect("a response").status
}

/// Reads the body by length and compares every byte.
fn careful() -> Peer {
    Peer::start(|conn, head| {
        let length: usize = head.get("Content-Length").expect("a length").parse().expect("a number");
        let mut place = 0;
        while place < length {
            let part = conn.read_exact((length - place).min(MIB))?;
            let good = part.iter().enumerate().all(|(at, byte)| *byte == byte_at(place + at));
            assert!(good, "wrong bytes after {place}");
            place += part.len();
        }
        conn.answer("200 OK", &[], length.to_string().as_bytes())
    })
}

#[test]
fn a_body_of_64_mib_does_not_lie_in_memory() {
    let peer = careful();
    let httpd = Httpd::builder("spool")
        .front(Front::Margay)
        .module("env")
        .mpm_lines("ServerLimit 1\nStartServers 1\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4")
        .line(format!("ProxyPass /length/ {}/", peer.url()))
        .line(format!("ProxyPass /old/ {}/", peer.url()))
        .line("<Location /length>\nSetEnv proxy-sendcl 1\n</Location>")
        .line("<Location /old>\nSetEnv force-proxy-request-1.0 1\n</Location>")
        .start();
    assert_eq!(post_in_chunks(&httpd, "/length/x", 100_000), 200);
    let [child] = httpd.children()[..] else { panic!("one child serves") };
    let before = high_water(child);
    for target in ["/length/x", "/old/x"] {
        assert_eq!(post_in_chunks(&httpd, target, SIZE), 200, "{target}");
    }
    let grown = high_water(child) - before;
    assert!(grown < 16 * 1024, "{grown} KiB more than before");
    let is_spool = |fd: &fs::DirEntry| {
        fs::read_link(fd.path()).is_ok_and(|file| file.to_string_lossy().contains("margay.tmp"))
    };
    wait_until("the file is gone with its request", PATIENCE, || {
        let open = fs::read_dir(format!("/proc/{child}/fd")).expect("our own child").flatten();
        open.filter(is_spool).count() == 0
    });
    httpd.assert_no_unexpected(&[]);
}
