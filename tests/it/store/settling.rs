//! Settling: a session's count equals the client's own totals wherever they cover everything, whatever the order of
//! recording.

use fusebox::domain::budget::Scope;
use fusebox::domain::message::{ClientTotal, Message};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::domain::window::Period;
use fusebox::store::Store;
use fusebox::transcript::Fact;

use super::backend::Backend;
use super::batch_builder::{
    BatchBuilder, child, counter_parts, every, record, recounted, running_counter, session, session_usage,
};
use super::facts::{NOW, by_agent, compaction, cut, facts, said, second, total, usage};
use crate::random::Random;

conformance!(
    what_stands_on_no_line_is_charged_once,
    an_agents_file_before_or_after_the_total,
    a_resumed_session_goes_on_from_its_total,
    a_compaction_is_an_estimate_until_a_total_covers_it,
    two_compactions_in_one_run_come_to_the_total,
    a_total_after_each_compaction_settles_each,
    a_rest_is_not_charged_again_with_a_later_compaction,
    a_total_that_does_not_cover_the_lines_says_nothing,
    a_total_replaces_the_estimate_of_a_cut_stream,
    a_total_does_not_settle_what_came_after_it,
    a_total_that_was_closed_stays_closed,
    a_covered_message_that_grows_later_is_no_rest,
    each_model_is_settled_apart,
    a_rest_books_to_the_window_of_the_line_before_it,
    a_childs_rest_is_its_parents_too,
);

