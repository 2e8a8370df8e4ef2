//! Removes volatile text from one word: attempt numbers, ids, times, measurements.

use super::volatile::TextKind;

/// Replaces removed text.
const PLACEHOLDER: &str = "~";

/// A number after one of these is an attempt or a display limit. (Not after `seed`: a series over seeds is work.)
const ATTEMPTS: [&str; 9] =
    ["attempt", "try", "retry", "iteration", "round", "take", "nonce", "pass", "limit"];

/// A number after one of these names something new each time.
const NUMBERED_NAMES: [&str; 17] = [
    "pid",
    "ppid",
    "process",
    "port",
    "request",
    "req",
    "job",
    "session",
    "thread",
    "worker",
    "connection",
    "id",
    "uid",
    "elapsed",
    "uptime",
    "took",
    "request-id",
];

/// Endings of names of measurements.
const MEASURES: [&str; 5] = ["ms", "_seconds", "duration", "tokens", "runtime"];

/// Names of cache-busting query parameters.
const CACHE_BUSTERS: [&str; 9] =
    ["_", "t", "ts", "cb", "nocache", "cachebust", "cache_bust", "rand", "timestamp"];

/// Units of time and of speed.
const UNITS: [&str; 33] = [
    "bytes",
    "ns",
    "us",
    "µs",
    "μs",
    "ms",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "m",
    "min",
    "mins",
    "minute",
    "minutes",
    "h",
    "hr",
    "hrs",
    "hour",
    "hours",
    "millisecond",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "kB/s",
    "KB/s",
    "MB/s",
    "GB/s",
    "it/s",
    "req/s",
    "ops/s",
    "ops/sec",
];

const TEMPORARY_FOLDERS: [&str; 5] =
    ["/tmp/", "/var/tmp/", "/var/folders/", "/private/tmp/", "/private/var/folders/"];

/// Appends one word without its volatile parts. `opened`: it follows a square bracket or an equals sign.
pub(super) fn push_stable(
    out: &mut String,
    word: &str,
    last: &str,
    next: &str,
    opened: bool,
    kind: TextKind,
) {
    let is_outcome = kind == TextKind::Outcome;
    if let Some(start) = TEMPORARY_FOLDERS.iter().find(|start| word.starts_with(**start)) {
        if is_outcome {
            out.push_str(PLACEHOLDER);
        } else {
            out.push_str(start);
            push_without_ids(out, &word[start.len()..], 6);
        }
        return;
    }
    let bare = word.trim_end_matches(['.', ':', '!']);
    let number = bare.strip_prefix('#').unwrap_or(bare);
    let name = last.trim_start_matches('-').trim_end_matches([':', '#', '.']);
    let last_is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let last_ends = |ends: &[&str]| {
        let end = |end: &&str| name.len().checked_sub(end.len()).and_then(|at| name.get(at..));
        ends.iter().any(|known| end(known).is_some_and(|end| end.eq_ignore_ascii_case(known)))
    };
    let gone = if number.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let decimal = is_decimal(number);
        is_time(bare)
            || (digits && number.len() >= 9)
            || (decimal && last_is(&ATTEMPTS))
            || (!is_outcome && decimal && last_is(&["sleep", "kill", "9"]))
            || (is_outcome
                && ((decimal
                    && (last.starts_with('#')
                        || UNITS.contains(&next)
                        || last_is(&NUMBERED_NAMES)
                        || last_ends(&MEASURES)))
                    || (digits && (number.len() < bare.len() || (opened && number.len() >= 3)))
                    || is_duration(bare)))
    } else {
        false
    };
    if gone || (opened && last_is(&CACHE_BUSTERS)) || (is_outcome && last_ends(&["id"])) {
        out.push_str(PLACEHOLDER);
        out.push_str(&word[bare.len()..]);
        return;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let joint = bare.bytes().rposition(|b| matches!(b, b'-' | b'_' | b'/' | b':'));
    if let Some(name) = joint.filter(|at| is_number(&bare[at + 1..])).map(|at| &bare[..at])
        && ATTEMPTS.iter().any(|attempt| name.to_ascii_lowercase().ends_with(attempt))
    {
        out.push_str(name);
        out.push_str(PLACEHOLDER);
    } else if is_outcome {
        push_without_ids(out, word, 7);
    } else {
        out.push_str(word);
    }
}

/// Appends a word without parts that look like ids: at least `min_length` hexadecimal characters with a digit, or
/// letters and digits mixed at random.
fn push_without_ids(out: &mut String, word: &str, min_length: usize) {
    if word.len() < min_length || !word.bytes().any(|b| b.is_ascii_digit()) {
        out.push_str(word);
        return;
    }
    let is_joint = |c: char| matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '+');
    let (begin, mut gone) = (out.len(), 0);
    for part in word.split_inclusive(is_joint) {
        let name = part.trim_end_matches(is_joint);
        let hex = name.strip_prefix("0x").unwrap_or(name);
        let letters = hex.bytes().fold(0, |all, byte| all | byte_class(byte));
        let has = |any: u8| letters & any != 0;
        let is_hex = hex.len() >= min_length && !has(NO_HEX);
        let mixed = hex.len() >= 8 && has(LOWER) && has(UPPER);
        if has(FIGURE) && ((is_hex && (has(LOWER | UPPER) || name.starts_with("0x"))) || mixed) {
            gone += 1;
            out.push_str(PLACEHOLDER);
        } else {
            out.push_str(name);
        }
        out.push_str(&part[name.len()..]);
    }
    // In a UUID, the four-digit parts are removed as well.
    if gone >= 2 && word.len() == 36 {
        out.truncate(begin);
        out.push_str(PLACEHOLDER);
    }
}

const FIGURE: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const NO_HEX: u8 = 8;

/// The class of a byte in an id.
fn byte_class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => FIGURE,
        b'a'..=b'f' => LOWER,
        b'A'..=b'F' => UPPER,
        b'g'..=b'z' => LOWER | NO_HEX,
        b'G'..=b'Z' => UPPER | NO_HEX,
        _ => NO_HEX,
    }
}

fn is_decimal(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// `10:11`, `10:11:12.345`, `2026-11-25`, `2026-11-25T10:11:12Z`, `2026/11/25`.
fn is_time(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'T' | b'Z' | b'.' | b'+' | b'/');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.bytes().all(allowed) {
        return false;
    }
    let parts: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).collect();
    let is_date = parts.len() >= 3 && parts[0].len() == 4 && parts[1].len() == 2 && parts[2].len() == 2;
    let is_clock = text.matches(':').count() >= 1 && parts.iter().take(3).all(|part| part.len() == 2);
    is_date || is_clock
}

/// `0.53s`, `12ms`, `1m30s`, `0m1.234s`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[number..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| n + number);
        if number == 0 || !UNITS.contains(&&rest[number..unit]) {
            return false;
        }
        rest = &rest[unit..];
    }
    !text.is_empty()
}
