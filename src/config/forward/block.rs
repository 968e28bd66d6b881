// SPDX-License-Identifier: Apache-2.0
//! `ProxyBlock`: back ends that are not asked.

use std::net::IpAddr;

/// One word of `ProxyBlock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Part of a host name, an address, or `*` for all.
    pub word: String,
    /// What the word was resolved to when the configuration was read, if it was.
    pub addresses: Vec<IpAddr>,
}

impl Blocked {
    /// Is a host of this name (in lower case) blocked? The letter case of the word counts, as in mod_proxy.
    pub fn covers_name(&self, host: &str) -> bool {
        self.word.starts_with('*') || host.contains(&self.word)
    }

    /// Is a host with this address blocked?
    pub fn covers_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_anywhere_in_the_name_blocks() {
        let word = |word: &str| Blocked { word: word.into(), addresses: vec!["10.0.0.1".parse().unwrap()] };
        for (text, host, blocked) in [
            ("bad", "www.bad.example", true),
            ("bad.example", "notbad.example", true),
            ("Bad", "bad.example", false),
            ("*", "anything", true),
            ("*.example", "anything", true),
            ("10.0.0", "10.0.0.7", true),
            ("other", "bad.example", false),
        ] {
            assert_eq!(word(text).covers_name(host), blocked, "{text} {host}");
        }
        assert!(word("x").covers_address("10.0.0.1".parse().unwrap()));
        assert!(!word("x").covers_address("10.0.0.2".parse().unwrap()));
    }
}
