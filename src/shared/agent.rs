// SPDX-License-Identifier: Apache-2.0
//! What all processes know of the agent: whether it is heard, and who it is.
//!
//! What the agent says about a member stands in the member's slot and counts only while the agent is heard. So an agent that
//! is absent, killed or stopped takes nobody out: what it said lapses by itself.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use crate::base::clock::Moment;

/// After so much silence nothing that the agent said counts. It beats several times a second.
pub const LAPSE: Duration = Duration::from_secs(2);

/// The agent that may take members out.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct AgentSlot {
    /// A random number of its own; 0 = nobody.
    owner: AtomicU64,
    /// When it said last that it is alive; 0 = never, or it has said goodbye.
    beat: AtomicU64,
    pid: AtomicU32,
    /// Nodes of the cluster that it sees.
    nodes: AtomicU32,
    /// Members that it has found the nodes of.
    matched: AtomicU32,
}

/// What pages show of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentSeen {
    pub pid: u32,
    pub nodes: u32,
    pub matched: u32,
    /// When it was heard last; `None` if it has said goodbye.
    pub beat: Option<Moment>,
}

impl AgentSlot {
    /// Does what the agent said count? One look, for the request path. A beat that lies far ahead shows that the clock was
    /// set back: it says nothing.
    pub fn is_heard(&self, now: Moment) -> bool {
        let beat = Moment(self.beat.load(Acquire));
        beat.0 != 0 && now.since(beat) <= LAPSE && beat.since(now) <= LAPSE
    }

    /// Makes `me` the agent, unless another one is heard. True if it is now.
    pub fn claim(&self, me: u64, pid: u32, now: Moment) -> bool {
        let owner = self.owner.load(Acquire);
        if owner == me {
            return true;
        }
        let is_free = owner == 0 || !self.is_heard(now);
        if !is_free || self.owner.compare_exchange(owner, me, AcqRel, Acquire).is_err() {
            return false;
        }
        self.beat.store(0, Release);
        self.pid.store(pid, Relaxed);
        true
    }

    /// Says that `me` is alive. False if another one took over.
    pub fn beat(&self, me: u64, now: Moment) -> bool {
        let is_mine = self.owner.load(Acquire) == me;
        if is_mine {
            self.beat.store(now.0, Release);
        }
        is_mine
    }

    /// What `me` sees, for the pages.
    pub fn note(&self, nodes: u32, matched: u32) {
        self.nodes.store(nodes, Relaxed);
        self.matched.store(matched, Relaxed);
    }

    /// `me` ends: from now on nothing it said counts.
    pub fn release(&self, me: u64) {
        if self.owner.load(Acquire) == me {
            self.beat.store(0, Release);
            let _ = self.owner.compare_exchange(me, 0, AcqRel, Relaxed);
        }
    }

    /// `None` if there never was one.
    pub fn seen(&self) -> Option<AgentSeen> {
        let pid = self.pid.load(Relaxed);
        let beat = Some(Moment(self.beat.load(Acquire))).filter(|beat| beat.0 != 0);
        let (nodes, matched) = (self.nodes.load(Relaxed), self.matched.load(Relaxed));
        (pid != 0).then_some(AgentSeen { pid, nodes, matched, beat })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Region;

    const NOW: Moment = Moment(1_790_000_000_000);

    fn later(ms: u64) -> Moment {
        Moment(NOW.0 + ms)
    }

    #[test]
    fn what_a_silent_agent_said_lapses() {
        let region = Region::private().unwrap();
        let agent = region.agent();
        assert!(!agent.is_heard(NOW));
        assert!(agent.claim(7, 100, NOW) && agent.beat(7, NOW));
        assert!(agent.is_heard(later(2000)));
        assert!(!agent.is_heard(later(2001)));
        assert!(!agent.is_heard(Moment(NOW.0 - 2001)), "the clock was set back");
    }

    #[test]
    fn there_is_one_agent_at_a_time() {
        let region = Region::private().unwrap();
        let agent = region.agent();
        assert!(agent.claim(7, 100, NOW) && agent.beat(7, NOW));
        assert!(!agent.claim(8, 200, later(1000)));
        assert!(!agent.beat(8, later(1000)));
        assert!(agent.claim(8, 200, later(2001)));
        assert!(!agent.is_heard(later(2001)), "the beat of the other one does not count for it");
        assert!(!agent.beat(7, later(2002)));
        agent.release(7);
        assert!(agent.beat(8, later(2002)));
        agent.release(8);
        assert!(!agent.is_heard(later(2002)));
        assert_eq!(agent.seen(), Some(AgentSeen { pid: 200, nodes: 0, matched: 0, beat: None }));
    }
}
