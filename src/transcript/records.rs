//! Finds the records in a line that is not a record itself: a writer was interrupted within its line, and the next one
//! continued there.

use std::ops::Range;

use serde_json::value::RawValue;

/// How often each byte of a line may be read. This bounds the time for a line that was made to take long.
const MAX_READINGS: usize = 16;

/// The whole JSON objects in a line, in order. Objects within a torn one are not among them: only what ends with the
/// line, starts it, or stands right before another record.
pub fn within(line: &str) -> Vec<&str> {
    let mut records: Vec<Range<usize>> = Vec::new();
    let mut effort = line.len().saturating_mul(MAX_READINGS);
    let mut at = line.len();
    // From the end, where records are mostly whole: a torn one is then not read again and again.
    while let Some(start) = line.as_bytes()[..at].windows(2).rposition(|bytes| bytes == b"{\"") {
        at = start + 1;
        let mut parsed = serde_json::Deserializer::from_str(&line[start..]).into_iter::<&RawValue>();
        let read = match parsed.next() {
            Some(Ok(object)) => {
                let end = start + object.get().len();
                let rest = line[end..].trim_start();
                if start == 0 || rest.is_empty() || rest.starts_with('{') {
                    // What looked like a record was within this one.
                    records.retain(|record| record.start >= end);
                    records.push(start..end);
                }
                object.get().len()
            }
            Some(Err(error)) => error.column(),
            None => 0,
        };
        match effort.checked_sub(read + 1) {
            Some(left) => effort = left,
            None => break,
        }
    }
    records.into_iter().rev().map(|record| &line[record]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_within_a_torn_record_are_none() {
        let whole = r#"{"a":{"b":[{"c":"{\"x\":1}"}]}}"#;
        assert_eq!(within(whole), [whole]);
        assert_eq!(within(&format!("{whole}{whole} ")), [whole, whole]);
        for torn in [r#"{"a":{"b":1},"c":"te"#, r#"{"a":{"b":1},"c":"#, r#"{"a":[{"b":1},"#, "}]", "\"x\":5}"]
        {
            assert_eq!(within(&format!("{torn}{whole}")), [whole], "{torn}");
            assert_eq!(within(&format!("{whole}{torn}{whole}{whole}")), [whole, whole, whole], "{torn}");
            assert_eq!(within(&format!("{whole}{torn}")), [whole], "{torn}");
            assert_eq!(within(torn), [""; 0], "{torn}");
        }
    }

    proptest! {
        /// Wherever a record was torn, those around it are found.
        #[test]
        fn no_whole_record_is_lost(cut in 0usize..60, before in any::<bool>(), after in 0usize..3) {
            let record = r#"{"type":"é \" {\"","message":{"content":[{"a":1}],"usage":{"n":5}}}"#;
            let cut = record.floor_char_boundary(cut);
            let whole = usize::from(before) + after;
            let line = record.repeat(usize::from(before)) + &record[..cut] + &record.repeat(after);
            let found = within(&line);
            prop_assert_eq!(found.iter().filter(|found| **found == record).count(), whole, "{}", line);
        }
    }

    #[test]
    fn objects_within_a_text_are_none() {
        let whole = r#"{"a":["{",":1}{}{"],"b":2}"#;
        assert_eq!(within(&format!("{{\"te{whole}")), [whole]);
    }

    #[test]
    fn a_line_made_to_take_long_does_not() {
        let line = "{\"a\":".repeat(400_000) + "{\"b\":1}";
        assert_eq!(within(&line), [r#"{"b":1}"#]);
    }
}
