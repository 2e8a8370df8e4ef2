//! Sessions: their data, and when they were seen.

use fusebox::domain::budget::Scope;
use fusebox::domain::message::Message;
use fusebox::domain::throttle::Slots;
use fusebox::store::{ClientProcess, Session, SessionRow, Store};

use super::backend::Backend;
use super::batch_builder::{BatchBuilder, child, record, session, used};
use super::facts::{NOW, by_agent, facts, said, second, usage};

conformance!(
    of_an_unknown_session_nothing_is_known,
    a_batch_notes_its_session,
    seeing_notes_a_session,
    a_resumed_session_has_a_new_client,
    last_seen_never_goes_back,
    an_end_is_noted_and_undone,
    who_reads_on_does_not_wake_a_session,
    complete_unless_seen_later,
    last_seen_first,
    the_session_of_a_client,
    each_session_has_a_sequence,
    values_that_were_counted,
    upkeep_changes_nothing,
);

fn row(store: &mut dyn Store, id: &str) -> SessionRow {
    store.session(id).expect("an answer").expect("a session")
}

/// A session with all data known.
fn whole(id: &str) -> Session {
    Session {
        transcript: Some(format!("/tmp/{id}.jsonl").into()),
        team: "core".into(),
        task_type: "refactor".into(),
        client: Some(ClientProcess { pid: 7, started: u64::from(u32::MAX) + 1 }),
        ..child(id, "p")
    }
}

fn of_an_unknown_session_nothing_is_known(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(store.session("s").expect("an answer"), None);
    assert_eq!(store.sessions().expect("an answer"), []);
    assert_eq!(store.session_total("s").expect("an answer"), None);
    assert_eq!(store.session_of_client(ClientProcess { pid: 1, started: 1 }).expect("an answer"), None);
    assert_eq!(store.slots("s").expect("an answer"), Slots::default());
    assert_eq!(store.circuits(Some("s")).expect("an answer"), []);
    assert_eq!(store.events(Some("s"), None).expect("an answer"), []);
    assert!(store.sequences().expect("an answer").is_empty());
    store.mark_complete("s", NOW).expect("nothing to note");
    assert_eq!(store.session("s").expect("an answer"), None);
}

fn a_batch_notes_its_session(backend: &dyn Backend) {
    let store = &mut *backend.open();
    BatchBuilder::new(&whole("s")).seen_at(second(-9)).apply(store);
    let session = backend.as_stored(&whole("s"));
    let expected = SessionRow { session, last_seen: second(-9), ended: None, complete: false };
    assert_eq!(row(store, "s"), expected);
    assert_eq!(row(&mut *backend.open(), "s"), expected);
}

fn seeing_notes_a_session(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&whole("s"), NOW, false).expect("noted");
    let session = backend.as_stored(&whole("s"));
    let expected = SessionRow { session, last_seen: NOW, ended: None, complete: false };
    assert_eq!(row(store, "s"), expected);
    assert_eq!(store.session_total("s").expect("an answer").map(|t| t.amount.requests), Some(0));
}

fn a_resumed_session_has_a_new_client(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&whole("s"), NOW, false).expect("noted");
    let client = Some(ClientProcess { pid: 8, started: 1 });
    let resumed = Session { client, transcript: Some("/tmp/other.jsonl".into()), ..session("s") };
    store.touch_session(&resumed, second(1), false).expect("noted");
    // Its attribution and its parent stay.
    let expected = Session { client, transcript: resumed.transcript.clone(), ..whole("s") };
    assert_eq!(row(store, "s").session, backend.as_stored(&expected));
    store.touch_session(&session("s"), second(2), false).expect("noted");
    assert_eq!(row(store, "s").session, backend.as_stored(&expected), "who knows less takes nothing away");
}

fn last_seen_never_goes_back(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&session("s"), second(100), false).expect("noted");
    store.touch_session(&session("s"), second(50), false).expect("noted");
    BatchBuilder::new(&session("s")).at(second(20)).apply(store);
    assert_eq!(row(store, "s").last_seen, second(100));
    BatchBuilder::new(&session("s")).at(second(200)).apply(store);
    assert_eq!(row(store, "s").last_seen, second(200));
}

fn an_end_is_noted_and_undone(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&session("s"), second(0), false).expect("noted");
    store.touch_session(&session("s"), second(1), true).expect("noted");
    assert_eq!(row(store, "s").ended, Some(second(1)));
    store.touch_session(&session("s"), second(2), false).expect("noted");
    assert_eq!((row(store, "s").ended, row(store, "s").last_seen), (None, second(2)));
    store.touch_session(&session("s"), second(3), true).expect("noted");
    BatchBuilder::new(&session("s")).at(second(4)).apply(store);
    assert_eq!(row(store, "s").ended, None, "its own hooks wake it");
    assert_eq!(row(store, "s").last_seen, second(4));
}

fn who_reads_on_does_not_wake_a_session(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&session("s"), second(1), true).expect("noted");
    let late = facts([said("a", second(0), usage(10, 0, 0))]);
    BatchBuilder::new(&session("s")).facts(&late).seen_at(second(1)).at(second(3600)).apply(store);
    let session = backend.as_stored(&session("s"));
    let expected = SessionRow { session, last_seen: second(1), ended: Some(second(1)), complete: false };
    assert_eq!(row(store, "s"), expected);
    assert_eq!(used(store, Scope::Session, "s"), 10);
}

