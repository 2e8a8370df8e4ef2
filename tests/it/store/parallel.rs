//! Many hooks at once, each with its own handle: nothing is lost or counted twice, and each step sees all earlier ones.

use fusebox::domain::budget::{Budget, Scope, Unit};
use fusebox::domain::message::Message;
use fusebox::store::Store;
use fusebox::transcript::Fact;

use super::backend::{Backend, at_once};
use super::batch_builder::{
    BatchBuilder, budget, budget_key, child, recounted, running_counter, session, used,
};
use super::facts::{NOW, response, said, second, usage};

conformance!(
    disjoint_batches_add_up,
    overlapping_batches_count_once,
    each_step_sees_all_before_it,
    sessions_of_one_user,
    growth_found_by_all,
    children_of_one_parent,
    a_counter_that_all_ask_for_first,
    the_first_of_a_new_store,
);

/// The number of hooks.
const HOOKS: usize = 16;

/// Batches per hook.
const EACH: usize = 6;

/// Records batches of one session at once. Returns their sequence numbers, sorted.
fn sequences(backend: &dyn Backend, batch: impl Fn(usize, usize) -> Vec<Fact> + Sync) -> Vec<u64> {
    let work = |hook: usize, store: &mut dyn Store| -> Vec<u64> {
        (0..EACH)
            .map(|n| BatchBuilder::new(&session("s")).facts(&batch(hook, n)).apply(store).sequence)
            .collect()
    };
    let mut sequences = at_once(backend, HOOKS, work).concat();
    sequences.sort_unstable();
    sequences
}

fn charge(id: String, tokens: u64) -> Fact {
    Fact::Message(response(&id, tokens))
}

/// One for each batch, without gaps or duplicates.
fn all() -> Vec<u64> {
    (1..=(HOOKS * EACH) as u64).collect()
}

fn disjoint_batches_add_up(backend: &dyn Backend) {
    let store = &mut *backend.open();
    running_counter(store, Scope::User, "ann");
    let batch = |hook, n| vec![charge(format!("{hook}-{n}-a"), 1), charge(format!("{hook}-{n}-b"), 1000)];
    assert_eq!(sequences(backend, batch), all());
    let sum = (HOOKS * EACH) as u64;
    for (scope, value) in [(Scope::Session, "s"), (Scope::User, "ann"), (Scope::Model, "sonnet")] {
        assert_eq!(running_counter(store, scope, value), [1001 * sum, 0, 0, 0, 2 * sum, 0], "{scope:?}");
        assert_eq!(recounted(store, scope, value), [1001 * sum, 0, 0, 0, 2 * sum, 0], "{scope:?}");
    }
    assert_eq!(store.sequences().expect("an answer")["s"], sum);
}

fn overlapping_batches_count_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    running_counter(store, Scope::User, "ann");
    // Each two neighbours read the same message, and each hook one more.
    let batch = |hook: usize, n| {
        let pair = (hook / 2, hook.div_ceil(2));
        vec![
            charge(format!("{}-{n}", pair.0), 1),
            charge(format!("{}-{n}", pair.1), 1),
            charge("all".into(), 5000),
        ]
    };
    assert_eq!(sequences(backend, batch), all());
    let distinct = ((HOOKS / 2 + 1) * EACH) as u64;
    for (scope, value) in [(Scope::Session, "s"), (Scope::User, "ann")] {
        assert_eq!(
            running_counter(store, scope, value),
            [distinct + 5000, 0, 0, 0, distinct + 1, 0],
            "{scope:?}"
        );
        assert_eq!(recounted(store, scope, value), [distinct + 5000, 0, 0, 0, distinct + 1, 0], "{scope:?}");
    }
}

fn each_step_sees_all_before_it(backend: &dyn Backend) {
    let budgets =
        [budget_key(&budget(Scope::User, 1000), "ann"), budget_key(&budget(Scope::Session, 1000), "s")];
    let seen = at_once(backend, HOOKS, |hook, store| {
        let step = |n: usize| {
            let facts = [charge(format!("{hook}-{n}"), 1)];
            let applied = BatchBuilder::new(&session("s")).facts(&facts).for_budgets(&budgets).apply(store);
            (applied.sequence, applied.states.iter().map(|state| state.used).collect::<Vec<_>>())
        };
        (0..EACH).map(step).collect::<Vec<_>>()
    });
    for (sequence, used) in seen.concat() {
        assert_eq!(used, [sequence, sequence], "as many tokens as batches");
    }
}

