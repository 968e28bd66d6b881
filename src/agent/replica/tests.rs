// SPDX-License-Identifier: Apache-2.0
//! Orders of messages, and what must come of each.

use proptest::prelude::*;

use super::*;
use crate::wire::cluster::{Action, Change, Delta, Event, Member, Subject, read_sessions};
use crate::wire::stream::Value;

const APP: &[u8] = b"localhost#/app";
const NOW: i64 = 1_795_333_433_891;

fn message(event: Event, id: &str, payload: Option<Vec<u8>>) -> SessionMessage {
    SessionMessage {
        event,
        context: Some(APP.to_vec()),
        session_id: Some(id.into()),
        unique_id: None,
        time: Some(NOW),
        payload,
    }
}

fn created(id: &str) -> SessionMessage {
    message(Event::Created, id, None)
}

fn expired(id: &str) -> SessionMessage {
    message(Event::Expired, id, None)
}

fn renamed(id: &str, new: &str) -> SessionMessage {
    message(Event::ChangeId, id, Some(SessionMessage::of_new_id(new.as_bytes())))
}

fn action(subject: Subject, name: &str, change: Change) -> Action {
    Action { subject: Some(subject), name: name.into(), change }
}

fn delta(id: &str, actions: Vec<Action>) -> SessionMessage {
    let delta = Delta { session_id: id.into(), records_all: false, actions };
    message(Event::Delta, id, Some(delta.to_bytes()))
}

fn set(id: &str, name: &str, value: &str) -> SessionMessage {
    delta(id, vec![action(Subject::Attribute, name, Change::Set(Value::string(value.as_bytes())))])
}

fn replica(messages: &[SessionMessage]) -> Replica {
    let mut replica = Replica::new(Limits::default());
    for message in messages {
        replica.apply(message, NOW);
    }
    replica
}

/// Attributes of a session in order of their names.
fn attributes(replica: &Replica, id: &str) -> Option<Vec<(String, String)>> {
    let kept = replica.get(&Key::new(APP, id.as_bytes()))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut all: Vec<_> = kept
        .attributes
        .iter()
        .map(|(name, value)| (text(name), text(value.value().as_string().unwrap())))
        .collect();
    all.sort();
    Some(all)
}

/// Everything that a node is sent which asks.
struct Answer {
    data: Vec<SessionMessage>,
    complete: SessionMessage,
    after: Vec<SessionMessage>,
    sessions: usize,
}

fn answer_for(replica: &Replica, context: &[u8], batch: Batch, time: i64) -> Answer {
    let mut outgoing = replica.answer(context, time, NOW);
    let sessions = outgoing.len();
    let mut all = Vec::new();
    while let Some(part) = replica.next_part(&mut outgoing, batch, NOW) {
        all.extend(part);
    }
    let end = all.iter().position(|message| message.event == Event::TransferComplete).expect("an end");
    let after = all.split_off(end + 1);
    let complete = all.pop().expect("the end");
    assert!(all.iter().all(|message| message.event == Event::AllSessionData));
    Answer { data: all, complete, after, sessions }
}

fn answer(replica: &Replica, batch: Batch, time: i64) -> Answer {
    answer_for(replica, APP, batch, time)
}

fn one(name: &str, value: &str) -> Option<Vec<(String, String)>> {
    Some(vec![(name.to_owned(), value.to_owned())])
}

#[test]
fn changes_add_up() {
    let mut replica = replica(&[created("a"), set("a", "x", "1"), set("a", "y", "2"), set("a", "x", "3")]);
    replica.apply(&delta("a", vec![action(Subject::Attribute, "y", Change::Remove)]), NOW);
    assert_eq!(attributes(&replica, "a"), one("x", "3"));
}

#[test]
fn a_change_before_its_session_waits_for_it() {
    let mut replica = Replica::new(Limits::default());
    assert_eq!(replica.apply(&set("a", "x", "1"), NOW), Effect::Parked);
    assert_eq!(attributes(&replica, "a"), None);
    replica.apply(&created("a"), NOW);
    assert_eq!(attributes(&replica, "a"), one("x", "1"));
}

#[test]
fn a_late_beginning_takes_nothing_away() {
    let replica = replica(&[created("a"), set("a", "x", "1"), created("a")]);
    assert_eq!(attributes(&replica, "a"), one("x", "1"));
}

