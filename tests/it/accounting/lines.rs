//! Unusual lines and files: what counts, and what they must not break.

use std::fs;
use std::path::Path;

use fusebox::domain::budget::Scope;
use serde_json::{Value, json};

use super::test_store::{NOW, Reader, Sum, TestStore, append, session};
use super::written::{at, response};

/// The usage in a transcript of these bytes: tokens by class, requests, tool calls; and estimated messages.
fn count(bytes: &[u8]) -> (Sum, u64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    fs::write(&path, bytes).expect("a transcript");
    let mut store = TestStore::with_counters(&["s"]);
    Reader::new(&session("s"), &path).record(&mut store.sqlite);
    // Budgets must see the same counts.
    let (sum, estimated) = store.total("s");
    assert_eq!(store.lifetime_counter(Scope::Session, "s"), super::test_store::as_counter(sum));
    (sum, estimated)
}

fn lines(values: &[Value]) -> Vec<u8> {
    values.iter().flat_map(|v| format!("{v}\n").into_bytes()).collect()
}

const TEN: Sum = Sum::tokens(10, 5, 0, 0, 0);

fn once() -> (Sum, u64) {
    (TEN.calls(1, 0), 0)
}

#[test]
fn a_missing_request_id_makes_neither_one_of_two_nor_two_of_one() {
    let mut first = response("m", 1, TEN);
    first.as_object_mut().expect("an object").remove("requestId");
    let mut second = first.clone();
    second["uuid"] = "another".into();
    let mut null = first.clone();
    null["requestId"] = Value::Null;
    assert_eq!(count(&lines(&[first.clone(), second, null])), once());
    // Another line of the message, on which the client wrote the request id.
    assert_eq!(count(&lines(&[first.clone(), response("m", 2, TEN)])), once());
    // Another date and no parent: a relay's next response.
    let mut later = first.clone();
    (later["uuid"], later["timestamp"]) = ("later".into(), at(2).into());
    assert_eq!(count(&lines(&[first, later])).0, TEN.plus(TEN).calls(2, 0));
}

#[test]
fn another_request_id_does_not_make_a_copy_another_message() {
    let first = response("m", 1, TEN);
    let mut copy = first.clone();
    (copy["requestId"], copy["uuid"], copy["sessionId"]) = ("other".into(), "other".into(), "other".into());
    assert_eq!(count(&lines(&[first.clone(), copy.clone()])), once());
    copy["timestamp"] = at(2).into();
    assert_eq!(count(&lines(&[first, copy])).0, TEN.plus(TEN).calls(2, 0));
}

#[test]
fn a_copy_that_lost_its_first_line_is_still_a_copy() {
    let part = |n: i64| {
        let mut line = response("m", n, TEN);
        (line["uuid"], line["parentUuid"]) = (format!("line-{n}").into(), format!("line-{}", n - 1).into());
        line["message"]["content"][0]["text"] = format!("part {n}").into();
        line
    };
    let others: Vec<Value> =
        (0..9).map(|n| response(&format!("other {n}"), 10 + n, Sum::default())).collect();
    let whole = [part(1), part(2), part(3)];
    let copied = [&whole[..], &others, &[part(2), part(3)]].concat();
    assert_eq!(count(&lines(&copied)), (TEN.calls(10, 0), 0));
    // Whichever file is read first. The fork that holds only the copy is not charged for it.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, values: &[Value]| {
        let path = dir.path().join(name);
        fs::write(&path, lines(values)).expect("a transcript");
        path
    };
    let (origin, fork) = (file("origin.jsonl", &whole), file("fork.jsonl", &copied[12..]));
    for order in [[("origin", &origin), ("fork", &fork)], [("fork", &fork), ("origin", &origin)]] {
        let mut store = TestStore::with_counters(&["origin", "fork"]);
        for (id, path) in order {
            Reader::new(&session(id), path).record(&mut store.sqlite);
        }
        assert_eq!(store.total("origin").0, TEN.calls(1, 0));
        assert_eq!(store.total("fork").0, Sum::default());
        assert_eq!(
            store.lifetime_counter(Scope::User, "ann"),
            super::test_store::as_counter(TEN.calls(1, 0))
        );
    }
}

#[test]
fn without_a_message_id_the_line_is_the_key() {
    let mut first = response("m", 1, TEN);
    first.as_object_mut().expect("an object").remove("requestId");
    for id in [Value::Null, json!(""), json!(17), json!({})] {
        first["message"]["id"] = id.clone();
        let mut second = first.clone();
        second["uuid"] = "another".into();
        assert_eq!(count(&lines(&[first.clone(), first.clone()])), once(), "{id}");
        assert_eq!(count(&lines(&[first.clone(), second])).0, TEN.plus(TEN).calls(2, 0), "{id}");
    }
}

