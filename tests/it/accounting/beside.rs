//! What is billed beside the counts of responses, and what stands elsewhere.

use fusebox::domain::budget::Scope;
use serde_json::{Value, json};

use super::streams::agent_file;
use super::test_store::{READ_ORDERS, ReadOrder, SessionFiles, Sum, as_counter, record};
use super::written::{at, boundary, lines, response, total};

const fn t(input: u64, output: u64, read: u64) -> Sum {
    Sum::tokens(input, output, 0, 0, read)
}

/// Checks each session's total and the user's, in every order of reading.
#[track_caller]
fn check(sessions: &[SessionFiles], truths: &[(Sum, u64)], user: Sum) {
    let random = (1..=6).flat_map(|n| [(ReadOrder::Shuffled, n * 7919), (ReadOrder::Pieces, n * 104_729)]);
    for (way, seed) in READ_ORDERS.map(|way| (way, 7)).into_iter().chain(random) {
        let mut store = record(sessions, way, seed);
        for (files, truth) in sessions.iter().zip(truths) {
            assert_eq!(store.total(&files.id), *truth, "session {}, {way:?}, seed {seed}", files.id);
        }
        let found = store.lifetime_counter(Scope::User, "ann");
        assert_eq!(found, as_counter(user), "user, {way:?}, seed {seed}");
    }
}

fn part(kind: &str, input: u64, output: u64, model: Option<&str>) -> Value {
    let mut part = json!({"type": kind, "input_tokens": input, "output_tokens": output});
    if let Some(model) = model {
        part["model"] = model.into();
    }
    part
}

/// A response on two lines with these parts.
fn with_parts(id: &str, second: i64, sum: Sum, parts: &[Value]) -> [Value; 2] {
    let mut first = response(id, second, sum);
    first["message"]["usage"]["iterations"] = parts.into();
    let mut next = first.clone();
    next["uuid"] = format!("next-{id}").into();
    next["message"]["content"][0]["text"] = "and more".into();
    [first, next]
}

#[test]
fn parts_beside_the_totals_are_charged_to_their_own_models() {
    let parts = [
        part("message", 30, 2, None),
        part("advisor_message", 4000, 300, Some("opus")),
        part("compaction", 700, 60, None),
        part("fallback_message", 70, 8, Some("opus")),
        part("novel_thing", 50, 4, Some("haiku")),
        part("novel_thing", 0, 0, Some("haiku")),
    ];
    let main = with_parts("a", 1, t(100, 10, 0), &parts).map(|line| line.to_string());
    let sessions = [SessionFiles::from_lines("s", &main, &[])];
    let sum = t(100 + 4000 + 700 + 50, 10 + 300 + 60 + 4, 0).calls(1, 0);
    check(&sessions, &[(sum, 0)], sum);
    let mut store = record(&sessions, ReadOrder::Whole, 1);
    assert_eq!(store.lifetime_counter(Scope::Model, "sonnet"), [800, 70, 0, 0, 1, 0]);
    assert_eq!(store.lifetime_counter(Scope::Model, "opus"), [4000, 300, 0, 0, 0, 0]);
    assert_eq!(store.lifetime_counter(Scope::Model, "haiku"), [50, 4, 0, 0, 0, 0]);
}

#[test]
fn parts_count_once_with_the_clients_total() {
    let parts = [part("advisor_message", 400, 30, Some("sonnet")), part("compaction", 50, 4, None)];
    let [first, next] = with_parts("a", 1, t(100, 10, 0), &parts);
    let whole = [first.to_string(), next.to_string(), total(1, t(557, 45, 3)).to_string()];
    let sum = t(557, 45, 3).calls(1, 0);
    check(&[SessionFiles::from_lines("s", &whole, &[])], &[(sum, 0)], sum);
}

/// The file of a compaction's own call.
fn call(session: &str, n: usize, second: i64, sum: Sum) -> (std::path::PathBuf, Vec<u8>) {
    let mut line = response(&format!("call-{n}"), second, sum);
    line["isSidechain"] = true.into();
    agent_file(session, &format!("acompact-{n}"), &[line])
}

fn session(id: &str, main: &[String], calls: &[(std::path::PathBuf, Vec<u8>)]) -> SessionFiles {
    let mut files = SessionFiles::from_lines(id, main, &[]);
    files.files.extend_from_slice(calls);
    files
}

#[test]
fn a_compaction_whose_call_has_a_file_is_charged_by_that_file() {
    let main =
        lines([response("a", 1, t(100, 10, 0)), boundary("c1", 60, 9000), response("b", 70, t(5, 1, 0))]);
    let calls = [call("s", 1, 55, t(20, 300, 8000))];
    let sum = t(125, 311, 8000).calls(3, 0);
    check(&[session("s", &main, &calls)], &[(sum, 0)], sum);
}

#[test]
fn one_by_another_version_keeps_its_estimate() {
    // The session was resumed with a client that leaves no file, and then again with one that does.
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        boundary("c1", 60, 9000),
        boundary("c2", 130, 500),
        boundary("c3", 190, 7000),
        response("b", 200, t(5, 1, 0)),
    ]);
    let calls = [call("s", 1, 55, t(20, 300, 8000)), call("s", 3, 185, t(30, 400, 6000))];
    let sum = t(155, 711, 8000 + 500 + 6000).calls(5, 0);
    check(&[session("s", &main, &calls)], &[(sum, 1)], sum);
    // A call long before a boundary is not its own: that compaction failed.
    let main = lines([response("a", 1, t(100, 10, 0)), boundary("c1", 900, 9000)]);
    let sum = t(120, 310, 17000).calls(3, 0);
    check(&[session("s", &main, &[call("s", 1, 55, t(20, 300, 8000))])], &[(sum, 1)], sum);
}