#[test]
fn an_ended_session_does_not_come_back() {
    let mut replica = replica(&[created("a"), expired("a"), set("a", "x", "1"), created("a")]);
    assert_eq!(attributes(&replica, "a"), None);
    replica.tick(NOW + REMEMBERED_FOR + 1);
    replica.apply(&created("a"), NOW);
    assert!(attributes(&replica, "a").is_some());
}

#[test]
fn a_new_id_may_come_before_everything_else() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let messages = [created("a.n1"), renamed("a.n1", "a.n2"), set("a.n1", "x", "1")];
        let replica = replica(&order.map(|at| messages[at].clone()));
        assert_eq!(attributes(&replica, "a.n1"), None, "{order:?}");
        assert_eq!(attributes(&replica, "a.n2"), one("x", "1"), "{order:?}");
    }
}

#[test]
fn a_session_may_move_to_and_fro() {
    let replica = replica(&[
        created("a.n1"),
        set("a.n1", "x", "1"),
        renamed("a.n1", "a.n2"),
        renamed("a.n2", "a.n1"),
        set("a.n1", "x", "2"),
    ]);
    assert_eq!(attributes(&replica, "a.n1"), one("x", "2"));
    assert_eq!(replica.len(), 1);
}

#[test]
fn a_change_whose_session_never_comes_asks_for_the_state_of_its_context() {
    let mut replica = replica(&[set("a", "x", "1")]);
    assert!(replica.tick(NOW + PARKED_FOR).is_empty());
    assert_eq!(replica.tick(NOW + PARKED_FOR + 1), [Name::from(APP)]);
    assert!(replica.tick(NOW + PARKED_FOR + 2).is_empty());
}

#[test]
fn sessions_end_after_their_idle_time_or_twice_that() {
    let limit = vec![action(Subject::MaxInactive, "m", Change::Set(Value::integer(5)))];
    let mut quiet = replica(&[created("a"), delta("a", limit.clone())]);
    quiet.tick(NOW + 9_999);
    assert_eq!(quiet.len(), 1);
    quiet.tick(NOW + 10_000);
    assert_eq!(quiet.len(), 0);
    let request = vec![action(Subject::IsNew, "n", Change::Set(Value::boolean(false)))];
    let mut telling = replica(&[created("a"), delta("a", limit), delta("a", request)]);
    assert!(telling.reports_requests());
    assert!(!telling.get(&Key::new(APP, b"a")).unwrap().is_new);
    telling.tick(NOW + 5_000);
    assert_eq!(telling.len(), 0);
}

#[test]
fn what_nobody_can_read_is_given_back_as_it_came_and_under_the_right_id() {
    let unreadable = [set("a.n1", "x", "1").payload.unwrap(), vec![0x79, 0x00]].concat();
    let mut replica = replica(&[created("a.n1")]);
    let effect = replica.apply(&message(Event::Delta, "a.n1", Some(unreadable)), NOW);
    assert!(matches!(effect, Effect::Opaque(_)), "{effect:?}");
    replica.apply(&set("a.n1", "y", "2"), NOW);
    replica.apply(&renamed("a.n1", "a.node2"), NOW);
    let answer = answer(&replica, Batch { sessions: 100, bytes: 1 << 20 }, 0);
    assert_eq!(answer.after.len(), 2);
    let last =
        Delta::read(answer.after[1].payload.as_ref().unwrap(), &mut Verdicts::default(), 1 << 20).unwrap();
    assert_eq!(last.session_id, b"a.node2");
    let first = answer.after[0].payload.as_ref().unwrap();
    assert!(first.ends_with(&[0x79, 0x00]) && first.windows(7).any(|window| window == b"a.node2"));
}

#[test]
fn a_node_that_asks_gets_all_sessions_in_batches_and_the_end() {
    let mut replica = Replica::new(Limits::default());
    for number in 0..25 {
        replica.apply(&created(&format!("s{number}")), NOW);
        replica.apply(&set(&format!("s{number}"), "x", "1"), NOW);
    }
    let answer = answer(&replica, Batch { sessions: 10, bytes: 1 << 20 }, 7);
    let sizes: Vec<_> = answer
        .data
        .iter()
        .map(|data| {
            read_sessions(data.payload.as_ref().unwrap(), &mut Verdicts::default(), 1 << 20).unwrap().len()
        })
        .collect();
    assert_eq!((sizes, answer.sessions), (vec![10, 10, 5], 25));
    assert_eq!(answer.complete.time, Some(7));
    let nobody = answer_for(&replica, b"localhost#/other", Batch { sessions: 10, bytes: 1 << 20 }, 7);
    assert_eq!((nobody.data.len(), nobody.sessions), (1, 0));
}

