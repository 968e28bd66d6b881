// SPDX-License-Identifier: Apache-2.0
//! Traffic recorded from Tomcat clusters is decoded, and encoded to the same bytes.

use std::path::{Path, PathBuf};

use margay::wire::cluster::encrypt::{Cipher, Form, Mode};
use margay::wire::cluster::fragment::{Fragments, split_number, uncompress};
use margay::wire::cluster::frame::{self, Body};
use margay::wire::cluster::{
    Change, ChannelData, Delta, Event, Member, MemberVersion, Options, Rpc, SessionMessage, SessionState,
    StaticMessage, StaticWord, Subject, read_all_stored, read_sessions, read_stored, write_all_stored,
    write_sessions, write_stored,
};
use margay::wire::stream::{Value, Verdicts};

const LIMIT: usize = 16 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tribes")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn message(name: &str) -> ChannelData {
    let bytes = file(name);
    let Some((Body::Message(body), used)) = frame::next(&bytes, LIMIT).unwrap() else { panic!("{name}") };
    assert_eq!(used, bytes.len(), "{name}");
    ChannelData::read(body).unwrap()
}

fn session(name: &str) -> SessionMessage {
    SessionMessage::read(&message(name).payload).unwrap().unwrap_or_else(|| panic!("{name}"))
}

fn frames() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| file(name).starts_with(b"FLT2002"))
        .collect();
    names.sort();
    names
}

#[test]
fn every_recorded_frame_is_encoded_to_the_same_bytes() {
    let mut count = 0;
    for name in frames().iter().filter(|name| !name.ends_with("ack.bin")) {
        assert_eq!(message(name).to_frame(), file(name), "{name}");
        count += 1;
    }
    assert!(count > 60, "{count}");
    assert_eq!(frame::ACK.to_vec(), file("tcp-ack.bin"));
    assert_eq!(frame::FAIL_ACK.to_vec(), file("tcp-fail-ack.bin"));
}

#[test]
fn every_recorded_beacon_is_encoded_to_the_same_bytes() {
    for name in ["mcast-member.bin", "mcast-member-domain.bin", "mcast-member-shutdown.bin"] {
        assert_eq!(Member::read(&file(name)).unwrap().to_bytes(), file(name), "{name}");
    }
    assert_eq!(Member::read(&file("mcast-member-domain.bin")).unwrap().domain, b"alpha");
    assert!(Member::read(&file("mcast-member-shutdown.bin")).unwrap().is_leaving());
}

#[test]
fn every_recorded_message_about_sessions_is_encoded_to_the_same_bytes() {
    let mut events = Vec::new();
    for name in frames().iter().filter(|name| name.contains("session") || name.contains("transfer")) {
        let read = session(name);
        assert_eq!(read.to_bytes(), message(name).payload, "{name}");
        events.push(read.event);
    }
    for event in
        [Event::Created, Event::Delta, Event::AllSessionData, Event::ChangeId, Event::TransferComplete]
    {
        assert!(events.contains(&event), "{event:?}");
    }
}

#[test]
fn messages_of_other_services_are_none_about_sessions() {
    for name in ["farm-undeploy-message.bin", "map-proxy.bin", "tcp-static-service-stop.bin"] {
        assert_eq!(SessionMessage::read(&message(name).payload), Ok(None), "{name}");
    }
}

#[test]
fn every_recorded_delta_is_read_and_written_with_the_same_meaning() {
    let mut count = 0;
    for name in frames().iter().filter(|name| name.contains("session-delta")) {
        let payload = session(name).payload.unwrap();
        let mut verdicts = Verdicts::default();
        let delta =
            Delta::read(&payload, &mut verdicts, LIMIT).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            delta.actions.iter().all(|action| action.subject.is_some() && action.change != Change::Aborted)
        );
        assert_eq!(Delta::read(&delta.to_bytes(), &mut verdicts, LIMIT).unwrap(), delta, "{name}");
        count += 1;
    }
    assert!(count >= 11, "{count}");
}

