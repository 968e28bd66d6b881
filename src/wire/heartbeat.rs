// SPDX-License-Identifier: Apache-2.0
//! What a back end says about itself, as mod_heartbeat sends it and mod_heartmonitor writes it down:
//! `v=1&ready=75&busy=0`, in a file with the address in front and `&lastseen=` behind.

/// The fields of one message or line. A number that cannot be understood is 0, as mod_lbmethod_heartbeat has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fields {
    /// `v=` is there.
    pub has_version: bool,
    /// Threads that wait for a request.
    pub ready: Option<u32>,
    /// Threads with a request.
    pub busy: Option<u32>,
    /// Seconds since the message came; in files only.
    pub last_seen: Option<u32>,
}

impl Fields {
    /// Reads `key=value` pairs with `&` between them. Unknown keys are passed over, and of equal ones the last counts.
    pub fn parse(text: &[u8]) -> Fields {
        let mut fields = Fields::default();
        for pair in text.split(|byte| *byte == b'&') {
            let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            match key.trim_ascii() {
                b"v" => fields.has_version = true,
                b"ready" => fields.ready = Some(number(value)),
                b"busy" => fields.busy = Some(number(value)),
                b"lastseen" => fields.last_seen = Some(number(value)),
                _ => {}
            }
        }
        fields
    }

    /// A message by UDP must have all of these.
    pub fn is_message(&self) -> bool {
        self.has_version && self.ready.is_some() && self.busy.is_some()
    }
}

fn number(value: &[u8]) -> u32 {
    let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
    text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// The lines of a storage file: who, and what is known. Comments (`#`) and lines of another form are passed over.
pub fn storage_lines(text: &[u8]) -> impl Iterator<Item = (&str, Fields)> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).filter_map(|line| {
        let blank = line.iter().position(|byte| *byte == b' ')?;
        let host = std::str::from_utf8(&line[..blank]).ok().filter(|host| !host.is_empty())?;
        Some((host, Fields::parse(&line[blank + 1..])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_of_mod_heartbeat_is_understood() {
        let fields = Fields::parse(b"v=1&ready=75&busy=3");
        assert_eq!((fields.ready, fields.busy, fields.last_seen), (Some(75), Some(3), None));
        assert!(fields.is_message());
        for part in ["ready=1&busy=1", "v=1&busy=1", "v=1&ready=1", ""] {
            assert!(!Fields::parse(part.as_bytes()).is_message(), "{part}");
        }
    }

    #[test]
    fn numbers_that_are_none_or_too_large_count_as_nothing() {
        for value in ["", "x", "-1", "7x", "2147483648", "99999999999999999999"] {
            let fields = Fields::parse(format!("v=1&ready={value}&busy=2").as_bytes());
            assert_eq!((fields.ready, fields.busy), (Some(0), Some(2)), "{value}");
        }
    }

    #[test]
    fn lines_of_a_storage_file_name_their_member() {
        let file = b"# comment\n10.0.0.1 &ready=75&busy=0&lastseen=2&port=80\nnonsense\n\n::1 &ready=1\n";
        let found: Vec<_> = storage_lines(file).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1.last_seen), ("10.0.0.1", Some(2)));
        assert_eq!((found[1].0, found[1].1.ready), ("::1", Some(1)));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Fields::parse(&bytes);
            storage_lines(&bytes).count();
        }
    }
}