#[test]
fn batches_are_bounded_in_bytes() {
    let mut replica = Replica::new(Limits::default());
    for number in 0..10 {
        replica.apply(&created(&format!("s{number}")), NOW);
        replica.apply(&set(&format!("s{number}"), "x", &"v".repeat(1000)), NOW);
    }
    assert_eq!(answer(&replica, Batch { sessions: 100, bytes: 2500 }, 7).data.len(), 5);
    assert_eq!(answer(&replica, Batch { sessions: 100, bytes: 1 }, 7).data.len(), 10);
}

#[test]
fn the_kind_of_login_is_restored_behind_the_state() {
    let login = vec![action(Subject::AuthType, "__SET__AUTHTYPE__", Change::Set(Value::string(b"FORM")))];
    let replica = replica(&[created("a"), delta("a", login)]);
    let answer = answer(&replica, Batch { sessions: 10, bytes: 1 << 20 }, 7);
    let after =
        Delta::read(answer.after[0].payload.as_ref().unwrap(), &mut Verdicts::default(), 1000).unwrap();
    assert_eq!(after.actions[0].change, Change::Set(Value::string(b"FORM")));
}

#[test]
fn what_came_while_state_was_asked_for_stays_newer() {
    let before = replica(&[created("a"), set("a", "x", "old"), created("b")]);
    let snapshot = answer(&before, Batch { sessions: 10, bytes: 1 << 20 }, NOW).data.remove(0);
    let mut replica = Replica::new(Limits::default());
    replica.begin_asking();
    replica.apply(&set("a", "x", "new"), NOW);
    replica.apply(&expired("b"), NOW);
    let merged = replica.merge(&snapshot, Take::All, NOW).unwrap();
    replica.end_asking();
    assert_eq!((merged.received, merged.new), (1, 1));
    assert_eq!(attributes(&replica, "a"), one("x", "new"));
    assert_eq!(attributes(&replica, "b"), None);
}

/// What a node sends that has these sessions.
fn snapshot(messages: &[SessionMessage]) -> SessionMessage {
    answer(&replica(messages), Batch { sessions: 10, bytes: 1 << 20 }, NOW).data.remove(0)
}

fn at(time: i64, message: SessionMessage) -> SessionMessage {
    SessionMessage { time: Some(time), ..message }
}

#[test]
fn changes_that_overtook_each_other_end_as_the_node_made_them() {
    let node = |port: u16| Some(Member::new(([10, 0, 0, 1], port).into(), [1; 16]).identity());
    let mut replica = replica(&[created("a")]);
    let both = |first: &str, second: &str| {
        let set = |name: &str, value: &str| {
            action(Subject::Attribute, name, Change::Set(Value::string(value.as_bytes())))
        };
        delta("a", vec![set("x", first), set("y", second)])
    };
    replica.apply_from(node(1), &at(30, set("a", "x", "third")), NOW);
    replica.apply_from(node(1), &at(10, both("first", "first")), NOW);
    replica.apply_from(node(1), &at(20, renamed("a", "b")), NOW);
    replica.apply_from(node(1), &at(20, set("a", "x", "second")), NOW);
    let wanted: Vec<_> = [one("x", "third"), one("y", "first")].into_iter().flatten().flatten().collect();
    assert_eq!(attributes(&replica, "b"), Some(wanted));
    // Another node's clock says nothing about this one's.
    replica.apply_from(node(2), &at(5, set("b", "x", "fourth")), NOW);
    assert_eq!(attributes(&replica, "b").unwrap()[0].1, "fourth");
}

#[test]
fn a_node_that_has_not_applied_everything_yet_takes_nothing_away() {
    let behind = snapshot(&[created("a"), created("b")]);
    let mut replica = replica(&[created("a"), set("a", "x", "1")]);
    let merged = replica.merge(&behind, Take::Unknown, NOW).unwrap();
    assert_eq!((merged.received, merged.new), (2, 1));
    assert_eq!(attributes(&replica, "a"), one("x", "1"));
}