#[test]
fn a_delta_says_what_the_application_did() {
    let payload = session("tcp-session-delta-set4.bin").payload.unwrap();
    let delta = Delta::read(&payload, &mut Verdicts::default(), LIMIT).unwrap();
    assert_eq!(delta.session_id, b"75338292633754F6D19E2BBAB1F19662.node1");
    let subjects: Vec<_> = delta.actions.iter().map(|action| action.subject.unwrap()).collect();
    assert_eq!(subjects[..2], [Subject::IsNew, Subject::MaxInactive]);
    let find = |name: &[u8]| delta.actions.iter().find(|action| action.name == name).unwrap();
    assert_eq!(find(b"str").change, Change::Set(Value::string(b"hello")));
    let payload = session("tcp-session-delta-remove.bin").payload.unwrap();
    let delta = Delta::read(&payload, &mut Verdicts::default(), LIMIT).unwrap();
    assert_eq!(delta.actions[1].change, Change::Remove);
}

#[test]
fn a_changed_id_is_read_and_written() {
    let read = session("tcp-change-session-id.bin");
    assert_eq!(read.new_id().unwrap(), b"75338292633754F6D19E2BBAB1F19662.node2");
    assert_eq!(Some(SessionMessage::of_new_id(&read.new_id().unwrap())), read.payload);
}

fn sessions(name: &str) -> Vec<SessionState> {
    let payload = session(name).payload.unwrap();
    read_sessions(&payload, &mut Verdicts::default(), LIMIT).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn recorded_state_transfers_are_read_and_written_with_the_same_meaning() {
    for name in [
        "tcp-all-session-data-full.bin",
        "tcp-all-session-data-batch-1-of-3.bin",
        "tcp-all-session-data-batch-2-of-3.bin",
        "tcp-all-session-data-batch-3-of-3.bin",
        "tcp-all-session-data-empty.bin",
        "client-all-session-data-accepted.bin",
        "tomcat9-all-session-data.bin",
    ] {
        let read = sessions(name);
        let again = read_sessions(&write_sessions(read.iter()), &mut Verdicts::default(), LIMIT).unwrap();
        assert_eq!(again, read, "{name}");
    }
}

#[test]
fn a_state_transfer_has_users_and_leaves_out_what_was_not_written_whole() {
    let read = sessions("tcp-all-session-data-full.bin");
    assert_eq!(read.len(), 5);
    let by_id = |id: &str| read.iter().find(|session| session.id.starts_with(id.as_bytes())).unwrap();
    assert!(by_id("C3698D27").principal.is_some());
    assert_eq!(by_id("75338292").max_inactive, 600);
    let names: Vec<_> = by_id("F16F83D9").attributes.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [b"ok2".as_slice(), b"ok"]);
    assert_eq!(by_id("0FFF48D8").attributes.len(), 16);
}

#[test]
fn the_state_of_tomcat_9_has_no_notes_and_users_with_passwords() {
    let all = sessions("tomcat9-all-session-data.bin");
    assert!(all.iter().all(|session| session.notes.is_none() && !session.is_new));
    let user = all.iter().find(|session| session.principal.is_some()).unwrap();
    assert_eq!(user.id, b"0B1AFA942F1254968BE94AFAF9645C99.A");
    let written = write_sessions([user].into_iter());
    assert!(written.windows(8).any(|bytes| bytes == b"password"), "{}", written.escape_ascii());
    let names: Vec<_> = user.attributes.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [b"name".as_slice(), b"seven"]);
}

#[test]
fn stored_sessions_are_read_and_written_with_the_same_meaning() {
    for name in [
        "filestore-7CA1377C483BFAF72F5DBAF744A9CFE7.node1.session",
        "filestore-aborted-60EB1F11FD78E33B1E1CD58E8E12C53A.node1.session",
        "datasourcestore-data-7328485D88E76F1ABD5DDCFE8F508AFA.node1.bin",
    ] {
        let read = read_stored(&file(name), &mut Verdicts::default(), LIMIT).unwrap();
        assert!(name.contains(std::str::from_utf8(&read.id).unwrap()));
        let again = read_stored(&write_stored(&read), &mut Verdicts::default(), LIMIT).unwrap();
        assert_eq!(again, read, "{name}");
    }
    let read =
        read_all_stored(&file("standardmanager-SESSIONS.ser"), &mut Verdicts::default(), LIMIT).unwrap();
    assert_eq!(read.len(), 2);
    let user = read.iter().find(|session| session.auth_type.is_some()).unwrap();
    assert_eq!((user.auth_type.as_deref(), user.principal.is_some()), (Some(b"BASIC".as_slice()), true));
    let again = read_all_stored(&write_all_stored(read.iter()), &mut Verdicts::default(), LIMIT).unwrap();
    assert_eq!(again, read);
}

