//! Values of options, as people type them.

use chrono::NaiveDate;

use crate::domain::amount::WrittenAmount;
use crate::domain::budget::Unit;
use crate::domain::time::Timestamp;
use crate::ledger::TRANSCRIPT_PLATFORM;
use crate::prices::name;
use crate::prices::table::Model;

/// The most tokens that are believed of one call.
const MAX_TOKENS: u64 = 1 << 40;

/// The longest span of time, in seconds: 31 days.
const MAX_SPAN_S: i64 = 31 * 86_400;

/// The longest name, in bytes.
const MAX_NAME: usize = 256;

/// A day, as `2026-11-30` or `20261130`.
///
/// # Errors
/// It is something else, or there is no such day.
pub fn day(text: &str) -> Result<NaiveDate, String> {
    let parts = match text.len() {
        8 => [text.get(..4), text.get(4..6), text.get(6..)],
        10 if text.get(4..5) == Some("-") && text.get(7..8) == Some("-") => {
            [text.get(..4), text.get(5..7), text.get(8..)]
        }
        _ => [None; 3],
    };
    let number = |part: Option<&str>| {
        part.filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<u32>().ok()
    };
    let [Some(year), Some(month), Some(day)] = parts.map(number) else {
        return Err("write a date as YYYY-MM-DD or YYYYMMDD".to_owned());
    };
    NaiveDate::from_ymd_opt(year.cast_signed(), month, day).ok_or_else(|| "there is no such day".to_owned())
}

/// The start of a day in UTC.
///
/// # Errors
/// See [`day`].
pub fn day_start(text: &str) -> Result<Timestamp, String> {
    let day = day(text)?;
    Timestamp::parse(&format!("{day}T00:00:00Z")).ok_or_else(|| "there is no such day".to_owned())
}

/// A day (its start in UTC), or an RFC 3339 time.
///
/// # Errors
/// It is neither.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    day_start(text).map_err(|problem| match problem.starts_with("write") {
        true => "use a date such as 2026-11-01, or a time such as 2026-11-01T12:00:00Z".to_owned(),
        false => problem,
    })
}

/// A count of tokens of one call, such as `1200`, `1,200` or `1k`.
///
/// # Errors
/// It is no such count, or too large.
pub fn tokens(text: &str) -> Result<u64, String> {
    let count = WrittenAmount::parse(text).and_then(|amount| amount.in_unit(Unit::Tokens));
    let count = count.ok_or("use a whole number of tokens, such as 1200 or 1k")?;
    if count > MAX_TOKENS {
        return Err(format!("no call has more than {MAX_TOKENS} tokens"));
    }
    Ok(count)
}

/// A count of requests or tokens, at least one.
///
/// # Errors
/// It is no such count, or larger than any call's.
pub fn some(text: &str) -> Result<u64, String> {
    let count = count(text)?;
    if count == 0 { Err("use a whole number, at least 1".to_owned()) } else { Ok(count) }
}

/// A count of requests or tokens; 0 for none.
///
/// # Errors
/// It is no such count, or larger than any call's.
pub fn count(text: &str) -> Result<u64, String> {
    let count = WrittenAmount::parse(text).and_then(|amount| amount.in_unit(Unit::Tokens));
    let count = count.ok_or("use a whole number, such as 5, 1200 or 1k")?;
    if count > MAX_TOKENS { Err(format!("use at most {MAX_TOKENS}")) } else { Ok(count) }
}

/// A span of time in milliseconds, written in seconds, or with a unit: `90`, `45s`, `30m`, `2h`, `1d`.
///
/// # Errors
/// It is none, not at least a second, or more than a month.
pub fn span_ms(text: &str) -> Result<i64, String> {
    let (number, unit_s) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let number = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|number| number.parse::<i64>().ok());
    let seconds = number.ok_or("use seconds, or a number with s, m, h or d: 90, 30m, 2h")?;
    let seconds = seconds.saturating_mul(unit_s);
    if (1..=MAX_SPAN_S).contains(&seconds) {
        return Ok(seconds * 1000);
    }
    Err("use at least a second, and at most 31 days".to_owned())
}

/// A key that a script chose for a request. Spaces count, so nothing is trimmed.
///
/// # Errors
/// It is empty, too long, or has control characters.
pub fn key(text: &str) -> Result<String, String> {
    name(text).map(|_| text.to_owned())
}