fn sessions_of_one_user(backend: &dyn Backend) {
    let budgets = [budget_key(&budget(Scope::User, 1000), "ann")];
    let mut stood = at_once(backend, HOOKS, |hook, store| {
        let id = format!("s{hook}");
        let step = |n: usize| {
            let facts = [charge(format!("{hook}-{n}"), 1), charge("shared".into(), 0)];
            let applied = BatchBuilder::new(&session(&id)).facts(&facts).for_budgets(&budgets).apply(store);
            assert_eq!(applied.sequence, n as u64 + 1, "each session has its own");
            applied.states[0].used
        };
        (0..EACH).map(step).collect::<Vec<_>>()
    })
    .concat();
    stood.sort_unstable();
    assert_eq!(stood, all(), "each charge saw another count");
    let store = &mut *backend.open();
    assert_eq!(running_counter(store, Scope::User, "ann")[4], (HOOKS * EACH) as u64 + 1);
    for hook in 0..HOOKS {
        assert_eq!(running_counter(store, Scope::Session, &format!("s{hook}"))[4], EACH as u64 + 1);
    }
}

fn growth_found_by_all(backend: &dyn Backend) {
    let store = &mut *backend.open();
    running_counter(store, Scope::Session, "s");
    let batch = |hook: usize, n: usize| {
        let (grown, tool) = ((hook * EACH + n) as u64, hook as u64);
        vec![Fact::Message(Message {
            tools: [tool].into(),
            ..said("a", second(-(n as i64)), usage(7, grown, 0))
        })]
    };
    assert_eq!(sequences(backend, batch), all());
    let largest = (HOOKS * EACH) as u64 - 1;
    assert_eq!(running_counter(store, Scope::Session, "s"), [7, largest, 0, 0, 1, HOOKS as u64]);
    assert_eq!(recounted(store, Scope::Session, "s"), [7, largest, 0, 0, 1, HOOKS as u64]);
}

fn children_of_one_parent(backend: &dyn Backend) {
    at_once(backend, HOOKS, |hook, store| {
        let child = child(&format!("c{hook}"), "p");
        store.touch_session(&child, NOW, false).expect("noted");
        for n in 0..EACH {
            BatchBuilder::new(&child).facts(&[charge(format!("{hook}-{n}"), 1)]).apply(store);
        }
    });
    let store = &mut *backend.open();
    assert_eq!(used(store, Scope::Session, "p"), (HOOKS * EACH) as u64);
    assert_eq!(used(store, Scope::Session, "c5"), EACH as u64);
    assert_eq!(store.sessions().expect("an answer").len(), HOOKS + 1, "one parent");
}

fn a_counter_that_all_ask_for_first(backend: &dyn Backend) {
    BatchBuilder::new(&session("s")).facts(&[charge("before".into(), 100)]).apply(&mut *backend.open());
    let calls = Budget { unit: Unit::Requests, ..budget(Scope::Model, 1000) };
    let budgets = [budget_key(&calls, "sonnet")];
    let mut stood = at_once(backend, HOOKS, |hook, store| {
        let step = BatchBuilder::new(&session(&format!("s{hook}"))).facts(&[charge(format!("{hook}"), 1)]);
        step.for_budgets(&budgets).apply(store).states[0].used
    });
    stood.sort_unstable();
    assert_eq!(stood, (2..=HOOKS as u64 + 1).collect::<Vec<_>>());
}

fn the_first_of_a_new_store(backend: &dyn Backend) {
    // The store does not exist yet: all create it at once.
    let batch = |hook, n| vec![charge(format!("{hook}-{n}"), 1)];
    assert_eq!(sequences(backend, batch), all());
    let store = &mut *backend.open();
    assert_eq!(used(store, Scope::Session, "s"), (HOOKS * EACH) as u64);
    assert!(!store.is_rebuilding().expect("an answer"));
}
