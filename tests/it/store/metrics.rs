//! Totals for monitoring: the sum of what is recorded, each message once, and a peak that never goes down.

use std::collections::BTreeMap;

use fusebox::domain::alert::AlertLevel;
use fusebox::domain::breaker::circuit::Trip;
use fusebox::domain::budget::Scope;
use fusebox::domain::event::{Denial, DenialReason, Event, EventData};
use fusebox::domain::throttle::SlotDenied;
use fusebox::store::Store;
use fusebox::store::metrics::{MAX_LABELS, MetricKind, OTHER};

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, child, record, recounted, session};
use super::facts::{NOW, by_agent, cut, facts, response, said, usage};

conformance!(
    each_message_counts_once,
    the_peak_stays_when_an_estimate_was_too_high,
    another_model_takes_over_what_it_used,
    alerts_and_pauses_count_when_they_are_raised,
    denials_and_trips_count,
    labels_past_the_limit_are_other,
    long_and_odd_labels,
    many_at_once,
    a_new_store_has_none,
);

/// Sums and peaks of a kind by label, without totals that are 0.
pub fn totals(store: &mut dyn Store, kind: MetricKind) -> BTreeMap<String, (Vec<i64>, Vec<i64>)> {
    let all = store.metrics().expect("an answer").into_iter();
    let all = all.filter(|total| total.kind == kind).filter(|total| total.peaks.iter().any(|n| *n != 0));
    all.map(|total| (total.label, (total.sums, total.peaks))).collect()
}

/// The sums of a model: input, output, cache writes, cache reads, requests, tool calls.
fn sums(store: &mut dyn Store, model: &str) -> [i64; 6] {
    let all = totals(store, MetricKind::Usage);
    let (sums, peaks) = all.get(model).cloned().unwrap_or_else(|| (vec![0; 9], vec![0; 9]));
    assert!(sums.iter().zip(&peaks).all(|(sum, peak)| sum <= peak), "{sums:?} {peaks:?}");
    [sums[0], sums[1], sums[2] + sums[3], sums[4], sums[5], sums[6]]
}

/// One count by label.
fn counts(store: &mut dyn Store, kind: MetricKind) -> Vec<(String, i64)> {
    totals(store, kind).into_iter().map(|(label, (_, peaks))| (label, peaks[0])).collect()
}

/// Checks that the sums are those of the messages.
pub fn are_those_of_the_messages(store: &mut dyn Store, models: &[&str], agent_types: &[&str]) {
    for model in models {
        let expected = recounted(store, Scope::Model, model).map(u64::cast_signed);
        assert_eq!(sums(store, model), expected, "{model}");
    }
    for agent_type in agent_types {
        let [.., expected] = recounted(store, Scope::AgentType, agent_type);
        let all = totals(store, MetricKind::ToolCalls);
        let calls = all.get(*agent_type).map_or(0, |(sums, _)| sums[0]);
        assert_eq!(calls, expected.cast_signed(), "{agent_type}");
    }
}

fn each_message_counts_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let told = facts([
        said("a", NOW, usage(10, 2, 5)),
        by_agent(said("b", NOW, usage(1, 1, 0)), "x", "Explore"),
        response("c", 7),
    ]);
    for _ in 0..3 {
        record(store, "s", &told);
    }
    // A fork has the same lines, and what a child session uses also counts in its parent.
    record(store, "fork", &told);
    BatchBuilder::new(&child("child", "s")).facts(&facts([response("d", 100)])).apply(store);
    assert_eq!(sums(store, "sonnet"), [118, 3, 0, 5, 4, 0]);
    are_those_of_the_messages(store, &["sonnet"], &["main", "Explore"]);
}

fn the_peak_stays_when_an_estimate_was_too_high(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let output = |store: &mut dyn Store| {
        let (sums, peaks) = &totals(store, MetricKind::Usage)["sonnet"];
        (sums[1], peaks[1])
    };
    record(store, "s", &facts([cut("m", NOW, 3, 1, 400)]));
    assert_eq!(output(store), (100, 100), "a quarter of the characters");
    record(store, "s", &facts([said("m", NOW, usage(3, 60, 0))]));
    assert_eq!(output(store), (60, 100), "the response ended");
    record(store, "s", &facts([said("n", NOW, usage(0, 30, 0))]));
    assert_eq!(output(store), (90, 100));
    record(store, "s", &facts([said("o", NOW, usage(0, 30, 0))]));
    assert_eq!(output(store), (120, 120));
}

fn another_model_takes_over_what_it_used(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut message = response("m", 40);
    message.model = String::new();
    record(store, "s", &facts([message]));
    assert_eq!(sums(store, ""), [40, 0, 0, 0, 1, 0]);
    record(store, "s", &facts([response("m", 40)]));
    assert_eq!((sums(store, ""), sums(store, "sonnet")), ([0; 6], [40, 0, 0, 0, 1, 0]));
}

