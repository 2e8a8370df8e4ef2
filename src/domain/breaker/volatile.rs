//! Removes text that differs from run to run: times, durations, attempt numbers, ids, temporary paths. Used before
//! comparing two results or two calls.
//!
//! Other numbers stay: "3 of 10 pods ready" differs from "4 of 10 pods ready", and page 3 from page 4.

use super::volatile_word::push_stable;

/// The kind of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// The input of a call. Ids stay: they say what the call is about.
    Input,
    /// The result of a call.
    Outcome,
}

/// These bytes end a word.
const BREAKS: &[u8] = b"()[]{}<>\"'`,;=|&?";

/// `text` without its volatile parts, and with each run of white space as one space.
pub fn strip(text: &str, kind: TextKind) -> String {
    let bytes = text.as_bytes();
    let class = |at: usize| bytes.get(at).map_or(BREAK, |byte| CLASSES[usize::from(*byte)]);
    let mut out = String::with_capacity(text.len());
    // Most text stays as it is: it is copied from `kept` on when something else comes.
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
        // Only numbers, names with numbers, and temporary paths are ever removed.
        if start < at && (has_digit || bytes[start] == b'/') {
            // A break is one ASCII byte, so a word ends at a character boundary.
            let (word, after) = (&text[start..at], &text[at..]);
            // In `"elapsed":12`, the colon follows the quotation mark.
            let bare = word.trim_start_matches(':');
            out.push_str(&text[kept..at - bare.len()]);
            kept = at;
            let opened = out.ends_with(['[', '=']);
            push_stable(
                &mut out,
                bare,
                text[last.clone()].trim_start_matches(':'),
                next_word(after),
                opened,
                kind,
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

/// The class of each byte: word end, white space, digit, other.
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

fn next_word(after: &str) -> &str {
    let rest = after.strip_prefix(' ').unwrap_or_default();
    let end = rest.bytes().position(|b| CLASSES[usize::from(b)] < DIGIT).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':', '!'])
}

#[cfg(test)]
mod tests {
    use super::super::comments::without_shell_comments;
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
            strip(&without_shell_comments(one), TextKind::Input)
                == strip(&without_shell_comments(other), TextKind::Input)
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
