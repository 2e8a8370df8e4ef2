//! Throttling: subagents take slots, as many as allowed and no more, even at the same time.

use fusebox::domain::budget::{Budget, Scope};
use fusebox::domain::event::{ConcurrencyChange, EventData};
use fusebox::domain::throttle::{SlotDenied, SlotEvent, ThrottleLimits};
use fusebox::domain::time::Timestamp;
use fusebox::store::{AgentObservation, Applied, SlotObservation, Store};
use fusebox::transcript::{Fact, tool_hash};

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, session};
use super::facts::{NOW, facts, response, said, second, usage};

conformance!(
    as_many_as_are_allowed,
    exactly_as_many_at_once,
    a_slot_that_is_given_back_is_free,
    whoever_is_at_work_holds_one,
    each_session_has_its_own,
    in_all_and_in_depth,
    one_at_a_time_when_tokens_run_low,
    what_came_before_the_installation_does_not_throttle,
    the_meter_is_no_budget,
    slots_of_a_client_that_is_gone_are_free,
    slots_that_nobody_renews_are_free,
);

const LIMITS: ThrottleLimits =
    ThrottleLimits { hard_limit_tokens: 1000, max_concurrency: 3, max_depth: 2, max_total: 20 };

/// What a hook of session `id` observed of subagents and read.
struct SlotHook<'a> {
    id: &'a str,
    events: &'a [SlotEvent],
    facts: &'a [Fact],
    client_since: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> SlotHook<'a> {
    fn new(events: &'a [SlotEvent]) -> Self {
        Self { id: "s", events, facts: &[], client_since: None, now: NOW }
    }

    fn apply(self, store: &mut dyn Store) -> Applied {
        let meter =
            Budget { name: "[throttle]".into(), thresholds: Vec::new(), ..budget(Scope::Session, 1000) };
        let throttle = SlotObservation {
            limits: LIMITS,
            events: self.events,
            client_since: self.client_since,
            meter: budget_key(&meter, self.id),
        };
        let observed = AgentObservation { agent: "", calls: None, prompt: None, slots: Some(throttle) };
        let budgets = [budget_key(&budget(Scope::User, 50), "ann")];
        let step = BatchBuilder::new(&session(self.id))
            .facts(self.facts)
            .for_budgets(&budgets)
            .with_observation(observed);
        step.claiming().at(self.now).apply(store)
    }
}

fn requested(call: u64) -> [SlotEvent; 1] {
    [SlotEvent::Requested { call, depth: 1 }]
}

fn full(live: u32, max: u32) -> Option<SlotDenied> {
    Some(SlotDenied::Concurrency { live, max, throttled: max < LIMITS.max_concurrency })
}

fn live(store: &mut dyn Store, id: &str) -> (u32, u32) {
    let slots = store.slots(id).expect("an answer");
    (slots.live(), slots.total)
}

fn as_many_as_are_allowed(backend: &dyn Backend) {
    for call in 1..=3 {
        assert_eq!(SlotHook::new(&requested(call)).apply(&mut *backend.open()).slot_denied, None);
    }
    let store = &mut *backend.open();
    assert_eq!(SlotHook::new(&requested(4)).apply(store).slot_denied, full(3, 3));
    assert_eq!(SlotHook::new(&requested(2)).apply(store).slot_denied, None, "it has one already");
    assert_eq!(live(store, "s"), (3, 3));
}

fn exactly_as_many_at_once(backend: &dyn Backend) {
    let crowded = at_once(backend, 16, |thread, store| {
        SlotHook::new(&requested(thread as u64)).apply(store).slot_denied
    });
    assert_eq!(crowded.iter().filter(|crowded| crowded.is_none()).count(), 3, "{crowded:?}");
    assert_eq!(live(&mut *backend.open(), "s"), (3, 3));
}

fn a_slot_that_is_given_back_is_free(backend: &dyn Backend) {
    let store = &mut *backend.open();
    (1..=3).for_each(|call| drop(SlotHook::new(&requested(call)).apply(store)));
    SlotHook::new(&[SlotEvent::MovedToBackground { call: 1, agent: "x".into() }]).apply(store);
    SlotHook::new(&[SlotEvent::ResponseEnded { calls: vec![1, 2] }]).apply(store);
    assert_eq!(live(store, "s"), (2, 3), "who works on in the background keeps it");
    SlotHook::new(&[SlotEvent::CallEnded { call: 3 }, SlotEvent::AgentEnded { agent: "x".into() }])
        .apply(store);
    assert_eq!(live(store, "s"), (0, 3));
    SlotHook::new(&[SlotEvent::AgentActive { agent: "y".into(), call: Some(u64::MAX) }]).apply(store);
    assert_eq!(live(store, "s"), (1, 3));
    SlotHook::new(&[SlotEvent::CallEnded { call: u64::MAX }]).apply(store);
    assert_eq!(live(store, "s"), (0, 3));
}

