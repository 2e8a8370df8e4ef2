//! Machines that share a store: their clocks differ, and process ids are local.

use fusebox::domain::budget::Scope;
use fusebox::domain::time::Timestamp;
use fusebox::store::redis::RedisStore;
use fusebox::store::{ClientProcess, Query, Record, Session};

use super::backend::{EmptyBackend, Redis};
use super::batch_builder::{BatchBuilder, budget, budget_key, session};
use super::facts::{NOW, facts, response};

const HOUR_MS: i64 = 3_600_000;

/// One store, used by two machines.
fn two_machines() -> (Redis, RedisStore, RedisStore) {
    let backend = Redis::empty();
    let (first, second) = (backend.open_on("first"), backend.open_on("second"));
    (backend, first, second)
}

/// How many alerts of the user's budget a hook can show.
fn claim(store: &mut RedisStore, id: &str, tokens: u64, now: Timestamp) -> usize {
    let budgets = [budget_key(&budget(Scope::User, 100), "ann")];
    let facts = facts([response(id, tokens)]);
    BatchBuilder::new(&session(id))
        .facts(&facts)
        .for_budgets(&budgets)
        .claiming()
        .at(now)
        .apply(store)
        .alerts
        .len()
}

#[test]
fn a_claim_holds_for_machines_with_another_clock() {
    for skew in [-HOUR_MS, -6_000, 6_000, HOUR_MS] {
        let (_backend, mut first, mut second) = two_machines();
        assert_eq!(claim(&mut first, "s", 60, NOW), 1);
        assert_eq!(claim(&mut second, "t", 1, NOW.plus_millis(skew)), 0, "the first one shows it");
        assert_eq!(claim(&mut first, "s", 1, NOW), 0, "and has not lost its claim");
        assert_eq!(claim(&mut first, "s", 1, NOW.plus_millis(5_000)), 1, "its own clock says that it died");
    }
}

#[test]
fn a_client_is_known_on_its_own_machine() {
    let (_backend, mut first, mut second) = two_machines();
    let client = Some(ClientProcess { pid: 7, started: 8 });
    let seen = Session { client, ..session("s") };
    first.touch_session(&seen, NOW, false).expect("seen");
    BatchBuilder::new(&Session { id: "t".into(), ..seen.clone() }).apply(&mut first);
    for id in ["s", "t"] {
        let of =
            |store: &mut RedisStore| store.session(id).expect("an answer").expect("a session").session.client;
        assert_eq!((of(&mut first), of(&mut second)), (client, None), "{id}");
    }
    second.touch_session(&seen, NOW, false).expect("seen");
    assert_eq!(second.session("s").expect("an answer").expect("a session").session.client, client);
    assert_eq!(first.session("s").expect("an answer").expect("a session").session.client, None);
}