#[test]
fn a_fork_that_copied_the_boundary_is_not_charged_for_it_either() {
    let main = lines([response("a", 1, t(100, 10, 0)), boundary("c1", 60, 9000)]);
    let fork = [main.clone(), lines([response("x", 90, t(7, 1, 0)), boundary("c2", 95, 400)])].concat();
    let parent = session("p", &main, &[call("p", 1, 55, t(20, 300, 8000))]);
    let fork = session("f", &fork, &[]);
    let (of_parent, of_fork) = (t(120, 310, 8000).calls(2, 0), t(107, 11, 400).calls(3, 0));
    let user = t(127, 311, 8400).calls(4, 0);
    check(&[parent.clone(), fork.clone()], &[(of_parent, 0), (of_fork, 1)], user);
    check(&[fork, parent], &[(of_fork, 1), (of_parent, 0)], user);
}

#[test]
fn a_total_and_the_calls_file_come_to_the_total() {
    let main =
        lines([response("a", 1, t(100, 10, 0)), boundary("c1", 60, 9000), total(1, t(125, 311, 8002))]);
    let sum = t(125, 311, 8002).calls(2, 0);
    check(&[session("s", &main, &[call("s", 1, 55, t(20, 300, 8000))])], &[(sum, 0)], sum);
}

#[test]
fn a_total_without_lifetimes_is_split_as_the_lines_are() {
    let said = Sum { write_5m: 40, write_1h: 60, ..t(100, 10, 0) };
    // The whole rest was not listed: 30 input and 20 written.
    let mut unsplit = total(1, Sum { write_5m: 120, ..t(130, 10, 0) });
    let counts = unsplit["modelUsage"]["sonnet"].as_object_mut().expect("counts");
    counts.retain(|name, _| !name.contains("Ephemeral"));
    let main = lines([response("a", 1, said), unsplit]);
    let sum = Sum { write_5m: 60, write_1h: 60, ..t(130, 10, 0) }.calls(1, 0);
    check(&[SessionFiles::from_lines("s", &main, &[])], &[(sum, 0)], sum);
    // One that is smaller than the lines still says nothing.
    let mut small = total(1, Sum { write_5m: 99, ..t(130, 10, 0) });
    small["modelUsage"]["sonnet"]
        .as_object_mut()
        .expect("counts")
        .retain(|name, _| !name.contains("Ephemeral"));
    let sum = said.calls(1, 0);
    check(&[SessionFiles::from_lines("s", &lines([response("a", 1, said), small]), &[])], &[(sum, 0)], sum);
}

/// A synthetic line, as for a local command, or an API error.
fn synthetic(second: i64, error: Value) -> Value {
    json!({"type": "assistant", "uuid": format!("made-up-{second}"), "timestamp": at(second), "isApiErrorMessage": error,
        "message": {"id": "made-up", "model": "<synthetic>", "content": [{"type": "text", "text": "No response requested."}],
            "usage": {"input_tokens": 0, "output_tokens": 0}}})
}

#[test]
fn only_an_api_error_makes_the_response_before_it_cut() {
    let mut short = response("a", 1, t(100, 1, 0));
    short["message"]["content"][0]["text"] = "y".repeat(400).into();
    for (error, output) in [(json!(false), 1), (Value::Null, 1), (json!(true), 100)] {
        let main = lines([short.clone(), synthetic(2, error)]);
        let sum = t(100, output, 0).calls(1, 0);
        check(&[SessionFiles::from_lines("s", &main, &[])], &[(sum, u64::from(output > 1))], sum);
    }
}

#[test]
fn hidden_thinking_of_a_cut_stream_is_estimated_by_its_signature() {
    let mut thinking = response("a", 1, t(100, 1, 0));
    thinking["message"]["stop_reason"] = Value::Null;
    let block = |text: &str, signature: usize| json!([{"type": "thinking", "thinking": text, "signature": "s".repeat(signature)}]);
    thinking["message"]["content"] = block("", 10_000);
    let mut more = thinking.clone();
    (more["uuid"], more["message"]["content"]) = ("more".into(), block("", 5_000));
    let mut seen = thinking.clone();
    // Thinking with a text is measured by that.
    (seen["uuid"], seen["message"]["content"]) = ("seen".into(), block(&"z".repeat(800), 90_000));
    let main = lines([thinking.clone(), more, seen.clone(), thinking.clone()]);
    let sum = t(100, 15_000 * 31 / 100, 0).calls(1, 0);
    check(&[SessionFiles::from_lines("s", &main, &[])], &[(sum, 1)], sum);
    let sum = t(100, 200, 0).calls(1, 0);
    check(&[SessionFiles::from_lines("s", &lines([seen]), &[])], &[(sum, 1)], sum);
    // A complete one has its count.
    thinking["message"]["stop_reason"] = "end_turn".into();
    thinking["message"]["usage"]["output_tokens"] = 7.into();
    let sum = t(100, 7, 0).calls(1, 0);
    check(&[SessionFiles::from_lines("s", &lines([thinking]), &[])], &[(sum, 0)], sum);
}
