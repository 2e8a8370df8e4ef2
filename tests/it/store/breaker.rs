//! Circuit breakers: observations of parallel hooks form one history, and change the breaker once.

use fusebox::agents::claude::tools;
use fusebox::domain::breaker::circuit::{CircuitBreaker, CircuitInput, NamedCall, Phase};
use fusebox::domain::breaker::policy::Policy;
use fusebox::domain::budget::Mode;
use fusebox::domain::event::{CircuitDecision, Event, EventData};
use fusebox::domain::time::Timestamp;
use fusebox::store::{AgentObservation, Applied, CircuitRow, Store};
use serde_json::json;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, session};
use super::facts::{NOW, second};

conformance!(
    parallel_calls_come_to_one_history,
    the_same_call_counts_once,
    kept_between_hooks,
    the_last_hundred_are_kept,
    answered_where_it_was_observed,
    a_loop_trips_it_and_is_told_once,
    tripped_once_by_many_at_once,
    agents_have_their_own,
    listed_by_session,
    acknowledged_it_lets_one_call_through,
    decided_about_one_agent_or_all,
    a_decision_is_on_record,
    a_prompt_begins_all_anew,
    a_prompt_may_ask_for_repetitions,
    a_shadow_only_says_so,
);

/// A shell call without a result.
fn named_call(id: u32, command: &str) -> NamedCall {
    let call = tools::finished_call(id, "Bash", &json!({"command": command}), "no", None, "");
    NamedCall { call, tool: "Bash".into() }
}

/// One hook of an agent of this session, which can report events.
fn hook(store: &mut dyn Store, id: &str, observed: AgentObservation, now: Timestamp) -> Applied {
    BatchBuilder::new(&session(id)).with_observation(observed).claiming().at(now).apply(store)
}

fn observation<'a>(agent: &'a str, policy: &'a Policy, seen: CircuitInput<'a>) -> AgentObservation<'a> {
    AgentObservation { agent, calls: Some((policy, seen, 0)), prompt: None, slots: None }
}

fn prompt(asked: u32) -> AgentObservation<'static> {
    AgentObservation { agent: "", calls: None, prompt: Some(asked), slots: None }
}

/// A response with one call ends.
fn respond(store: &mut dyn Store, id: &str, agent: &str, call: u32, command: &str) -> Applied {
    let policy = Policy::default();
    hook(
        store,
        id,
        observation(agent, &policy, CircuitInput::ResponseEnded(&[named_call(call, command)])),
        NOW,
    )
}

/// An agent repeats a call until the breaker opens. Returns the events for its hooks to report.
fn trip(store: &mut dyn Store, id: &str, agent: &str) -> Vec<Event> {
    (1..=5).flat_map(|call| respond(store, id, agent, call, "make").events).collect()
}

fn breaker(store: &mut dyn Store, id: &str, agent: &str) -> CircuitBreaker {
    let rows = store.circuits(Some(id)).expect("an answer");
    rows.into_iter().find(|row| row.agent == agent).expect("a breaker").breaker
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event.data {
        EventData::CircuitWarning(_) => "warning",
        EventData::CircuitOpened(_) => "opened",
        EventData::CircuitWouldOpen(_) => "would open",
        EventData::CircuitHalfOpened(_) => "half-opened",
        EventData::CircuitClosed(_) => "closed",
        EventData::CircuitDecided { .. } => "decided",
        _ => "other",
    };
    events.iter().map(kind).collect()
}

