// SPDX-License-Identifier: Apache-2.0
//! Frames, beacons and messages from a peer that means harm: mutations of recorded ones are read or refused, never more.

use std::path::Path;

use margay::wire::cluster::encrypt::{Cipher, Form, Mode};
use margay::wire::cluster::fragment::{Fragments, split_number, uncompress};
use margay::wire::cluster::frame::{self, Body};
use margay::wire::cluster::{
    ChannelData, Delta, Member, Rpc, SessionMessage, StaticMessage, read_all_stored, read_sessions,
    read_stored,
};
use margay::wire::stream::Verdicts;
use proptest::prelude::*;

const LIMIT: usize = 4 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tribes");
    [
        "mcast-member.bin",
        "tcp-session-created.bin",
        "tcp-session-delta-set4.bin",
        "tcp-change-session-id.bin",
        "tcp-all-session-data-batch-1-of-3.bin",
        "tcp-static-service-start-request.bin",
        "tcp-static-service-stop.bin",
        "rpc-no-channel-reply.bin",
        "tcp-gzip-created.bin",
        "tcp-fragment-delta-1-of-2.bin",
        "tcp-encrypted-gcm-created.bin",
        "filestore-7CA1377C483BFAF72F5DBAF744A9CFE7.node1.session",
    ]
    .iter()
    .map(|name| std::fs::read(folder.join(name)).unwrap())
    .collect()
}

fn read_all(bytes: &[u8]) {
    let _ = Member::read(bytes);
    let mut verdicts = Verdicts::default();
    let _ = read_stored(bytes, &mut verdicts, LIMIT);
    let _ = read_all_stored(bytes, &mut verdicts, LIMIT);
    let mut rest = bytes;
    while let Ok(Some((body, used))) = frame::next(rest, LIMIT) {
        if let Body::Message(body) = body
            && let Ok(message) = ChannelData::read(body)
        {
            assert_eq!(
                ChannelData::read(&message.to_frame()[11..message.to_frame().len() - 7]),
                Ok(message.clone())
            );
            read_payload(&message);
        }
        rest = &rest[used..];
    }
}

fn read_payload(message: &ChannelData) {
    let payload = &message.payload;
    let cipher = Cipher::new(Mode::Gcm, Form::Timestamped, (0..16).collect()).unwrap();
    let _ = (cipher.decrypt(payload), uncompress(payload, LIMIT), split_number(payload.clone()));
    let mut fragments = Fragments::default();
    let _ = fragments.take(message.unique_id, payload.clone(), 0, LIMIT);
    if let Ok(Some(rpc)) = Rpc::read(payload, LIMIT) {
        let _ = StaticMessage::read(&rpc.message);
    }
    let _ = StaticMessage::read_payload(payload);
    if let Ok(Some(session)) = SessionMessage::read(payload) {
        let _ = session.new_id();
        let inner = session.payload.clone().unwrap_or_default();
        let _ = Delta::read(&inner, &mut Verdicts::default(), LIMIT);
        let _ = read_sessions(&inner, &mut Verdicts::default(), LIMIT);
        assert_eq!(SessionMessage::read(&session.to_bytes()), Ok(Some(session)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_traffic_does_no_harm(
        seed in 0usize..12,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(&bytes);
    }

    #[test]
    fn made_up_members_come_back(alive: i64, port in 1u16.., command in prop::collection::vec(any::<u8>(), 0..20),
                                 domain in prop::collection::vec(any::<u8>(), 0..20), six: bool, id: [u8; 16]) {
        let host = if six { "2001:db8::1" } else { "192.0.2.1" };
        let address = std::net::SocketAddr::new(host.parse().unwrap(), port);
        let member = Member { alive, command, domain, ..Member::new(address, id) };
        prop_assert_eq!(Member::read(&member.to_bytes()), Ok(member));
    }
}
