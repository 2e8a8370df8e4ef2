//! Transcript lines for tests: only the fields that count, in the client's format.

use serde_json::{Value, json};

use super::test_store::Sum;

/// A time on the day of these sessions, in seconds from 10:00.
pub fn at(second: i64) -> String {
    format!("2026-11-22T10:{:02}:{:02}.000Z", second / 60, second % 60)
}

/// The `usage` of a response.
pub fn usage(sum: Sum) -> Value {
    json!({
        "input_tokens": sum.input,
        "output_tokens": sum.output,
        "cache_creation_input_tokens": sum.write_5m + sum.write_1h,
        "cache_read_input_tokens": sum.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": sum.write_5m,
            "ephemeral_1h_input_tokens": sum.write_1h,
        },
    })
}

/// A complete response on one line.
pub fn response(id: &str, second: i64, sum: Sum) -> Value {
    json!({
        "type": "assistant", "uuid": format!("line-{id}"), "requestId": format!("req-{id}"), "timestamp": at(second),
        "message": {
            "id": id, "model": "sonnet", "stop_reason": "end_turn", "usage": usage(sum),
            "content": [{"type": "text", "text": "done"}],
        },
    })
}

/// A stream that was cut after some text.
pub fn cut(id: &str, second: i64, sum: Sum, visible: usize) -> Value {
    let mut line = response(id, second, Sum { output: 1, ..sum });
    line["message"]["stop_reason"] = Value::Null;
    line["message"]["content"][0]["text"] = "x".repeat(visible).into();
    line
}

/// A line with only a date.
pub fn dated(second: i64) -> Value {
    json!({"type": "queue-operation", "operation": "enqueue", "timestamp": at(second)})
}

/// A compaction.
pub fn boundary(id: &str, second: i64, before: u64) -> Value {
    json!({
        "type": "system", "subtype": "compact_boundary", "uuid": format!("line-{id}"), "timestamp": at(second),
        "compactMetadata": {"trigger": "manual", "preTokens": before},
    })
}

/// The client's total for one model.
pub fn total(run: i64, sum: Sum) -> Value {
    json!({
        "type": "cost-state", "startTime": run,
        "modelUsage": {"sonnet": {
            "inputTokens": sum.input,
            "outputTokens": sum.output,
            "cacheReadInputTokens": sum.read,
            "cacheCreationInputTokens": sum.write_5m + sum.write_1h,
            "cacheCreationEphemeral5mInputTokens": sum.write_5m,
            "cacheCreationEphemeral1hInputTokens": sum.write_1h,
        }},
    })
}

/// The lines of a file.
pub fn lines<const N: usize>(values: [Value; N]) -> Vec<String> {
    values.iter().map(Value::to_string).collect()
}
