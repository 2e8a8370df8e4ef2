//! Events: kept in order, and reported once by a hook of the agent that they are about.

use std::collections::BTreeSet;

use fusebox::domain::breaker::circuit::{CircuitInput, Trip};
use fusebox::domain::breaker::policy::Policy;
use fusebox::domain::event::{Denial, DenialReason, Event, EventData};
use fusebox::domain::time::Timestamp;
use fusebox::store::{AgentObservation, Store};

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, session};
use super::facts::{NOW, second};

conformance!(
    found_by_session_and_call,
    every_part_is_kept,
    told_to_its_agent,
    told_once_and_given_back,
    told_by_one_of_many_at_once,
    who_cannot_tell_leaves_it_to_the_next,
    an_event_of_a_clock_that_ran_ahead,
    a_denial_is_no_news,
    noted_by_many_at_once,
);

fn event(id: &str, agent: &str, what: EventData) -> Event {
    Event { id: 0, session: id.into(), agent: agent.into(), at: NOW, data: what }
}

fn opened(count: u32) -> EventData {
    EventData::CircuitOpened(Trip {
        rule: "same_call".into(),
        count,
        limit: 5,
        at: second(-1),
        ..Trip::default()
    })
}

fn denied(call: u64) -> EventData {
    let protected = "the \"settings\"".to_owned();
    EventData::CallDenied(Denial {
        call,
        tool: "Edit".into(),
        stopped: true,
        reason: DenialReason::Protection { protected },
    })
}

fn step<'a>(id: &str, agent: &'a str, policy: &'a Policy, now: Timestamp) -> BatchBuilder<'a> {
    let calls = Some((policy, CircuitInput::Nothing, 0));
    BatchBuilder::new(&session(id))
        .with_observation(AgentObservation { agent, calls, prompt: None, slots: None })
        .at(now)
}

/// The ids of the events that a hook of this agent can report.
fn reported(store: &mut dyn Store, id: &str, agent: &str, now: Timestamp) -> Vec<i64> {
    let policy = Policy::default();
    step(id, agent, &policy, now).claiming().apply(store).events.iter().map(|event| event.id).collect()
}

fn note(store: &mut dyn Store, event: &Event) -> i64 {
    store.record_event(event).expect("noted");
    store.events(None, None).expect("an answer").last().expect("an event").id
}

fn found_by_session_and_call(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let noted = [
        event("s", "", denied(7)),
        event("t", "", denied(u64::MAX)),
        event("s", "x", opened(5)),
        event("s", "", denied(u64::MAX)),
        event("s", "", denied(1 << 63)),
    ];
    let ids: Vec<i64> = noted.iter().map(|event| note(store, event)).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let mut found = |session: Option<&str>, call: Option<u64>| -> Vec<i64> {
        store.events(session, call).expect("an answer").iter().map(|event| event.id).collect()
    };
    assert_eq!(found(None, None), ids);
    assert_eq!(found(Some("s"), None), [ids[0], ids[2], ids[3], ids[4]]);
    assert_eq!(found(None, Some(u64::MAX)), [ids[1], ids[3]]);
    assert_eq!(found(Some("s"), Some(u64::MAX)), [ids[3]]);
    assert_eq!(found(None, Some(1 << 63)), [ids[4]]);
    assert_eq!(found(None, Some(8)), [0; 0]);
    assert_eq!(found(Some("nobody"), None), [0; 0]);
}

fn every_part_is_kept(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let noted = [event("s", "x", denied(u64::MAX - 1)), event("s", "", opened(9))];
    let ids: Vec<i64> = noted.iter().map(|event| note(store, event)).collect();
    let kept = backend.open().events(None, None).expect("an answer");
    for ((kept, noted), id) in kept.iter().zip(&noted).zip(ids) {
        assert_eq!(kept, &Event { id, ..noted.clone() });
    }
}

fn told_to_its_agent(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (main, sub) = (note(store, &event("s", "", opened(1))), note(store, &event("s", "x", opened(2))));
    assert_eq!(reported(store, "t", "", NOW), [0; 0]);
    assert_eq!(reported(store, "s", "y", NOW), [0; 0]);
    assert_eq!(reported(store, "s", "x", NOW), [sub]);
    assert_eq!(reported(store, "s", "", NOW), [main]);
}

fn told_once_and_given_back(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (first, other) = (note(store, &event("s", "", opened(1))), note(store, &event("s", "", opened(2))));
    assert_eq!(reported(store, "s", "", NOW), [first, other]);
    assert_eq!(reported(store, "s", "", NOW.plus_millis(4_999)), [0; 0]);
    store.confirm_shown(&[], &[other]).expect("confirmed");
    assert_eq!(reported(store, "s", "", NOW.plus_millis(5_000)), [first], "who claimed it died");
    store.confirm_shown(&[], &[first]).expect("confirmed");
    assert_eq!(reported(store, "s", "", second(3600)), [0; 0]);
    let third = note(store, &event("s", "", opened(3)));
    assert_eq!(reported(store, "s", "", second(3600)), [third]);
}

fn told_by_one_of_many_at_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let ids: Vec<i64> = (1..=4).map(|n| note(store, &event("s", "", opened(n)))).collect();
    let mut all = at_once(backend, 8, |_, store| reported(store, "s", "", NOW)).concat();
    all.sort_unstable();
    assert_eq!(all, ids);
}

fn who_cannot_tell_leaves_it_to_the_next(backend: &dyn Backend) {
    let (store, policy) = (&mut *backend.open(), Policy::default());
    let id = note(store, &event("s", "", opened(1)));
    assert_eq!(step("s", "", &policy, NOW).apply(store).events, []);
    assert_eq!(BatchBuilder::new(&session("s")).claiming().apply(store).events, [], "it observes no agent");
    assert_eq!(reported(store, "s", "", NOW), [id]);
}

fn an_event_of_a_clock_that_ran_ahead(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let id = note(store, &event("s", "", opened(1)));
    assert_eq!(reported(store, "s", "", second(86_400)), [id]);
    assert_eq!(reported(store, "s", "", NOW), [id], "a claim of tomorrow is none of today");
    assert_eq!(reported(store, "s", "", NOW), [0; 0]);
}

fn a_denial_is_no_news(backend: &dyn Backend) {
    let store = &mut *backend.open();
    note(store, &event("s", "", denied(7)));
    assert_eq!(reported(store, "s", "", NOW), [0; 0]);
    let news = note(store, &event("s", "", opened(1)));
    assert_eq!(reported(store, "s", "", NOW), [news]);
}

fn noted_by_many_at_once(backend: &dyn Backend) {
    at_once(backend, 8, |thread, store| {
        for n in 0..5 {
            store.record_event(&event(&format!("s{thread}"), "", denied(n))).expect("noted");
        }
    });
    let store = &mut *backend.open();
    let ids: BTreeSet<i64> =
        store.events(None, None).expect("an answer").iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 40);
    assert_eq!(store.events(Some("s3"), None).expect("an answer").len(), 5);
    assert_eq!(store.events(None, Some(3)).expect("an answer").len(), 8);
}
