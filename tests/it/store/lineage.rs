//! Lineage: parents are charged for their children, shared messages count once, and the first session to bring a
//! message determines its attribution.

use fusebox::domain::budget::Scope;
use fusebox::domain::message::Message;
use fusebox::store::{Session, Store};
use fusebox::transcript::Fact;

use super::backend::Backend;
use super::batch_builder::{BatchBuilder, child, record, recounted, running_counter, session, used};
use super::facts::{facts, response, said, second, usage};

conformance!(
    a_parent_bears_what_its_child_brings,
    so_do_the_parents_of_parents,
    from_when_on_each_of_them_was_one,
    what_was_there_before_is_the_childs_own,
    a_session_resumed_inside_another_is_its_child_from_then_on,
    a_batch_does_not_change_the_parent,
    nobody_is_ones_own_parent,
    a_loop_of_parents_ends,
    a_parent_that_nobody_reported_is_charged_like_its_child,
    a_stub_becomes_a_session,
    a_shared_message_counts_once,
    a_fork_shares_what_it_copied,
    home_is_who_brought_it_first,
    growth_found_elsewhere_goes_home,
    what_a_session_is_charged_to_stays,
    a_project_found_late_is_charged_with_all,
    a_message_of_parent_and_child_counts_once_in_both,
);

fn at(id: &str, n: i64, tokens: u64) -> Fact {
    Fact::Message(said(id, second(n), usage(tokens, 0, 0)))
}

fn each(store: &mut dyn Store, ids: &[&str]) -> Vec<u64> {
    ids.iter().map(|id| used(store, Scope::Session, id)).collect()
}

/// Checks that counters changed by batches equal computed ones.
#[track_caller]
fn assert_counters_agree(store: &mut dyn Store, sessions: &[&str]) {
    for id in sessions {
        assert_eq!(
            running_counter(store, Scope::Session, id),
            recounted(store, Scope::Session, id),
            "session {id}"
        );
    }
    assert_eq!(running_counter(store, Scope::User, "ann"), recounted(store, Scope::User, "ann"));
}

fn a_parent_bears_what_its_child_brings(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(each(store, &["p", "c"]), [0, 0]);
    record(store, "p", &[at("a", 0, 10)]);
    BatchBuilder::new(&child("c", "p")).facts(&[at("b", 1, 5)]).apply(store);
    assert_eq!(each(store, &["p", "c"]), [15, 5]);
    assert_eq!((used(store, Scope::User, "ann"), used(store, Scope::Project, "/project")), (15, 15));
    assert_eq!(store.session_total("p").expect("an answer").expect("a session").amount.requests, 2);
    assert_counters_agree(store, &["p", "c"]);
}

fn so_do_the_parents_of_parents(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let ids: Vec<String> = (0..16).map(|n| format!("s{n}")).collect();
    store.touch_session(&session("s0"), second(0), false).expect("noted");
    for pair in ids.windows(2) {
        store.touch_session(&child(&pair[1], &pair[0]), second(0), false).expect("noted");
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(each(store, &ids), [0; 16]);
    record(store, "s15", &[at("a", 1, 10)]);
    record(store, "s7", &[at("b", 1, 5)]);
    let expected: Vec<u64> = (0..16).map(|n| if n <= 7 { 15 } else { 10 }).collect();
    assert_eq!(each(store, &ids), expected);
    assert_eq!(used(store, Scope::User, "ann"), 15);
    assert_counters_agree(store, &ids);
}

fn from_when_on_each_of_them_was_one(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&child("c", "p"), second(0), false).expect("noted");
    store.touch_session(&child("p", "g"), second(100), false).expect("noted");
    record(store, "c", &[at("a", -1, 1), at("b", 50, 2), at("d", 100, 4)]);
    assert_eq!(each(store, &["g", "p", "c"]), [4, 6, 7]);
    assert_counters_agree(store, &["g", "p", "c"]);
}

fn what_was_there_before_is_the_childs_own(backend: &dyn Backend) {
    let store = &mut *backend.open();
    // It is a child of `p` since it was first seen; earlier lines were copied to its files.
    let born = BatchBuilder::new(&child("c", "p")).facts(&[at("a", -1, 1), at("b", 0, 2), at("c", 1, 4)]);
    born.apply(store);
    assert_eq!(each(store, &["p", "c"]), [6, 7]);
    record(store, "c", &[at("d", -1, 8), at("e", 5, 16)]);
    assert_eq!(each(store, &["p", "c"]), [22, 31]);
    assert_counters_agree(store, &["p", "c"]);
}

