//! Names of sessions, projects and models: whatever they contain, they are not confused.

use fusebox::domain::budget::{Budget, Scope};
use fusebox::domain::message::Message;
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::store::Session;

use super::backend::Backend;
use super::batch_builder::{BatchBuilder, budget, session, state, used};
use super::facts::{NOW, by_agent, facts, response};

conformance!(values_are_kept_apart, budgets_are_kept_apart, sessions_keep_their_spelling);

/// Names that would break compound keys, patterns or quoted text.
const ODD: [&str; 14] =
    ["a", "A", "a:b", "b", "a b", "a ", "*", "?", "[a]", "a*", "ä", "'a\"\\", "{a}", "a\nb"];

fn values_are_kept_apart(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let amount = |n: usize| 1 << n;
    for (n, name) in ODD.iter().enumerate() {
        let name = (*name).to_owned();
        let [project, user, team, task_type, chain] = std::array::from_fn(|_| name.clone());
        let of = Session { project, user, team, task_type, chain, ..session(&name) };
        let message = by_agent(response(&format!("m{n}"), amount(n)), "x", &name);
        BatchBuilder::new(&of).facts(&facts([Message { model: name, ..message }])).apply(store);
    }
    // Messages count nothing for platforms.
    for (scope, of_scope) in Scope::ALL.into_iter().filter(|(_, scope)| *scope != Scope::Platform) {
        for (n, name) in ODD.iter().enumerate() {
            let value = if of_scope == Scope::Member { format!("{name}/{name}") } else { (*name).to_owned() };
            assert_eq!(used(store, of_scope, &value), amount(n), "{scope} {name:?}");
        }
    }
    // From now on, batches change the counters.
    for (n, name) in ODD.iter().enumerate() {
        let of = session(name);
        BatchBuilder::new(&of).facts(&facts([response(&format!("more{n}"), 1 << 20)])).apply(store);
        assert_eq!(used(store, Scope::Session, name), amount(n) + (1 << 20), "{name:?}");
        assert_eq!(used(store, Scope::User, name), amount(n) + (1 << 20), "{name:?}");
    }
}

fn budgets_are_kept_apart(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for (n, (name, value)) in [("a", "b:c"), ("a:b", "c"), ("a b", "c"), ("a", "b c")].iter().enumerate() {
        let named = Budget { name: (*name).into(), ..budget(Scope::Session, 100) };
        let before = state(store, &named, value, NOW).expect("a budget");
        assert_eq!(before.extension, 0, "{name:?} {value:?}");
        let operation = Operation {
            id: format!("o{n}"),
            kind: OperationKind::Extend { amount: 10 },
            budget: (*name).into(),
            value: (*value).into(),
            window_start: before.window.start,
            reason: "it's \"nearly\" done\n".into(),
            actor: "ann".into(),
            at: NOW,
        };
        let after = store.add_operation(&operation, &before).expect("recorded").expect("not deleted");
        assert_eq!(after.extension, 10, "{name:?} {value:?}");
        assert_eq!(store.operations(None).expect("an answer").last(), Some(&operation));
    }
}

fn sessions_keep_their_spelling(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for name in ODD {
        let of = Session {
            transcript: Some(format!("/tmp/{name}.jsonl").into()),
            project: name.into(),
            user: name.into(),
            team: name.into(),
            task_type: name.into(),
            ..session(name)
        };
        BatchBuilder::new(&of).apply(store);
        assert_eq!(
            store.session(name).expect("an answer").expect("a session").session,
            backend.as_stored(&of)
        );
    }
    assert_eq!(store.sessions().expect("an answer").len(), ODD.len());
    assert_eq!(store.sequences().expect("an answer").len(), ODD.len());
}
