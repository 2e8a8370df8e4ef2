//! Messages: each counts once, merged from all its readings.

use std::collections::BTreeSet;

use fusebox::domain::budget::Scope;
use fusebox::domain::message::Message;
use fusebox::domain::money::Terms;
use fusebox::domain::usage::{Amount, Usage};
use fusebox::prices::Prices;
use fusebox::store::{SessionTotal, Store};
use fusebox::transcript::Fact;

use super::backend::Backend;
use super::batch_builder::{
    BatchBuilder, budget, budget_key, record, recounted, running_counter, session, session_usage, used,
};
use super::facts::{by_agent, cut, facts, response, said, second, usage};

conformance!(
    counted_once,
    counted_once_across_handles,
    readings_in_any_order,
    growth_moves_by_the_difference,
    each_class_keeps_its_largest,
    tool_calls_are_a_set,
    one_model_only,
    a_subagent_wins_over_main,
    a_cut_stream_is_an_estimate,
    lines_of_a_cut_stream_add_up,
    an_error_makes_a_stream_a_cut_one,
    an_empty_batch_is_a_batch,
    sums_beyond_what_a_fraction_holds,
    a_session_total_has_every_part,
);

fn counted_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let again = facts([response("a", 10), response("a", 10), response("b", 5)]);
    for _ in 0..3 {
        record(store, "s", &again);
    }
    assert_eq!(running_counter(store, Scope::Session, "s"), [15, 0, 0, 0, 2, 0]);
    assert_eq!(recounted(store, Scope::User, "ann"), [15, 0, 0, 0, 2, 0]);
}

fn counted_once_across_handles(backend: &dyn Backend) {
    let (one, other) = (&mut *backend.open(), &mut *backend.open());
    for _ in 0..3 {
        record(one, "s", &facts([response("a", 10)]));
        record(other, "s", &facts([response("a", 10), response("b", 5)]));
    }
    assert_eq!(running_counter(one, Scope::Session, "s"), [15, 0, 0, 0, 2, 0]);
    assert_eq!(running_counter(other, Scope::Session, "s"), [15, 0, 0, 0, 2, 0]);
}

fn readings_in_any_order(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (n, order) in orders.iter().enumerate() {
        let (id, key) = (format!("s{n}"), format!("m{n}"));
        let readings = [
            Message { tools: BTreeSet::from([1]), ..cut(&key, second(0), 100, 1, 40) },
            Message { tools: BTreeSet::from([2]), ..cut(&key, second(1), 100, 2, 80) },
            Message { model: "haiku".into(), ..said(&key, second(2), usage(100, 33, 9)) },
        ];
        running_counter(store, Scope::Session, &id);
        for i in order {
            record(store, &id, &facts([readings[*i].clone()]));
        }
        assert_eq!(running_counter(store, Scope::Session, &id), [100, 33, 0, 9, 1, 2], "{order:?}");
        assert_eq!(session_usage(store, &id), (usage(100, 33, 9), 0), "{order:?}");
    }
    assert_eq!(running_counter(store, Scope::Model, "haiku"), [600, 198, 0, 54, 6, 12]);
    assert_eq!(running_counter(store, Scope::Model, "sonnet"), [0; 6]);
}

fn growth_moves_by_the_difference(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budgets =
        [budget_key(&budget(Scope::Session, 100), "s"), budget_key(&budget(Scope::User, 100), "ann")];
    for (tokens, stands) in [(10, 10), (25, 25), (25, 25), (7, 25), (26, 26)] {
        let step =
            BatchBuilder::new(&session("s")).facts(&facts([response("a", tokens)])).for_budgets(&budgets);
        let after: Vec<u64> = step.apply(store).states.iter().map(|state| state.used).collect();
        assert_eq!(after, [stands, stands], "after a reading of {tokens}");
    }
}

fn each_class_keeps_its_largest(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let first = Usage { input: 10, output: 1, cache_write_5m: 7, cache_write_1h: 0, cache_read: 90 };
    let other = Usage { input: 5, output: 20, cache_write_5m: 3, cache_write_1h: 4, cache_read: 80 };
    running_counter(store, Scope::Session, "s");
    record(store, "s", &facts([said("a", second(0), first)]));
    record(store, "s", &facts([said("a", second(0), other)]));
    assert_eq!(running_counter(store, Scope::Session, "s"), [10, 20, 11, 90, 1, 0]);
    assert_eq!(recounted(store, Scope::Session, "s"), [10, 20, 11, 90, 1, 0]);
}

fn tool_calls_are_a_set(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let calls = |ids: &[u64]| Message { tools: ids.iter().copied().collect(), ..response("a", 1) };
    running_counter(store, Scope::Session, "s");
    for (ids, stands) in [(&[u64::MAX, 2][..], 2), (&[2], 2), (&[0, 2, 1 << 63], 4), (&[], 4)] {
        record(store, "s", &facts([calls(ids)]));
        assert_eq!(running_counter(store, Scope::Session, "s")[5], stands, "after {ids:?}");
    }
    assert_eq!(recounted(store, Scope::Session, "s")[5], 4);
}

