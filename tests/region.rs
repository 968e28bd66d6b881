// SPDX-License-Identifier: Apache-2.0
//! The region between real processes: forked children that write, wait and are killed.

use std::time::{Duration, Instant};

use margay::base::clock::{Clock, Moment, SystemClock};
use margay::base::key::Key;
use margay::base::status::Status;
use margay::shared::{Lane, MemberSlotId, Reason, Region, Repaired, State};

/// A forked child; killed and waited for at the latest when dropped.
struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Runs `body` in a child. Other threads may hold locks at the moment of the fork, so `body` must not allocate,
    /// print or panic.
    fn fork(body: impl FnOnce()) -> Child {
        // SAFETY: the child only does what the comment above allows, and leaves without running destructors.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            body();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        Child { pid }
    }

    /// Kills the child where it stands and returns its number.
    fn kill(self) -> u32 {
        self.pid as u32
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: our own child, not yet waited for, so the number is still its own.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn own_pid() -> u32 {
    std::process::id()
}

/// For the child: sleeps until it is killed.
fn wait_for_the_end() {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn region_with(names: &[&str]) -> (Region, Vec<MemberSlotId>) {
    let region = Region::create().unwrap();
    let slots = bind(&region, 1, names);
    (region, slots)
}

fn bind(region: &Region, generation: u32, names: &[&str]) -> Vec<MemberSlotId> {
    let keys: Vec<Key> = names.iter().map(|name| Key::of(&[name])).collect();
    let bound = region.bind(generation, &keys, &[]).unwrap();
    bound.members.iter().map(|place| place.slot).collect()
}

#[test]
fn two_processes_see_each_others_writes() {
    let (region, slots) = region_with(&["a"]);
    let member = region.member(slots[0]);
    let _child = Child::fork(|| {
        while member.bytes_written() != 5 {
            std::hint::spin_loop();
        }
        member.update(Moment(9), Reason::Admin, |state| Some(state.with_status(Status::STOPPED)));
        member.add_bytes_read(7);
        wait_for_the_end();
    });
    member.add_bytes_written(5);
    wait_until("the child's answer", || member.bytes_read() == 7);
    assert_eq!(member.state(), State::fresh(Status::STOPPED));
    assert_eq!(member.last_change(), (Moment(9), Reason::Admin));
}

#[test]
fn the_parent_takes_back_what_a_killed_child_owed() {
    let (region, slots) = region_with(&["a", "b"]);
    let own = region.claim_lane(own_pid(), 1);
    let _busy = own.busy(slots[0]);
    let child = Child::fork(|| {
        let lane = region.claim_lane(own_pid(), 1);
        for _ in 0..3 {
            lane.enter(slots[0]);
        }
        lane.enter(slots[1]);
        wait_for_the_end();
    });
    wait_until("the child's requests", || region.member(slots[1]).busy() == 1);
    assert_eq!(region.member(slots[0]).busy(), 4);

    let pid = child.kill();
    assert_eq!(region.repair(pid), Repaired { lanes: 1, busy: 4 });
    assert_eq!(region.member(slots[0]).busy(), 1);
    assert_eq!(region.member(slots[1]).busy(), 0);
    assert_eq!(region.repair(pid), Repaired::default());
}

#[test]
fn a_kill_at_any_point_leaves_at_most_the_operation_under_way() {
    const HELD: u32 = 5;
    for round in 0..60 {
        let (region, slots) = region_with(&["a"]);
        let member = region.member(slots[0]);
        let own = region.claim_lane(own_pid(), 1);
        let held: Vec<_> = (0..HELD).map(|_| own.busy(slots[0])).collect();
        let child = Child::fork(|| {
            let lane = region.claim_lane(own_pid(), 1);
            loop {
                churn(&lane, slots[0]);
                member.add_bytes_read(1);
            }
        });
        wait_until("the child at work", || member.bytes_read() > 100 * round);
        region.repair(child.kill());

        let busy = member.busy();
        assert!((HELD - 1..=HELD).contains(&busy), "round {round}: {busy}");
        drop(held);
        assert_eq!(member.busy(), 0, "round {round}");
    }
}

fn churn(lane: &Lane<'_>, slot: MemberSlotId) {
    let _one = lane.busy(slot);
    let _two = lane.busy(slot);
}

#[test]
fn a_removed_member_outlives_its_children_and_no_longer() {
    let (region, slots) = region_with(&["kept", "removed"]);
    let removed = slots[1];
    let old_child = Child::fork(|| {
        let lane = region.claim_lane(own_pid(), 1);
        lane.enter(removed);
        while region.generation() != 2 {
            std::hint::spin_loop();
        }
        region.member(removed).add_bytes_read(3);
        wait_for_the_end();
    });
    wait_until("the old child's request", || region.member(removed).busy() == 1);
    region.member(slots[0]).count_error();

    let now = bind(&region, 2, &["added", "kept"]);
    assert_eq!(now[1], slots[0]);
    assert_eq!(region.member(now[1]).errors(), 1);
    assert_ne!(now[0], removed);
    wait_until("the old child's late count", || region.member(removed).bytes_read() == 3);
    assert_eq!(region.retire(region.oldest_generation().unwrap()), 0);

    region.repair(old_child.kill());
    assert_eq!(region.oldest_generation(), None);
    assert_eq!(region.member(removed).busy(), 0);
    assert_eq!(region.retire(region.generation()), 1);
    assert_eq!(region.find_member(Key::of(&["removed"])), None);
}

#[test]
fn another_program_can_map_the_region_by_its_descriptor() {
    let (region, slots) = region_with(&["a"]);
    region.member(slots[0]).count_error();
    let copy = region.fd().unwrap().try_clone_to_owned().unwrap();
    let mapped = Region::attach(copy).unwrap();
    let found = mapped.find_member(Key::of(&["a"])).unwrap();
    assert_eq!(mapped.member(found).errors(), 1);
    drop(region);
    assert_eq!(mapped.member(found).errors(), 1);
}

#[test]
fn children_ended_unseen_are_repaired_together() {
    let (region, slots) = region_with(&["a"]);
    let children: Vec<Child> = (0..3)
        .map(|_| {
            Child::fork(|| {
                region.claim_lane(own_pid(), 1).enter(slots[0]);
                wait_for_the_end();
            })
        })
        .collect();
    wait_until("three requests", || region.member(slots[0]).busy() == 3);
    let survivor = children[0].pid as u32;
    let mut children = children.into_iter();
    let alive = children.next();
    drop(children);
    assert_eq!(region.repair_where(|owner| owner.pid != survivor), Repaired { lanes: 2, busy: 2 });
    assert_eq!(region.member(slots[0]).busy(), 1);
    drop(alive);
}

#[test]
fn a_place_that_a_child_takes_is_seen_whole_by_all() {
    let (region, slots) = region_with(&["a", "b"]);
    let url = "ajp://tomcat-17.example:8009/application";
    let _reader = Child::fork(|| {
        // Must not allocate: a look at the length and the words is all.
        while !region.place(slots[0]).is_taken() {
            std::hint::spin_loop();
        }
        region.member(slots[1]).add_bytes_read(1);
        wait_for_the_end();
    });
    let _writer = Child::fork(|| {
        if let Some(administrator) = region.administer(Duration::from_secs(20)) {
            administrator.take_place(region.place(slots[0]), url);
        }
        wait_for_the_end();
    });
    wait_until("the reader", || region.member(slots[1]).bytes_read() == 1);
    assert_eq!(region.place(slots[0]).url().as_deref(), Some(url));
    assert!(!region.place(slots[1]).is_taken());
}

#[test]
fn a_child_that_dies_while_it_takes_a_place_leaves_it_free() {
    let (region, slots) = region_with(&["a"]);
    let child = Child::fork(|| {
        let administrator = region.administer(Duration::from_secs(20));
        region.member(slots[0]).add_bytes_read(1);
        wait_for_the_end();
        drop(administrator);
    });
    wait_until("the child", || region.member(slots[0]).bytes_read() == 1);
    assert!(region.administer(Duration::ZERO).is_none());
    child.kill();
    let administrator = region.administer(Duration::from_secs(20)).expect("taken over from the dead");
    assert!(administrator.take_place(region.place(slots[0]), "ajp://b"));
}

#[test]
fn what_an_agent_said_lapses_when_its_process_hangs_or_dies() {
    let (region, slots) = region_with(&["a"]);
    let (member, agent) = (region.member(slots[0]), region.agent());
    for end in [libc::SIGSTOP, libc::SIGKILL] {
        let me = end as u64;
        let child = Child::fork(|| {
            let mut said = false;
            loop {
                let now = SystemClock.now();
                if agent.claim(me, own_pid(), now) && agent.beat(me, now) && !said {
                    member.take_out(now, Reason::NodeLeft);
                    said = true;
                }
                // SAFETY: waits for a hundredth of a second.
                unsafe { libc::usleep(10_000) };
            }
        });
        wait_until("the agent", || member.is_gone() && agent.is_heard(SystemClock.now()));
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(child.pid, end) };
        wait_until("the lapse", || !agent.is_heard(SystemClock.now()));
        assert_eq!(agent.seen().unwrap().pid, child.pid as u32);
        assert!(member.put_back(SystemClock.now(), Reason::AgentSilent));
    }
}
