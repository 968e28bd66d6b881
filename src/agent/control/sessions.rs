// SPDX-License-Identifier: Apache-2.0
//! Sessions for people and for files. The same from a running agent and from the vault of one that does not run.

use super::protocol::{Attribute, SessionLine, Stored};
use super::to_hexadecimal;
use crate::agent::replica::{Kept, Key, as_sent};
use crate::wire::cluster::{ClusterError, read_stored, write_stored};
use crate::wire::stream::{Value, Verdicts, decode_utf8};

/// A session for a table. `values`: show what the attributes hold, where it can be said without the application's classes.
pub fn line(key: &Key, kept: &Kept, values: bool, now: i64) -> SessionLine {
    let id = decode_utf8(&key.id);
    let route = id.split_once('.').map(|(_, route)| route.to_owned());
    let mut attributes: Vec<_> =
        kept.attributes.iter().map(|(name, held)| attribute(name, &held.value(), values)).collect();
    attributes.sort_by(|one, other| one.name.cmp(&other.name));
    SessionLine {
        context: decode_utf8(&key.context),
        id,
        route,
        age: (now - kept.creation).max(0),
        idle: (now - kept.touched).max(0),
        max_inactive: kept.max_inactive,
        bytes: kept.size(),
        attributes,
        unreadable_changes: kept.rest().opaque.len(),
        has_principal: kept.rest().principal.is_some(),
    }
}

fn attribute(name: &[u8], value: &Value, shows: bool) -> Attribute {
    let verdicts = Verdicts::default();
    let class = value.class(&verdicts).unwrap_or_else(|_| "unknown".to_owned());
    let shown = || value.describe(&verdicts).unwrap_or_else(|_| "unreadable".to_owned());
    Attribute { name: decode_utf8(name), class, bytes: value.as_bytes().len(), value: shows.then(shown) }
}

/// A session as FileStore keeps it.
pub fn stored(id: &[u8], kept: &Kept) -> Stored {
    Stored {
        id: decode_utf8(id),
        stored: to_hexadecimal(&write_stored(&as_sent(id, kept))),
        unreadable_changes: kept.rest().opaque.len(),
    }
}

/// A session from a file of FileStore, and its id. `limit`: how many bytes one value may have.
///
/// # Errors
/// The bytes are none.
pub fn read_stored_bytes(bytes: &[u8], limit: usize, now: i64) -> Result<(Vec<u8>, Kept), ClusterError> {
    let mut state = read_stored(bytes, &mut Verdicts::default(), limit)?;
    let touched = state.last_accessed.max(state.this_accessed).min(now);
    Ok((std::mem::take(&mut state.id), Kept::new(state, touched)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::control::from_hexadecimal;
    use crate::wire::cluster::SessionState;

    const NOW: i64 = 1_800_000_000_000;

    fn key() -> Key {
        Key::new(b"localhost#/app", b"ABC.node1")
    }

    fn kept() -> Kept {
        let mut state = SessionState::new(Vec::new(), NOW - 60_000, 1800);
        state.attributes =
            vec![(b"user".to_vec(), Value::string(b"secret")), (b"count".to_vec(), Value::integer(7))];
        Kept::new(state, NOW - 1_000)
    }

    #[test]
    fn values_are_hidden_unless_asked_for() {
        let hidden = line(&key(), &kept(), false, NOW);
        assert!(hidden.attributes.iter().all(|attribute| attribute.value.is_none()));
        assert_eq!(hidden.attributes[1].class, "java.lang.String");
        assert!(!format!("{hidden:?}").contains("secret"));
        let shown = line(&key(), &kept(), true, NOW);
        assert_eq!(shown.attributes[1].value.as_deref(), Some("\"secret\""));
        assert_eq!(shown.attributes[0].value.as_deref(), Some("7"));
        assert_eq!((shown.age, shown.idle, shown.route.as_deref()), (60_000, 1_000, Some("node1")));
    }

    #[test]
    fn a_stored_session_comes_back_with_the_time_of_its_last_message() {
        let stored = stored(b"ABC.node1", &kept());
        let bytes = from_hexadecimal(&stored.stored).unwrap();
        let (id, read) = read_stored_bytes(&bytes, 1 << 20, NOW).unwrap();
        assert_eq!((id.as_slice(), read.attributes), (b"ABC.node1".as_slice(), kept().attributes));
        assert_eq!(read.touched, NOW - 1_000);
    }
}