fn complete_unless_seen_later(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&session("s"), second(100), true).expect("noted");
    store.mark_complete("s", second(99)).expect("nothing to note");
    assert!(!row(store, "s").complete, "it was seen since");
    store.mark_complete("s", second(100)).expect("noted");
    assert!(row(store, "s").complete);
    BatchBuilder::new(&session("s")).seen_at(second(100)).at(second(3600)).apply(store);
    assert!(row(store, "s").complete, "read on, not awake");
    BatchBuilder::new(&session("s")).at(second(101)).apply(store);
    assert!(!row(store, "s").complete, "awake");
    store.mark_complete("s", second(101)).expect("noted");
    store.touch_session(&session("s"), second(102), true).expect("noted");
    assert!(!row(store, "s").complete, "more may have come before it ended again");
}

fn last_seen_first(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut order = |seen: &[(&str, i64)]| -> Vec<String> {
        seen.iter().for_each(|(id, n)| store.touch_session(&session(id), second(*n), false).expect("noted"));
        store.sessions().expect("an answer").into_iter().map(|row| row.session.id).collect()
    };
    assert_eq!(order(&[("a", 10), ("b", 30), ("c", 20)]), ["b", "c", "a"]);
    assert_eq!(order(&[("a", 40)]), ["a", "b", "c"]);
}

fn the_session_of_a_client(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut see = |id: &str, pid, started, n| {
        let client = Some(ClientProcess { pid, started });
        store.touch_session(&Session { client, ..session(id) }, second(n), false).expect("noted");
    };
    see("a", 7, 1, 0);
    see("b", 7, 2, 1);
    see("c", 8, 1, 2);
    // `/clear` starts another session in the same client, and a resumed one has a new client.
    see("d", 8, 1, 3);
    see("a", 9, 9, 4);
    let mut of = |pid, started| store.session_of_client(ClientProcess { pid, started }).expect("an answer");
    assert_eq!(of(7, 2).as_deref(), Some("b"));
    assert_eq!(of(7, 3), None, "a process id is used again");
    assert_eq!(of(8, 1).as_deref(), Some("d"), "seen last");
    assert_eq!((of(9, 9).as_deref(), of(7, 1)), (Some("a"), None));
}

fn each_session_has_a_sequence(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut batches =
        |ids: &[&str]| -> Vec<u64> { ids.iter().map(|id| record(store, id, &[]).sequence).collect() };
    assert_eq!(batches(&["a", "b", "a", "a", "b"]), [1, 1, 2, 3, 2]);
    store.touch_session(&session("a"), NOW, true).expect("noted");
    used(store, Scope::Session, "a");
    let sequences = store.sequences().expect("an answer");
    assert_eq!((sequences["a"], sequences["b"]), (3, 2));
    assert_eq!(record(&mut *backend.open(), "a", &[]).sequence, 4);
}

fn values_that_were_counted(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let of = |id: &str, name: &str| Session {
        project: format!("/{name}"),
        user: name.into(),
        team: name.into(),
        task_type: name.into(),
        ..session(id)
    };
    let by =
        |id: &str, n, model: &str| Message { model: model.into(), ..said(id, second(n), usage(1, 0, 0)) };
    let old = facts([by("a", -1000, "opus"), by_agent(by("b", -1000, ""), "x", "Explore")]);
    BatchBuilder::new(&of("old", "zoe")).facts(&old).at(second(-1000)).apply(store);
    let new = facts([by("c", 0, "haiku"), by_agent(by("d", 0, "haiku"), "y", "")]);
    BatchBuilder::new(&of("new", "ann")).facts(&new).apply(store);
    let untyped = Session { team: String::new(), task_type: String::new(), ..of("more", "ann") };
    BatchBuilder::new(&untyped).at(second(5)).apply(store);
    let mut values = |scope, n: i64| store.values(scope, second(n)).expect("an answer");
    assert_eq!(values(Scope::Session, -1000), ["more", "new", "old"]);
    assert_eq!(values(Scope::Session, 0), ["more", "new"]);
    assert_eq!(values(Scope::Session, 6), [""; 0]);
    for scope in [Scope::User, Scope::Team, Scope::TaskType] {
        assert_eq!(values(scope, -1000), ["ann", "zoe"], "{scope:?}");
        assert_eq!(values(scope, -999), ["ann"], "{scope:?}");
    }
    let mut projects = ["/ann", "/zoe"].map(|name| backend.as_stored(&of(name, &name[1..])).project);
    projects.sort();
    assert_eq!(values(Scope::Project, -1000), projects);
    assert_eq!(
        (values(Scope::Model, -1000), values(Scope::Model, 0)),
        (vec!["haiku".into(), "opus".into()], vec!["haiku".into()])
    );
    assert_eq!(values(Scope::AgentType, -1000), ["Explore", "main"]);
    assert_eq!(values(Scope::AgentType, -999), ["main"]);
}

fn upkeep_changes_nothing(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for n in 0..50 {
        record(store, "s", &facts([said(&format!("m{n}"), second(n), usage(1, 0, 0))]));
        store.maintain(n % 2 == 0).expect("done");
    }
    let before = (store.sessions().expect("rows"), store.store_id().expect("an epoch"));
    store.maintain(true).expect("done");
    assert_eq!((store.sessions().expect("rows"), store.store_id().expect("an epoch")), before);
    assert_eq!(used(store, Scope::Session, "s"), 50);
    assert_eq!(used(&mut *backend.open(), Scope::Session, "s"), 50);
}
