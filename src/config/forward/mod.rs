// SPDX-License-Identifier: Apache-2.0
//! Forward proxying: what a server forwards for its clients, and by which way back ends are reached.
//!
//! `ProxyRemote`, `NoProxy` and `ProxyBlock` act on all requests, those of `ProxyPass` too.

mod block;
mod direct;
mod remote;

use std::collections::HashMap;
use std::net::IpAddr;

pub use block::Blocked;
pub use direct::Direct;
pub(crate) use direct::DirectDraft;
pub use remote::{Remote, Target};

/// What one server says. Inheritance is already worked in.
#[derive(Debug, Default)]
pub struct ForwardRules {
    /// `ProxyRequests`.
    pub requests: bool,
    /// `ProxyRemote`, `ProxyRemoteMatch`, in the order they are asked.
    pub remotes: Vec<Remote>,
    /// `NoProxy`: hosts for which no [`Remote`] is asked.
    pub direct: Vec<Direct>,
    /// `ProxyBlock`.
    pub blocked: Vec<Blocked>,
    /// `ProxyDomain`: begins with a dot.
    pub domain: Option<String>,
}

impl ForwardRules {
    /// True if nothing changes the way to a back end.
    pub fn is_plain(&self) -> bool {
        self.remotes.is_empty() && self.blocked.is_empty()
    }
}

/// What one server has written so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct ForwardDraft {
    pub remotes: Vec<Remote>,
    pub direct: Vec<DirectDraft>,
    pub blocked: Vec<String>,
}

/// A line that adds to a [`ForwardDraft`].
#[derive(Debug, Clone)]
pub(crate) enum ForwardLine {
    Remote(Remote),
    /// The expression of a `ProxyRemoteMatch` gets its id when the line is kept.
    RemoteMatch {
        pattern: String,
        remote: Remote,
    },
    Direct(Vec<DirectDraft>),
    Block(Vec<String>),
}

/// Addresses of names that stand in `NoProxy` and `ProxyBlock`.
pub type KnownAddresses = HashMap<String, Vec<IpAddr>>;

impl ForwardDraft {
    /// Names that a server of mod_proxy looks up when it reads its configuration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let direct = self.direct.iter().filter_map(|entry| match entry {
            DirectDraft::Name(name) => Some(name.as_str()),
            DirectDraft::Known(_) => None,
        });
        let blocked = self.blocked.iter().map(String::as_str).filter(|word| !word.starts_with('*'));
        direct.chain(blocked)
    }

    /// Adds this server's words to the rules. `addresses`: `None` if nobody looked.
    pub fn add_to(&self, rules: &mut ForwardRules, addresses: Option<&KnownAddresses>) {
        rules.direct.extend(self.direct.iter().map(|entry| entry.compile(addresses)));
        rules.blocked.extend(self.blocked.iter().map(|word| {
            let known = addresses.and_then(|addresses| addresses.get(word)).cloned();
            Blocked { word: word.clone(), addresses: known.unwrap_or_default() }
        }));
    }
}