fn parallel_calls_come_to_one_history(backend: &dyn Backend) {
    let policy = Policy::default();
    let all: Vec<NamedCall> = (1..=12).map(|id| named_call(id, &format!("make t{}", id % 5))).collect();
    let store = &mut *backend.open();
    let end = |store: &mut dyn Store, id| {
        hook(store, id, observation("", &policy, CircuitInput::ResponseEnded(&all)), NOW)
    };
    // After the first end of a response, it is known that the client reports them.
    for id in ["parallel", "ordered"] {
        respond(store, id, "", 99, "ls");
    }
    at_once(backend, 12, |thread, store| {
        // In reverse order, and some of them by two hooks.
        for call in [11 - thread, thread / 2] {
            let seen = CircuitInput::CallsEnded(std::slice::from_ref(&all[call]));
            BatchBuilder::new(&session("parallel"))
                .with_observation(observation("", &policy, seen))
                .apply(store);
        }
    });
    end(store, "parallel");
    for call in &all {
        hook(
            store,
            "ordered",
            observation("", &policy, CircuitInput::CallsEnded(std::slice::from_ref(call))),
            NOW,
        );
    }
    end(store, "ordered");
    let (parallel, ordered) = (breaker(store, "parallel", ""), breaker(store, "ordered", ""));
    assert_eq!(parallel.iterations, 13);
    assert_eq!(parallel.history.calls().len(), 13);
    assert_eq!(parallel, ordered);
}

fn the_same_call_counts_once(backend: &dyn Backend) {
    let policy = Policy::default();
    let same = [named_call(7, "make")];
    at_once(backend, 16, |_, store| {
        let seen = observation("", &policy, CircuitInput::CallsEnded(&same));
        BatchBuilder::new(&session("s")).with_observation(seen).apply(store);
    });
    let breaker = breaker(&mut *backend.open(), "s", "");
    assert_eq!((breaker.iterations, breaker.history.calls().len()), (1, 1));
}

fn kept_between_hooks(backend: &dyn Backend) {
    let first = respond(&mut *backend.open(), "s", "", 1, "make");
    let kept = breaker(&mut *backend.open(), "s", "");
    assert_eq!(first.circuit, Some(kept.clone()));
    assert!(kept.history.contains(1) && kept.iterations == 1);
    let second = respond(&mut *backend.open(), "s", "", 2, "make").circuit.expect("observed");
    assert!(second.history.contains(1) && second.history.contains(2) && second.iterations == 2);
}

fn the_last_hundred_are_kept(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for id in 1..=130 {
        respond(store, "s", "", id, &format!("make t{id}"));
    }
    let kept = breaker(store, "s", "");
    assert_eq!((kept.iterations, kept.history.calls().len()), (130, 100));
    let ids: Vec<u32> = kept.history.calls().iter().map(|call| call.id).collect();
    assert_eq!(ids, (31..=130).collect::<Vec<_>>());
}

fn answered_where_it_was_observed(backend: &dyn Backend) {
    let (store, policy) = (&mut *backend.open(), Policy::default());
    assert_eq!(BatchBuilder::new(&session("s")).apply(store).circuit, None);
    let unseen = AgentObservation { agent: "", calls: None, prompt: None, slots: None };
    assert_eq!(hook(store, "s", unseen, NOW).circuit, None);
    let nothing = hook(store, "s", observation("", &policy, CircuitInput::Nothing), NOW);
    assert_eq!(nothing.circuit, Some(CircuitBreaker::default()));
    assert_eq!(store.circuits(None).expect("an answer"), [], "nothing to keep");
}

fn a_loop_trips_it_and_is_told_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let told = trip(store, "s", "");
    // The warning was never confirmed, so it is still claimed while the next event is reported.
    assert_eq!(kinds(&told), ["warning", "opened"]);
    let EventData::CircuitOpened(trip) = &told[1].data else { panic!("{told:?}") };
    assert_eq!((trip.count, trip.limit, trip.call, trip.tool.as_str(), trip.at), (5, 5, 5, "Bash", NOW));
    assert_eq!(breaker(store, "s", "").phase, Phase::Open { trip: trip.clone() });
    assert_eq!(store.events(Some("s"), None).expect("an answer"), told);
    let ids: Vec<i64> = told.iter().map(|event| event.id).collect();
    store.confirm_shown(&[], &ids).expect("confirmed");
    let later = hook(store, "s", observation("", &Policy::default(), CircuitInput::Nothing), second(3600));
    assert_eq!(later.events, []);
}

