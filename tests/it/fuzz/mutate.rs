//! Mutations of JSON, by bytes and by structure.

use serde_json::{Value, json};

use crate::random::Random;

/// Placeholder in a text for what a [`Value`] cannot contain.
const DEEP: &str = "@deep@";
const HUGE: &str = "@huge@";
const SURROGATE: &str = "@surrogate@";
/// The same, within a text.
const HALF: &str = "@half@";

/// A random value of the corpus, with some mutations.
pub fn mutated(random: &mut Random, corpus: &[Value]) -> Vec<u8> {
    let mut value = random.pick(corpus).clone();
    for _ in 0..random.below(4) {
        change(random, &mut value);
    }
    let mut text = value.to_string();
    if random.chance(10) {
        duplicate(random, &mut text);
    }
    for (placeholder, odd) in [
        (DEEP, "[".repeat(5000) + &"]".repeat(5000)),
        (HUGE, "9".repeat(400) + "e999"),
        (SURROGATE, "\"\\ud800\"".into()),
    ] {
        text = text.replace(&format!("\"{placeholder}\""), &odd);
    }
    let half = *random.pick(&["\\ud83d", "\\ude00", "\\uDBFF\\ud83d", "\\\\ud83d"]);
    let mut bytes = text.replace(HALF, half).into_bytes();
    if random.chance(60) {
        for _ in 0..=random.below(3) {
            damage(random, &mut bytes, corpus);
        }
    }
    bytes
}

/// Changes one place in a value.
fn change(random: &mut Random, value: &mut Value) {
    let deeper = random.chance(60);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(random.below(fields.len())).unwrap().clone();
            match random.below(10) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(odd_text(random), odd(random))),
                2 => {
                    let moved = fields.remove(&name).unwrap();
                    fields.insert(odd_text(random), moved);
                }
                _ if deeper => change(random, &mut fields[&name]),
                _ => drop(fields.insert(name, odd(random))),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(4) {
                0 => drop(items.remove(at)),
                1 => items.push(odd(random)),
                _ => change(random, &mut items[at]),
            }
        }
        other => *other = odd(random),
    }
}

fn odd(random: &mut Random) -> Value {
    match random.below(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(i64::MIN),
        5 => json!(1.5e300),
        6 => json!(0.1),
        7 => json!([]),
        8 => json!({}),
        9 => json!([[{"a": [null]}], 7]),
        10 => json!(DEEP),
        11 => json!(HUGE),
        12 => json!(SURROGATE),
        _ => json!(odd_text(random)),
    }
}

fn odd_text(random: &mut Random) -> String {
    match random.below(16) {
        13 => format!("cut {HALF}"),
        14 => HALF.into(),
        0 => String::new(),
        1 => "../../../../tmp/escape".into(),
        2 => "/dev/null".into(),
        3 => "..".into(),
        4 => "a\u{0}b".into(),
        5 => "\u{202e}\u{1F4A5}ünï".into(),
        6 => "x".repeat(random.below(20_000)),
        7 => "*".into(),
        8 => "'; DROP TABLE messages; --".into(),
        9 => "%s%n{}".into(),
        10 => "-0".into(),
        11 => "1e999".into(),
        12 => ["PreToolUse", "PostToolBatch", "Stop", "SessionEnd", "session_id", "sessionId"]
            [random.below(6)]
        .into(),
        _ => random.next().to_string(),
    }
}

/// Duplicates one field.
fn duplicate(random: &mut Random, text: &mut String) {
    let name = *random.pick(&[
        "session_id",
        "hook_event_name",
        "transcript_path",
        "tool_use_id",
        "sessionId",
        "response",
    ]);
    text.insert_str(1, &format!("\"{name}\":{},", odd(random)));
}

/// Damages the bytes.
fn damage(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[Value]) {
    let at = random.below(bytes.len() + 1);
    match random.below(11) {
        7 => bytes.splice(at..at, vec![0; random.below(5000)]).for_each(drop),
        // A torn one, and this one goes on there.
        8 => {
            let torn = random.pick(corpus).to_string().into_bytes();
            bytes.splice(..0, torn[..random.below(torn.len())].iter().copied()).for_each(drop);
        }
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next().to_le_bytes()[0]),
        2 => drop(bytes.drain(at..(at + random.below(20)).min(bytes.len()).max(at))),
        3 => bytes.splice(at..at, [0xff, 0xfe, 0xc0]).for_each(drop),
        4 => {
            let other = random.pick(corpus).to_string();
            bytes.extend_from_slice(&other.as_bytes()[..random.below(other.len())]);
        }
        5 => bytes.splice(at..at, *b"\"}],{[:").for_each(drop),
        6 => bytes.splice(at..at, [b'\n', 0, b' ']).for_each(drop),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}
