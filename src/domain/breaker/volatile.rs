//! What changes from one run to the next though nothing else does: times, durations, numbers of attempts, ids, temporary
//! paths. Taken out before two results, or two calls, are compared.
//!
//! Numbers stay otherwise: "3 of 10 pods ready" is not "4 of 10 pods ready", and page 3 is not page 4.

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// The input of a call. Ids stay: they say what the call is about.
    Input,
    /// The result of a call.
    Outcome,
}

/// What stands in place of what was taken out.
const GONE: &str = "~";

/// Between these, a word ends.
const BREAKS: &[u8] = b"()[]{}<>\"'`,;=|&?";

/// A number after one of these says which attempt this is, or how much is shown at most. (Not after `seed`: a series over
/// seeds is work.)
const ATTEMPTS: [&str; 9] =
    ["attempt", "try", "retry", "iteration", "round", "take", "nonce", "pass", "limit"];

/// A number after one of these names something that is new each time.
const NUMBERED: [&str; 17] = [
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

/// Ends of names of measurements.
const MEASURES: [&str; 5] = ["ms", "_seconds", "duration", "tokens", "runtime"];

/// Names of query parameters that defeat caches.
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

const TEMPORARY: [&str; 5] =
    ["/tmp/", "/var/tmp/", "/var/folders/", "/private/tmp/", "/private/var/folders/"];

/// `text` without what is volatile in it, and with every run of white space as one space.
pub fn strip(text: &str, of: TextKind) -> String {
    let bytes = text.as_bytes();
    let class = |at: usize| bytes.get(at).map_or(BREAK, |byte| CLASSES[usize::from(*byte)]);
    let mut out = String::with_capacity(text.len());
    // Most of a text stays as it is: what stands from `kept` on is copied when something else comes.
    let (mut kept, mut last, mut at) = (0, 0..0, 0);
    while at < bytes.len() {
        let start = at;
        let mut has_digit = false;
        for byte in &bytes[start..] {
            match CLASSES[usize::from(*byte)] {
                BREAK | BLANK => break,
                of_word => has_digit |= of_word == DIGIT,
            }
            at += 1;
        }
        // Only numbers, names with numbers, and temporary paths are ever taken out.
        if start < at && (has_digit || bytes[start] == b'/') {
            // A break is one byte of ASCII, so a word ends where a character does.
            let (word, after) = (&text[start..at], &text[at..]);
            // `"elapsed":12` has its colon after the quotation mark.
            let bare = word.trim_start_matches(':');
            out.push_str(&text[kept..at - bare.len()]);
            kept = at;
            let opened = out.ends_with(['[', '=']);
            push_plain(
                &mut out,
                bare,
                text[last.clone()].trim_start_matches(':'),
                next_word(after),
                opened,
                of,
            );
        }
        if bytes[start..at].iter().any(|b| *b != b':') {
            last = start..at;
        }
        if class(at) == BLANK {
            let is_single = match kept < at {
                true => bytes[at - 1] != b' ',
                false => !out.ends_with(' ') && !out.is_empty(),
            };
            if !is_single || bytes[at] != b' ' {
                out.push_str(&text[kept..at]);
                out.push_str(if is_single { " " } else { "" });
                kept = at + 1;
            }
        }
        at += 1;
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out.truncate(out.trim_end().len());
    out
}

const BREAK: u8 = 0;
const BLANK: u8 = 1;
const DIGIT: u8 = 2;
const OTHER: u8 = 3;

/// What each byte is: something that ends a word, white space, a digit, anything else.
const CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut i = 0;
    while i < BREAKS.len() {
        classes[BREAKS[i] as usize] = BREAK;
        i += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        classes[digit as usize] = DIGIT;
        digit += 1;
    }
    let blanks = b" \t\n\r\x0b\x0c";
    let mut i = 0;
    while i < blanks.len() {
        classes[blanks[i] as usize] = BLANK;
        i += 1;
    }
    classes
};

/// A text without comments between `/*` and `*/`, as in queries.
pub fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        let Some((_, after)) = after.split_once("*/") else { break };
        out.push_str(before);
        rest = after;
    }
    out + rest
}

/// A shell command without its comments.
pub fn command(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quote, mut escaped, mut comment, mut before) = (None, false, false, ' ');
    for c in text.chars() {
        if comment && c != '\n' {
            continue;
        }
        comment = false;
        match (quote, c) {
            (None, '#') if before.is_whitespace() || before == ';' => {
                comment = true;
                continue;
            }
            (None, '"' | '\'') if !escaped => quote = Some(c),
            (Some(open), _) if open == c && !escaped => quote = None,
            _ => {}
        }
        escaped = c == '\\' && !escaped && quote != Some('\'');
        before = c;
        out.push(c);
    }
    out
}

fn next_word(after: &str) -> &str {
    let rest = after.strip_prefix(' ').unwrap_or_default();
    let end = rest.bytes().position(|b| CLASSES[usize::from(b)] < DIGIT).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':', '!'])
}

