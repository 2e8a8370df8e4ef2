//! Names of keys as seen on the server: they contain no control characters from names that others chose.

use fusebox::config::redis_address::Address;
use fusebox::domain::budget::{Budget, Mode, OnLimit, Scope, StoreDown, TokenClasses, Unit};
use fusebox::domain::message::{ClientTotal, Message, MessageKey, UsageSource};
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::domain::usage::Usage;
use fusebox::domain::window::WindowRule;
use fusebox::platform::clock;
use fusebox::prices::Prices;
use fusebox::store::redis::{RedisLocation, RedisStore};
use fusebox::store::{Batch, BudgetKey, Decide, Query, Record, Session};
use fusebox::transcript::Fact;
use redis::Value;

use crate::redis::{Server, WAIT, bytes};

/// A line break, an escape sequence for red, a C1 control, and text that looks encoded.
const ODD: &str = "a\nb\r\u{1b}[31m\u{7f}\u{9b}31mä%0A";

/// A budget for each scope with the odd value.
fn budget_keys() -> Vec<BudgetKey> {
    let of = |(name, scope): (&str, Scope)| Budget {
        name: name.into(),
        scope,
        matches: "*".into(),
        unit: Unit::Tokens,
        count: TokenClasses::FRESH,
        limit: 1_000,
        hard_limit: None,
        window: WindowRule::LIFETIME,
        thresholds: vec![0.5],
        on_limit: OnLimit::Pause,
        wrap_up: 1,
        mode: Mode::Enforce,
        store_down: StoreDown::Local,
        plan: None,
    };
    // Messages count nothing for platforms.
    let counted = Scope::ALL.into_iter().filter(|(_, scope)| *scope != Scope::Platform);
    let value = |scope| if scope == Scope::Member { format!("{ODD}/{ODD}") } else { ODD.into() };
    counted.map(|(name, scope)| BudgetKey { budget: of((name, scope)), value: value(scope) }).collect()
}

#[test]
fn no_control_character_is_in_a_key() {
    let server = Server::start();
    let url = server.socket_url();
    let budget_keys = budget_keys();
    let mut store = RedisStore::new(RedisLocation {
        address: Address::parse(&url).unwrap(),
        wait: WAIT,
        tenant: "acme".into(),
        machine: "machine".into(),
        read_cache: None,
    });
    let odd = || ODD.to_owned();
    let session = Session {
        id: odd(),
        project: odd(),
        user: odd(),
        team: odd(),
        task_type: odd(),
        chain: odd(),
        parent: Some(format!("{ODD} parent")),
        ..Session::default()
    };
    let now = clock();
    let recorded = Usage { input: 900, ..Usage::default() };
    let message = Message {
        model: odd(),
        agent: Some(odd()),
        agent_type: odd(),
        recorded,
        stopped: true,
        ..Message::new(MessageKey::from_parts(&[ODD]), UsageSource::Response, now)
    };
    let total = ClientTotal { run: 1, model: odd(), usage: recorded, nano_usd: None, at: now, until: None };
    let facts = [Fact::Message(message), Fact::Total(total), Fact::Origin(format!("{ODD} origin"))];
    let batch = Batch {
        session: &session,
        facts: &facts,
        budgets: &budget_keys,
        alert: true,
        claim: true,
        seen: now,
        observation: None,
        now,
        prices: &Prices::default(),
    };
    let applied = store.apply(&batch).unwrap();
    assert!(applied.states.iter().all(|state| state.used == 900), "{applied:?}");
    store.touch_session(&session, now, false).unwrap();
    for (n, state) in applied.states.iter().enumerate() {
        let operation = Operation {
            id: format!("o{n}"),
            kind: OperationKind::Extend { amount: 10 },
            budget: state.budget.name.clone(),
            value: state.value.clone(),
            window_start: state.window.start,
            reason: odd(),
            actor: odd(),
            at: now,
        };
        assert!(store.add_operation(&operation, state).unwrap().is_some());
    }
    // The script that computes counters finds data under such names.
    for key in keys(&server).into_iter().filter(|key| contains(key, b":d:counter:")) {
        server.command_of_bytes(&[b"DEL", &key]);
    }
    let states = store.states(&budget_keys, now).unwrap();
    assert!(states.iter().all(|state| state.used == 900), "{states:?}");
    let keys = keys(&server);
    let is_odd = |key: &&Vec<u8>| contains(key, b"a%0Ab%0D%1B[31m%7F%C2%9B31m%C3%A4%250A");
    let seen: Vec<String> = keys.iter().map(|key| key.escape_ascii().to_string()).collect();
    for kind in ["session", "messages", "live", "counter", "totals", "settles", "origins", "operations"] {
        let kind = format!(":{kind}:");
        assert!(keys.iter().filter(is_odd).any(|key| contains(key, kind.as_bytes())), "{kind}: {seen:#?}");
    }
    for key in keys {
        assert!(key.iter().all(|byte| (b' '..=b'~').contains(byte)), "{}", key.escape_ascii());
    }
}

fn keys(server: &Server) -> Vec<Vec<u8>> {
    let Value::Array(keys) = server.command(&["KEYS", "*"]) else { panic!("no list of keys") };
    keys.iter().map(bytes).collect()
}

fn contains(key: &[u8], part: &[u8]) -> bool {
    key.windows(part.len()).any(|window| window == part)
}
