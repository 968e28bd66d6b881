// SPDX-License-Identifier: Apache-2.0
//! A choice takes nothing from the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use margay::balance::{Event, RequestView, Tried, transition};
use margay::base::status::Status;
use margay::config::plan::Method;

use crate::cluster::{BALANCER, Cluster};

struct Counting;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator; counting touches only a thread's own constant-made cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.with(|taken| taken.set(taken.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

pub fn taken_by(work: impl FnOnce()) -> usize {
    let before = TAKEN.with(Cell::get);
    work();
    TAKEN.with(Cell::get) - before
}

/// 64 members in every state, in three lbsets.
fn large(method: Method) -> Cluster {
    let flags =
        ["", " status=D", " status=N", " status=R", " status=H", " status=S", " set=1", " set=2 status=H"];
    let text = |n: usize| format!("M{n}{} redirect=M{}", flags[n % flags.len()], (n + 1) % 64);
    let cluster = Cluster::new(method, &(0..64).map(text).collect::<Vec<_>>().join(", ")).sticky();
    for n in (0..64).step_by(16) {
        transition::apply(cluster.slot(&format!("M{n}")), Event::ConnectFailed, cluster.now);
    }
    cluster
}

#[test]
fn counting_sees_an_allocation() {
    assert!(taken_by(|| drop(std::hint::black_box(vec![1u8]))) > 0);
}

#[test]
fn a_choice_among_64_members_allocates_nothing() {
    for method in [Method::ByRequests, Method::ByTraffic, Method::ByBusyness] {
        let cluster = large(method);
        let chooser = cluster.chooser();
        let lane = cluster.region.claim_lane(1, 1);
        for cookie in ["", "a=1; JSESSIONID=s.M8", "JSESSIONID=s.none; jsessionid=s.M8", "JSESSIONID=s.M1"] {
            let taken = taken_by(|| {
                let view = RequestView {
                    path: b"/app;v=1",
                    query: Some(b"a=b"),
                    cookies: std::iter::once(cookie.as_bytes()),
                };
                let sticky = chooser.in_force(BALANCER).sticky();
                let session = sticky.as_ref().and_then(|names| chooser.session(BALANCER, names, &view));
                let mut tried = Tried::default();
                for _ in 0..3 {
                    let choice = chooser.choose(BALANCER, session.as_ref(), &tried, cluster.now).unwrap();
                    let _busy = lane.busy(choice.slot);
                    transition::apply(cluster.region.member(choice.slot), Event::ConnectFailed, cluster.now);
                    tried.add(choice.slot);
                }
            });
            assert_eq!(taken, 0, "{method:?} {cookie}");
        }
    }
}

#[test]
fn a_refusal_allocates_nothing() {
    let cluster = Cluster::by_requests("A, B, C").with(|balancer| balancer.force_recovery = false);
    for name in ["A", "B", "C"] {
        cluster.set(name, Status::STOPPED, Status::default());
    }
    let choose = || cluster.chooser().choose(BALANCER, None, &Tried::default(), cluster.now);
    assert_eq!(taken_by(|| assert!(choose().is_err())), 0);
}