fn alerts_and_pauses_count_when_they_are_raised(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let spend = |store: &mut dyn Store, id: &str, message: &str, tokens: u64| {
        let budgets = [budget_key(&budget(Scope::Session, 100), id)];
        BatchBuilder::new(&session(id))
            .facts(&facts([response(message, tokens)]))
            .for_budgets(&budgets)
            .apply(store);
    };
    let [info, warning, critical] =
        [AlertLevel::Info, AlertLevel::Warning, AlertLevel::Critical].map(MetricKind::Alerts);
    let all = |store: &mut dyn Store| {
        [info, warning, critical, MetricKind::Pauses]
            .map(|kind| counts(store, kind).pop().map_or(0, |(_, n)| n))
    };
    for (message, tokens, expected) in [
        ("1", 49, [0, 0, 0, 0]),
        ("2", 1, [1, 0, 0, 0]),
        ("3", 45, [1, 1, 1, 0]),
        ("4", 5, [1, 1, 2, 1]),
        ("5", 500, [1, 1, 2, 1]),
    ] {
        spend(store, "s", message, tokens);
        spend(store, "s", message, tokens);
        assert_eq!(all(store), expected, "after {message}");
    }
    spend(store, "t", "6", 100);
    assert_eq!(all(store), [2, 2, 4, 2], "of another session");
    assert_eq!(counts(store, MetricKind::Pauses), [("session".to_owned(), 2)]);
    BatchBuilder::new(&session("u"))
        .facts(&facts([response("7", 100)]))
        .for_budgets(&[budget_key(&budget(Scope::Session, 100), "u")])
        .without_alerts()
        .apply(store);
    assert_eq!(all(store), [2, 2, 4, 2], "no alert is raised");
}

fn event(data: EventData) -> Event {
    Event { id: 0, session: "s".into(), agent: String::new(), at: NOW, data }
}

fn denials_and_trips_count(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let denied = |call, reason| {
        event(EventData::CallDenied(Denial { call, tool: "Edit".into(), stopped: false, reason }))
    };
    let trip = |rule: &str| Trip { rule: rule.into(), count: 5, limit: 5, at: NOW, ..Trip::default() };
    let protection = || DenialReason::Protection { protected: "settings".into() };
    let slot = SlotDenied::Depth { depth: 3, max: 2 };
    let noted = [
        denied(1, protection()),
        denied(2, protection()),
        denied(3, DenialReason::Circuit(trip("repeat"))),
        denied(4, DenialReason::Throttle(slot)),
        event(EventData::CircuitOpened(trip("repeat"))),
        event(EventData::CircuitWarning(trip("repeat"))),
        event(EventData::CircuitWouldOpen(trip("repeat"))),
        event(EventData::CircuitClosed(trip("repeat"))),
        event(EventData::CircuitOpened(trip("storm"))),
    ];
    for event in &noted {
        store.record_event(event).expect("noted");
    }
    let owned = |pairs: &[(&str, i64)]| -> Vec<(String, i64)> {
        pairs.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()
    };
    let denials = counts(store, MetricKind::Denials);
    assert_eq!(denials, owned(&[("circuit", 1), ("protection", 2), ("throttle", 1)]));
    assert_eq!(counts(store, MetricKind::Trips), owned(&[("repeat", 1), ("storm", 1)]));
}

fn labels_past_the_limit_are_other(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let of_model = |n: usize, id: &str, tokens| {
        let mut message = response(id, tokens);
        message.model = format!("model-{n:02}");
        message
    };
    let models = MAX_LABELS + 10;
    for n in (0..models).rev() {
        record(store, "s", &facts([of_model(n, &format!("m{n}"), 1)]));
    }
    // Two new ones in one batch, and more of one that is known and of one that is not.
    record(
        store,
        "s",
        &facts([
            of_model(97, "x", 1),
            of_model(98, "y", 1),
            of_model(models - 1, "z", 5),
            of_model(0, "a", 5),
        ]),
    );
    let all = totals(store, MetricKind::Usage);
    assert_eq!(all.len(), MAX_LABELS + 1);
    let tokens = |model: &str| all[model].0[0];
    assert_eq!((tokens(&format!("model-{:02}", models - 1)), tokens("model-10"), tokens(OTHER)), (6, 1, 17));
    assert_eq!(all.values().map(|(sums, _)| sums[0]).sum::<i64>(), 72);
    // Other kinds have their own limit.
    assert!(!totals(store, MetricKind::ToolCalls).contains_key(OTHER));
}

fn long_and_odd_labels(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let odd = ["a b", "\"quoted\"\\", "line\nbreak", "snow\u{2603}", "-", "usage x"];
    for (n, model) in odd.iter().enumerate() {
        let mut message = response(&n.to_string(), 1);
        message.model = (*model).to_owned();
        record(store, "s", &facts([message]));
    }
    let mut long = response("long", 1);
    long.model = "m".repeat(5000);
    record(store, "s", &facts([long]));
    let all = totals(store, MetricKind::Usage);
    assert!(odd.iter().all(|model| all[*model].0[0] == 1), "{all:?}");
    assert_eq!(all.keys().map(String::len).max(), Some(100));
}

fn many_at_once(backend: &dyn Backend) {
    at_once(backend, 8, |thread, store| {
        for n in 0..10 {
            // Every message is read by two threads.
            let id = format!("{}-{n}", thread / 2);
            record(store, &format!("s{thread}"), &facts([response(&id, 3)]));
        }
    });
    let store = &mut *backend.open();
    assert_eq!(sums(store, "sonnet"), [120, 0, 0, 0, 40, 0]);
    are_those_of_the_messages(store, &["sonnet"], &["main"]);
}

fn a_new_store_has_none(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(store.metrics().expect("an answer"), []);
}