#[test]
fn without_a_message_id_the_request_is_the_key() {
    let mut first = response("m", 1, TEN);
    first["message"]["id"] = Value::Null;
    let mut second = first.clone();
    second["uuid"] = "another".into();
    assert_eq!(count(&lines(&[first, second])), once());
}

#[test]
fn counts_that_are_no_integers() {
    let cases = [
        (json!(null), 0),
        (json!(10.4), 10),
        (json!(10.6), 11),
        (json!("10"), 10),
        (json!("10.0"), 10),
        (json!(1e1), 10),
        (json!(-10), 0),
        (json!(-0.5), 0),
        (json!("ten"), 0),
        (json!("NaN"), 0),
        (json!(true), 0),
        (json!([10]), 0),
        (json!({"n": 10}), 0),
    ];
    for (written, counted) in cases {
        let mut line = response("m", 1, TEN);
        line["message"]["usage"]["input_tokens"] = written.clone();
        let expected = Sum::tokens(counted, 5, 0, 0, 0).calls(1, 0);
        assert_eq!(count(&lines(&[line])), (expected, 0), "{written}");
    }
}

#[test]
fn a_null_split_of_cache_writes_leaves_the_flat_number() {
    let mut line = response("m", 1, Sum { write_5m: 40, write_1h: 60, ..TEN });
    for split in [Value::Null, json!({}), json!("none"), json!({"ephemeral_1h_input_tokens": null})] {
        line["message"]["usage"]["cache_creation"] = split.clone();
        let expected = Sum { write_5m: 100, ..TEN }.calls(1, 0);
        assert_eq!(count(&lines(&[line.clone()])).0, expected, "{split}");
    }
    line["message"]["usage"]["cache_creation"] =
        json!({"ephemeral_1h_input_tokens": 30, "ephemeral_5m_input_tokens": 20});
    let expected = Sum { write_5m: 70, write_1h: 30, ..TEN }.calls(1, 0);
    assert_eq!(count(&lines(&[line.clone()])).0, expected, "50 of 100 are split");
    line["message"]["usage"]["cache_creation"] =
        json!({"ephemeral_1h_input_tokens": 90, "ephemeral_5m_input_tokens": 80});
    let expected = Sum { write_5m: 80, write_1h: 90, ..TEN }.calls(1, 0);
    assert_eq!(count(&lines(&[line])).0, expected, "the split says more");
}

#[test]
fn spaces_and_unknown_fields_do_no_harm() {
    let spaced = r#"{ "type" : "assistant" , "uuid" : "u" ,	"timestamp" : "2026-11-22T10:00:00Z", "later" : { "id": null, "usage" : { "input_tokens" : 99 } },
        "message" : { "id" : "m" , "model" : "sonnet", "novel": [ { "usage": 3 } ], "content" : [ ], "stop_reason" : "end_turn",
        "usage" : { "input_tokens" : 10 , "output_tokens" : 5, "future_tokens": 7, "nested": { "output_tokens": 9 } } } }"#;
    let line = spaced.replace('\n', " ") + "\n";
    assert_eq!(count(line.as_bytes()), once());
}