/// In whatever order, and however often, the events of one agent come.
fn whoever_is_at_work_holds_one(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (active, own) = (|agent: &str| SlotEvent::AgentActive { agent: agent.into(), call: Some(77) }, 77);
    SlotHook::new(&requested(1)).apply(store);
    SlotHook::new(&[active("mate")]).apply(store);
    assert_eq!(live(store, "s"), (2, 1), "nothing says that it is the one of the call");
    for _ in 0..2 {
        SlotHook::new(&[SlotEvent::MovedToBackground { call: 1, agent: "mate".into() }]).apply(store);
        SlotHook::new(&[active("mate")]).apply(store);
        assert_eq!(live(store, "s"), (1, 1));
    }
    for agent in ["w1", "w2", "w3"] {
        SlotHook::new(&[SlotEvent::AgentActive { agent: agent.into(), call: Some(tool_hash(agent)) }])
            .apply(store);
    }
    assert_eq!(SlotHook::new(&requested(own)).apply(store).slot_denied, full(4, 3));
    for agent in ["mate", "mate", "w1"] {
        SlotHook::new(&[SlotEvent::AgentEnded { agent: agent.into() }]).apply(store);
    }
    // A late report of the call does not revive it.
    SlotHook::new(&[SlotEvent::MovedToBackground { call: 1, agent: "mate".into() }]).apply(store);
    assert_eq!(live(store, "s"), (2, 1));
    assert_eq!(SlotHook::new(&requested(own)).apply(store).slot_denied, None);
}

fn each_session_has_its_own(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for call in 1..=3 {
        SlotHook::new(&requested(call)).apply(store);
    }
    assert_eq!(SlotHook { id: "t", ..SlotHook::new(&requested(4)) }.apply(store).slot_denied, None);
    assert_eq!((live(store, "s"), live(store, "t")), ((3, 3), (1, 1)));
}

fn in_all_and_in_depth(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let deep = [SlotEvent::Requested { call: 99, depth: 3 }];
    assert_eq!(SlotHook::new(&deep).apply(store).slot_denied, Some(SlotDenied::Depth { depth: 3, max: 2 }));
    for call in 0..20 {
        let [asked] = requested(call);
        assert_eq!(SlotHook::new(&[asked, SlotEvent::CallEnded { call }]).apply(store).slot_denied, None);
    }
    assert_eq!(SlotHook::new(&requested(20)).apply(store).slot_denied, Some(SlotDenied::Total { max: 20 }));
}

fn one_at_a_time_when_tokens_run_low(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let turned = |applied: &Applied| -> Vec<EventData> {
        applied.events.iter().filter(|event| event.agent.is_empty()).map(|event| event.data.clone()).collect()
    };
    let spend = |id: &str, tokens, call, store: &mut dyn Store| {
        SlotHook { facts: &facts([response(id, tokens)]), ..SlotHook::new(&requested(call)) }.apply(store)
    };
    assert_eq!(turned(&spend("a", 899, 1, store)), []);
    let low = spend("b", 1, 2, store);
    let turn = ConcurrencyChange { from: 3, to: 1, usage_percent: 90.0 };
    assert_eq!(turned(&low), [EventData::ConcurrencyThrottled(turn)], "by the tokens of this very batch");
    assert_eq!(low.slot_denied, full(1, 1));
    let ids: Vec<i64> = low.events.iter().map(|event| event.id).collect();
    store.confirm_shown(&[], &ids).expect("confirmed");
    let still = spend("c", 100, 3, store);
    assert_eq!((turned(&still), still.slot_denied), (vec![], full(1, 1)), "told once");
    assert_eq!(store.events(Some("s"), None).expect("an answer").len(), 1);
}

fn what_came_before_the_installation_does_not_throttle(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    let before = facts([said("a", second(-10), usage(5000, 0, 0)), said("b", second(1), usage(10, 0, 0))]);
    let applied = SlotHook { facts: &before, ..SlotHook::new(&requested(1)) }.apply(store);
    assert_eq!((applied.slot_denied, applied.events.len()), (None, 0));
    assert_eq!(SlotHook::new(&requested(2)).apply(store).slot_denied, None);
}

fn the_meter_is_no_budget(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let applied =
        SlotHook { facts: &facts([response("a", 2000)]), ..SlotHook::new(&requested(1)) }.apply(store);
    let names: Vec<_> = applied.states.iter().map(|state| (state.budget.name.as_str(), state.used)).collect();
    assert_eq!(names, [("user", 2000)]);
    assert!(applied.alerts.iter().all(|alert| alert.budget == "user"));
}

fn slots_of_a_client_that_is_gone_are_free(backend: &dyn Backend) {
    let store = &mut *backend.open();
    (1..=3).for_each(|call| drop(SlotHook::new(&requested(call)).apply(store)));
    let another = requested(4);
    let look = SlotHook { client_since: Some(NOW), now: second(10), ..SlotHook::new(&another) };
    assert_eq!(look.apply(store).slot_denied, full(3, 3));
    let look = SlotHook { client_since: Some(second(5)), now: second(10), ..SlotHook::new(&another) };
    assert_eq!(look.apply(store).slot_denied, None);
    assert_eq!(live(store, "s"), (1, 4));
}

fn slots_that_nobody_renews_are_free(backend: &dyn Backend) {
    let store = &mut *backend.open();
    (1..=3).for_each(|call| drop(SlotHook::new(&requested(call)).apply(store)));
    SlotHook {
        now: second(20 * 60),
        ..SlotHook::new(&[SlotEvent::AgentActive { agent: "x".into(), call: Some(1) }])
    }
    .apply(store);
    assert_eq!(live(store, "s"), (3, 3));
    assert_eq!(
        SlotHook { now: second(31 * 60), ..SlotHook::new(&requested(4)) }.apply(store).slot_denied,
        None
    );
    assert_eq!(live(store, "s"), (2, 4), "the one that showed life, and the new one");
}