fn a_session_resumed_inside_another_is_its_child_from_then_on(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for parent in ["p", "q"] {
        store.touch_session(&session(parent), second(0), false).expect("noted");
    }
    record(store, "c", &[at("a", 0, 1)]);
    store.touch_session(&child("c", "p"), second(100), false).expect("noted");
    record(store, "c", &[at("a", 0, 1), at("b", 50, 2), at("c", 100, 4)]);
    assert_eq!(each(store, &["p", "c"]), [4, 7]);
    // Seen again with the same parent: nothing changes.
    store.touch_session(&child("c", "p"), second(200), false).expect("noted");
    record(store, "c", &[at("d", 150, 8)]);
    assert_eq!(each(store, &["p", "c"]), [12, 15]);
    store.touch_session(&child("c", "q"), second(300), false).expect("noted");
    record(store, "c", &[at("e", 300, 16)]);
    assert_eq!(each(store, &["p", "q", "c"]), [12, 16, 31], "a child of the last one");
    let parent = store.session("c").expect("an answer").expect("a session").session.parent;
    assert_eq!(parent.as_deref(), Some("q"));
    assert_counters_agree(store, &["p", "q", "c"]);
}

fn a_batch_does_not_change_the_parent(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "c", &[at("a", 0, 1)]);
    BatchBuilder::new(&child("c", "p")).facts(&[at("b", 1, 2)]).apply(store);
    assert_eq!(each(store, &["p", "c"]), [0, 3]);
    store.touch_session(&child("c", "p"), second(2), false).expect("noted");
    store.touch_session(&session("c"), second(3), false).expect("noted");
    record(store, "c", &[at("d", 4, 4)]);
    assert_eq!(each(store, &["p", "c"]), [4, 7], "who does not know the parent does not end it");
}

fn nobody_is_ones_own_parent(backend: &dyn Backend) {
    let store = &mut *backend.open();
    BatchBuilder::new(&child("s", "s")).facts(&[at("a", 0, 10)]).apply(store);
    store.touch_session(&child("s", "s"), second(1), false).expect("noted");
    record(store, "s", &[at("b", 2, 5)]);
    assert_eq!(each(store, &["s"]), [15]);
    assert_eq!(store.session("s").expect("an answer").expect("a session").session.parent, None);
}

fn a_loop_of_parents_ends(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for (id, parent) in [("a", "b"), ("b", "c"), ("c", "a")] {
        store.touch_session(&child(id, parent), second(0), false).expect("noted");
    }
    assert_eq!(each(store, &["a", "b", "c"]), [0; 3]);
    for (n, id) in ["a", "b", "c"].iter().enumerate() {
        record(store, id, &[at(&format!("m{n}"), 1, 1 << n)]);
    }
    assert_eq!(each(store, &["a", "b", "c"]), [7; 3], "each bears all of it, once");
    assert_eq!(used(store, Scope::User, "ann"), 7);
}

fn a_parent_that_nobody_reported_is_charged_like_its_child(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let child =
        Session { project: "/p".into(), team: "core".into(), task_type: "t".into(), ..child("c", "p") };
    BatchBuilder::new(&child).facts(&[at("a", 0, 10)]).apply(store);
    let parent = store.session("p").expect("an answer").expect("noted with its child").session;
    let expected = Session { id: "p".into(), parent: None, ..child };
    assert_eq!(parent, backend.as_stored(&expected));
    record(store, "p", &[at("b", 1, 5)]);
    for (scope, value) in [(Scope::Project, "/p"), (Scope::Team, "core"), (Scope::TaskType, "t")] {
        assert_eq!(used(store, scope, value), 15, "{scope:?}");
    }
}

fn a_stub_becomes_a_session(backend: &dyn Backend) {
    let store = &mut *backend.open();
    BatchBuilder::new(&child("c", "p")).facts(&[at("a", 0, 10)]).apply(store);
    let transcript = Some("/tmp/p.jsonl".into());
    store
        .touch_session(&Session { transcript: transcript.clone(), ..session("p") }, second(1), false)
        .expect("noted");
    assert_eq!(record(store, "p", &[at("b", 1, 5)]).sequence, 1, "its first batch");
    let parent = store.session("p").expect("an answer").expect("a session");
    let expected = backend.as_stored(&Session { transcript, ..session("p") });
    assert_eq!((parent.session, parent.last_seen), (expected, second(1)));
    assert_eq!(each(store, &["p", "c"]), [15, 10]);
}

fn a_shared_message_counts_once(backend: &dyn Backend) {
    for asked_before in [true, false] {
        let store = &mut *backend.fresh().open();
        let shared = |store: &mut dyn Store| {
            [
                used(store, Scope::User, "ann"),
                used(store, Scope::Project, "/project"),
                used(store, Scope::Model, "sonnet"),
            ]
        };
        if asked_before {
            assert_eq!((shared(store), each(store, &["a", "b"])), ([0; 3], vec![0, 0]));
        }
        for id in ["a", "b", "a", "b"] {
            record(store, id, &[at("m", 0, 10)]);
        }
        record(store, "b", &[at("m", 0, 12)]);
        assert_eq!((shared(store), each(store, &["a", "b"])), ([12; 3], vec![12, 12]));
    }
}