fn tripped_once_by_many_at_once(backend: &dyn Backend) {
    let policy = Policy::default();
    let told = at_once(backend, 16, |thread, store| {
        let call = named_call(thread as u32 + 1, "make");
        let seen = observation("", &policy, CircuitInput::ResponseEnded(std::slice::from_ref(&call)));
        kinds(&hook(store, "s", seen, NOW).events)
    });
    let mut told = told.concat();
    told.sort_unstable();
    assert_eq!(told, ["opened", "warning"]);
    let store = &mut *backend.open();
    assert_eq!(kinds(&store.events(None, None).expect("an answer")), ["warning", "opened"]);
    assert_eq!(breaker(store, "s", "").iterations, 16);
}

fn agents_have_their_own(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let told = trip(store, "s", "x");
    assert!(told.iter().all(|event| event.agent == "x" && event.session == "s"), "{told:?}");
    assert_eq!(respond(store, "s", "", 1, "make").circuit.expect("observed").phase, Phase::Closed);
    assert_eq!(respond(store, "s", "y", 1, "make").circuit.expect("observed").phase, Phase::Closed);
    assert_eq!(respond(store, "t", "x", 1, "make").circuit.expect("observed").phase, Phase::Closed);
    assert_eq!(breaker(store, "s", "x").phase.name(), "open");
}

fn listed_by_session(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for (id, agent) in [("a", "y"), ("a", ""), ("b", "x"), ("a", "x")] {
        respond(store, id, agent, 1, "make");
    }
    store.touch_session(&session("a"), second(10), false).expect("noted");
    store.touch_session(&session("b"), second(20), false).expect("noted");
    let names =
        |rows: Vec<CircuitRow>| -> Vec<_> { rows.into_iter().map(|row| (row.session, row.agent)).collect() };
    let of = |id: &str, agent: &str| (id.to_owned(), agent.to_owned());
    let all = names(store.circuits(None).expect("an answer"));
    assert_eq!(all, [of("b", "x"), of("a", ""), of("a", "x"), of("a", "y")]);
    assert_eq!(names(store.circuits(Some("a")).expect("an answer")), all[1..]);
    assert_eq!(store.circuits(Some("c")).expect("an answer"), []);
}

fn acknowledged_it_lets_one_call_through(backend: &dyn Backend) {
    let (store, policy) = (&mut *backend.open(), Policy::default());
    trip(store, "s", "");
    let ask = |store: &mut dyn Store, call| {
        hook(store, "s", observation("", &policy, CircuitInput::CallRequested(call)), NOW)
            .circuit
            .expect("observed")
            .admits(Some(call))
    };
    assert!(!ask(store, 6));
    store.decide_circuit("s", None, CircuitDecision::Acknowledge, ("ann", "mended"), NOW).expect("decided");
    let let_through = at_once(backend, 8, |thread, store| ask(store, 10 + thread as u32));
    assert_eq!(let_through.iter().filter(|admitted| **admitted).count(), 1, "{let_through:?}");
    let Phase::HalfOpen { probe: Some(probe), .. } = breaker(store, "s", "").phase else { panic!("a probe") };
    respond(store, "s", "", probe.call, "ls");
    assert_eq!(breaker(store, "s", "").phase, Phase::Closed);
}

