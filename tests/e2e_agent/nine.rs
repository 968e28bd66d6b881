// SPDX-License-Identifier: Apache-2.0
//! The same with Tomcat 9.0, whose members, principals and states have another form on the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use margay::wire::cluster::frame::{self, ACK, Body};
use margay::wire::cluster::{
    ChannelData, Event, Member, Options, SessionMessage, SessionState, read_sessions, write_sessions,
};
use margay::wire::stream::Verdicts;

use crate::scene::Scene;
use crate::support::cluster::{Cluster, Membership};
use crate::support::tomcat::Line;

fn of_nine() -> Cluster {
    Cluster { line: Line::Nine, ..Cluster::new() }
}

#[test]
fn sessions_of_tomcat_9_survive_the_death_of_one_node_and_of_everybody() {
    if Line::Nine.is_no_more() {
        return;
    }
    let mut scene = Scene::of_two(Cluster { send_options: 6, ..of_nine() });
    assert!(scene.nodes[0].log().contains("Apache Tomcat/9.0."), "{}", scene.nodes[0].log_end());
    crate::survive::one_node_and_both_and_the_agent_die(&mut scene);
}

#[test]
fn logins_ids_and_ends_of_tomcat_9_are_what_they_were_after_everybody_died() {
    if Line::Nine.is_no_more() {
        return;
    }
    crate::applications::logins_ids_and_ends_are_kept(of_nine());
}

/// Asks a member for all its sessions, as another member would, and returns the answer of one application.
fn sessions_of(member: SocketAddr) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let question = SessionMessage {
        event: Event::GetAllSessions,
        context: None,
        session_id: Some(b"GET-ALL".to_vec()),
        unique_id: Some(b"GET-ALL-".to_vec()),
        time: Some(1),
        payload: None,
    };
    let message = ChannelData {
        options: Options::ASYNCHRONOUS,
        timestamp: 1,
        unique_id: [7; 16],
        sender: Member::new(listener.local_addr().expect("its address"), [9; 16]),
        payload: question.to_bytes(),
    };
    TcpStream::connect(member)
        .and_then(|mut stream| stream.write_all(&message.to_frame()))
        .expect("the member takes a question");
    let (mut stream, _) = listener.accept().expect("it answers");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).expect("the answer");
        assert_ne!(length, 0, "it ended before its answer");
        bytes.extend_from_slice(&part[..length]);
        let Some((Body::Message(body), used)) = frame::next(&bytes, 1 << 24).expect("frames") else {
            continue;
        };
        let message = ChannelData::read(body).expect("a message");
        if message.options.has(Options::USE_ACK) {
            stream.write_all(&ACK).expect("it waits for this");
        }
        let read = SessionMessage::read(&message.payload).expect("a message about sessions");
        if read.is_some_and(|read| read.event == Event::AllSessionData) {
            return bytes[..used].to_vec();
        }
        bytes.drain(..used);
    }
}

fn states(frame: &[u8]) -> Vec<SessionState> {
    let Ok(Some((Body::Message(body), _))) = frame::next(frame, 1 << 24) else { panic!("a frame") };
    let message = ChannelData::read(body).expect("a message");
    let message = SessionMessage::read(&message.payload).expect("a message").expect("about sessions");
    let payload = message.payload.expect("sessions");
    let read = read_sessions(&payload, &mut Verdicts::default(), 1 << 24).expect("sessions");
    let written = write_sessions(read.iter());
    assert_eq!(read_sessions(&written, &mut Verdicts::default(), 1 << 24).expect("the same"), read);
    read
}

#[test]
fn the_agent_answers_tomcat_9_as_tomcat_9_does() {
    if Line::Nine.is_no_more() {
        return;
    }
    let scene = Scene::of_one(of_nine());
    let (mut user, mut plain) = (scene.user(0), scene.user(0));
    user.get("/fill");
    user.get("/login?name=anna&value=secret");
    plain.set("word", "kept");
    scene.agent.wait_kept(user.beginning(), 1);
    scene.agent.wait_kept(plain.beginning(), 2);
    let node = scene.nodes[0].log();
    let node = node.split("Receiver Server Socket bound to:").nth(1).expect("its receiver").to_owned();
    let port = node.split(':').nth(1).and_then(|rest| rest.get(..5)).and_then(|port| port.parse().ok());
    let theirs = sessions_of(SocketAddr::from(([127, 0, 0, 1], port.expect("its port"))));
    let ours = sessions_of(SocketAddr::from(([127, 0, 0, 1], scene.cluster.agent_port)));
    let (mut theirs, mut ours) = (states(&theirs), states(&ours));
    assert_eq!((theirs.len(), ours.len()), (2, 2));
    for states in [&mut theirs, &mut ours] {
        states.sort_by(|a, b| a.id.cmp(&b.id));
        states.iter_mut().for_each(|state| state.attributes.sort_by(|a, b| a.0.cmp(&b.0)));
    }
    for (theirs, ours) in theirs.iter().zip(&mut ours) {
        assert!((theirs.this_accessed - ours.this_accessed).abs() < 60_000);
        (ours.this_accessed, ours.last_accessed) = (theirs.this_accessed, theirs.last_accessed);
        assert_eq!(ours, theirs);
        assert_eq!(theirs.notes, None, "9.0 sends no notes");
    }
    assert!(theirs.iter().any(|state| state.principal.is_some() && state.attributes.len() > 30));
}

#[test]
fn members_of_tomcat_9_may_be_known_to_its_membership_service() {
    if Line::Nine.is_no_more() {
        return;
    }
    let cluster = Cluster::with_static_members(Membership::Service);
    crate::survive::survives_everybody(Cluster { line: Line::Nine, ..cluster });
}

#[test]
fn sessions_survive_everybody_in_a_cluster_encrypted_in_the_old_form() {
    if Line::Nine.is_no_more() {
        return;
    }
    for algorithm in ["AES/CBC/PKCS5Padding", "AES/GCM/NoPadding"] {
        crate::survive::survives_everybody(crate::survive::encrypted(Line::Nine, algorithm));
    }
}