fn a_fork_shares_what_it_copied(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(each(store, &["p", "f"]), [0, 0]);
    record(store, "f", &[Fact::Origin("p".into()), at("a", 0, 10), at("x", 5, 1)]);
    record(store, "p", &[at("a", 0, 10), at("b", 2, 4)]);
    record(store, "f", &[Fact::Origin("p".into()), Fact::Origin("f".into())]);
    assert_eq!(each(store, &["p", "f"]), [14, 11]);
    assert_eq!(used(store, Scope::User, "ann"), 15);
    assert_counters_agree(store, &["p", "f"]);
}

fn home_is_who_brought_it_first(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let of = |id: &str, name: &str| Session {
        project: format!("/{name}"),
        user: name.into(),
        team: name.into(),
        task_type: name.into(),
        ..session(id)
    };
    let charged = |store: &mut dyn Store| {
        ["ann", "bea"].map(|name| {
            let project = used(store, Scope::Project, &format!("/{name}"));
            let [user, team, task] =
                [Scope::User, Scope::Team, Scope::TaskType].map(|scope| used(store, scope, name));
            [user, project, team, task]
        })
    };
    assert_eq!(charged(store), [[0; 4]; 2]);
    BatchBuilder::new(&of("a", "ann")).facts(&[at("m", 0, 10)]).apply(store);
    BatchBuilder::new(&of("b", "bea")).facts(&[at("m", 0, 10), at("n", 0, 1)]).apply(store);
    assert_eq!(charged(store), [[10; 4], [1; 4]]);
    assert_eq!(each(store, &["a", "b"]), [10, 11]);
}

fn growth_found_elsewhere_goes_home(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let other = Session { user: "bea".into(), ..session("b") };
    assert_eq!(used(store, Scope::User, "bea"), 0);
    record(store, "a", &[at("m", 0, 10)]);
    BatchBuilder::new(&other).facts(&[at("m", 0, 25)]).apply(store);
    assert_eq!(["ann", "bea"].map(|user| used(store, Scope::User, user)), [25, 0]);
    assert_eq!(each(store, &["a", "b"]), [25, 25]);
}

fn what_a_session_is_charged_to_stays(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "s", &[at("a", 0, 10)]);
    let moved = Session {
        project: "/q".into(),
        user: "bea".into(),
        team: "core".into(),
        task_type: "t".into(),
        ..session("s")
    };
    BatchBuilder::new(&moved).facts(&[at("b", 1, 5)]).apply(store);
    store.touch_session(&moved, second(2), false).expect("noted");
    record(store, "s", &[at("c", 2, 1)]);
    assert_eq!((used(store, Scope::Project, "/project"), used(store, Scope::Project, "/q")), (16, 0));
    for (scope, value) in [(Scope::User, "bea"), (Scope::Team, "core"), (Scope::TaskType, "t")] {
        assert_eq!(used(store, scope, value), 0, "{scope:?}");
    }
    assert_eq!(
        store.session("s").expect("an answer").expect("a session").session,
        backend.as_stored(&session("s"))
    );
}

fn a_project_found_late_is_charged_with_all(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(used(store, Scope::Project, "/project"), 0);
    let unknown = Session { project: String::new(), ..session("s") };
    BatchBuilder::new(&unknown).facts(&facts([response("a", 10)])).apply(store);
    assert_eq!((used(store, Scope::Project, "/project"), used(store, Scope::User, "ann")), (0, 10));
    record(store, "s", &facts([response("b", 5)]));
    assert_eq!((used(store, Scope::Project, "/project"), used(store, Scope::User, "ann")), (15, 15));
    record(store, "s", &facts([Message { at: second(9), ..response("c", 1) }]));
    assert_eq!(used(store, Scope::Project, "/project"), 16);
    assert_eq!(recounted(store, Scope::Project, "/project")[0], 16);
}

fn a_message_of_parent_and_child_counts_once_in_both(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&child("c", "p"), second(0), false).expect("noted");
    assert_eq!(each(store, &["p", "c"]), [0, 0]);
    for id in ["c", "p", "c", "p"] {
        record(store, id, &[at("a", 1, 10)]);
        record(store, id, &[at("a", 1, 11)]);
    }
    record(store, "p", &[at("b", 1, 1)]);
    assert_eq!(each(store, &["p", "c"]), [12, 11]);
    assert_counters_agree(store, &["p", "c"]);
}