#[test]
fn a_session_under_its_old_id_does_not_come_back_beside_the_new_one() {
    let behind = snapshot(&[created("a.n1"), set("a.n1", "x", "1")]);
    let mut replica = replica(&[created("a.n1"), set("a.n1", "x", "2"), renamed("a.n1", "a.n2")]);
    replica.begin_asking();
    let merged = replica.merge(&behind, Take::All, NOW).unwrap();
    assert_eq!((merged.ids, replica.len()), (vec![b"a.n2".as_slice().into()], 1));
    assert_eq!(attributes(&replica, "a.n2"), one("x", "2"));
}

#[test]
fn a_session_that_is_known_by_its_change_of_id_only_is_taken_under_the_new_one() {
    let behind = snapshot(&[created("a.n1"), set("a.n1", "x", "1")]);
    let mut replica = replica(&[]);
    replica.begin_asking();
    for message in [renamed("a.n1", "a.n2"), set("a.n2", "y", "2")] {
        replica.apply(&message, NOW);
    }
    replica.merge(&behind, Take::All, NOW).unwrap();
    let both: Vec<_> = [one("x", "1"), one("y", "2")].into_iter().flatten().flatten().collect();
    assert_eq!((attributes(&replica, "a.n2"), replica.len()), (Some(both), 1));
}

#[test]
fn what_changed_while_the_agent_did_not_run_is_taken_from_the_nodes() {
    let newer = snapshot(&[created("a"), set("a", "x", "new"), set("a", "y", "1")]);
    let mut replica = replica(&[created("a"), set("a", "x", "old"), set("a", "z", "gone")]);
    replica.begin_asking();
    replica.merge(&newer, Take::All, NOW).unwrap();
    let mut all = attributes(&replica, "a").unwrap();
    all.sort();
    let wanted: Vec<_> = [one("x", "new"), one("y", "1")].into_iter().flatten().flatten().collect();
    assert_eq!(all, wanted);
}

#[test]
fn a_node_that_was_cut_off_does_not_bring_back_what_is_old() {
    let stale = snapshot(&[created("a"), set("a", "x", "old")]);
    let mut replica = replica(&[created("a")]);
    replica.apply(&set("a", "x", "new"), NOW + 1000);
    replica.begin_asking();
    replica.merge(&stale, Take::Newer, NOW + 2000).unwrap();
    assert_eq!(attributes(&replica, "a"), one("x", "new"));
}

/// What a node says that used the session at `time`.
fn used_at(messages: &[SessionMessage], time: i64) -> SessionMessage {
    let mut state = snapshot(messages);
    let payload = state.payload.as_deref().unwrap();
    let mut sessions = read_sessions(payload, &mut Default::default(), 1 << 20).unwrap();
    sessions.iter_mut().for_each(|session| session.this_accessed = time);
    state.payload = Some(crate::wire::cluster::write_sessions(sessions.iter()));
    state
}

