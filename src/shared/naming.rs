// SPDX-License-Identifier: Apache-2.0
//! Who the members are, for programs that do not read httpd's configuration: balancer, URL, address and route by slot.
//!
//! The parent writes an entry while it puts a configuration into force. The generation in the entry is taken away first and
//! written last, so a half-written entry is nobody's.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use super::layout::MemberSlotId;
use super::region::Region;

/// How a member's connector is asked whether it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Protocol {
    /// It cannot be asked: a UNIX socket, or a member that is not known yet.
    #[default]
    Unknown = 0,
    Ajp = 1,
    Http = 2,
    /// Something over TCP, like TLS.
    Tcp = 3,
}

/// A member as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Naming {
    pub protocol: Protocol,
    pub port: u16,
    /// Without `balancer://`.
    pub balancer: String,
    pub url: String,
    pub host: String,
    pub route: String,
}

/// One member's entry.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct NamingSlot {
    /// Generation + 1; 0 = nobody's.
    generation: AtomicU32,
    protocol: AtomicU32,
    port: AtomicU32,
    balancer: Text<16>,
    url: Text<32>,
    host: Text<32>,
    route: Text<8>,
}

#[repr(C, align(8))]
#[derive(Debug)]
struct Text<const WORDS: usize> {
    length: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Text<WORDS> {
    /// What does not fit is left out as a whole: half a name would be another name.
    fn write(&self, text: &str) {
        let text = if text.len() <= 8 * WORDS { text } else { "" };
        for (word, part) in self.words.iter().zip(text.as_bytes().chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            word.store(u64::from_ne_bytes(bytes), Relaxed);
        }
        self.length.store(text.len() as u64, Relaxed);
    }

    fn read(&self) -> String {
        let length = usize::try_from(self.length.load(Relaxed)).unwrap_or(0).min(8 * WORDS);
        let words = self.words.iter().take(length.div_ceil(8));
        let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        bytes.truncate(length);
        String::from_utf8(bytes).unwrap_or_default()
    }
}

impl NamingSlot {
    fn write(&self, generation: u32, naming: &Naming) {
        self.generation.store(0, Release);
        fence(Release);
        self.protocol.store(naming.protocol as u32, Relaxed);
        self.port.store(u32::from(naming.port), Relaxed);
        self.balancer.write(&naming.balancer);
        self.url.write(&naming.url);
        self.host.write(&naming.host);
        self.route.write(&naming.route);
        self.generation.store(generation.wrapping_add(1), Release);
    }

    fn read(&self, generation: u32) -> Option<Naming> {
        let is_whole = || self.generation.load(Acquire) == generation.wrapping_add(1);
        if !is_whole() {
            return None;
        }
        let protocol = match self.protocol.load(Relaxed) {
            1 => Protocol::Ajp,
            2 => Protocol::Http,
            3 => Protocol::Tcp,
            _ => Protocol::Unknown,
        };
        let naming = Naming {
            protocol,
            port: u16::try_from(self.port.load(Relaxed)).unwrap_or(0),
            balancer: self.balancer.read(),
            url: self.url.read(),
            host: self.host.read(),
            route: self.route.read(),
        };
        fence(Acquire);
        is_whole().then_some(naming)
    }

    pub(super) fn reset(&self) {
        self.generation.store(0, Release);
    }
}

impl Region {
    /// Says who has the slot in this generation. For the parent process only.
    pub fn name_member(&self, slot: MemberSlotId, generation: u32, naming: &Naming) {
        self.layout().namings[slot.index()].write(generation, naming);
    }

    /// The members of balancers of the newest configuration.
    pub fn named_members(&self) -> Vec<(MemberSlotId, Naming)> {
        let generation = self.generation();
        let current = self.members().map(|(_, slot, _)| slot).filter(|slot| self.is_current(*slot));
        current
            .filter_map(|slot| Some((slot, self.layout().namings[slot.index()].read(generation)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;

    #[test]
    fn the_members_of_the_newest_configuration_are_named() {
        let region = Region::private().unwrap();
        let slots = region.bind(0, &[Key::of(&["a"]), Key::of(&["b"])], &[]).unwrap().members;
        assert_eq!(region.named_members(), []);
        let naming = Naming {
            protocol: Protocol::Ajp,
            port: 8009,
            balancer: "c".into(),
            url: "ajp://10.0.0.1:8009".into(),
            host: "10.0.0.1".into(),
            route: "tomcat-1".into(),
        };
        region.name_member(slots[1].slot, 0, &naming);
        assert_eq!(region.named_members(), [(slots[1].slot, naming.clone())]);

        region.bind(1, &[Key::of(&["b"])], &[]).unwrap();
        assert_eq!(region.named_members(), [], "not named in this generation yet");
        region.name_member(slots[1].slot, 1, &Naming { url: "x".repeat(257), ..naming.clone() });
        assert_eq!(region.named_members()[0].1, Naming { url: String::new(), ..naming });
    }
}