/// A fact and the session whose files contain it.
pub type SessionFact = (&'static str, Fact);

/// A message of a session.
pub fn fact_of(session: &'static str, message: Message) -> SessionFact {
    (session, Fact::Message(message))
}

/// Records facts in many orders, each in a new store, and checks the usage and number of estimates of sessions, and the
/// usage of their user.
#[track_caller]
pub fn check(backend: &dyn Backend, told: &[SessionFact], truths: &[(&str, Usage, u64)], user: Usage) {
    let straight: Vec<SessionFact> = told.to_vec();
    let backwards: Vec<SessionFact> = told.iter().rev().cloned().collect();
    let mut orders = vec![straight, backwards];
    orders.extend((1..=6).map(|seed| shuffled(told, seed)));
    for (n, order) in orders.iter().enumerate() {
        let store = &mut *backend.fresh().open();
        let ids = truths.iter().map(|truth| truth.0);
        if n % 2 == 0 {
            for id in ids.clone() {
                running_counter(store, Scope::Session, id);
            }
            running_counter(store, Scope::User, "ann");
        }
        record_in_portions(store, order, if n < 2 { 1 } else { n });
        for (id, sum, estimates) in truths {
            assert_eq!(session_usage(store, id), (*sum, *estimates), "session {id} in order {n}");
            assert_eq!(
                running_counter(store, Scope::Session, id)[..4],
                parts(*sum),
                "counter of {id} in order {n}"
            );
        }
        assert_eq!(running_counter(store, Scope::User, "ann")[..4], parts(user), "user in order {n}");
        assert_eq!(recounted(store, Scope::User, "ann")[..4], parts(user), "user added up in order {n}");
    }
}

fn parts(sum: Usage) -> [u64; 4] {
    [sum.input, sum.output, sum.cache_write_5m + sum.cache_write_1h, sum.cache_read]
}

/// The facts in another order, some of them twice.
fn shuffled(told: &[SessionFact], seed: u64) -> Vec<SessionFact> {
    let mut random = Random::new(seed);
    let mut order: Vec<SessionFact> = told.to_vec();
    order.extend(told.iter().filter(|_| random.chance(30)).cloned());
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    order
}

/// Records facts in batches of at most this many adjacent ones.
fn record_in_portions(store: &mut dyn Store, told: &[SessionFact], most: usize) {
    for run in told.chunk_by(|one, other| one.0 == other.0) {
        for portion in run.chunks(most) {
            let facts: Vec<Fact> = portion.iter().map(|(_, fact)| fact.clone()).collect();
            record(store, run[0].0, &facts);
        }
    }
}

/// A complete response of session `s`.
fn line(id: &str, n: i64, sum: Usage) -> SessionFact {
    fact_of("s", said(id, second(n), sum))
}

fn total_between(run: i64, sum: Usage, after: i64, before: Option<i64>) -> SessionFact {
    ("s", total(run, sum, second(after), before.map(second)))
}

fn settles(backend: &dyn Backend, told: &[SessionFact], sum: Usage, estimates: u64) {
    check(backend, told, &[("s", sum, estimates)], sum);
}

fn what_stands_on_no_line_is_charged_once(backend: &dyn Backend) {
    let sum = usage(130, 13, 3);
    settles(
        backend,
        &[line("a", 1, usage(100, 10, 0)), total_between(1, sum, 1, None), total_between(1, sum, 1, None)],
        sum,
        0,
    );
}

fn an_agents_file_before_or_after_the_total(backend: &dyn Backend) {
    let agents = |id: &str, n, sum| fact_of("s", by_agent(said(id, second(n), sum), "x", "Explore"));
    let told = [
        line("a", 1, usage(100, 10, 0)),
        line("b", 9, usage(50, 5, 0)),
        agents("c", 3, usage(200, 20, 0)),
        agents("d", 5, usage(100, 10, 7)),
        total_between(1, usage(450, 45, 7), 9, None),
    ];
    settles(backend, &told, usage(450, 45, 7), 0);
}

fn a_resumed_session_goes_on_from_its_total(backend: &dyn Backend) {
    let mut told = vec![
        line("a", 1, usage(100, 10, 0)),
        total_between(1, usage(130, 13, 0), 1, Some(20)),
        line("b", 21, usage(40, 4, 0)),
        line("c", 22, usage(40, 4, 9)),
    ];
    settles(backend, &told, usage(210, 21, 9), 0);
    told.push(total_between(1, usage(215, 26, 9), 22, None));
    settles(backend, &told, usage(215, 26, 9), 0);
}

fn a_compaction_is_an_estimate_until_a_total_covers_it(backend: &dyn Backend) {
    let mut told = vec![
        line("a", 1, usage(100, 10, 500)),
        fact_of("s", compaction("c1", second(2), 610)),
        line("b", 3, usage(1, 1, 0)),
    ];
    settles(backend, &told, usage(101, 11, 1110), 1);
    told.push(total_between(1, usage(4422, 332, 1277), 3, None));
    settles(backend, &told, usage(4422, 332, 1277), 0);
}

fn two_compactions_in_one_run_come_to_the_total(backend: &dyn Backend) {
    // The estimate of the first is more than both read together.
    let told = [
        line("a", 1, usage(100, 10, 0)),
        fact_of("s", compaction("c1", second(2), 5000)),
        line("b", 3, usage(100, 10, 0)),
        fact_of("s", compaction("c2", second(4), 4000)),
        total_between(1, usage(9000, 700, 600), 4, None),
    ];
    settles(backend, &told, usage(9000, 700, 600), 1);
}

fn a_total_after_each_compaction_settles_each(backend: &dyn Backend) {
    let told = [
        line("a", 1, usage(100, 10, 0)),
        fact_of("s", compaction("c1", second(2), 5000)),
        total_between(1, usage(4100, 310, 70), 2, Some(10)),
        line("b", 11, usage(100, 10, 0)),
        fact_of("s", compaction("c2", second(12), 4000)),
        total_between(1, usage(9200, 920, 90), 12, None),
    ];
    settles(backend, &told, usage(9200, 920, 90), 0);
}

fn a_rest_is_not_charged_again_with_a_later_compaction(backend: &dyn Backend) {
    let told = [
        line("a", 1, usage(100, 10, 0)),
        total_between(1, usage(130, 13, 0), 1, Some(20)),
        fact_of("s", compaction("c1", second(21), 111)),
        line("b", 22, usage(40, 4, 0)),
        total_between(1, usage(900, 90, 80), 22, None),
    ];
    settles(backend, &told, usage(900, 90, 80), 0);
}

fn a_total_that_does_not_cover_the_lines_says_nothing(backend: &dyn Backend) {
    let told = [
        line("a", 1, usage(100, 10, 0)),
        fact_of("s", compaction("c1", second(2), 110)),
        line("b", 3, usage(10, 1, 0)),
        total_between(9, usage(60, 6, 6), 3, None),
    ];
    settles(backend, &told, usage(110, 11, 110), 1);
    // Only an agent's response makes the total too small, and it may be read last.
    let told = [
        line("a", 1, usage(100, 10, 0)),
        total_between(9, usage(160, 16, 6), 1, None),
        fact_of("s", by_agent(said("b", second(3), usage(200, 20, 0)), "x", "Explore")),
    ];
    settles(backend, &told, usage(300, 30, 0), 0);
}

fn a_total_replaces_the_estimate_of_a_cut_stream(backend: &dyn Backend) {
    let mut told = vec![line("a", 1, usage(100, 10, 0)), fact_of("s", cut("b", second(2), 50, 1, 400))];
    settles(backend, &told, usage(150, 110, 0), 1);
    told.push(total_between(1, usage(150, 42, 0), 2, None));
    settles(backend, &told, usage(150, 42, 0), 0);
}

fn a_total_does_not_settle_what_came_after_it(backend: &dyn Backend) {
    // The compaction leaves room in the total, which could seem to cover the agent's cut stream.
    let told = [
        line("a", 1, usage(100, 10, 0)),
        fact_of("s", compaction("c1", second(2), 110)),
        total_between(1, usage(4100, 310, 70), 2, Some(20)),
        line("b", 30, usage(10, 1, 0)),
        fact_of("s", by_agent(cut("c", second(25), 50, 1, 400), "x", "")),
    ];
    settles(backend, &told, usage(4160, 411, 70), 1);
}

fn a_total_that_was_closed_stays_closed(backend: &dyn Backend) {
    // The same total three times: open, closed, and read again from an incomplete file.
    let told = [
        line("a", 1, usage(100, 10, 0)),
        total_between(1, usage(130, 13, 0), 1, None),
        total_between(1, usage(130, 13, 0), 1, Some(20)),
        total_between(1, usage(130, 13, 0), 1, None),
        line("b", 21, usage(20, 2, 0)),
    ];
    settles(backend, &told, usage(150, 15, 0), 0);
}

fn a_covered_message_that_grows_later_is_no_rest(backend: &dyn Backend) {
    // A subagent's response that started before the total, with its last line dated after it.
    let told = [
        line("a", 1, usage(100, 10, 0)),
        fact_of("s", by_agent(said("b", second(50), usage(10, 1, 0)), "x", "Explore")),
        total_between(1, usage(110, 40, 0), 50, Some(65)),
        fact_of("s", by_agent(said("b", second(70), usage(10, 30, 0)), "x", "Explore")),
        line("c", 65, usage(7, 7, 7)),
    ];
    settles(backend, &told, usage(117, 47, 7), 0);
}

fn each_model_is_settled_apart(backend: &dyn Backend) {
    let haiku = Fact::Total(ClientTotal {
        run: 1,
        model: "haiku".into(),
        usage: usage(75, 8, 1),
        nano_usd: None,
        at: second(2),
        until: None,
    });
    let of_haiku = Message { model: "haiku".into(), ..said("h", second(2), usage(70, 7, 0)) };
    let told = [
        line("a", 1, usage(100, 10, 0)),
        fact_of("s", of_haiku),
        total_between(1, usage(130, 13, 0), 2, None),
        ("s", haiku),
    ];
    settles(backend, &told, usage(205, 21, 1), 0);
    let store = &mut *backend.open();
    running_counter(store, Scope::Model, "haiku");
    record_in_portions(store, &told, 2);
    assert_eq!(running_counter(store, Scope::Model, "haiku")[..4], [75, 8, 0, 1]);
    assert_eq!(running_counter(store, Scope::Model, "sonnet")[..4], [130, 13, 0, 0]);
    // The rest is not a separate request.
    assert_eq!(running_counter(store, Scope::Model, "haiku")[4..], [1, 0]);
}

fn a_rest_books_to_the_window_of_the_line_before_it(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (yesterday, day) = (NOW.plus_millis(-86_400_000), every(Period::Day));
    let on = |store: &mut dyn Store, at: Timestamp| {
        counter_parts(store, Scope::Session, &day, "s", at)[..2].to_vec()
    };
    assert_eq!((on(store, yesterday), on(store, NOW)), (vec![0, 0], vec![0, 0]));
    record(store, "s", &facts([said("a", yesterday, usage(100, 10, 0))]));
    record(store, "s", &[total(1, usage(130, 13, 0), yesterday, None)]);
    assert_eq!((on(store, yesterday), on(store, NOW)), (vec![130, 13], vec![0, 0]));
}

fn a_childs_rest_is_its_parents_too(backend: &dyn Backend) {
    let store = &mut *backend.open();
    // Seen before its messages: what a session used before it became a child is its own.
    store.touch_session(&child("s", "p"), second(0), false).expect("noted");
    running_counter(store, Scope::Session, "p");
    for fact in [line("a", 1, usage(100, 10, 0)).1, total_between(1, usage(130, 13, 0), 1, None).1] {
        BatchBuilder::new(&session("s")).facts(&[fact]).apply(store);
    }
    for (scope, value) in [(Scope::Session, "p"), (Scope::Session, "s"), (Scope::User, "ann")] {
        assert_eq!(running_counter(store, scope, value)[..2], [130, 13], "{value}");
        assert_eq!(recounted(store, scope, value)[..2], [130, 13], "{value}");
    }
}
