//! Counters compared with a naive recount: random messages, batches, sessions and order.

use std::collections::{BTreeMap, BTreeSet};

use fusebox::domain::budget::{Budget, Scope, Unit};
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::operation::OperationKind;
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::domain::window::{Period, WindowRule, Zone};
use fusebox::store::{Decide, Query, Record, Recover, Session};
use fusebox::transcript::Fact;
use proptest::prelude::*;

use super::merging::usage;
use super::test_store::{TestStore, part_budgets, session};

const DAY: i64 = 86_400_000;

/// The sessions, of two users and two projects; the third session is a fork.
const SESSIONS: [(&str, &str, &str); 3] =
    [("s0", "ann", "/one"), ("s1", "bob", "/two"), ("s2", "ann", "/two")];

#[derive(Clone, Debug)]
struct Reading {
    session: usize,
    message: Message,
}

prop_compose! {
    fn seen()(
        session in 0..3usize,
        // Few keys, so that many readings merge.
        key in 0..6u8,
        at in 0..4 * DAY,
        recorded in usage(),
        tools in prop::collection::btree_set(0..4u64, 0..3),
        stopped in any::<bool>(),
        (line, chars) in (0..3u64, 0..200u64),
        agent in any::<bool>(),
    ) -> Reading {
        let mut message = Message::new(MessageKey([key; 16]), UsageSource::Response, Timestamp(at));
        // Model and agent are the same on every line of a message.
        message.model = ["haiku", "sonnet"][usize::from(key % 2)].into();
        if key % 3 == 0 && agent {
            message.agent = Some("a1".into());
            message.agent_type = "Explore".into();
        }
        message.recorded = recorded;
        message.tools = tools;
        message.stopped = stopped;
        message.visible = BTreeMap::from([(line, chars)]);
        Reading { session, message: message.forget_lines() }
    }
}

/// The recount: all readings, merged by a fold.
#[derive(Default)]
struct Recount(BTreeMap<MessageKey, (Message, BTreeSet<usize>, usize)>);

impl Recount {
    fn add(&mut self, seen: &Reading) {
        let fresh = (seen.message.clone(), BTreeSet::new(), seen.session);
        let (message, sessions, _) = self.0.entry(seen.message.key).or_insert(fresh);
        *message = message.clone().merge(&seen.message);
        sessions.insert(seen.session);
    }

    fn sum(&self, counts: impl Fn(&Message, &BTreeSet<usize>, usize) -> bool) -> [u64; 6] {
        let mut sum = [0; 6];
        for (message, sessions, home) in self.0.values() {
            if counts(message, sessions, *home) {
                let (u, a) = (message.usage(), message.amount());
                let parts = [
                    u.input,
                    u.output,
                    u.cache_write_5m + u.cache_write_1h,
                    u.cache_read,
                    a.requests,
                    a.tool_calls,
                ];
                sum.iter_mut().zip(parts).for_each(|(s, p)| *s += p);
            }
        }
        sum
    }
}