fn decided_about_one_agent_or_all(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for agent in ["", "x", "y"] {
        trip(store, "s", agent);
    }
    respond(store, "s", "z", 1, "make");
    let mut decide = |id: &str, agent: Option<&str>, kind| -> Vec<(String, Option<u32>)> {
        let done = store.decide_circuit(id, agent, kind, ("ann", "because"), NOW).expect("decided");
        done.into_iter().map(|(agent, trip)| (agent, trip.map(|trip| trip.count))).collect()
    };
    use CircuitDecision::{Acknowledge, Reset};
    let of = |agent: &str, count| (agent.to_owned(), count);
    assert_eq!(decide("s", Some("x"), Acknowledge), [of("x", Some(5))]);
    assert_eq!(decide("s", Some("x"), Acknowledge), [], "it is not open any more");
    assert_eq!(decide("s", Some("z"), Acknowledge), [], "it never was");
    assert_eq!(decide("s", Some("nobody"), Reset), []);
    assert_eq!(decide("t", None, Reset), []);
    assert_eq!(decide("s", None, Acknowledge), [of("", Some(5)), of("y", Some(5))]);
    let all = [of("", Some(5)), of("x", Some(5)), of("y", Some(5)), of("z", None)];
    assert_eq!(decide("s", None, Reset), all);
    let mut phases = store.circuits(Some("s")).expect("an answer").into_iter().map(|row| row.breaker.phase);
    assert!(phases.all(|phase| phase == Phase::Closed));
}

fn a_decision_is_on_record(backend: &dyn Backend) {
    let store = &mut *backend.open();
    trip(store, "s", "x");
    store
        .decide_circuit("s", Some("x"), CircuitDecision::Reset, ("ann", "it's fine"), second(9))
        .expect("decided");
    let events = store.events(Some("s"), None).expect("an answer");
    let last = events.last().expect("an event");
    assert_eq!((last.session.as_str(), last.agent.as_str(), last.at), ("s", "x", second(9)));
    let EventData::CircuitDecided { decision, by, reason, trip } = &last.data else { panic!("{last:?}") };
    assert_eq!((*decision, by.as_str(), reason.as_str()), (CircuitDecision::Reset, "ann", "it's fine"));
    assert_eq!(trip.as_ref().map(|trip| trip.count), Some(5));
    // People know their own decisions; earlier events are still unconfirmed.
    let policy = Policy::default();
    let told = hook(store, "s", observation("x", &policy, CircuitInput::Nothing), second(3600)).events;
    assert_eq!(kinds(&told), ["warning", "opened"]);
}

fn a_prompt_begins_all_anew(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for agent in ["", "x"] {
        trip(store, "s", agent);
    }
    trip(store, "t", "");
    let before = breaker(store, "s", "");
    let answered = hook(store, "s", prompt(0), second(1));
    assert_eq!(answered.circuit, Some(before), "as it stood when the prompt came");
    for agent in ["", "x"] {
        let anew = breaker(store, "s", agent);
        assert_eq!(
            (anew.phase, anew.iterations, anew.epoch, anew.history.calls().len()),
            (Phase::Closed, 0, 1, 0)
        );
    }
    assert_eq!(breaker(store, "t", "").phase.name(), "open", "another session's");
    let closed: Vec<Event> = store.events(Some("s"), None).expect("an answer");
    assert_eq!(kinds(&closed[closed.len() - 2..]), ["closed", "closed"]);
    let told =
        hook(store, "s", observation("", &Policy::default(), CircuitInput::Nothing), second(3600)).events;
    assert!(!kinds(&told).contains(&"closed"), "who sent the prompt knows: {told:?}");
}

fn a_prompt_may_ask_for_repetitions(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(hook(store, "s", prompt(3), NOW).circuit, Some(CircuitBreaker::default()));
    let phases = (1..=8).map(|call| respond(store, "s", "", call, "make").circuit.expect("observed").phase);
    let open: Vec<bool> = phases.map(|phase| phase != Phase::Closed).collect();
    assert_eq!(open, [false, false, false, false, false, false, false, true], "five and three more");
}

fn a_shadow_only_says_so(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let policy = Policy { mode: Mode::Shadow, ..Policy::default() };
    let told: Vec<Event> = (1..=9)
        .flat_map(|id| {
            hook(
                store,
                "s",
                observation("", &policy, CircuitInput::ResponseEnded(&[named_call(id, "make")])),
                NOW,
            )
            .events
        })
        .collect();
    assert_eq!(kinds(&told), ["would open"]);
    assert_eq!(breaker(store, "s", "").phase, Phase::Closed);
}