#[test]
fn a_change_that_is_heard_again_does_not_hide_those_that_were_missed_before_it() {
    let missed = [created("a"), set("a", "x", "missed")];
    for new_id in [false, true] {
        let mut replica = replica(&[created("a"), set("a", "x", "old")]);
        replica.begin_asking();
        if new_id {
            replica.apply(&renamed("a", "b"), NOW + 4_000);
        }
        let id = if new_id { "b" } else { "a" };
        replica.apply(&set(id, "y", "heard"), NOW + 5_000);
        let mut node = missed.to_vec();
        node.extend(new_id.then(|| renamed("a", "b")));
        node.push(set(id, "y", "heard"));
        replica.merge(&used_at(&node, NOW + 2_000), Take::Newer, NOW + 6_000).unwrap();
        let wanted =
            [("x", "missed"), ("y", "heard")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(attributes(&replica, id), Some(wanted.to_vec()), "new id: {new_id}");
    }
}

#[test]
fn who_only_heard_of_a_request_is_believed_less_than_who_served_it() {
    let b = std::collections::BTreeSet::from(["B".to_owned()]);
    let a = std::collections::BTreeSet::from(["A".to_owned()]);
    let poor = |time| used_at(&[created("x.A")], NOW + time);
    let rich = |time| used_at(&[created("x.A"), set("x.A", "word", "new")], NOW + time);
    // The other node never got the change, and saw the session a moment later.
    let mut one = replica(&[created("x.A"), set("x.A", "word", "old")]);
    one.begin_asking();
    one.merge_from(None, &b, &poor(5), Take::Newer, NOW + 5_000).unwrap();
    assert_eq!(attributes(&one, "x.A"), self::one("word", "old"));
    one.merge_from(None, &a, &rich(2), Take::Newer, NOW + 5_000).unwrap();
    assert_eq!(attributes(&one, "x.A"), self::one("word", "new"));
    // In either order.
    for take in [Take::Newer, Take::All] {
        let mut two = replica(&[created("x.A")]);
        two.begin_asking();
        two.merge_from(None, &b, &poor(3_005), take, NOW + 5_000).unwrap();
        two.merge_from(None, &a, &rich(3_000), take, NOW + 5_000).unwrap();
        assert_eq!(attributes(&two, "x.A"), self::one("word", "new"));
        two.merge_from(None, &b, &poor(3_005), take, NOW + 5_000).unwrap();
        assert_eq!(attributes(&two, "x.A"), self::one("word", "new"));
        // It served a later request.
        two.merge_from(None, &b, &poor(4_500), take, NOW + 5_000).unwrap();
        assert_eq!(attributes(&two, "x.A"), Some(Vec::new()));
    }
}

#[test]
fn ids_that_came_up_lately_are_told_from_others() {
    let mut replica = replica(&[created("a")]);
    replica.apply(&renamed("a", "b"), NOW + 10);
    assert!(replica.is_begun_since(APP, b"b", NOW + 10));
    assert!(!replica.is_begun_since(APP, b"b", NOW + 11));
    replica.tick(NOW + 100_000);
    assert!(!replica.is_begun_since(APP, b"b", NOW));
}

#[test]
fn what_ended_while_nobody_told_is_let_go_of() {
    let mut replica = replica(&[created("a"), created("b")]);
    replica.apply(&set("b", "x", "1"), NOW + 10);
    assert_eq!(replica.keep_only(APP, &|_| false, NOW + 5), 1);
    assert_eq!((attributes(&replica, "a"), replica.len()), (None, 1));
}

#[test]
fn over_the_limit_the_longest_idle_go_first() {
    let mut replica = Replica::new(Limits { total: 2_500, ..Limits::default() });
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        let now = NOW + number as i64;
        replica.apply(&created(id), now);
        replica.apply(&set(id, "x", &"v".repeat(1000)), now);
    }
    replica.tick(NOW + 10);
    assert_eq!((replica.len(), attributes(&replica, "a")), (2, None));
    assert!(replica.bytes() <= 2_500);
}

#[test]
fn the_vault_writes_a_session_once_however_often_it_changed() {
    let mut replica = replica(&[created("a"), set("a", "x", "1")]);
    let mut written = Vec::new();
    replica.take_changes(usize::MAX).for_each(&replica, |key, write| {
        written.push((key.clone(), matches!(write, Write::Whole(_))));
    });
    assert_eq!(written, [(Key::new(APP, b"a"), true)]);
    replica.apply(&set("a", "y", "2"), NOW);
    replica.apply(&set("a", "y", "3"), NOW);
    let changes = replica.take_changes(usize::MAX);
    changes.for_each(&replica, |_, write| {
        assert!(
            matches!(write, Write::Parts { attributes, .. } if attributes == [Name::from(b"y".as_slice())])
        );
    });
    replica.apply(&expired("a"), NOW);
    replica.take_changes(usize::MAX).for_each(&replica, |_, write| assert_eq!(write, Write::Remove));
}

proptest! {
    /// Whatever comes in whatever order: the count of bytes is that of the sessions.
    #[test]
    fn bytes_are_counted_right(steps in prop::collection::vec((0u8..6, 0u8..4, 0u8..3), 0..120)) {
        let mut replica = Replica::new(Limits::default());
        for (kind, who, what) in steps {
            let id = format!("s{who}");
            let message = match kind {
                0 => created(&id),
                1 | 2 => set(&id, &format!("n{what}"), &"v".repeat(usize::from(what) * 10)),
                3 => expired(&id),
                4 => renamed(&id, &format!("s{what}")),
                _ => message(Event::Delta, &id, Some(vec![0xac, 0xed, 0, 5, 0x77, what])),
            };
            replica.apply(&message, NOW);
            prop_assert_eq!(replica.bytes(), replica.sessions().map(|(_, kept)| kept.size()).sum::<usize>());
            for (key, _) in replica.sessions() {
                prop_assert!(replica.get(&key).is_some());
            }
        }
    }
}