/// Appends one word without what is volatile in it. `opened`: it stands in square brackets, or after an equals sign.
fn push_plain(out: &mut String, word: &str, last: &str, next: &str, opened: bool, of: TextKind) {
    let outcome = of == TextKind::Outcome;
    if let Some(start) = TEMPORARY.iter().find(|start| word.starts_with(**start)) {
        if outcome {
            out.push_str(GONE);
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
            || (!outcome && decimal && last_is(&["sleep", "kill", "9"]))
            || (outcome
                && ((decimal
                    && (last.starts_with('#')
                        || UNITS.contains(&next)
                        || last_is(&NUMBERED)
                        || last_ends(&MEASURES)))
                    || (digits && (number.len() < bare.len() || (opened && number.len() >= 3)))
                    || is_duration(bare)))
    } else {
        false
    };
    if gone || (opened && last_is(&CACHE_BUSTERS)) || (outcome && last_ends(&["id"])) {
        out.push_str(GONE);
        out.push_str(&word[bare.len()..]);
        return;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let joint = bare.bytes().rposition(|b| matches!(b, b'-' | b'_' | b'/' | b':'));
    if let Some(name) = joint.filter(|at| is_number(&bare[at + 1..])).map(|at| &bare[..at])
        && ATTEMPTS.iter().any(|attempt| name.to_ascii_lowercase().ends_with(attempt))
    {
        out.push_str(name);
        out.push_str(GONE);
    } else if outcome {
        push_without_ids(out, word, 7);
    } else {
        out.push_str(word);
    }
}

/// Appends a word whose parts that look like ids (hexadecimal, with a digit, at least `most` of them; or letters and digits
/// mixed at random) are taken out.
fn push_without_ids(out: &mut String, word: &str, most: usize) {
    if word.len() < most || !word.bytes().any(|b| b.is_ascii_digit()) {
        out.push_str(word);
        return;
    }
    let is_joint = |c: char| matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '+');
    let (begin, mut gone) = (out.len(), 0);
    for part in word.split_inclusive(is_joint) {
        let name = part.trim_end_matches(is_joint);
        let hex = name.strip_prefix("0x").unwrap_or(name);
        let letters = hex.bytes().fold(0, |all, byte| all | letter(byte));
        let has = |any: u8| letters & any != 0;
        let is_hex = hex.len() >= most && !has(NO_HEX);
        let mixed = hex.len() >= 8 && has(LOWER) && has(UPPER);
        if has(FIGURE) && ((is_hex && (has(LOWER | UPPER) || name.starts_with("0x"))) || mixed) {
            gone += 1;
            out.push_str(GONE);
        } else {
            out.push_str(name);
        }
        out.push_str(&part[name.len()..]);
    }
    // A UUID: its parts of four digits are taken out, too.
    if gone >= 2 && word.len() == 36 {
        out.truncate(begin);
        out.push_str(GONE);
    }
}

const FIGURE: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const NO_HEX: u8 = 8;

/// What a byte is, to an id.
fn letter(byte: u8) -> u8 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_by_itself_is_taken_out_of_results() {
        for (one, other) in [
            ("Ran 3 tests in 0.53s", "Ran 3 tests in 1.07s"),
            ("real\t0m1.234s", "real\t0m1.9s"),
            ("took 120 ms", "took 98 ms"),
            ("finished in 3 seconds.", "finished in 4 seconds."),
            ("[10:11:12] failed", "[10:11:59] failed"),
            ("2026-11-25T10:11:12.123Z ERROR x", "2026-11-25T10:12:12.999Z ERROR x"),
            ("started with pid 4711", "started with pid 4712"),
            ("sshd[4711]: no", "sshd[911]: no"),
            ("pid=4711 died", "pid=5 died"),
            ("attempt 3 failed", "attempt 4 failed"),
            ("retry #3", "retry #12"),
            ("wrote /tmp/x-a1/out.log", "wrote /tmp/y-b2/out.log"),
            (
                "request 6f9619ff-8b86-d011-b42d-00c04fc964ff refused",
                "request 7a9619ff-1b86-c011-b42d-00c04fc964aa refused",
            ),
            ("commit 1a2b3c4d", "commit 9f8e7d6c"),
            ("at 0x7fff5fbff8c0", "at 0x7fff5fbff8d0"),
            ("trace req_01AbCdEfGh9", "trace req_02XyZaBcDe8"),
            ("epoch 1764065472", "epoch 1764065480"),
            ("==4711== lost", "==512== lost"),
            (r#"{"rows":[],"elapsedMs":3}"#, r#"{"rows":[],"elapsedMs":41}"#),
            ("running with ID: bash_3.", "running with ID: bash_4."),
            ("#5 2.31 E: no", "#5 3.14 E: no"),
            ("a   b\n\nc", "a b c"),
        ] {
            assert_eq!(strip(one, TextKind::Outcome), strip(other, TextKind::Outcome), "{one}");
        }
    }

    #[test]
    fn what_means_something_stays() {
        for (one, other) in [
            ("3/10 pods ready", "4/10 pods ready"),
            ("35% done", "40% done"),
            ("2 failed, 3 passed", "1 failed, 4 passed"),
            ("line 12", "line 13"),
            ("Bisecting: 12 revisions left", "Bisecting: 6 revisions left"),
            ("user 17 not found", "user 18 not found"),
            ("v1.2.3", "v1.2.4"),
            ("deadbeef", "feedface"),
        ] {
            assert_ne!(strip(one, TextKind::Outcome), strip(other, TextKind::Outcome), "{one}");
        }
    }

    #[test]
    fn ids_in_inputs_stay_and_attempts_go() {
        let same = |one: &str, other: &str| {
            strip(&command(one), TextKind::Input) == strip(&command(other), TextKind::Input)
        };
        assert!(same("curl 'host/x?_=17'", "curl 'host/x?_=18'"));
        assert!(same("run > /tmp/out.a8f3c2d1", "run > /tmp/out.b9e4d3c2"));
        assert!(same("make # try 1", "make # once more"));
        assert!(!same(
            "curl host/orders/6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "curl host/orders/7a9619ff-8b86-d011-b42d-00c04fc964aa"
        ));
        assert!(!same("cat /tmp/part1", "cat /tmp/part2"));
        assert!(same("sleep 5 && date", "sleep 10 && date"));
        assert!(!same("echo a#1", "echo a#2"));
    }
}
