//! Teams: usage of their members' sessions counts once, on whichever machine, and each threshold is raised once.

use fusebox::domain::budget::{Budget, Scope};
use fusebox::domain::window::Period;
use fusebox::store::redis::RedisStore;
use fusebox::store::{Session, Store};
use fusebox::transcript::Fact;

use super::backend::{Backend, EmptyBackend, Redis, at_once};
use super::batch_builder::{
    BatchBuilder, budget, budget_key, child, every, recounted, running_counter, session, state, used,
};
use super::facts::{NOW, facts, response, said, second, usage};

conformance!(
    members_count_together_and_once,
    each_threshold_of_a_team_is_raised_once,
    many_members_at_once,
    who_has_no_team_counts_for_none,
    a_child_counts_for_its_own_team,
    recorded_anew_in_another_order_it_is_the_same,
    counted_anew_it_is_what_it_was,
);

/// A session of a team member.
fn team_session(id: &str, user: &str, team: &str) -> Session {
    Session { user: user.into(), team: team.into(), ..session(id) }
}

fn at(id: &str, n: i64, tokens: u64) -> Fact {
    Fact::Message(said(id, second(n), usage(tokens, 0, 0)))
}

/// The team's monthly budget of this many tokens.
fn monthly(limit: u64) -> Budget {
    Budget { window: every(Period::Month), ..budget(Scope::Team, limit) }
}

fn members_count_together_and_once(backend: &dyn Backend) {
    for asked_before in [true, false] {
        let store = &mut *backend.fresh().open();
        if asked_before {
            assert_eq!((used(store, Scope::Team, "core"), used(store, Scope::Team, "web")), (0, 0));
        }
        BatchBuilder::new(&team_session("a", "ann", "core"))
            .facts(&[at("m", 0, 10), at("n", 1, 1)])
            .apply(store);
        // A fork of it, by another member, and one of another team.
        BatchBuilder::new(&team_session("b", "bea", "core"))
            .facts(&[at("m", 0, 10), at("o", 2, 2)])
            .apply(store);
        BatchBuilder::new(&team_session("c", "cid", "web"))
            .facts(&[at("m", 0, 12), at("p", 3, 4)])
            .apply(store);
        assert_eq!((used(store, Scope::Team, "core"), used(store, Scope::Team, "web")), (15, 4));
        for (team, tokens, requests) in [("core", 15, 3), ("web", 4, 1)] {
            assert_eq!(running_counter(store, Scope::Team, team), [tokens, 0, 0, 0, requests, 0], "{team}");
            assert_eq!(recounted(store, Scope::Team, team), [tokens, 0, 0, 0, requests, 0], "{team}");
        }
        assert_eq!(store.values(Scope::Team, second(-1)).expect("an answer"), ["core", "web"]);
    }
}

fn each_threshold_of_a_team_is_raised_once(backend: &dyn Backend) {
    let [here, there] = &mut [backend.open(), backend.open()];
    let budgets = [budget_key(&monthly(100), "core")];
    let spend = |store: &mut dyn Store, session: &Session, id: &str, tokens: u64| {
        let step =
            BatchBuilder::new(session).facts(&facts([response(id, tokens)])).for_budgets(&budgets).claiming();
        let applied = step.apply(store);
        store.confirm_shown(&applied.alerts.iter().map(|a| a.id).collect::<Vec<_>>(), &[]).expect("noted");
        applied.alerts.iter().map(|alert| (alert.threshold, alert.value.clone())).collect::<Vec<_>>()
    };
    let (ann, bea) = (team_session("a", "ann", "core"), team_session("b", "bea", "core"));
    let core = |thresholds: &[f64]| thresholds.iter().map(|t| (*t, "core".to_owned())).collect::<Vec<_>>();
    assert_eq!(spend(&mut **here, &ann, "1", 40), []);
    assert_eq!(spend(&mut **there, &bea, "2", 40), core(&[0.5, 0.8]));
    assert_eq!(spend(&mut **here, &ann, "3", 1), []);
    assert_eq!(spend(&mut **here, &ann, "4", 30), core(&[0.9, 1.0]));
    assert_eq!(spend(&mut **there, &bea, "5", 30), []);
    let alerts = here.alerts().expect("an answer");
    assert!(alerts.iter().all(|record| record.alert.scope == Scope::Team), "{alerts:?}");
    assert_eq!(alerts.len(), 4);
}

