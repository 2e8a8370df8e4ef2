//! Repairs JSON that JavaScript wrote: it may contain a half of a surrogate pair (`\ud83d`), for example where a text
//! was cut within an emoji. JavaScript reads that; a parser for UTF-8 text must reject it.

use std::borrow::Cow;

use super::search;

/// The same length as any other escape of a UTF-16 unit.
const REPLACEMENT: &str = "\\ufffd";

/// Replaces the escape of each lone surrogate by that of U+FFFD, as JavaScript does when it passes such a text on as
/// UTF-8. Other text stays as it is.
pub fn repair(json: &str) -> Cow<'_, str> {
    let text = json.as_bytes();
    if search::bytes(b"\\ud", text).is_none() && search::bytes(b"\\uD", text).is_none() {
        return Cow::Borrowed(json);
    }
    let (mut repaired, mut done, mut at) = (String::new(), 0, 0);
    while let Some(escape) = search::byte(b'\\', &text[at..]).map(|found| at + found) {
        at = match (unit(text, escape), unit(text, escape + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => escape + 12,
            (Some(0xd800..0xe000), _) => {
                repaired.push_str(&json[done..escape]);
                repaired.push_str(REPLACEMENT);
                done = escape + 6;
                done
            }
            // Any escape: what follows the backslash is no beginning of another one.
            _ => text.len().min(escape + 2),
        };
    }
    match done {
        0 => Cow::Borrowed(json),
        _ => Cow::Owned(repaired + &json[done..]),
    }
}

/// The UTF-16 unit of the escape at this place, if there is one.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_halves_are_replaced() {
        for same in [
            r#""a""#,
            r#""\ud83d\ude00""#,
            r#""\\ud83d""#,
            r#""\\\\ud83d \u00e9""#,
            r#""\uD83D\uDE00""#,
            "\\ud83",
            "\\",
        ] {
            assert!(matches!(repair(same), Cow::Borrowed(text) if text == same), "{same}");
        }
        for (odd, repaired) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00x""#, r#""\ufffdx""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\\\ud83dé\n""#, r#""\\\ufffdé\n""#),
            (r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#),
        ] {
            assert_eq!(repair(odd), repaired, "{odd}");
        }
    }

    /// A text as UTF-16 units, as JavaScript has it and escapes it.
    fn as_javascript(units: &[u16], escape: impl Fn(u16) -> bool) -> String {
        let mut json = String::from("\"");
        for decoded in char::decode_utf16(units.iter().copied()) {
            match decoded {
                Ok(c) if c >= ' ' && c != '"' && c != '\\' && !escape(c as u32 as u16) => json.push(c),
                Ok(c) => {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| json += &format!("\\u{unit:04x}"))
                }
                Err(half) => json += &format!("\\u{:04x}", half.unpaired_surrogate()),
            }
        }
        json + "\""
    }

    fn units() -> impl Strategy<Value = Vec<u16>> {
        let unit =
            prop_oneof![0xd7f0u16..0xe010, Just(u16::from(b'\\')), Just(u16::from(b'u')), any::<u16>()];
        proptest::collection::vec(unit, 0..20)
    }

    proptest! {
        #[test]
        fn a_text_of_javascript_is_read_as_it_passes_it_on(units in units(), odd in any::<bool>()) {
            let json = as_javascript(&units, |unit| odd && unit % 2 == 1);
            let read: String = serde_json::from_str(&repair(&json)).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn what_can_be_read_stays_as_it_is(text in r#"(\\\\|\\"|\\u00e9|\\ud83d|\\ude00|\\uD83D\\uDE00|[u\\d8" {}:,])*"#) {
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert_eq!(repair(&text), text.as_str());
            }
            let repaired = repair(&text);
            prop_assert_eq!(repaired.len(), text.len());
            prop_assert_eq!(&repair(&repaired), &repaired);
        }
    }
}