#[test]
fn lone_surrogates_do_no_harm() {
    let line = response("m", 1, TEN).to_string();
    for (from, to) in [
        (r#""text":"done""#, r#""text":"\ud83d cut""#),
        (r#""text":"done""#, r#""text":"\udc00\ud800""#),
        (r#""type":"assistant""#, r#""type":"assistant","cwd":"\ud800""#),
        (r#""type":"text""#, r#""type":"tool_use","id":"t1","input":{"\ud800":"\udfff"}"#),
    ] {
        let odd = line.replace(from, to);
        assert_ne!(odd, line);
        let (sum, _) = count(format!("{odd}\n").as_bytes());
        assert_eq!((sum.input, sum.output, sum.requests), (10, 5, 1), "{to}");
    }
}

#[test]
fn of_a_duplicate_key_the_last_counts() {
    let line = response("m", 1, TEN).to_string();
    let twice = line.replace(r#""input_tokens":10"#, r#""input_tokens":3,"input_tokens":10"#);
    assert_ne!(twice, line);
    assert_eq!(count(format!("{twice}\n").as_bytes()), once());
}

#[test]
fn what_the_client_made_up_is_no_charge() {
    let mut synthetic = response("m", 1, TEN);
    synthetic["message"]["model"] = "<synthetic>".into();
    let mut error = response("n", 2, TEN);
    error["isApiErrorMessage"] = true.into();
    assert_eq!(count(&lines(&[synthetic.clone(), error.clone()])).0, Sum::default());
    // Nor do they change a complete response before them.
    assert_eq!(count(&lines(&[response("a", 0, TEN), synthetic, error.clone()])), once());
    error["isApiErrorMessage"] = false.into();
    assert_eq!(count(&lines(&[error])), once());
}

#[test]
fn an_error_line_makes_a_response_cut_only_where_its_output_is_what_the_start_said() {
    let mut error = response("e", 2, Sum::default());
    error["isApiErrorMessage"] = true.into();
    error["message"]["model"] = "<synthetic>".into();
    let mut cut = response("m", 1, Sum { output: 1, ..TEN });
    cut["message"]["content"][0]["text"] = "x".repeat(83).into();
    // Stopped with one token: an answer of one token, unless an error follows.
    assert_eq!(count(&lines(&[cut.clone()])), (Sum { output: 1, ..TEN }.calls(1, 0), 0));
    assert_eq!(count(&lines(&[cut.clone(), error.clone()])), (Sum { output: 20, ..TEN }.calls(1, 0), 1));
    // The characters of each line count once, however often it is read.
    let mut second = cut.clone();
    second["uuid"] = "another".into();
    second["message"]["content"] = json!([{"type": "thinking", "thinking": "y".repeat(40)},
        {"type": "tool_use", "id": "t", "input": {"a": "b"}}]);
    let found = count(&lines(&[cut.clone(), second.clone(), cut, second, error]));
    // 83 + 40 + 9 for {"a":"b"}, divided by four.
    assert_eq!(found, (Sum { output: 33, ..TEN }.calls(1, 1), 1));
}

#[test]
fn old_clients_without_stop_reasons_are_estimated() {
    let mut line = response("m", 1, Sum { output: 2, ..TEN });
    line["message"]["stop_reason"] = Value::Null;
    line["message"]["content"][0]["text"] = "é".repeat(400).into();
    assert_eq!(count(&lines(&[line])), (Sum { output: 100, ..TEN }.calls(1, 0), 1));
}

#[test]
fn progress_lines_count_once_with_the_agents_own_file() {
    let inner = json!({
        "type": "assistant", "uuid": "u1", "requestId": "r1", "timestamp": at(2),
        "message": {"id": "m1", "model": "sonnet", "stop_reason": "tool_use", "usage": {"input_tokens": 10, "output_tokens": 5},
            "content": [{"type": "tool_use", "id": "t1", "input": {}}]},
    });
    let progress = |uuid: &str| {
        json!({
            "type": "progress", "uuid": uuid, "timestamp": at(3), "toolUseID": "t0",
            "data": {"type": "agent_progress", "agentId": "a1", "message": inner},
        })
    };
    let main = [response("a", 1, TEN), progress("p1"), progress("p2")];
    let expected = (TEN.plus(TEN).calls(2, 1), 0);
    assert_eq!(count(&lines(&main)), expected);
    // The envelope alone costs nothing.
    let mut empty = progress("p3");
    empty["data"]["message"] = json!({"type": "user", "message": {"content": "usage"}});
    assert_eq!(count(&lines(&[response("a", 1, TEN), empty])), once());

    let dir = tempfile::tempdir().expect("a temporary folder");
    let (main_path, agent_path) = (dir.path().join("s.jsonl"), dir.path().join("agent-a1.jsonl"));
    fs::write(&main_path, lines(&main)).expect("a transcript");
    fs::write(&agent_path, lines(std::slice::from_ref(&inner))).expect("a transcript");
    for backwards in [false, true] {
        let mut store = TestStore::with_counters(&["s"]);
        let mut paths = [&main_path, &agent_path];
        if backwards {
            paths.reverse();
        }
        for path in paths {
            Reader::new(&session("s"), path).record(&mut store.sqlite);
        }
        assert_eq!(store.total("s"), expected);
        // It is charged to the subagent, not to the main agent.
        assert_eq!(store.lifetime_counter(Scope::AgentType, "main"), [10, 5, 0, 0, 1, 0]);
    }
}

#[test]
fn lines_of_hundreds_of_kilobytes() {
    let mut long = response("m", 1, TEN);
    long["message"]["content"][0]["text"] = "x".repeat(900_000).into();
    let snapshot = json!({"type": "prompt_snapshot", "text": "y".repeat(300_000)});
    let bytes = lines(&[snapshot.clone(), long, snapshot, response("n", 2, TEN)]);
    assert_eq!(count(&bytes), (TEN.plus(TEN).calls(2, 0), 0));
}

#[test]
fn a_reading_is_bounded_and_carried_on() {
    use fusebox::agents::claude::transcript::ClaudeTranscripts;
    use fusebox::transcript::cursor::read_new;
    let filler = json!({"type": "attachment", "text": "y".repeat(100_000)});
    let values: Vec<Value> =
        (0..40).flat_map(|i| [filler.clone(), response(&format!("m{i}"), i, TEN)]).collect();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    fs::write(&path, lines(&values)).expect("a transcript");
    let mut reader = Reader::new(&session("s"), &path);
    let mut store = TestStore::with_counters(&["s"]);
    let mut readings = 0;
    loop {
        let reading =
            read_new(&ClaudeTranscripts, &path, &mut reader.position, 500_000, NOW).expect("readable");
        assert!(reading.bytes < 1_000_000, "{}", reading.bytes);
        store.apply(&session("s"), &reading.facts);
        readings += 1;
        if reading.complete {
            break;
        }
    }
    assert!(readings > 4, "{readings}");
    assert_eq!(store.total("s").0, Sum::tokens(400, 200, 0, 0, 0).calls(40, 0));
}

#[test]
fn carriage_returns_empty_lines_and_garbage_between() {
    let line = response("m", 1, TEN).to_string();
    let next = response("n", 2, TEN).to_string();
    let both = (TEN.plus(TEN).calls(2, 0), 0);
    assert_eq!(count(format!("{line}\r\n\r\n{next}\r\n").as_bytes()), both);
    assert_eq!(count(format!("\n\n  \n{line}\n\n{next}\n\n").as_bytes()), both);
    let garbage = "{\"usage\":\n\"usage\"\n[\"usage\"]\n{\"message\":\"usage\"}\n{\"message\":{\"usage\":null}}\nnull\n";
    assert_eq!(count(format!("{line}\n{garbage}{next}\n").as_bytes()), both);
    // Two writers that tore each other's lines: complete lines count.
    let torn = &line[..line.len() / 2];
    assert_eq!(count(format!("{torn}\n{line}\n{next}\n").as_bytes()), both);
}

#[test]
fn a_byte_that_is_no_utf_8_costs_no_charge() {
    let mut line = response("m", 1, TEN).to_string().into_bytes();
    let place = line.windows(4).position(|w| w == b"done").expect("the text");
    line[place] = 0xff;
    line.push(b'\n');
    let whole = lines(&[response("n", 2, TEN)]);
    assert_eq!(count(&[line, whole].concat()), (TEN.plus(TEN).calls(2, 0), 0));
}

#[test]
fn huge_numbers_neither_overflow_nor_break_what_follows() {
    for huge in [
        "18446744073709551615",
        "9223372036854775807",
        "1e300",
        "1e400",
        "99999999999999999999999",
        "\"inf\"",
    ] {
        let mut text = String::new();
        for id in ["m", "n", "o"] {
            let mut line = response(id, 1, TEN);
            line["message"]["usage"]["cache_creation_input_tokens"] = json!(11);
            let line = line.to_string();
            let line = line.replace(":10,", &format!(":{huge},")).replace(":11,", &format!(":{huge},"));
            let line = line.replace(
                r#""ephemeral_1h_input_tokens":0"#,
                &format!(r#""ephemeral_1h_input_tokens":{huge}"#),
            );
            assert!(line.matches(huge).count() >= 3, "{line}");
            text.push_str(&line);
            text.push('\n');
        }
        let mut total = super::written::total(1, TEN).to_string();
        total = total.replace(r#"Ephemeral5mInputTokens":0"#, &format!(r#"Ephemeral5mInputTokens":{huge}"#));
        total = total.replace(r#"Ephemeral1hInputTokens":0"#, &format!(r#"Ephemeral1hInputTokens":{huge}"#));
        total = total.replace(r#""startTime":1"#, &format!(r#""startTime":{huge}"#));
        assert!(total.matches(huge).count() == 3, "{total}");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("s.jsonl");
        let mut store = TestStore::with_counters(&["s"]);
        fs::write(&path, text + &total + "\n").expect("a transcript");
        let mut reader = Reader::new(&session("s"), &path);
        reader.record(&mut store.sqlite);
        let before = store.total("s").0;
        assert!(before.input > 1_000_000_000, "{huge}: {before:?}");
        append(&path, &lines(&[response("p", 9, TEN)]));
        reader.record(&mut store.sqlite);
        let after = store.total("s").0;
        assert_eq!((after.output, after.requests), (before.output + 5, before.requests + 1), "{huge}");
        store.lifetime_counter(Scope::Session, "s");
        store.lifetime_counter(Scope::User, "ann");
    }
}

#[test]
fn an_unfinished_last_line_waits() {
    let line = response("m", 1, TEN).to_string();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    let mut store = TestStore::with_counters(&["s"]);
    let mut reader = Reader::new(&session("s"), &path);
    reader.record(&mut store.sqlite);
    assert_eq!(reader.position.offset, 0, "a file that is not there yet is empty");
    fs::write(&path, &line[..200]).expect("a transcript");
    reader.record(&mut store.sqlite);
    assert_eq!((store.total("s").0, reader.position.offset), (Sum::default(), 0));
    append(&path, &line.as_bytes()[200..]);
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s").0, Sum::default(), "whole JSON, but no line yet");
    append(&path, b"\n");
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s"), once());
    assert_eq!(reader.position.offset, line.len() as u64 + 1);
}

fn write(path: &Path, values: &[Value]) {
    // Truncated in place: the inode stays.
    fs::write(path, lines(values)).expect("a transcript");
}

#[test]
fn a_file_that_shrank_is_read_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    let mut store = TestStore::with_counters(&["s"]);
    let mut reader = Reader::new(&session("s"), &path);
    write(&path, &[response("a", 1, TEN), response("b", 2, TEN)]);
    reader.record(&mut store.sqlite);
    write(&path, &[response("c", 3, TEN)]);
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s").0.requests, 3, "what was charged stays charged");
    append(&path, &lines(&[response("d", 4, TEN), response("e", 5, TEN)]));
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s").0, Sum::tokens(50, 25, 0, 0, 0).calls(5, 0));
    write(&path, &[]);
    reader.record(&mut store.sqlite);
    append(&path, &lines(&[response("f", 6, TEN)]));
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s").0.requests, 6);
}

#[test]
fn a_file_rewritten_between_two_readings_is_read_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    let mut store = TestStore::with_counters(&["s"]);
    let mut reader = Reader::new(&session("s"), &path);
    write(&path, &[response("a", 1, TEN)]);
    reader.record(&mut store.sqlite);
    // Longer than before, so the size does not reveal it; the old end is within a line.
    let mut long = response("b", 2, TEN);
    long["cwd"] = "/a/longer/folder".into();
    write(&path, &[long, response("c", 3, TEN)]);
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s").0.requests, 3);
}

#[test]
fn a_replaced_file_is_read_from_its_start() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (path, new) = (dir.path().join("s.jsonl"), dir.path().join("new"));
    let mut store = TestStore::with_counters(&["s"]);
    let mut reader = Reader::new(&session("s"), &path);
    write(&path, &[response("a", 1, TEN)]);
    reader.record(&mut store.sqlite);
    // The same length, so only the inode reveals it.
    write(&new, &[response("b", 1, TEN)]);
    fs::rename(&new, &path).expect("replaced");
    reader.record(&mut store.sqlite);
    assert_eq!(store.total("s").0, TEN.plus(TEN).calls(2, 0));
    assert_eq!(reader.position.starts, 2);
}

#[test]
fn a_file_that_grows_while_it_is_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    fs::write(&path, b"").expect("a transcript");
    let mut store = TestStore::with_counters(&["s"]);
    let mut reader = Reader::new(&session("s"), &path);
    const MESSAGES: i64 = 3000;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..MESSAGES {
                append(&path, &lines(&[response(&format!("m{i}"), i % 3000, TEN)]));
            }
        });
        while !writer.is_finished() {
            reader.record(&mut store.sqlite);
        }
    });
    reader.record(&mut store.sqlite);
    let n = MESSAGES as u64;
    assert_eq!(store.total("s").0, Sum::tokens(10 * n, 5 * n, 0, 0, 0).calls(n, 0));
}

#[test]
fn a_line_without_a_date_takes_that_of_the_line_before() {
    use fusebox::domain::time::Timestamp;
    use fusebox::domain::window::{Period, WindowRule, Zone};
    let mut undated = response("m", 1, TEN);
    undated.as_object_mut().expect("an object").remove("timestamp");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("s.jsonl");
    fs::write(&path, lines(&[super::written::dated(0), undated.clone()])).expect("a transcript");
    let mut store = TestStore::with_counters(&["s"]);
    Reader::new(&session("s"), &path).record(&mut store.sqlite);
    let day = WindowRule { period: Period::Day, zone: Zone::utc() };
    let on = Timestamp::parse(&at(0)).expect("a date");
    assert_eq!(store.counter(Scope::Session, &day, "s", on)[..2], [10, 5]);
    // Without any date in the file, it is charged now.
    assert_eq!(count(&lines(&[undated])), once());
}
