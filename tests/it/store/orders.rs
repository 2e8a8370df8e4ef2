//! Facts in random batches, recorded by several handles in random order, give the same result as in one batch.

use std::collections::{BTreeMap, BTreeSet};

use fusebox::domain::budget::{Budget, BudgetState, Scope};
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::time::Timestamp;
use fusebox::domain::window::Period;
use fusebox::store::metrics::MetricKind;
use fusebox::store::{BudgetKey, SessionTotal, Store};
use fusebox::transcript::Fact;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::backend::Backend;
use super::batch_builder::{BatchBuilder, budget, budget_key, child, every, record, session};
use super::facts::{NOW, compaction, second, total, usage};
use super::metrics;

conformance!(messages_in_any_order, totals_in_any_order, totals_that_say_as_much);

/// The sessions whose files contain the facts; `c` is a child of `a`.
const SESSIONS: [&str; 3] = ["a", "b", "c"];

/// A fact, with the index of its session.
type SessionFact = (usize, Fact);

/// How facts are recorded: for each, its rank, its handle, and whether a batch ends with it.
type Schedule = Vec<(u32, usize, bool)>;

/// A reading of one of a few messages.
fn reading() -> impl Strategy<Value = Fact> {
    let who = (0..6u32, 0..3usize, 0..4usize, 0..4i64);
    let tokens = (0..50u64, 0..4u64, 0..50u64);
    let flags = (any::<bool>(), any::<bool>());
    let sets =
        (prop::collection::btree_map(0..3u64, 0..80u64, 0..3), prop::collection::btree_set(0..4u64, 0..3));
    (who, tokens, flags, sets).prop_map(
        |((id, model, agent, hours), (i, o, r), (stopped, error), (visible, tools))| {
            let (agent, agent_type) =
                [(None, "main"), (Some("x"), ""), (Some("x"), "Explore"), (Some("y"), "worker")][agent];
            let key = MessageKey::from_parts(&["message", &id.to_string()]);
            let message = Message {
                model: ["", "haiku", "sonnet"][model].into(),
                agent: agent.map(str::to_owned),
                agent_type: agent_type.into(),
                recorded: usage(i, o, r),
                stopped,
                error_followed: error,
                visible,
                tools,
                ..Message::new(key, UsageSource::Response, second(3600 * (hours * 5 - 10)))
            };
            // As returned by the line reader.
            Fact::Message(message.forget_lines())
        },
    )
}

/// Facts of this many sessions.
fn session_facts(
    sessions: usize,
    fact: impl Strategy<Value = Fact>,
) -> impl Strategy<Value = Vec<SessionFact>> {
    prop::collection::vec((0..sessions, fact), 1..24)
}

fn schedules() -> impl Strategy<Value = Schedule> {
    prop::collection::vec((any::<u32>(), 0..3usize, any::<bool>()), 24)
}

/// A budget for each scope and two kinds of windows.
fn budget_keys() -> Vec<BudgetKey> {
    let values: BTreeMap<Scope, &[&str]> = BTreeMap::from([
        (Scope::Session, &SESSIONS[..]),
        (Scope::Project, &["/project"]),
        (Scope::User, &["ann"]),
        (Scope::Model, &["haiku", "sonnet"]),
        (Scope::AgentType, &["main", "Explore", "worker"]),
    ]);
    let budgets = |scope: Scope| {
        [Period::Lifetime, Period::Day].map(|p| Budget { window: every(p), ..budget(scope, 100) })
    };
    values
        .iter()
        .flat_map(|(scope, values)| {
            budgets(*scope).into_iter().flat_map(|b| values.iter().map(move |v| budget_key(&b, v)))
        })
        .collect()
}

/// The final state of a store: budgets, sessions, and the sums of the totals for monitoring.
type StoreState = (Vec<BudgetState>, Vec<Option<SessionTotal>>, Vec<(String, Vec<i64>)>);

fn store_state(store: &mut dyn Store) -> StoreState {
    let states = store.states(&budget_keys(), NOW).expect("an answer");
    metrics::are_those_of_the_messages(store, &["haiku", "sonnet"], &["main", "Explore", "worker"]);
    let sums = metrics::totals(store, MetricKind::Usage).into_iter().map(|(model, (sums, _))| (model, sums));
    let sums = sums.filter(|(_, sums)| sums.iter().any(|sum| *sum != 0)).collect();
    (states, SESSIONS.map(|id| store.session_total(id).expect("an answer")).to_vec(), sums)
}

/// Sessions are known before anything is read in them, as after their first hooks.
fn begin(store: &mut dyn Store) {
    let early = Timestamp(NOW.0 - 7 * 86_400_000);
    for known in [session("a"), session("b"), child("c", "a")] {
        store.touch_session(&known, early, false).expect("noted");
    }
    store.note_installation(second(-3600 * 6)).expect("noted");
}