#[test]
fn an_unknown_question_is_answered_as_tomcat_does() {
    let recorded = message("rpc-no-channel-reply.bin");
    let rpc = Rpc::read(&recorded.payload, LIMIT).unwrap().unwrap();
    assert!(rpc.is_unknown && rpc.is_reply);
    assert_eq!(Rpc::unknown(&rpc.uuid, &rpc.rpc_id), recorded.payload);
    let asked = Rpc::read(&message("map-rpc-init-request.bin").payload, LIMIT).unwrap().unwrap();
    assert_eq!((asked.is_reply, asked.rpc_id.as_slice()), (false, b"localhost#/app-map".as_slice()));
    assert!(!message("rpc-no-channel-reply.bin").options.has(Options::USE_ACK));
}

#[test]
fn static_members_are_read_and_written() {
    for (name, word) in [
        ("tcp-static-service-start-request.bin", StaticWord::Start),
        ("tcp-static-service-ping-reply.bin", StaticWord::Ping),
    ] {
        let rpc = Rpc::read(&message(name).payload, LIMIT).unwrap().unwrap();
        let read = StaticMessage::read(&rpc.message).unwrap().unwrap();
        assert_eq!((read.word, read.version), (word, MemberVersion::Ten), "{name}");
        assert_eq!(read.membership_id, b"Catalina-Channel-StaticMembership");
        assert_eq!(rpc.rpc_id, read.membership_id);
        let again = Rpc::read(&read.to_rpc(&rpc.uuid, rpc.is_reply), LIMIT).unwrap().unwrap();
        assert_eq!(StaticMessage::read(&again.message), Ok(Some(read)));
        assert_eq!((again.uuid, again.is_reply), (rpc.uuid, rpc.is_reply));
    }
    let stop = StaticMessage::read_payload(&message("tcp-static-service-stop.bin").payload).unwrap().unwrap();
    assert!(stop.word == StaticWord::Stop && stop.member.is_leaving());
    assert_eq!(StaticMessage::read_payload(&stop.to_bytes()), Ok(Some(stop)));
}

#[test]
fn encrypted_messages_are_opened() {
    for (name, mode, length) in [
        ("tcp-encrypted-gcm-created.bin", Mode::Gcm, 16),
        ("tcp-encrypted-gcm-delta.bin", Mode::Gcm, 16),
        ("tcp-encrypted-cbc-created.bin", Mode::Cbc, 32),
    ] {
        let cipher = Cipher::new(mode, Form::Timestamped, (0..length).collect()).unwrap();
        let message = message(name);
        let (time, payload) = cipher.decrypt(&message.payload).unwrap();
        assert_eq!(time, Some(message.timestamp), "{name}");
        assert!(SessionMessage::read(&payload).unwrap().is_some(), "{name}");
        let vector = &message.payload[..mode.vector_length()];
        assert_eq!(cipher.encrypt(vector, message.timestamp, &payload).unwrap(), message.payload, "{name}");
    }
}

#[test]
fn compressed_numbered_and_cut_messages_are_read() {
    let packed = message("tcp-gzip-created.bin");
    assert!(packed.options.has(Options::GZIP));
    let payload = uncompress(&packed.payload, LIMIT).unwrap();
    assert_eq!(SessionMessage::read(&payload).unwrap().unwrap().event, Event::Created);
    let (number, payload) = split_number(message("tcp-order-created.bin").payload).unwrap();
    assert_eq!((number, SessionMessage::read(&payload).unwrap().unwrap().event), (3, Event::Created));
    let mut fragments = Fragments::default();
    let mut take = |name: &str| {
        let message = message(name);
        fragments.take(message.unique_id, message.payload, 0, LIMIT).unwrap()
    };
    let whole = take("tcp-fragmentation-whole-created.bin").unwrap();
    assert_eq!(SessionMessage::read(&whole).unwrap().unwrap().event, Event::Created);
    assert_eq!(take("tcp-fragment-delta-1-of-2.bin"), None);
    let whole = take("tcp-fragment-delta-0-of-2.bin").unwrap();
    assert_eq!(SessionMessage::read(&whole).unwrap().unwrap().event, Event::Delta);
}
