// SPDX-License-Identifier: Apache-2.0
//! Tomcat's cluster on the wire: members, frames, messages about sessions. No sockets, no clock.

mod delta;
pub mod encrypt;
mod error;
pub mod fragment;
pub mod frame;
mod member;
mod message;
mod rpc;
mod state;

pub use delta::{Action, Change, Delta, Subject};
pub use error::ClusterError;
pub use frame::{ChannelData, Options};
pub use member::{Identity, Member, SHUTDOWN};
pub use message::{Event, SessionMessage};
pub use rpc::{MemberVersion, Rpc, StaticMessage, StaticWord};
pub use state::{
    SessionState, read_all_stored, read_sessions, read_stored, write_all_stored, write_sessions, write_stored,
};