/// Each session's facts in one batch.
fn in_one_batch(backend: &dyn Backend, told: &[SessionFact]) -> StoreState {
    let store = &mut *backend.fresh().open();
    begin(store);
    for (n, id) in SESSIONS.iter().enumerate() {
        let facts: Vec<Fact> = told.iter().filter(|(of, _)| *of == n).map(|(_, fact)| fact.clone()).collect();
        record(store, id, &facts);
    }
    store_state(store)
}

fn in_pieces(backend: &dyn Backend, told: &[SessionFact], way: &Schedule) -> StoreState {
    let backend = backend.fresh();
    let mut handles: Vec<Box<dyn Store>> = (0..3).map(|_| backend.open()).collect();
    begin(&mut *handles[0]);
    let mut order: Vec<_> = told.iter().zip(way).collect();
    order.sort_by_key(|(_, way)| way.0);
    let mut pending: [Vec<Fact>; SESSIONS.len()] = Default::default();
    for ((of, fact), (_, handle, ends)) in order {
        pending[*of].push(fact.clone());
        if *ends {
            let facts = std::mem::take(&mut pending[*of]);
            // Counters read half way are changed by later batches.
            BatchBuilder::new(&session(SESSIONS[*of]))
                .facts(&facts)
                .for_budgets(&budget_keys())
                .apply(&mut *handles[*handle]);
        }
    }
    for (id, facts) in SESSIONS.iter().zip(pending) {
        record(&mut *handles[1], id, &facts);
    }
    store_state(&mut *handles[2])
}

fn compare(backend: &dyn Backend, facts: impl Strategy<Value = Vec<SessionFact>>) {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..Config::with_cases(32)
    });
    let same = |(told, way): (Vec<SessionFact>, Schedule)| {
        let (pieces, whole) = (in_pieces(backend, &told, &way), in_one_batch(backend, &told));
        for (piece, whole) in pieces.0.iter().zip(&whole.0) {
            let [piece, whole] = [piece, whole].map(|state| (state.used, state.history));
            prop_assert_eq!(piece, whole);
        }
        prop_assert_eq!(pieces.1, whole.1);
        prop_assert_eq!(pieces.2, whole.2);
        Ok(())
    };
    if let Err(error) = runner.run(&(facts, schedules()), same) {
        panic!("{}: {error}", backend.name());
    }
}

fn messages_in_any_order(backend: &dyn Backend) {
    compare(backend, session_facts(SESSIONS.len(), reading()));
}

fn totals_in_any_order(backend: &dyn Backend) {
    let whole = (0..6u32, 1..50u64, 2..9u64, 0..50u64).prop_map(|(id, i, o, r)| {
        let key = MessageKey::from_parts(&["message", &id.to_string()]);
        // All lines of a message agree, except on its progress.
        let at = second(i64::from(id) * 100);
        let (model, recorded, tools) = ("sonnet".to_owned(), usage(i, o, r), BTreeSet::new());
        let message =
            Message { model, recorded, tools, stopped: true, ..Message::new(key, UsageSource::Response, at) };
        Fact::Message(message)
    });
    let summary = (0..3i64, 0..90u64)
        .prop_map(|(n, before)| Fact::Message(compaction(&format!("c{n}"), second(n * 150 + 50), before)));
    let sum = (0..300u64, 0..60u64, 0..300u64, 0..6i64, any::<bool>()).prop_map(|(i, o, r, at, open)| {
        let until = (!open).then(|| second(at * 100 + 60));
        total(1, usage(i, o, r), second(at * 100), until)
    });
    compare(backend, session_facts(1, prop_oneof![4 => whole, 1 => summary, 2 => sum]));
}

/// Found by the property above: two totals of a run with equal sums but different classes.
fn totals_that_say_as_much(backend: &dyn Backend) {
    let sum = |i, o, r| total(1, usage(i, o, r), second(100), Some(second(160)));
    let key = MessageKey::from_parts(&["message", "m"]);
    let (model, recorded) = ("sonnet".to_owned(), usage(1, 2, 0));
    let said =
        Message { model, recorded, stopped: true, ..Message::new(key, UsageSource::Response, second(200)) };
    let told = |totals: [Fact; 2]| {
        let [first, second] = totals;
        [(0, first), (0, Fact::Message(said.clone())), (0, second)]
    };
    let (one, other) = (sum(5, 35, 207), sum(87, 49, 111));
    let [forth, back] = [told([one.clone(), other.clone()]), told([other, one])];
    assert_eq!(in_one_batch(backend, &forth), in_one_batch(backend, &back));
}