fn one_model_only(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let by = |model: &str| facts([Message { model: model.into(), ..response("a", 10) }]);
    let counted = |store: &mut dyn Store| ["haiku", "opus"].map(|m| used(store, Scope::Model, m));
    for (model, stands) in [("opus", [0, 10]), ("haiku", [10, 0]), ("", [10, 0]), ("opus", [10, 0])] {
        record(store, "s", &by(model));
        assert_eq!(counted(store), stands, "after {model:?}");
    }
}

fn a_subagent_wins_over_main(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let seen = |message: Message| facts([message]);
    record(store, "s", &seen(response("a", 10)));
    assert_eq!(used(store, Scope::AgentType, "main"), 10);
    record(store, "s", &seen(by_agent(response("a", 10), "x", "")));
    assert_eq!(used(store, Scope::AgentType, "main"), 0, "a subagent of unknown type is not the main agent");
    record(store, "s", &seen(by_agent(response("a", 10), "x", "Explore")));
    record(store, "s", &seen(response("a", 12)));
    assert_eq!(["main", "Explore"].map(|t| used(store, Scope::AgentType, t)), [0, 12]);
}

fn a_cut_stream_is_an_estimate(backend: &dyn Backend) {
    let store = &mut *backend.open();
    running_counter(store, Scope::Session, "s");
    record(store, "s", &facts([cut("a", second(0), 50, 1, 400)]));
    assert_eq!(session_usage(store, "s"), (usage(50, 100, 0), 1));
    record(store, "s", &facts([said("a", second(1), usage(50, 33, 0))]));
    assert_eq!(session_usage(store, "s"), (usage(50, 33, 0), 0), "its own count wins, be it smaller");
    assert_eq!(running_counter(store, Scope::Session, "s")[..2], [50, 33]);
}

fn lines_of_a_cut_stream_add_up(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let lines = [(1, 40, 10), (2, 40, 20), (1, 40, 20), (1, 44, 21), (1, 8, 21)];
    for (line, visible, output) in lines {
        record(store, "s", &facts([cut("a", second(0), 50, line, visible)]));
        assert_eq!(
            session_usage(store, "s"),
            (usage(50, output, 0), 1),
            "line {line} of {visible} characters"
        );
    }
}

fn an_error_makes_a_stream_a_cut_one(backend: &dyn Backend) {
    for order in [[0, 1], [1, 0]] {
        let store = &mut *backend.fresh().open();
        let ended = Message { stopped: true, ..cut("a", second(0), 50, 1, 400) };
        let error =
            Message { error_followed: true, stopped: false, ..said("a", second(0), Usage::default()) };
        for i in order {
            record(store, "s", &facts([[&ended, &error][i].clone()]));
        }
        assert_eq!(session_usage(store, "s"), (usage(50, 100, 0), 1), "{order:?}");
    }
}

fn an_empty_batch_is_a_batch(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let first = record(store, "s", &[]);
    let second = record(store, "s", &[]);
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert_eq!((first.states.len(), first.alerts.len(), first.events.len()), (0, 0, 0));
    assert_eq!(store.session_total("s").expect("an answer"), Some(SessionTotal::default()));
}

fn sums_beyond_what_a_fraction_holds(backend: &dyn Backend) {
    let store = &mut *backend.open();
    // The maximum for one response, as an odd number: the sum is past 10¹⁴, where floating-point formats with fourteen
    // digits fail.
    let most = (1 << 40) - 1;
    running_counter(store, Scope::User, "ann");
    for part in 0..4 {
        let messages: Vec<Fact> =
            (0..32).map(|n| Fact::Message(response(&format!("{part}-{n}"), most))).collect();
        record(store, "s", &messages);
    }
    assert_eq!(running_counter(store, Scope::User, "ann")[0], 128 * most);
    assert_eq!(recounted(store, Scope::User, "ann")[0], 128 * most);
    record(store, "s", &facts([response("one more", 1)]));
    assert_eq!(used(store, Scope::User, "ann"), 128 * most + 1);
    assert_eq!(session_usage(store, "s").0.input, 128 * most + 1);
}

fn a_session_total_has_every_part(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let first = Usage { input: 1, output: 2, cache_write_5m: 3, cache_write_1h: 4, cache_read: 5 };
    let calls = Message { tools: BTreeSet::from([7, 8]), ..said("a", second(0), first) };
    record(store, "s", &facts([calls, cut("b", second(1), 10, 1, 0)]));
    let rates = Prices::default().quote("sonnet", second(0), first.context(), Terms::default());
    let nano_usd = rates.cost(first, 0) + rates.cost(usage(10, 1, 0), 0);
    let amount = Amount {
        usage: first.plus(usage(10, 1, 0)),
        requests: 2,
        tool_calls: 2,
        nano_usd,
        nano_usd_estimated: if rates.is_estimate { nano_usd } else { 0 },
    };
    // The cut message has no visible text that would exceed its own count.
    let total = SessionTotal { amount, ..SessionTotal::default() };
    assert_eq!(store.session_total("s").expect("an answer"), Some(total));
    assert_eq!(store.session_total("other").expect("an answer"), None);
}
