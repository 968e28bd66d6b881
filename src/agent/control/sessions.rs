// SPDX-License-Identifier: Apache-2.0
//! Sessions for people and for files. The same from a running agent and from the vault of one that does not run.

use super::protocol::{Attribute, SessionLine, Stored};
use super::to_hexadecimal;
use crate::agent::replica::{Kept, as_sent};
use crate::wire::cluster::{ClusterError, read_stored, write_stored};
use crate::wire::stream::{Value, Verdicts, decode_utf8};

/// A session for a table. `values`: show what the attributes hold, where it can be said without the application's classes.
pub fn line(context: &[u8], kept: &Kept, values: bool, now: i64) -> SessionLine {
    let state = &kept.state;
    let id = decode_utf8(&state.id);
    let route = id.split_once('.').map(|(_, route)| route.to_owned());
    let mut attributes: Vec<_> =
        state.attributes.iter().map(|(name, value)| attribute(name, value, values)).collect();
    attributes.sort_by(|one, other| one.name.cmp(&other.name));
    SessionLine {
        context: decode_utf8(context),
        id,
        route,
        age: (now - state.creation).max(0),
        idle: (now - kept.touched).max(0),
        max_inactive: state.max_inactive,
        bytes: kept.size(),
        attributes,
        unreadable_changes: kept.opaque.len(),
        has_principal: state.principal.is_some(),
    }
}

fn attribute(name: &[u8], value: &Value, shows: bool) -> Attribute {
    let verdicts = Verdicts::default();
    let class = value.class(&verdicts).unwrap_or_else(|_| "unknown".to_owned());
    let shown = || value.describe(&verdicts).unwrap_or_else(|_| "unreadable".to_owned());
    Attribute { name: decode_utf8(name), class, bytes: value.as_bytes().len(), value: shows.then(shown) }
}

/// A session as FileStore keeps it.
pub fn stored(kept: &Kept) -> Stored {
    Stored {
        id: decode_utf8(&kept.state.id),
        stored: to_hexadecimal(&write_stored(&as_sent(kept))),
        unreadable_changes: kept.opaque.len(),
    }
}

/// A session from a file of FileStore. `limit`: how many bytes one value may have.
///
/// # Errors
/// The bytes are none.
pub fn read_stored_bytes(bytes: &[u8], limit: usize, now: i64) -> Result<Kept, ClusterError> {
    let state = read_stored(bytes, &mut Verdicts::default(), limit)?;
    let touched = state.last_accessed.max(state.this_accessed).min(now);
    Ok(Kept::new(state, touched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::control::from_hexadecimal;
    use crate::wire::cluster::SessionState;

    const NOW: i64 = 1_800_000_000_000;

    fn kept() -> Kept {
        let mut state = SessionState::new(b"ABC.node1".to_vec(), NOW - 60_000, 1800);
        state.attributes =
            vec![(b"user".to_vec(), Value::string(b"secret")), (b"count".to_vec(), Value::integer(7))];
        Kept::new(state, NOW - 1_000)
    }

    #[test]
    fn values_are_hidden_unless_asked_for() {
        let hidden = line(b"localhost#/app", &kept(), false, NOW);
        assert!(hidden.attributes.iter().all(|attribute| attribute.value.is_none()));
        assert_eq!(hidden.attributes[1].class, "java.lang.String");
        assert!(!format!("{hidden:?}").contains("secret"));
        let shown = line(b"localhost#/app", &kept(), true, NOW);
        assert_eq!(shown.attributes[1].value.as_deref(), Some("\"secret\""));
        assert_eq!(shown.attributes[0].value.as_deref(), Some("7"));
        assert_eq!((shown.age, shown.idle, shown.route.as_deref()), (60_000, 1_000, Some("node1")));
    }

    #[test]
    fn a_stored_session_comes_back_with_the_time_of_its_last_message() {
        let stored = stored(&kept());
        let bytes = from_hexadecimal(&stored.stored).unwrap();
        let read = read_stored_bytes(&bytes, 1 << 20, NOW).unwrap();
        assert_eq!(read.state.attributes, kept().state.attributes);
        assert_eq!(read.touched, NOW - 1_000);
    }
}