/// A number of rows, at least one.
///
/// # Errors
/// It is no such number.
pub fn rows(text: &str) -> Result<u32, String> {
    let rows = text.parse().ok().filter(|rows| *rows > 0);
    rows.ok_or_else(|| "use a whole number, such as 7".to_owned())
}

/// A number of lines; 0 for all.
///
/// # Errors
/// It is no such number.
pub fn lines(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "use a whole number, such as 20, or 0 for all".to_owned())
}

/// A name.
///
/// # Errors
/// It is empty, too long, or has control characters.
pub fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("use 1 to {MAX_NAME} characters, without control characters"));
    }
    Ok(name.to_owned())
}

/// The name of a model: also the short one that tables show, such as `opus-5-5`.
///
/// # Errors
/// See [`name`].
pub fn model(text: &str) -> Result<String, String> {
    let written = name(text)?;
    let is_known = |model: &str| Model::find(&name::canonical(model)).is_some();
    let whole = format!("claude-{written}");
    Ok(if !is_known(&written) && is_known(&whole) { whole } else { written })
}

/// The platform of a recorded call.
///
/// # Errors
/// It is that of transcripts, or no [`name`].
pub fn platform(text: &str) -> Result<String, String> {
    let platform = name(text)?;
    if platform.eq_ignore_ascii_case(TRANSCRIPT_PLATFORM) {
        return Err(format!(
            "{TRANSCRIPT_PLATFORM} is what `fusebox import` reads: name where else the call was made, such as openai"
        ));
    }
    Ok(platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_forms_of_days_are_taken() {
        for (text, taken) in
            [("2026-11-30", "2026-11-30"), ("20261130", "2026-11-30"), ("20240229", "2024-02-29")]
        {
            assert_eq!(day(text).map(|day| day.to_string()).as_deref(), Ok(taken), "{text}");
        }
        for text in ["2026-13-01", "2026-11-31", "20261131", "2026-02-29"] {
            assert_eq!(day(text), Err("there is no such day".to_owned()), "{text}");
        }
        for text in [
            "",
            "2026-11",
            "2026/11/30",
            "30.11.2026",
            "today",
            "2026-1-3",
            "+0261130",
            "2026-11-3é",
            "2026-11-30T00:00:00Z",
            " 20261130",
        ] {
            assert_eq!(day(text), Err("write a date as YYYY-MM-DD or YYYYMMDD".to_owned()), "{text}");
        }
    }

    #[test]
    fn times_are_days_or_moments() {
        assert_eq!(time("20261101"), time("2026-11-01"));
        assert_eq!(time("2026-11-01T00:00:00Z"), time("2026-11-01"));
        assert_eq!(time("2026-02-29"), Err("there is no such day".to_owned()));
        assert!(time("soon").is_err_and(|problem| problem.starts_with("use a date such as 2026-11-01")));
    }

    #[test]
    fn spans_have_units() {
        for (text, ms) in
            [("1", 1_000), ("45s", 45_000), ("30m", 1_800_000), ("2h", 7_200_000), ("31d", 2_678_400_000)]
        {
            assert_eq!(span_ms(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "s",
            "0",
            "0m",
            "-5",
            "+5",
            "1.5h",
            "2 h",
            "32d",
            "99999999999999999999",
            "9223372036854775807d",
            "5µ",
        ] {
            assert!(span_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!((some("5"), some("1k"), count("0")), (Ok(5), Ok(1_000), Ok(0)));
        for text in ["0", "-1", "", "1.5", "5%", "$5", "1M0", "1099511627777", "18446744073709551616"] {
            assert!(some(text).is_err(), "{text}");
        }
    }

    #[test]
    fn short_names_of_models_are_taken() {
        for (typed, meant) in [
            ("opus-5-5", "claude-opus-5-5"),
            (" claude-opus-5-5 ", "claude-opus-5-5"),
            ("Haiku-4-5", "claude-Haiku-4-5"),
            ("gpt-4o", "gpt-4o"),
            ("nosuch", "nosuch"),
        ] {
            assert_eq!(model(typed).as_deref(), Ok(meant));
        }
        assert!(model(" ").is_err() && platform("Claude-Code").is_err());
    }
}
