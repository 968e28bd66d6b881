// SPDX-License-Identifier: Apache-2.0
//! Every Java stream in traffic recorded from Tomcats is read, and written anew byte for byte.

use std::path::{Path, PathBuf};

use margay::wire::stream::{Stream, Value, Verdicts, Writer};

const LIMIT: usize = 16 << 20;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tribes");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Their payloads carry something behind the stream or are only a part of one.
    let is_whole =
        |name: &str| !["README", "fragment", "order", "encrypted"].iter().any(|part| name.contains(part));
    files.retain(|path| is_whole(&name(path)));
    files.sort();
    files
}

/// All places in a file where a stream begins: the payload of a frame, and streams inside `byte[]` values of it.
fn streams(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(4).position(|window| window == [0xac, 0xed, 0, 5]) {
        let at = from + at;
        // In a frame and in a byte[] the length stands in front.
        let length = at
            .checked_sub(4)
            .map(|before| u32::from_be_bytes(bytes[before..at].try_into().unwrap()) as usize)
            .filter(|length| *length >= 4 && at + length <= bytes.len());
        match (length, at) {
            (Some(length), _) => found.push(&bytes[at..at + length]),
            (None, 0) => found.push(bytes),
            (None, _) => {}
        }
        from = at + 4;
    }
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn recorded_streams_are_written_anew_byte_for_byte() {
    let mut count = 0;
    let mut others = Vec::new();
    for path in files() {
        let bytes = std::fs::read(&path).unwrap();
        for stream in streams(&bytes) {
            let read = Stream::parse(stream, &mut Verdicts::default())
                .unwrap_or_else(|error| panic!("{}: {error}", name(&path)));
            count += 1;
            if read.rewrite(LIMIT).unwrap() != stream {
                others.push(name(&path));
            }
        }
    }
    assert!(count > 90, "{count} streams");
    // Values whose writing failed in the middle are left out.
    others.sort();
    others.dedup();
    assert_eq!(
        others,
        ["filestore-aborted-60EB1F11FD78E33B1E1CD58E8E12C53A.node1.session", "tcp-all-session-data-full.bin"]
    );
}

#[test]
fn values_stand_alone_and_come_back_the_same() {
    let mut values = 0;
    for path in files() {
        let bytes = std::fs::read(&path).unwrap();
        for bytes in streams(&bytes) {
            let mut verdicts = Verdicts::default();
            let stream = Stream::parse(bytes, &mut verdicts).unwrap();
            let mut contents = stream.contents();
            let mut writer = Writer::new();
            let mut kept = Vec::new();
            while !contents.is_at_end() {
                if let Ok(object) = contents.object_or_aborted() {
                    let Some(object) = object else { continue };
                    let value = object.to_value(LIMIT).unwrap();
                    assert!(value.describe(&verdicts).is_ok(), "{}", name(&path));
                    writer.value(&value);
                    kept.push(value);
                } else {
                    contents.bytes::<1>().unwrap();
                }
            }
            let written = writer.finish();
            let again = Stream::parse(&written, &mut verdicts)
                .unwrap_or_else(|error| panic!("{}: {error}", name(&path)));
            let mut contents = again.contents();
            for value in &kept {
                assert_eq!(contents.object().unwrap().to_value(LIMIT).unwrap(), *value, "{}", name(&path));
                values += 1;
            }
            assert!(contents.is_at_end());
        }
    }
    assert!(values > 150, "{values} values");
}

#[test]
fn what_a_value_shares_with_others_is_written_into_it() {
    // Two arrays that hold the same string, which is written in the first only.
    let mut bytes = vec![0xac, 0xed, 0, 5];
    let class = b"\x72\x00\x13[Ljava.lang.Object;\x90\xce\x58\x9f\x10\x73\x29\x6c\x02\x00\x00\x78\x70";
    bytes.extend_from_slice(b"\x75");
    bytes.extend_from_slice(class);
    bytes.extend_from_slice(b"\x00\x00\x00\x02\x74\x00\x02hi\x71\x00\x7e\x00\x02");
    bytes.extend_from_slice(
        b"\x75\x71\x00\x7e\x00\x00\x00\x00\x00\x02\x71\x00\x7e\x00\x02\x71\x00\x7e\x00\x03",
    );
    let stream = Stream::parse(&bytes, &mut Verdicts::default()).unwrap();
    let mut contents = stream.contents();
    let first = contents.object().unwrap().to_value(LIMIT).unwrap();
    let second = contents.object().unwrap().to_value(LIMIT).unwrap();
    let mut expected = b"\x75".to_vec();
    expected.extend_from_slice(class);
    // The second array contains itself.
    expected.extend_from_slice(b"\x00\x00\x00\x02\x74\x00\x02hi\x71\x00\x7e\x00\x01");
    assert_eq!(second.as_bytes(), expected);
    assert_eq!(first.as_bytes(), &bytes[4..4 + first.as_bytes().len()]);
}

#[test]
fn classes_that_leave_out_their_fields_are_found_and_remembered() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tribes/tcp-session-delta-exotic.bin");
    let bytes = std::fs::read(path).unwrap();
    let delta = streams(&bytes)[1];
    let mut verdicts = Verdicts::default();
    Stream::parse(delta, &mut verdicts).unwrap();
    assert!(format!("{verdicts:?}").len() > format!("{:?}", Verdicts::default()).len());
    let known = format!("{verdicts:?}");
    Stream::parse(delta, &mut verdicts).unwrap();
    assert_eq!(format!("{verdicts:?}"), known);
}

#[test]
fn strings_of_every_length_are_written_as_java_does() {
    for (length, tag) in [(0, 0x74), (65535, 0x74), (65536, 0x7c)] {
        let value = Value::string(&vec![b'x'; length]);
        assert_eq!(value.as_bytes()[0], tag);
        assert_eq!(value.as_string().unwrap().len(), length);
    }
}
