//! Encodes one scripted turn: an error, a JSON message or an event stream.

use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::api::Served;
use super::http;
use super::scenario::Turn;
use super::usage::Usage;

/// Replaces `@N@` and the names defined in the API.
pub fn fill(text: &str, order: u64, names: &[(String, String)]) -> String {
    // Later definitions win: a test may use several clients in turn.
    let text = names.iter().rev().fold(text.to_owned(), |t, (name, value)| t.replace(name, value));
    text.replace("@N@", &order.to_string())
}

/// Sends `turn` as the answer to `request`; `note` updates the record of this call.
pub fn send(
    stream: &mut TcpStream,
    turn: &Turn,
    request: &Value,
    order: u64,
    id: &str,
    names: &[(String, String)],
    note: impl Fn(&mut dyn FnMut(&mut Served)),
) -> io::Result<()> {
    pause(turn.delay_ms);
    let request_id = format!("req_{id}");
    let mut headers = vec![("request-id", request_id.clone())];
    if let Some(e) = &turn.error {
        note(&mut |c| c.status = e.status);
        if let Some(seconds) = e.retry_after {
            headers.push(("retry-after", seconds.to_string()));
        }
        let error = json!({"type": e.kind, "message": e.message});
        let body = json!({"type": "error", "request_id": request_id, "error": error});
        return http::send_json(stream, e.status, &headers, &body);
    }
    let content = content(turn, order, id, names);
    let calls = content.iter().filter(|b| b["type"] == "tool_use").count();
    let stop = if calls > 0 { "tool_use" } else { "end_turn" };
    let model = turn.model.as_deref().or(request["model"].as_str()).unwrap_or_default();
    note(&mut |c| {
        c.status = 200;
        c.usage = turn.usage;
        c.start_output = turn.start_output_tokens;
        model.clone_into(&mut c.model);
        c.message_id = format!("msg_{id}");
        c.tool_calls = calls;
        c.cut = turn.cut_before.is_some();
    });
    let mut message = json!({
        "id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null,
    });
    if request["stream"] != true {
        message["content"] = json!(content);
        message["stop_reason"] = json!(stop);
        message["usage"] = usage(turn.usage, false, &turn.terms);
        return http::send_json(stream, 200, &headers, &message);
    }
    let mut at_start = turn.usage;
    at_start.output = turn.start_output_tokens;
    message["usage"] = usage(at_start, false, &turn.terms);
    http::start_events(stream, &headers)?;
    for event in events(turn, &message, &content, stop) {
        let name = event["type"].as_str().unwrap_or_default();
        pause(turn.chunk_delay_ms);
        if name == "message_delta" {
            pause(turn.before_message_delta_ms);
        }
        if turn.cut_before == Some(name) {
            break;
        }
        http::send_event(stream, name, &event)?;
    }
    Ok(())
}

fn content(turn: &Turn, order: u64, id: &str, names: &[(String, String)]) -> Vec<Value> {
    let text = fill(&Value::from(turn.content.clone()).to_string(), order, names);
    let mut blocks: Vec<Value> = serde_json::from_str(&text).expect("a script's content is JSON");
    for (i, block) in blocks.iter_mut().enumerate() {
        if block["type"] == "tool_use" {
            block["id"] = json!(format!("toolu_{id}x{i:02}"));
        }
    }
    blocks
}

fn events(turn: &Turn, message: &Value, content: &[Value], stop: &str) -> Vec<Value> {
    let mut all = vec![json!({"type": "message_start", "message": message})];
    for (i, block) in content.iter().enumerate() {
        let (start, deltas) = match block["type"].as_str() {
            Some("text") => (
                json!({"type": "text", "text": ""}),
                vec![json!({"type": "text_delta", "text": block["text"]})],
            ),
            Some("thinking") => (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                vec![
                    json!({"type": "thinking_delta", "thinking": block["thinking"]}),
                    json!({"type": "signature_delta", "signature": "bWFkZS11cA=="}),
                ],
            ),
            _ => (
                json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}),
                vec![json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})],
            ),
        };
        all.push(json!({"type": "content_block_start", "index": i, "content_block": start}));
        for delta in deltas {
            all.push(json!({"type": "content_block_delta", "index": i, "delta": delta}));
        }
        all.push(json!({"type": "content_block_stop", "index": i}));
    }
    let delta = json!({"stop_reason": stop, "stop_sequence": null});
    let usage = usage(turn.usage, true, &turn.terms);
    all.push(json!({"type": "message_delta", "delta": delta, "usage": usage}));
    all.push(json!({"type": "message_stop"}));
    all
}

fn usage(tokens: Usage, delta: bool, terms: &Value) -> Value {
    let mut usage = tokens.to_json(delta);
    for (name, value) in terms.as_object().into_iter().flatten() {
        usage[name] = value.clone();
    }
    usage
}

fn pause(ms: u64) {
    if ms > 0 {
        thread::sleep(Duration::from_millis(ms));
    }
}
