// SPDX-License-Identifier: Apache-2.0
//! Java streams from a peer that means harm: mutations of recorded ones are read or refused, never more.

use std::path::Path;

use margay::wire::stream::{Stream, Verdicts};
use proptest::prelude::*;

const LIMIT: usize = 4 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tribes");
    let names = [
        "tcp-session-delta-set4.bin",
        "tcp-session-delta-form-start.bin",
        "tcp-all-session-data-batch-1-of-3.bin",
        "map-backup-full.bin",
        "filestore-aborted-60EB1F11FD78E33B1E1CD58E8E12C53A.node1.session",
    ];
    names
        .iter()
        .map(|name| {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            let at = bytes.windows(4).rposition(|window| window == [0xac, 0xed, 0, 5]).unwrap();
            bytes[at..].to_vec()
        })
        .collect()
}

fn read_all(bytes: &[u8]) {
    let Ok(stream) = Stream::parse(bytes, &mut Verdicts::default()) else { return };
    let _ = stream.rewrite(LIMIT);
    let mut contents = stream.contents();
    while !contents.is_at_end() {
        match contents.object_or_aborted() {
            Ok(Some(object)) => {
                let _ = (object.fields(), object.external(), object.as_byte_array(), object.class_version());
                if let Ok(value) = object.to_value(LIMIT) {
                    assert!(value.as_bytes().len() <= LIMIT + bytes.len());
                    let _ = value.describe(&Verdicts::default());
                }
            }
            Ok(None) => {}
            Err(_) if contents.bytes::<1>().is_err() => break,
            Err(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_streams_do_no_harm(
        seed in 0usize..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
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
    fn made_up_streams_do_no_harm(tail in prop::collection::vec(
        prop_oneof![Just(0x70u8), 0x70u8..0x7f, any::<u8>(), Just(0), Just(0x7e)], 0..300))
    {
        let mut bytes = vec![0xac, 0xed, 0, 5];
        bytes.extend(tail);
        read_all(&bytes);
    }
}

#[test]
fn deep_nesting_needs_no_deep_stack() {
    // Arrays in arrays, each by reference to the first descriptor.
    let mut bytes = b"\xac\xed\x00\x05\x75\x72\x00\x13[Ljava.lang.Object;\x90\xce\x58\x9f\x10\x73\x29\x6c\x02\x00\x00\x78\x70\x00\x00\x00\x01".to_vec();
    for _ in 0..200_000 {
        bytes.extend_from_slice(b"\x75\x71\x00\x7e\x00\x00\x00\x00\x00\x01");
    }
    bytes.push(0x70);
    let stream = Stream::parse(&bytes, &mut Verdicts::default()).unwrap();
    assert_eq!(stream.rewrite(bytes.len()).unwrap(), bytes);
}

#[test]
fn references_that_would_multiply_are_bounded() {
    // One large string, then arrays that refer to it: each array for itself would hold all of it.
    let mut bytes = b"\xac\xed\x00\x05\x74\xff\xff".to_vec();
    bytes.extend(std::iter::repeat_n(b'x', 65535));
    bytes.extend_from_slice(b"\x75\x72\x00\x13[Ljava.lang.Object;\x90\xce\x58\x9f\x10\x73\x29\x6c\x02\x00\x00\x78\x70\x00\x00\x00\x02\x71\x00\x7e\x00\x00\x71\x00\x7e\x00\x00");
    let stream = Stream::parse(&bytes, &mut Verdicts::default()).unwrap();
    let mut contents = stream.contents();
    contents.object().unwrap();
    let array = contents.object().unwrap();
    assert!(array.to_value(1000).is_err());
    assert!(array.to_value(100_000).unwrap().as_bytes().len() < 66_000);
}
