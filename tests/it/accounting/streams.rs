//! Which lines are one message, if a relay repeats or omits ids.

use std::path::PathBuf;

use fusebox::domain::budget::Scope;
use serde_json::{Value, json};

use super::naive::NaiveCount;
use super::test_store::{Dice, READ_ORDERS, ReadOrder, SessionFiles, Sum, as_counter, record};
use super::written::{at, usage};

/// How a relay names messages, or requests.
#[derive(Clone, Copy, Debug)]
enum Ids {
    Unique,
    Constant,
    CycleOfThree,
    /// Not on every line.
    Sometimes,
    Missing,
}

impl Ids {
    fn id(self, n: usize, dice: &mut Dice) -> Option<String> {
        match self {
            Self::Unique => Some(format!("id-{n}")),
            Self::Constant => Some("relay".into()),
            Self::CycleOfThree => Some(format!("relay-{}", n % 3)),
            Self::Sometimes => (dice.below(2) == 0).then(|| format!("id-{n}")),
            Self::Missing => None,
        }
    }
}

/// A session's lines, chained as a client does, and what its messages add up to.
struct Conversation {
    lines: Vec<Value>,
    /// The lines and the sum after each message.
    messages: Vec<(usize, Sum)>,
}

impl Conversation {
    /// Messages of one to three lines. In a slow stream, results of tools stand between them.
    fn new(messages: Ids, requests: Ids, dice: &mut Dice) -> Self {
        let (mut lines, mut ends, mut parent) = (Vec::<Value>::new(), Vec::new(), Value::Null);
        let (mut sum, mut second) = (Sum::default(), 0);
        for n in 0..7 {
            let usage_of = Sum::tokens(10 + n as u64, 1 + dice.below(9) as u64, 3, 1, 100 * n as u64);
            let id = messages.id(n, dice);
            let (blocks, slow) = (1 + dice.below(3), dice.below(2) == 0);
            for block in 0..blocks {
                second += 1;
                let uuid = format!("u{n}-{block}");
                let mut line = json!({
                    "type": "assistant", "uuid": uuid, "parentUuid": parent, "timestamp": at(second),
                    "message": {"id": id, "model": "sonnet", "stop_reason": "tool_use", "usage": usage(usage_of),
                        "content": [{"type": "tool_use", "id": format!("t{n}-{block}"), "name": "Bash", "input": {}}]},
                });
                if let Some(request) = requests.id(n, dice) {
                    line["requestId"] = request.into();
                }
                lines.push(line);
                parent = uuid.into();
                if slow || block + 1 == blocks {
                    let result = format!("r{n}-{block}");
                    lines.push(json!({"type": "user", "uuid": result, "parentUuid": parent, "timestamp": at(second),
                        "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}}));
                    parent = result.into();
                }
            }
            sum = sum.plus(usage_of.calls(1, blocks as u64));
            ends.push((lines.len(), sum));
        }
        Self { lines, messages: ends }
    }

    fn total(&self) -> Sum {
        self.messages.last().expect("messages").1
    }
}

fn files(id: &str, lines: &[Value]) -> SessionFiles {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    SessionFiles::from_lines(id, &lines, &[])
}

#[test]
fn whatever_a_relay_calls_them_messages_count_once_each() {
    let all = [Ids::Unique, Ids::Constant, Ids::CycleOfThree, Ids::Missing];
    let requests = [Ids::Unique, Ids::Constant, Ids::Sometimes, Ids::Missing];
    let mut dice = Dice(4711);
    for (messages, requests) in all.into_iter().flat_map(|m| requests.map(|r| (m, r))) {
        if matches!(messages, Ids::Missing) && matches!(requests, Ids::Sometimes | Ids::Missing) {
            // Each line is a message of its own.
            continue;
        }
        let main = Conversation::new(messages, requests, &mut dice);
        // A copy of everything at the end, as by another client, without or with other request ids.
        let mut twice = main.lines.clone();
        twice.extend(main.lines.iter().cloned().map(|mut line| {
            if line["requestId"].is_string() && !matches!(messages, Ids::Missing) {
                line["requestId"] = "req-copy".into();
            }
            line["sessionId"] = "copy".into();
            line
        }));
        // A fork after four messages that goes on by itself.
        let (end, of_fork) = main.messages[3];
        let mut fork = main.lines[..end].to_vec();
        let more = Sum::tokens(500, 50, 0, 0, 0).calls(1, 0);
        fork.push(json!({
            "type": "assistant", "uuid": "forked", "parentUuid": "other", "timestamp": at(300),
            "message": {"id": messages.id(9, &mut dice).unwrap_or("own".into()), "model": "sonnet",
                "stop_reason": "end_turn", "usage": usage(more), "content": []},
        }));
        let sessions = [files("s", &twice), files("f", &fork)];
        let random =
            (1..=4).flat_map(|n| [(ReadOrder::Shuffled, n * 7919), (ReadOrder::Pieces, n * 104_729)]);
        for (way, seed) in READ_ORDERS.map(|way| (way, 7)).into_iter().chain(random) {
            let mut store = record(&sessions, way, seed);
            let said = format!("{messages:?} messages, {requests:?} requests, {way:?}, seed {seed}");
            assert_eq!(store.total("s").0, main.total(), "{said}");
            assert_eq!(store.total("f").0, of_fork.plus(more), "{said}");
            let user = store.lifetime_counter(Scope::User, "ann");
            assert_eq!(user, as_counter(main.total().plus(more)), "{said}");
        }
        if !matches!(messages, Ids::Missing) {
            assert_eq!(NaiveCount::from_sessions(&sessions).charged().0, main.total().plus(more));
        }
    }
}

/// The same session in two files: a parent's, which embeds lines of its subagent, and the subagent's own.
#[test]
fn embedded_lines_count_once_with_the_agents_own_file_in_any_order() {
    for requests in [Ids::Unique, Ids::Missing] {
        let own = Conversation::new(Ids::Constant, requests, &mut Dice(99));
        let embedded = |line: &Value| {
            let mut inner = line.clone();
            inner.as_object_mut().expect("an object").remove("parentUuid");
            json!({"type": "progress", "uuid": format!("p-{}", line["uuid"]), "timestamp": line["timestamp"],
                "data": {"type": "agent_progress", "agentId": "as", "message": inner}})
        };
        // Only calls are embedded, not text: a message's first line may be missing.
        let calls = own.lines.iter().filter(|line| line["uuid"].as_str().is_some_and(|u| !u.ends_with("-0")));
        let main: Vec<String> = calls.map(|line| embedded(line).to_string()).collect();
        let agent: Vec<String> = own.lines.iter().map(Value::to_string).collect();
        let sessions = [SessionFiles::from_lines("s", &main, &agent)];
        for seed in 1..8 {
            for way in READ_ORDERS {
                let mut store = record(&sessions, way, seed * 31);
                assert_eq!(store.total("s").0, own.total(), "{requests:?}, {way:?}");
                assert_eq!(store.lifetime_counter(Scope::User, "ann"), as_counter(own.total()));
            }
        }
        // Where only they exist, they are charged.
        let mut alone = record(&[SessionFiles::from_lines("s", &main, &[])], ReadOrder::Whole, 1);
        assert!(alone.total("s").0.requests > 0);
    }
}

#[test]
fn a_new_request_ends_the_stream_before_it() {
    let line = |n: usize, parent: &str| {
        json!({"type": "assistant", "uuid": format!("u{n}"), "parentUuid": parent, "timestamp": at(n as i64),
            "requestId": "same", "message": {"id": "same", "model": "sonnet", "stop_reason": "tool_use",
                "usage": {"input_tokens": 10, "output_tokens": 5}, "content": [{"type": "text", "text": "x"}]}})
    };
    let request = json!({"type": "api-request", "timestamp": at(2), "querySource": "sdk"});
    // Equal in everything but the date, and the parents are results: only the request between tells them apart.
    let (one, two) = (line(1, "r0"), line(3, "r1"));
    let count = |lines: &[Value]| record(&[files("s", lines)], ReadOrder::Lines, 1).total("s").0.requests;
    assert_eq!(count(&[one.clone(), two.clone()]), 1, "a slow stream");
    assert_eq!(count(&[one.clone(), request.clone(), two]), 2);
    assert_eq!(count(&[one, request, line(3, "u1")]), 1, "chained to the last line");
}

#[test]
fn a_later_line_does_not_change_the_date_of_a_message() {
    let mut first = super::written::response("m", 50, Sum::tokens(10, 5, 0, 0, 0));
    let mut second = first.clone();
    first["uuid"] = "one".into();
    second["parentUuid"] = "one".into();
    second["timestamp"] = "2020-01-01T00:00:00Z".into();
    let mut store = record(&[files("s", &[first, second])], ReadOrder::Whole, 1);
    let day = fusebox::domain::window::WindowRule {
        period: fusebox::domain::window::Period::Day,
        zone: fusebox::domain::window::Zone::utc(),
    };
    let on = fusebox::domain::time::Timestamp::parse(&at(50)).expect("a date");
    assert_eq!(store.counter(Scope::Session, &day, "s", on)[..2], [10, 5]);
}

#[test]
fn a_mods_own_answer_is_no_response_but_no_way_around_a_charge_either() {
    let mut own = super::written::response("msg_hook_1", 1, Sum::default());
    let count =
        |line: &Value| record(&[files("s", std::slice::from_ref(line))], ReadOrder::Whole, 1).total("s");
    assert_eq!(count(&own), (Sum::default(), 0));
    own["message"]["stop_reason"] = Value::Null;
    own["message"]["content"][0]["text"] = "x".repeat(4000).into();
    assert_eq!(count(&own), (Sum::default(), 0), "never estimated");
    own["message"]["usage"]["input_tokens"] = 7.into();
    assert_eq!(count(&own).0.input, 7);
}

/// A subagent's file of a session.
pub fn agent_file(session: &str, agent: &str, lines: &[Value]) -> (PathBuf, Vec<u8>) {
    let bytes = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
    (PathBuf::from(format!("{session}/subagents/agent-{agent}.jsonl")), bytes)
}