fn many_members_at_once(backend: &dyn Backend) {
    let budget = monthly(160);
    at_once(backend, 16, |n, store| {
        let member = team_session(&format!("s{n}"), &format!("u{n}"), "core");
        for m in 0..10 {
            let facts = facts([response(&format!("{n}-{m}"), 1), response("shared", 16)]);
            BatchBuilder::new(&member).facts(&facts).for_budgets(&[budget_key(&budget, "core")]).apply(store);
        }
    });
    let store = &mut *backend.open();
    assert_eq!(state(store, &budget, "core", NOW).expect("a budget").used, 176);
    assert_eq!(recounted(store, Scope::Team, "core"), [176, 0, 0, 0, 161, 0]);
    let mut raised: Vec<f64> =
        store.alerts().expect("an answer").iter().map(|record| record.alert.threshold).collect();
    raised.sort_by(f64::total_cmp);
    assert_eq!(raised, [0.5, 0.8, 0.9, 1.0]);
}

fn who_has_no_team_counts_for_none(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(used(store, Scope::Team, "core"), 0);
    BatchBuilder::new(&session("s")).facts(&[at("m", 0, 10)]).apply(store);
    // A team named in the middle of a session has no effect: it was fixed when the session was first seen.
    BatchBuilder::new(&team_session("s", "ann", "core")).facts(&[at("n", 1, 5)]).apply(store);
    assert_eq!((used(store, Scope::Team, "core"), used(store, Scope::User, "ann")), (0, 15));
    assert_eq!(recounted(store, Scope::Team, "core"), [0; 6]);
    assert_eq!(store.values(Scope::Team, second(-1)).expect("an answer"), [""; 0]);
    assert_eq!(store.session("s").expect("an answer").expect("a session").session.team, "");
}

fn a_child_counts_for_its_own_team(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let parent = team_session("p", "ann", "core");
    BatchBuilder::new(&parent).facts(&[at("m", 0, 10)]).apply(store);
    let own = Session { team: "core".into(), ..child("c", "p") };
    BatchBuilder::new(&own).facts(&[at("n", 1, 5)]).apply(store);
    let others = Session { team: "web".into(), ..child("d", "p") };
    BatchBuilder::new(&others).facts(&[at("o", 1, 1)]).apply(store);
    assert_eq!((used(store, Scope::Team, "core"), used(store, Scope::Team, "web")), (15, 1));
    assert_eq!(used(store, Scope::Session, "p"), 16);
}

/// A lost store, which other sessions refilled first.
fn recorded_anew_in_another_order_it_is_the_same(backend: &dyn Backend) {
    let told = [
        (team_session("a", "ann", "core"), [at("m", 0, 10), at("n", 1, 1)]),
        (team_session("b", "bea", "core"), [at("m", 0, 12), at("o", 2, 2)]),
        (team_session("c", "cid", "web"), [at("p", 0, 4), at("q", 2, 8)]),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let store = &mut *backend.fresh().open();
        for n in order {
            let (session, facts) = &told[n];
            BatchBuilder::new(session).facts(facts).apply(store);
        }
        assert_eq!(
            (used(store, Scope::Team, "core"), used(store, Scope::Team, "web")),
            (15, 12),
            "{order:?}"
        );
    }
}

fn counted_anew_it_is_what_it_was(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budgets = [budget_key(&monthly(100), "core"), budget_key(&monthly(100), "web")];
    let used = |store: &mut dyn Store| -> Vec<u64> {
        store.states(&budgets, NOW).expect("an answer").iter().map(|state| state.used).collect()
    };
    BatchBuilder::new(&team_session("a", "ann", "core"))
        .facts(&[at("m", 0, 10)])
        .for_budgets(&budgets)
        .apply(store);
    BatchBuilder::new(&team_session("b", "bea", "web"))
        .facts(&[at("m", 0, 10), at("n", 0, 3)])
        .for_budgets(&budgets)
        .apply(store);
    assert_eq!(used(store), [10, 3]);
    store.recount(&budgets, NOW).expect("counted");
    assert_eq!(used(store), [10, 3]);
    BatchBuilder::new(&team_session("b", "bea", "web")).facts(&[at("m", 0, 20)]).apply(store);
    assert_eq!(used(store), [20, 3], "growth found elsewhere goes home");
}

#[test]
fn it_counts_once_on_two_machines() {
    let backend = Redis::empty();
    let mut first = backend.open_on("first");
    let mut second = backend.open_on("second");
    let budgets = [budget_key(&monthly(100), "core")];
    let spend = |store: &mut RedisStore, session: &Session, id: &str, tokens: u64| {
        let step =
            BatchBuilder::new(session).facts(&facts([response(id, tokens)])).for_budgets(&budgets).claiming();
        let applied = step.apply(store);
        (applied.states[0].used, applied.alerts.len())
    };
    let (ann, bea) = (team_session("a", "ann", "core"), team_session("b", "bea", "core"));
    assert_eq!(spend(&mut first, &ann, "1", 45), (45, 0));
    assert_eq!(spend(&mut second, &bea, "1", 45), (45, 0), "the same response, read on the other machine");
    assert_eq!(spend(&mut second, &bea, "2", 10), (55, 1));
    assert_eq!(spend(&mut first, &ann, "3", 5), (60, 0), "shown over there");
}
