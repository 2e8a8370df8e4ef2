//! The outcome of a call: the hash of its result as text, without volatile parts.

use super::fingerprint::Fingerprint;
use super::volatile::{self, TextKind};

/// Bytes of a result that are compared, at its start and at its end.
const END_BYTES: usize = 32 * 1024;

/// The shortest distinctive result, in bytes.
const MIN_DISTINCTIVE_BYTES: usize = 40;

/// Bytes of a failure that are searched for signs of an outage.
const OUTAGE_HEAD_BYTES: usize = 2 * 1024;

/// The outcome of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Four bytes of a hash, equal for results that differ only in volatile parts.
    pub hash: u32,
    /// Whether the call failed.
    pub failed: bool,
    /// Whether the result is long enough to be recognised: "ok" and "no matches" are common.
    pub distinctive: bool,
    /// Whether the call failed because a service was down or overloaded. Retrying is then no loop.
    pub outage: bool,
}

/// Signs of an overloaded or unavailable service.
const OUTAGES: [&str; 14] = [
    "429",
    "529",
    "502 bad gateway",
    "503",
    "504 gateway",
    "too many requests",
    "rate limit",
    "rate-limit",
    "ratelimit",
    "overloaded",
    "service unavailable",
    "temporarily unavailable",
    "secondary rate",
    "mcp error -32000",
];

/// What a result contains, in the words of its agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultContent {
    /// Some content.
    #[default]
    Something,
    /// No match or no output.
    Nothing,
    /// A notice that something was started; its outcome is not known yet.
    Started,
}

impl Outcome {
    /// The outcome of a call with this result. `place`: the folder it ran in; the same command elsewhere is another
    /// call.
    pub fn new(text: &str, says: ResultContent, failed: bool, place: &str) -> Self {
        let mut hash = Fingerprint::default();
        hash.add(&[u8::from(failed)]);
        hash.add(place.as_bytes());
        hash.add(&[0]);
        let (head, tail) = ends(text);
        let stripped = match says {
            ResultContent::Nothing => String::new(),
            _ => volatile::strip(head, TextKind::Outcome),
        };
        hash.add(stripped.as_bytes());
        if !tail.is_empty() {
            hash.add(&(text.len() as u64).to_le_bytes());
            hash.add(volatile::strip(tail, TextKind::Outcome).as_bytes());
        }
        let telling = stripped.len() >= MIN_DISTINCTIVE_BYTES && says != ResultContent::Started;
        Self { hash: hash.to_u32(), failed, distinctive: telling, outage: is_outage(text, failed) }
    }
}

/// Whether a service was down. (A long result of a successful call may mention an outage without being one.)
fn is_outage(text: &str, failed: bool) -> bool {
    if !failed && text.len() > 400 {
        return false;
    }
    let head = text[..text.floor_char_boundary(OUTAGE_HEAD_BYTES)].to_ascii_lowercase();
    OUTAGES.iter().any(|said| match said.bytes().all(|b| b.is_ascii_digit()) {
        true => head.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *said),
        false => head.contains(said),
    })
}

fn ends(text: &str) -> (&str, &str) {
    if text.len() <= 2 * END_BYTES {
        return (text, "");
    }
    let (end, start) = (text.floor_char_boundary(END_BYTES), text.ceil_char_boundary(text.len() - END_BYTES));
    (&text[..end], &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_outages_places() {
        let of = |text: &str| Outcome::new(text, ResultContent::Something, true, "/p");
        assert!(of("HTTP 429 Too Many Requests").outage && of("Exit code 22\ncurl: 503").outage);
        assert!(!of("Exit code 1\n1429 errors").outage);
        let passed = |text: &str| Outcome::new(text, ResultContent::Something, false, "/p");
        assert!(passed("503").outage && !passed(&format!("see {} rate limit", "x".repeat(500))).outage);
        assert_ne!(of("x").hash, Outcome::new("x", ResultContent::Something, true, "/q").hash);
        assert_ne!(of("x").hash, passed("x").hash);
        assert_eq!(of("done in 3s").hash, of("done in 5s").hash);
        let long = |c: &str| format!("{}{}", "é".repeat(40_000), c);
        assert_ne!(of(&long("a")).hash, of(&long("b")).hash);
    }
}
