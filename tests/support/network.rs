// SPDX-License-Identifier: Apache-2.0
//! Networks of a test's own: hosts on a switch, with links that go down. They end with the test, whatever becomes of it.
//!
//! The test runs once more as a process in new namespaces (network, mounts, processes; for an ordinary user also users), so that
//! nothing of the machine is touched and the kernel removes everything when that process ends.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Set in a process that has a network of its own: what its folders are named after.
const ALONE: &str = "MARGAY_TEST_ALONE";
/// Makes a place for the names of networks, and looks whether there can be any.
const PREPARE: &str = "mount -t tmpfs none /run && ip link set dev lo up";
const TRY: &str = "ip link add name switch type bridge && ip netns add host && \
                   ip link add name port type veth peer name eth0 netns host";
/// What the kernel says when it refuses: no rights, or no such thing in it.
const REFUSALS: [&str; 5] =
    ["not permitted", "denied", "not supported", "Unknown device type", "No space left"];

/// What tells the folders of this run from those of others: the process, which in a network of its own is always the first.
pub fn run_id() -> String {
    std::env::var(ALONE).unwrap_or_else(|_| std::process::id().to_string())
}

/// Runs a test in a network of its own. `name` is that of the test in its program, with its modules. Where the kernel refuses, the
/// test says that it is skipped.
///
/// # Panics
/// If the test fails.
pub fn alone(name: &str, test: impl FnOnce(&Network)) {
    if std::env::var_os(ALONE).is_some() {
        return test(&Network::new());
    }
    let Some(flags) = flags() else { return };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let id = format!("{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let output = Command::new("unshare")
        .args([
            flags,
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            &format!("{PREPARE} && exec \"$0\" \"$@\""),
        ])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, id)
        .stdin(Stdio::null())
        .output()
        .expect("unshare (package util-linux)");
    let text = said(&output);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    println!("{text}");
}

/// How to get a network; `None` where there is none to be had.
fn flags() -> Option<&'static str> {
    let mut refused = String::new();
    for flags in ["-nmpf", "-Urnmpf"] {
        let tried = Command::new("unshare")
            .args([flags, "--kill-child", "--mount-proc", "sh", "-c", &format!("{PREPARE} && {TRY}")])
            .output()
            .expect("unshare (package util-linux)");
        if tried.status.success() {
            return Some(flags);
        }
        refused = said(&tried);
    }
    assert!(Command::new("ip").arg("-V").output().is_ok(), "ip cannot be run: install iproute2");
    assert!(REFUSALS.iter().any(|word| refused.contains(word)), "a network of its own: {refused}");
    println!("skipped: the kernel refuses a network of its own: {}", refused.trim());
    None
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A switch that the test itself is connected to, as 10.77.0.254 and fd77::fe.
pub struct Network {
    hosts: Cell<u8>,
}

impl Network {
    fn new() -> Network {
        ip("link add name switch type bridge mcast_snooping 0 forward_delay 0");
        ip("addr add 10.77.0.254/24 dev switch");
        ip("-6 addr add fd77::fe/64 dev switch nodad");
        ip("link set dev switch up");
        Network { hosts: Cell::new(0) }
    }

    /// One more host on the switch.
    pub fn host(&self, name: &'static str) -> Host {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let host = Host { name, number };
        ip(&format!("netns add {name}"));
        ip(&format!("link add name port-{name} type veth peer name eth0 netns {name}"));
        host.run(&format!("addr add {}/24 dev eth0", host.v4()));
        host.run(&format!("-6 addr add {}/64 dev eth0 nodad", host.v6()));
        host.run("link set dev lo up");
        host.run("link set dev eth0 up");
        ip(&format!("link set dev port-{name} master switch up"));
        host
    }
}

/// A host: an address on the switch, and a link to it.
pub struct Host {
    name: &'static str,
    number: u8,
}

impl Host {
    pub fn v4(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, self.number))
    }

    pub fn v6(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from(self.number)))
    }

    /// What stands in front of a command that is run there.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", self.name].map(str::to_owned).to_vec()
    }

    /// A second interface, eth1, with a cable that leads nowhere. `address` with the length of its network.
    pub fn plug_elsewhere(&self, address: &str) {
        ip(&format!("link add name far-{} type veth peer name eth1 netns {}", self.name, self.name));
        ip(&format!("link set dev far-{} up", self.name));
        self.run(&format!("addr add {address} dev eth1"));
        self.run("link set dev eth1 up");
    }

    /// Runs `ip` there.
    pub fn run(&self, words: &str) {
        ip(&format!("-n {} {words}", self.name));
    }

    /// Its packets get lost from now on, in both directions; nothing at its own interface shows it.
    pub fn vanish(&self) {
        ip(&format!("link set dev port-{} nomaster", self.name));
    }

    pub fn come_back(&self) {
        ip(&format!("link set dev port-{} master switch", self.name));
    }

    /// Its own interface goes down, as when an administrator says so.
    pub fn link_down(&self) {
        self.run("link set dev eth0 down");
    }

    pub fn link_up(&self) {
        self.run("link set dev eth0 up");
    }

    /// Hosts that are kept apart do not reach each other; all others they do.
    pub fn keep_apart(&self, apart: bool) {
        let word = if apart { "on" } else { "off" };
        ip(&format!("link set dev port-{} type bridge_slave isolated {word}", self.name));
    }
}

/// # Panics
/// If it fails: with what it says.
fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("ip (package iproute2)");
    assert!(output.status.success(), "ip {words}: {}", said(&output));
}
