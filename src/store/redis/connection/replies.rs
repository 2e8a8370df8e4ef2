//! Replies, as servers write them to whoever does not ask for a newer protocol: RESP2. (Source: the specification of the Redis
//! protocol, <https://redis.io/docs/latest/develop/reference/protocol-spec/>.)
//!
//! The library has a parser. It asks the processor what it can do, as [`crate::transcript::search`] tells, and is a lot of
//! code to map for one reply of a hundred bytes.

use std::io::{self, Read};

use redis::Value;

/// What a server replied to one command.
pub type Reply = Result<Value, ErrorReply>;

/// How deep lists may be in lists. Fusebox' own replies: two.
const DEEPEST: usize = 16;

/// How much is read at a time.
const PIECE: usize = 4096;

/// That a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The first word: `ERR`, or what says more.
    pub code: String,
    /// The rest, for people.
    pub detail: String,
}

impl ErrorReply {
    fn of(text: &str) -> Self {
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        Self { code: code.to_owned(), detail: detail.to_owned() }
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Unread {
    /// Nothing more came.
    Io(io::Error),
    /// What came is no reply.
    Garbage,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What has come, and was not yet taken for a reply.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    at: usize,
}

impl Replies {
    /// The next reply.
    ///
    /// # Errors
    /// It cannot be read to its end; what comes after that makes no sense.
    pub fn next(&mut self, from: &mut impl Read) -> Result<Reply, Unread> {
        let reply = self.value(from, 0);
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
        reply
    }

    fn value(&mut self, from: &mut impl Read, depth: usize) -> Result<Reply, Unread> {
        let line = self.line(from)?;
        let (kind, text) = line.split_at_checked(1).ok_or(Unread::Garbage)?;
        let value = match kind {
            "+" if text == "OK" => Value::Okay,
            "+" => Value::SimpleString(text.to_owned()),
            "-" => return Ok(Err(ErrorReply::of(text))),
            ":" => Value::Int(text.parse().map_err(|_| Unread::Garbage)?),
            "$" => match length(text)? {
                None => Value::Nil,
                Some(length) => Value::BulkString(self.bulk(from, length)?),
            },
            "*" => match length(text)? {
                None => Value::Nil,
                Some(length) if depth < DEEPEST => {
                    let mut values = Vec::new();
                    for _ in 0..length {
                        match self.value(from, depth + 1)? {
                            Ok(value) => values.push(value),
                            // Fusebox' scripts reply with an error, or not; never with a list that has one.
                            Err(_) => return Err(Unread::Garbage),
                        }
                    }
                    Value::Array(values)
                }
                Some(_) => return Err(Unread::Garbage),
            },
            _ => return Err(Unread::Garbage),
        };
        Ok(Ok(value))
    }

    /// A line of a kind that replies begin with, without its end.
    fn line(&mut self, from: &mut impl Read) -> Result<String, Unread> {
        let mut looked = self.at;
        loop {
            // Whoever does not speak the protocol may never end a line.
            if self.bytes.get(self.at).is_some_and(|kind| !b"+-:$*".contains(kind)) {
                return Err(Unread::Garbage);
            }
            if let Some(found) = self.bytes[looked..].windows(2).position(|two| two == b"\r\n") {
                let end = looked + found;
                let line = &self.bytes[self.at..end];
                let line = match std::str::from_utf8(line) {
                    Ok(line) => line.to_owned(),
                    // What an error quotes may be cut within a character.
                    Err(_) if line.starts_with(b"-") => String::from_utf8_lossy(line).into_owned(),
                    Err(_) => return Err(Unread::Garbage),
                };
                self.at = end + 2;
                return Ok(line);
            }
            looked = self.bytes.len().saturating_sub(1).max(self.at);
            self.more(from)?;
        }
    }

    fn bulk(&mut self, from: &mut impl Read, length: usize) -> Result<Vec<u8>, Unread> {
        let end = self.at.checked_add(length).and_then(|end| end.checked_add(2)).ok_or(Unread::Garbage)?;
        // As much as comes, not as much as it says will come.
        while self.bytes.len() < end {
            self.more(from)?;
        }
        let bytes = self.bytes[self.at..end].strip_suffix(b"\r\n").ok_or(Unread::Garbage)?.to_vec();
        self.at = end;
        Ok(bytes)
    }

    fn more(&mut self, from: &mut impl Read) -> Result<(), Unread> {
        let known = self.bytes.len();
        self.bytes.resize(known + PIECE, 0);
        let read = from.read(&mut self.bytes[known..]);
        self.bytes.truncate(known + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(Unread::Io(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }
}

/// How long something is; `None`: it is not there.
fn length(text: &str) -> Result<Option<usize>, Unread> {
    match text.parse::<i64>().map_err(|_| Unread::Garbage)? {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| Unread::Garbage),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            "[ -~é]{0,9}".prop_filter("another value", |text| text != "OK").prop_map(Value::SimpleString),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::BulkString),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Value::Array))
    }

    fn write(value: &Value, bytes: &mut Vec<u8>) {
        match value {
            Value::Nil => bytes.extend_from_slice(b"$-1\r\n"),
            Value::Okay => bytes.extend_from_slice(b"+OK\r\n"),
            Value::Int(number) => bytes.extend(format!(":{number}\r\n").bytes()),
            Value::SimpleString(text) => bytes.extend(format!("+{text}\r\n").bytes()),
            Value::BulkString(text) => {
                bytes.extend(format!("${}\r\n", text.len()).bytes());
                bytes.extend(text.iter().chain(b"\r\n"));
            }
            Value::Array(values) => {
                bytes.extend(format!("*{}\r\n", values.len()).bytes());
                values.iter().for_each(|value| write(value, bytes));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Gives few bytes at a time, and says how far it was read.
    struct Pieces<'b> {
        bytes: &'b [u8],
        size: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.size.min(self.bytes.len()).min(into.len());
            let (piece, rest) = self.bytes.split_at(count);
            into[..count].copy_from_slice(piece);
            self.bytes = rest;
            Ok(count)
        }
    }

    proptest! {
        /// In whatever pieces they come, two replies are what the library makes of them.
        #[test]
        fn replies_are_read_as_the_library_reads_them(first in values(), second in values(), size in 1..200_usize) {
            let mut bytes = Vec::new();
            write(&first, &mut bytes);
            prop_assert_eq!(redis::parse_redis_value(&bytes).unwrap(), first.clone());
            write(&second, &mut bytes);
            let (mut pieces, mut replies) = (Pieces { bytes: &bytes, size }, Replies::default());
            prop_assert_eq!(replies.next(&mut pieces).unwrap().unwrap(), first);
            prop_assert_eq!(replies.next(&mut pieces).unwrap().unwrap(), second);
            prop_assert!(matches!(replies.next(&mut pieces), Err(Unread::Io(_))));
        }

        /// Whatever comes, and wherever it ends: an answer, no panic.
        #[test]
        fn anything_can_come(bytes in proptest::collection::vec(prop_oneof![
            prop::sample::select(&b"+-:$*019\r\n"[..]), any::<u8>()
        ], 0..60)) {
            let _ = Replies::default().next(&mut Pieces { bytes: &bytes, size: 7 });
        }
    }

    #[test]
    fn an_error_is_a_code_and_words() {
        let said = |text: &[u8]| Replies::default().next(&mut &*text).unwrap().unwrap_err();
        let moved = said(b"-MOVED 3999 127.0.0.1:6381\r\n");
        assert_eq!((moved.code.as_str(), moved.detail.as_str()), ("MOVED", "3999 127.0.0.1:6381"));
        assert_eq!(said(b"-ERR with \xc3\r\n").detail, "with \u{fffd}");
        assert_eq!(said(b"-ERR\r\n"), ErrorReply { code: "ERR".into(), detail: String::new() });
    }

    #[test]
    fn what_is_no_reply_is_known_as_such() {
        let deep = [b"*1\r\n".repeat(40), b":1\r\n".to_vec()].concat();
        let wrong: [&[u8]; 9] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\0\0",
            b":one\r\n",
            b"$-2\r\n",
            b"*-2\r\n",
            b"$1\r\nab\r\n",
            b"+\xff\r\n",
            b"*1\r\n-ERR no\r\n",
            &deep,
        ];
        for text in wrong {
            let read = Replies::default().next(&mut &*text);
            assert!(matches!(read, Err(Unread::Garbage)), "{}: {read:?}", text.escape_ascii());
        }
        // As much as no memory holds is not believed, and not made room for.
        let read = Replies::default().next(&mut &b"$9223372036854775807\r\n"[..]);
        assert!(matches!(read, Err(Unread::Io(_))), "{read:?}");
    }
}
