//! Counters: for every scope and window, changed by batches or computed, with the same result.

use fusebox::domain::budget::{Budget, Scope};
use fusebox::domain::message::Message;
use fusebox::domain::time::Timestamp;
use fusebox::domain::window::{Period, WindowRule};
use fusebox::store::{Session, Store};
use fusebox::zoneinfo;

use super::backend::Backend;
use super::batch_builder::{
    BatchBuilder, budget, budget_key, counter_parts, every, record, recounted, running_counter, session,
    state, used,
};
use super::facts::{NOW, by_agent, facts, response, said, second, usage};

conformance!(
    every_scope_has_a_value,
    every_window_has_a_start_and_an_end,
    midnight_is_where_the_zone_says,
    asked_for_later_it_is_added_up,
    kept_up_by_batches_that_do_not_watch_it,
    answers_are_of_after_the_batch,
    answers_come_in_the_order_of_the_questions,
    an_earlier_date_moves_a_message_to_another_window,
    before_the_epoch_is_a_time_too,
    a_late_message_counts_in_its_own_window,
    asking_records_nothing,
    questions_of_one_batch_are_answered_apart,
    counted_anew_they_are_what_they_were,
);

/// A session with a value in every scope, its message, and the values.
fn full() -> (Session, Message, [(Scope, &'static str); 7]) {
    let session = Session {
        project: "/p".into(),
        user: "bea".into(),
        team: "core".into(),
        task_type: "refactor".into(),
        ..session("s")
    };
    let message = Message { model: "opus".into(), ..by_agent(response("a", 10), "x", "Explore") };
    let values = ["s", "/p", "bea", "core", "opus", "Explore", "refactor"];
    let scopes = Scope::ALL.map(|(_, scope)| scope);
    (session, message, std::array::from_fn(|i| (scopes[i], values[i])))
}

fn every_scope_has_a_value(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (session, message, values) = full();
    let others = Scope::ALL.map(|(_, scope)| scope);
    for (scope, value) in values {
        assert_eq!(running_counter(store, scope, value), [0; 6], "{scope:?}");
    }
    for scope in others {
        assert_eq!(running_counter(store, scope, "other"), [0; 6], "{scope:?}");
    }
    BatchBuilder::new(&session).facts(&facts([message])).apply(store);
    for (scope, value) in values {
        assert_eq!(running_counter(store, scope, value), [10, 0, 0, 0, 1, 0], "{scope:?}");
        assert_eq!(recounted(store, scope, value), [10, 0, 0, 0, 1, 0], "{scope:?}");
    }
    for scope in others {
        assert_eq!(running_counter(store, scope, "other"), [0; 6], "{scope:?}");
    }
}

fn every_window_has_a_start_and_an_end(backend: &dyn Backend) {
    for asked_before in [true, false] {
        let store = &mut *backend.fresh().open();
        let minutes = [1, 10, 60, 1_440].map(|count| Period::minutes(count).unwrap());
        let named = Period::ALL.into_iter().map(|(_, period)| period);
        for period in named.chain(minutes).filter(|period| *period != Period::Lifetime) {
            let (rule, name) = (every(period), &*period.to_string());
            let window = rule.at(NOW);
            let end = window.end.expect("it ends");
            let times = [window.start.plus_millis(-1), window.start, end.plus_millis(-1), end];
            let ask = |store: &mut dyn Store| {
                times.map(|at| counter_parts(store, Scope::Session, &rule, name, at)[0])
            };
            if asked_before {
                assert_eq!(ask(store), [0; 4], "{name}");
            }
            for (n, at) in times.into_iter().enumerate() {
                record(store, name, &facts([said(&format!("{name}{n}"), at, usage(1 << n, 0, 0))]));
            }
            assert_eq!(ask(store), [1, 6, 6, 8], "{name}, asked before: {asked_before}");
            assert_eq!(used(store, Scope::Session, name), 15, "{name}");
        }
    }
}

fn midnight_is_where_the_zone_says(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let zones = ["UTC", "Asia/Tokyo", "America/New_York"].map(|name| zoneinfo::zone(name).unwrap());
    let hours = [-13, -11, -8, -6, -1, 2, 4, 13, 16, 18];
    let days = zones.map(|zone| WindowRule { period: Period::Day, zone });
    let ask = |store: &mut dyn Store| {
        days.each_ref().map(|rule| counter_parts(store, Scope::User, rule, "ann", NOW)[4])
    };
    assert_eq!(ask(store), [0; 3]);
    for hour in hours {
        record(store, "s", &facts([said(&format!("h{hour}"), second(3600 * hour), usage(1, 0, 0))]));
    }
    // NOW is 12:00 in London, 21:00 in Tokyo, 7:00 in New York.
    let within = |from: i64, to: i64| hours.iter().filter(|hour| (from..to).contains(*hour)).count() as u64;
    assert_eq!(ask(store), [within(-12, 12), within(-21, 3), within(-7, 17)]);
}

fn asked_for_later_it_is_added_up(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (session, message, values) = full();
    BatchBuilder::new(&session).facts(&facts([message])).apply(store);
    for (scope, value) in values {
        let budget = Budget { window: every(Period::Month), ..budget(scope, 100) };
        let applied = BatchBuilder::new(&session).for_budgets(&[budget_key(&budget, value)]).apply(store);
        assert_eq!(applied.states[0].used, 10, "{scope:?}, asked with a batch");
        assert_eq!(used(store, scope, value), 10, "{scope:?}, asked without");
    }
    let more = Message { model: "opus".into(), ..by_agent(response("b", 5), "x", "Explore") };
    BatchBuilder::new(&session).facts(&facts([more])).apply(store);
    for (scope, value) in values {
        assert_eq!(used(store, scope, value), 15, "{scope:?}, moved from then on");
    }
}

fn kept_up_by_batches_that_do_not_watch_it(backend: &dyn Backend) {
    let (asks, records) = (&mut *backend.open(), &mut *backend.open());
    let (session, message, values) = full();
    for (scope, value) in values {
        assert_eq!(used(asks, scope, value), 0);
    }
    let own = [budget_key(&budget(Scope::Session, 1), "s")];
    BatchBuilder::new(&session).facts(&facts([message])).for_budgets(&own).apply(records);
    for (scope, value) in values {
        assert_eq!(used(asks, scope, value), 10, "{scope:?}");
        assert_eq!(recounted(asks, scope, value)[0], 10, "{scope:?}");
    }
}

fn answers_are_of_after_the_batch(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (session, message, values) = full();
    let budgets = values.map(|(scope, value)| budget_key(&budget(scope, 100), value));
    let applied = BatchBuilder::new(&session).facts(&facts([message])).for_budgets(&budgets).apply(store);
    assert_eq!(applied.states.iter().map(|state| state.used).collect::<Vec<_>>(), [10; 7]);
    assert_eq!(store.states(&budgets, NOW).expect("an answer"), applied.states);
    let state = &applied.states[0];
    assert_eq!((&state.budget, state.value.as_str()), (&budgets[0].budget, "s"));
    assert_eq!((state.extension, state.history, state.operations, state.since), (0, 0, 0, None));
    assert_eq!(state.window, WindowRule::LIFETIME.at(NOW));
}

fn answers_come_in_the_order_of_the_questions(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for (n, id) in ["a", "b", "c"].iter().enumerate() {
        record(store, id, &facts([response(id, 10 + n as u64)]));
    }
    let asked = ["c", "a", "nobody", "b", "a"];
    let budgets = asked.map(|id| budget_key(&budget(Scope::Session, 100), id));
    let states = store.states(&budgets, NOW).expect("an answer");
    let answers: Vec<_> = states.iter().map(|state| (state.value.as_str(), state.used)).collect();
    assert_eq!(answers, [("c", 12), ("a", 10), ("nobody", 0), ("b", 11), ("a", 10)]);
    let applied = BatchBuilder::new(&session("a")).for_budgets(&budgets).apply(store);
    assert_eq!(applied.states, states);
}

fn an_earlier_date_moves_a_message_to_another_window(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (rule, yesterday) = (every(Period::Day), NOW.plus_millis(-86_400_000));
    let days = |store: &mut dyn Store| {
        [yesterday, NOW].map(|at| counter_parts(store, Scope::User, &rule, "ann", at)[0])
    };
    assert_eq!(days(store), [0, 0]);
    record(store, "s", &facts([said("a", NOW, usage(10, 0, 0))]));
    assert_eq!(days(store), [0, 10]);
    record(store, "s", &facts([said("a", yesterday, usage(4, 0, 0))]));
    assert_eq!(days(store), [10, 0]);
    record(store, "s", &facts([said("a", NOW, usage(12, 0, 0))]));
    assert_eq!(days(store), [12, 0]);
    assert_eq!(used(store, Scope::User, "ann"), 12);
}

fn before_the_epoch_is_a_time_too(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let at = Timestamp(-1);
    for rule in Period::ALL.map(|(_, period)| every(period)) {
        assert_eq!(counter_parts(store, Scope::Session, &rule, "s", at)[0], 0);
    }
    record(store, "s", &facts([said("a", at, usage(10, 0, 0)), said("b", Timestamp(0), usage(5, 0, 0))]));
    for (period, stands) in
        [(Period::Lifetime, 15), (Period::FIVE_HOURS, 10), (Period::Day, 10), (Period::Month, 10)]
    {
        assert_eq!(counter_parts(store, Scope::Session, &every(period), "s", at)[0], stands, "{period:?}");
    }
    // The first Thursday of 1970 shares its week with the last days of 1969.
    assert_eq!(counter_parts(store, Scope::Session, &every(Period::Week), "s", at)[0], 15);
}

fn a_late_message_counts_in_its_own_window(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let day = Budget { window: every(Period::Day), ..budget(Scope::User, 100) };
    let tomorrow = NOW.plus_millis(86_400_000);
    let step = |late| {
        BatchBuilder::new(&session("s"))
            .facts(&facts([late]))
            .for_budgets(&[budget_key(&day, "ann")])
            .at(tomorrow)
    };
    assert_eq!(step(said("a", NOW, usage(10, 0, 0))).apply(store).states[0].used, 0);
    assert_eq!(step(said("b", tomorrow, usage(5, 0, 0))).apply(store).states[0].used, 5);
    assert_eq!(state(store, &day, "ann", NOW).expect("a budget").used, 10);
}

fn asking_records_nothing(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let asked = state(store, &budget(Scope::Session, 100), "s", NOW).expect("a budget");
    assert_eq!((asked.used, asked.limit()), (0, 100));
    assert_eq!(store.sessions().expect("an answer"), []);
    assert_eq!(store.session_total("s").expect("an answer"), None);
    assert_eq!(store.alerts().expect("an answer"), []);
    assert!(store.sequences().expect("an answer").is_empty());
}

fn questions_of_one_batch_are_answered_apart(backend: &dyn Backend) {
    let store = &mut *backend.open();
    // The same family with two names and limits; and two windows of one scope.
    let (small, large) =
        (budget(Scope::User, 20), Budget { name: "large".into(), ..budget(Scope::User, 200) });
    let day = Budget { window: every(Period::Day), ..small.clone() };
    let budgets = [budget_key(&small, "ann"), budget_key(&large, "ann"), budget_key(&day, "ann")];
    let both = facts([response("a", 10), said("b", NOW.plus_millis(-86_400_000), usage(10, 0, 0))]);
    let states = BatchBuilder::new(&session("s")).facts(&both).for_budgets(&budgets).apply(store).states;
    let stand: Vec<_> = states.iter().map(|s| (s.used, s.limit(), s.status().name())).collect();
    assert_eq!(stand, [(20, 20, "paused"), (20, 200, "active"), (10, 20, "warning")]);
}

fn counted_anew_they_are_what_they_were(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (session, message, values) = full();
    let windows = [every(Period::Day), every(Period::Month), WindowRule::LIFETIME];
    let budgets =
        values.iter().flat_map(|(scope, value)| windows.clone().map(|window| (*scope, *value, window)));
    let budgets: Vec<_> = budgets
        .filter(|(scope, _, window)| *scope == Scope::Session || *window != WindowRule::LIFETIME)
        .map(|(scope, value, window)| {
            let name = format!("{} {}", scope.name(), window.period);
            budget_key(&Budget { name, window, ..budget(scope, 1000) }, value)
        })
        .collect();
    let used = |store: &mut dyn Store| -> Vec<u64> {
        store.states(&budgets, NOW).unwrap().iter().map(|state| state.used).collect()
    };
    BatchBuilder::new(&session).facts(&facts([message.clone()])).for_budgets(&budgets).apply(store);
    assert_eq!(used(store), vec![10; budgets.len()]);
    store.recount(&budgets, NOW).unwrap();
    assert_eq!(used(store), vec![10; budgets.len()]);
    // Later batches change them.
    let next = Message { key: response("b", 0).key, ..message };
    BatchBuilder::new(&session).facts(&facts([next])).for_budgets(&budgets).apply(store);
    assert_eq!(used(store), vec![20; budgets.len()]);
    store.recount(&budgets, NOW).unwrap();
    assert_eq!(used(store), vec![20; budgets.len()]);
}
