// SPDX-License-Identifier: Apache-2.0
//! Garbage from peers, and the agent's own sudden death.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::scene::{Scene, User};
use crate::support::cluster::Cluster;
use crate::support::source_dir;

#[test]
fn garbage_and_half_frames_harm_nobody() {
    let mut scene = Scene::of_one(Cluster::new());
    let mut user = scene.user(0);
    user.set("word", "before");
    let agent = ("127.0.0.1", scene.cluster.agent_port);
    let recorded = std::fs::read(source_dir().join("tests/vectors/tribes/tcp-session-delta-exotic.bin"))
        .expect("a frame");
    let mut half_kept = Vec::new();
    for number in 0..60_usize {
        let mut bytes = match number % 6 {
            0 => vec![0xff; 10_000],
            1 => recorded[..recorded.len() * (number + 1) / 61].to_vec(),
            2 => b"FLT2002\x7f\xff\xff\xff".to_vec(),
            3 => b"FLT2002\xff\xff\xff\xffTLF2003".to_vec(),
            4 => b"GET / HTTP/1.0\r\n\r\n".to_vec(),
            _ => recorded.clone(),
        };
        if number % 6 == 5 {
            let at = (number * 7919) % bytes.len();
            bytes[at] ^= 0x5a;
        }
        let mut stream = TcpStream::connect(agent).expect("the agent's port");
        // The agent may close it while this is written.
        let _ = stream.write_all(&bytes);
        if number % 6 == 1 {
            half_kept.push(stream);
        }
    }
    let group = ("228.0.0.4", scene.cluster.group_port);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let beacon = std::fs::read(source_dir().join("tests/vectors/tribes/mcast-member.bin")).expect("a beacon");
    for length in [0, 1, 20, 76] {
        // Straight to the agent's socket: malformed beacons in the group would be a test of Tomcat.
        let _ = socket.send_to(&beacon[..length], ("127.0.0.1", group.1));
    }
    user.set("word", "after");
    scene.agent.wait_kept(user.beginning(), 3);
    assert!(!scene.agent.has_ended());
    scene.kill_all();
    scene.start_all();
    assert_eq!(user.value("word").as_deref(), Some("after"));
    assert_eq!(scene.agent.count(&["panicked"]), 0, "{}", scene.agent.log());
}

/// What a user was told before the end, and when.
struct Told {
    user: User,
    answers: Vec<(Instant, u32)>,
}

#[test]
fn an_agent_killed_under_load_loses_no_more_than_the_commit_window_and_corrupts_nothing() {
    // In synchronous mode an answer means that the agent has heard of it.
    let mut scene = Scene::of_one(Cluster { send_options: 6, ..Cluster::new() });
    let ended = AtomicBool::new(false);
    let mut killed = Instant::now();
    let mut users: Vec<_> = (0..8).map(|_| Told { user: scene.user(0), answers: Vec::new() }).collect();
    std::thread::scope(|scope| {
        for told in &mut users {
            scope.spawn(|| {
                for number in 0.. {
                    if ended.load(Ordering::Relaxed)
                        || told.user.try_get(&format!("/pair?value={number}")).is_err()
                    {
                        return;
                    }
                    told.answers.push((Instant::now(), number));
                }
            });
        }
        scene.agent.wait_for(&["everything is in the vault"]);
        let start = Instant::now();
        crate::support::wait_until("some load", Duration::from_secs(60), || {
            start.elapsed() > Duration::from_millis(1500) && scene.agent.count(&["a session changes"]) > 300
        });
        scene.agent.kill_9();
        killed = Instant::now();
        scene.nodes[0].kill_9();
        ended.store(true, Ordering::Relaxed);
    });
    scene.agent.launch();
    scene.start_all();
    assert_eq!(scene.agent.count(&["cannot be read"]), 0, "{}", scene.agent.log());
    let mut worst = Duration::ZERO;
    let mut lost = 0;
    for told in &mut users {
        let response = told.user.get("/pair-check");
        assert_eq!(response.line("whole").as_deref(), Some("true"), "{}", response.text());
        let kept: u32 = response.line("pair").and_then(|pair| pair.parse().ok()).expect("a number");
        // The first answer that is not kept.
        let before_death = told.answers.iter().filter(|(at, number)| *at < killed && *number > kept);
        lost += before_death.clone().count();
        if let Some((at, _)) = before_death.min() {
            worst = worst.max(killed - *at);
        }
    }
    let answers: usize = users.iter().map(|told| told.answers.len()).sum();
    println!(
        "of {answers} acknowledged changes {lost} were lost, the oldest {worst:?} before the agent's death"
    );
    // The window and a write to disk, on a machine that is busy with other things.
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}