fn nth_session(index: usize) -> Session {
    let (id, user, project) = SESSIONS[index];
    Session { id: id.into(), user: user.into(), project: project.into(), ..Session::default() }
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe"];

fn zone(name: &str) -> Zone {
    fusebox::zoneinfo::zone(name).expect("tzdata is installed")
}

/// Compares every counter under test in the store and in the recount.
fn compare(
    store: &mut TestStore,
    recount: &Recount,
    rule: &WindowRule,
    now: Timestamp,
) -> Result<(), TestCaseError> {
    let window = rule.at(now);
    for (i, (id, _, _)) in SESSIONS.iter().enumerate() {
        let expected = recount.sum(|m, sessions, _| window.contains(m.at) && sessions.contains(&i));
        prop_assert_eq!(store.counter(Scope::Session, rule, id, now), expected, "{} {}", id, rule);
    }
    for user in ["ann", "bob"] {
        let expected = recount.sum(|m, _, home| window.contains(m.at) && SESSIONS[home].1 == user);
        prop_assert_eq!(store.counter(Scope::User, rule, user, now), expected, "{} {}", user, rule);
    }
    for project in ["/one", "/two"] {
        let expected = recount.sum(|m, _, home| window.contains(m.at) && SESSIONS[home].2 == project);
        prop_assert_eq!(store.counter(Scope::Project, rule, project, now), expected, "{} {}", project, rule);
    }
    for model in ["haiku", "sonnet"] {
        let expected = recount.sum(|m, _, _| window.contains(m.at) && m.model == model);
        prop_assert_eq!(store.counter(Scope::Model, rule, model, now), expected, "{} {}", model, rule);
    }
    for kind in ["main", "Explore"] {
        let expected = recount.sum(|m, _, _| window.contains(m.at) && m.agent_type == kind);
        prop_assert_eq!(store.counter(Scope::AgentType, rule, kind, now), expected, "{} {}", kind, rule);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn counters_equal_a_recount(
        batches in prop::collection::vec(prop::collection::vec(seen(), 1..5), 1..10),
        name in prop::sample::select(&ZONES[..]),
        (_, period) in prop::sample::select(&Period::ALL[..]),
        now in 0..4 * DAY,
        watch_from in 0..10usize,
    ) {
        let mut store = TestStore::new();
        let mut recount = Recount::default();
        let (rule, now) = (WindowRule { period, zone: zone(name) }, Timestamp(now));
        for (i, batch) in batches.iter().enumerate() {
            // Some counters exist from the start, others are computed later: the result must be the same.
            if i == watch_from {
                compare(&mut store, &recount, &rule, now)?;
            }
            // A batch is for one session; readings of other sessions are recorded one by one.
            let home = batch[0].session;
            let (own, others): (Vec<&Reading>, Vec<&Reading>) = batch.iter().partition(|s| s.session == home);
            let facts: Vec<Fact> = own.iter().map(|s| Fact::Message(s.message.clone())).collect();
            store.apply(&nth_session(home), &facts);
            own.iter().for_each(|s| recount.add(s));
            for seen in others {
                store.apply(&nth_session(seen.session), &[Fact::Message(seen.message.clone())]);
                recount.add(seen);
            }
        }
        compare(&mut store, &recount, &rule, now)?;
        compare(&mut store, &recount, &WindowRule::LIFETIME, now)?;
        // Recording everything again changes nothing.
        for seen in batches.iter().flatten().rev() {
            store.apply(&nth_session(seen.session), &[Fact::Message(seen.message.clone())]);
        }
        compare(&mut store, &recount, &rule, now)?;
    }

    #[test]
    fn a_reset_forgets_what_is_dated_before_it(
        early in prop::collection::vec(seen(), 0..8),
        late in prop::collection::vec(seen(), 0..8),
        baseline in 0..4 * DAY,
        (_, period) in prop::sample::select(&Period::ALL[..]),
        extend in 0..100u64,
    ) {
        let now = Timestamp(4 * DAY - 1);
        let rule = WindowRule { period, zone: Zone::utc() };
        let mut store = TestStore::new();
        let mut recount = Recount::default();
        let used = |store: &mut TestStore| store.counter(Scope::Session, &rule, "s0", now);
        used(&mut store);
        for seen in &early {
            store.apply(&nth_session(seen.session), &[Fact::Message(seen.message.clone())]);
            recount.add(seen);
        }
        let budgets: Vec<Budget> = part_budgets(Scope::Session, &rule, "s0").into_iter().map(|w| w.budget).collect();
        for budget in &budgets {
            let name = &budget.name;
            store.add_operation(&format!("e-{name}"), budget, "s0", OperationKind::Extend { amount: extend }, now);
            let reset = OperationKind::Reset { baseline: Timestamp(baseline) };
            store.add_operation(&format!("r-{name}"), budget, "s0", reset, now);
            // The same operation again.
            store.add_operation(&format!("r-{name}"), budget, "s0", reset, now);
        }
        for seen in &late {
            store.apply(&nth_session(seen.session), &[Fact::Message(seen.message.clone())]);
            recount.add(seen);
        }
        let window = rule.at(now);
        let from = window.start.max(Timestamp(baseline));
        let expected = recount.sum(|m, sessions, _| {
            m.at >= from && window.contains(m.at) && sessions.contains(&0)
        });
        prop_assert_eq!(used(&mut store), expected);
        // Another value of the budget was not reset.
        let other = recount.sum(|m, sessions, _| window.contains(m.at) && sessions.contains(&1));
        prop_assert_eq!(store.counter(Scope::Session, &rule, "s1", now), other);
    }
}

fn said(key: u8, at: i64, input: u64) -> Fact {
    let mut message = Message::new(MessageKey([key; 16]), UsageSource::Response, Timestamp(at));
    message.held = true;
    message.recorded = Usage { input, output: 2, ..Usage::default() };
    (message.stopped, message.model) = (true, "sonnet".into());
    Fact::Message(message)
}

#[test]
fn a_message_found_to_be_older_moves_to_its_window() {
    let day = WindowRule { period: Period::Day, zone: Zone::utc() };
    let mut store = TestStore::new();
    let used = |store: &mut TestStore, at| store.counter(Scope::Session, &day, "s0", Timestamp(at))[0];
    assert_eq!((used(&mut store, 0), used(&mut store, DAY)), (0, 0));
    store.apply(&nth_session(0), &[said(1, DAY + 5, 10)]);
    assert_eq!((used(&mut store, 0), used(&mut store, DAY)), (0, 10));
    store.apply(&nth_session(0), &[said(1, 5, 10)]);
    assert_eq!((used(&mut store, 0), used(&mut store, DAY)), (10, 0));
}

#[test]
fn the_first_moment_of_a_window_and_of_a_reset_counts() {
    let day = WindowRule { period: Period::Day, zone: Zone::utc() };
    let mut store = TestStore::new();
    let used = |store: &mut TestStore| store.counter(Scope::Session, &day, "s0", Timestamp(DAY))[0];
    assert_eq!(used(&mut store), 0);
    store.apply(
        &nth_session(0),
        &[said(1, DAY, 10), said(2, DAY - 1, 100), said(3, 2 * DAY - 1, 1), said(4, 2 * DAY, 1000)],
    );
    assert_eq!(used(&mut store), 11);
    for budgets in part_budgets(Scope::Session, &day, "s0") {
        let reset = OperationKind::Reset { baseline: Timestamp(DAY + 7) };
        store.add_operation(&budgets.budget.name, &budgets.budget, "s0", reset, Timestamp(DAY));
    }
    assert_eq!(used(&mut store), 1);
    store.apply(&nth_session(0), &[said(5, DAY + 7, 20), said(6, DAY + 6, 200)]);
    assert_eq!(used(&mut store), 21);
}

#[test]
fn what_came_before_the_installation_is_history() {
    let mut store = TestStore::with_counters(&["s"]);
    store.sqlite.note_installation(Timestamp(1000)).expect("noted");
    store.sqlite.note_installation(Timestamp(9000)).expect("a later one changes nothing");
    let budget = super::test_store::budget("session", Scope::Session, Unit::Tokens, 100);
    let budgets = [fusebox::store::BudgetKey { budget: budget.clone(), value: "s".into() }];
    let facts = [said(1, 500, 500), said(2, 1000, 30)];
    let applied =
        super::test_store::apply(&mut store.sqlite, &session("s"), &facts, &budgets, Timestamp(2000));
    let state = &applied.states[0];
    assert_eq!((state.used, state.history, state.limit()), (534, 502, 602));
    // Old messages raise no alert: they raise the limit as well.
    assert!(applied.alerts.is_empty());
    // A recomputed counter is the same.
    let renamed = WindowRule { zone: zone("Asia/Tokyo"), ..WindowRule::LIFETIME };
    let budgets =
        [fusebox::store::BudgetKey { budget: Budget { window: renamed, ..budget }, value: "s".into() }];
    let applied = super::test_store::apply(&mut store.sqlite, &session("s"), &[], &budgets, Timestamp(2000));
    assert_eq!((applied.states[0].used, applied.states[0].history), (534, 502));
}

#[test]
fn a_deleted_budget_is_left_out_until_it_is_reset() {
    let mut store = TestStore::new();
    let budget = super::test_store::budget("session", Scope::Session, Unit::Tokens, 100);
    let states = |store: &mut TestStore| {
        let budgets = [fusebox::store::BudgetKey { budget: budget.clone(), value: "s".into() }];
        let facts = [said(1, 500, 40)];
        super::test_store::apply(&mut store.sqlite, &session("s"), &facts, &budgets, Timestamp(2000)).states
    };
    assert_eq!(states(&mut store)[0].used, 42);
    store.add_operation("d", &budget, "s", OperationKind::Delete, Timestamp(2000));
    assert!(states(&mut store).is_empty());
    let reset = fusebox::domain::operation::Operation {
        id: "r".into(),
        kind: OperationKind::Reset { baseline: Timestamp(400) },
        budget: "session".into(),
        value: "s".into(),
        window_start: Timestamp(i64::MIN),
        reason: "again".into(),
        actor: "ann".into(),
        at: Timestamp(2000),
    };
    let state = fusebox::domain::budget::BudgetState {
        window: budget.window.at(Timestamp(2000)),
        budget: budget.clone(),
        value: "s".into(),
        used: 0,
        extension: 0,
        history: 0,
        operations: 0,
        since: None,
    };
    store.sqlite.add_operation(&reset, &state).expect("recorded");
    assert_eq!(states(&mut store)[0].used, 42);
    assert_eq!(store.sqlite.operations(Some("session")).expect("listed").len(), 2);
    assert_eq!(store.sqlite.operations(Some("other")).expect("listed").len(), 0);
}

#[test]
fn a_child_is_charged_to_its_parents_too_from_when_it_was_one() {
    let mut store = TestStore::with_counters(&["child", "parent", "grandparent"]);
    store.apply(&session("grandparent"), &[]);
    let parent = Session { parent: Some("grandparent".into()), ..session("parent") };
    store.sqlite.touch_session(&parent, Timestamp(0), false).expect("noted");
    let child = Session { parent: Some("parent".into()), ..session("child") };
    // The child has its own history.
    store.apply(&session("child"), &[said(1, 50, 5)]);
    store.sqlite.touch_session(&child, Timestamp(100), false).expect("noted");
    store.apply(&child, &[said(2, 200, 10), said(1, 50, 5)]);
    store.apply(&parent, &[said(3, 300, 100)]);
    let inputs = ["child", "parent", "grandparent"].map(|id| store.lifetime_counter(Scope::Session, id)[0]);
    assert_eq!(inputs, [15, 110, 110]);
    assert_eq!(store.lifetime_counter(Scope::User, "ann")[0], 115);
}
