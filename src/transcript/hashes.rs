//! Serializes a list of hashes as one JSON string of hexadecimal digits, 16 per hash. Parsing a list of numbers took a
//! third of the time to read a session's cache; lists from earlier versions are still read.

use std::collections::VecDeque;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

/// Hexadecimal digits per hash.
const DIGITS: usize = 16;

/// For `#[serde(with)]`.
pub fn serialize<S: Serializer>(hashes: &VecDeque<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = Vec::with_capacity(DIGITS * hashes.len());
    for hash in hashes {
        let digit = |place: usize| b"0123456789abcdef"[(hash >> (4 * (DIGITS - 1 - place)) & 15) as usize];
        text.extend_from_slice(&std::array::from_fn::<u8, DIGITS, _>(digit));
    }
    serializer.serialize_str(&String::from_utf8(text).unwrap_or_default())
}

/// For `#[serde(with)]`.
///
/// # Errors
/// The value is neither such a string nor a list of numbers.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<u64>, D::Error> {
    struct Hashes;
    impl<'de> Visitor<'de> for Hashes {
        type Value = VecDeque<u64>;

        fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
            write!(to, "hashes of {DIGITS} hexadecimal digits each")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let (hashes, rest) = text.as_bytes().as_chunks::<DIGITS>();
            let read = rest.is_empty().then(|| hashes.iter().map(hash).collect()).flatten();
            read.ok_or_else(|| E::custom("no hashes"))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut hashes = VecDeque::new();
            while let Some(hash) = list.next_element()? {
                hashes.push_back(hash);
            }
            Ok(hashes)
        }
    }
    deserializer.deserialize_any(Hashes)
}

fn hash(digits: &[u8; DIGITS]) -> Option<u64> {
    let mut hash = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        hash = hash << 4 | u64::from(value);
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct HashList(#[serde(with = "super")] VecDeque<u64>);

    proptest! {
        #[test]
        fn what_is_written_is_read(hashes in proptest::collection::vec_deque(any::<u64>(), 0..5)) {
            let numbers = serde_json::to_string(&hashes).unwrap();
            let text = serde_json::to_string(&HashList(hashes.clone())).unwrap();
            prop_assert_eq!(text.len(), 2 + DIGITS * hashes.len());
            prop_assert_eq!(serde_json::from_str::<HashList>(&text).unwrap(), HashList(hashes.clone()));
            prop_assert_eq!(serde_json::from_str::<HashList>(&numbers).unwrap(), HashList(hashes));
        }
    }

    #[test]
    fn what_is_no_hash_is_an_error() {
        for text in [
            r#""0""#,
            r#""000000000000000G""#,
            r#""000000000000000""#,
            r#""é00000000000000é""#,
            "1",
            "{}",
            r#"["a"]"#,
        ] {
            assert!(serde_json::from_str::<HashList>(text).is_err(), "{text}");
        }
    }
}
