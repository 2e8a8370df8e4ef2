//! A Lua script, known to the server by the hash of its text.

use std::borrow::Cow;
use std::io;

use redis::{RedisWrite, ToRedisArgs};

/// A Lua script and the SHA-1 by which a server knows it.
#[derive(Clone, Debug)]
pub struct Script {
    source: Cow<'static, str>,
    sha1: String,
}

impl Script {
    /// A script with this text.
    pub fn new(source: impl Into<Cow<'static, str>>) -> Self {
        let source = source.into();
        let sha1 = sha1_smol::Sha1::from(source.as_bytes()).digest().to_string();
        Self { source, sha1 }
    }

    /// The same, whose hash is known already: working it out takes as long as running a short script.
    pub fn known(source: &'static str, sha1: &str) -> Self {
        Self { source: source.into(), sha1: sha1.to_owned() }
    }

    /// A call of it with these keys, to which its arguments are added.
    pub fn call(&self, keys: &[&[u8]]) -> Call {
        let mut call = Call::new();
        call.arg("EVALSHA").arg(self.sha1()).arg(keys.len()).arg(keys);
        call
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The SHA-1 of its text, in 40 hexadecimal digits.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }
}

/// Bytes for how many words a call has: `*`, a number, the end of a line.
const HEAD: usize = 16;

/// Bytes that most calls need.
const USUAL: usize = 8 * 1024;

/// A call of a script, written as it goes over the wire. The library's own commands are written twice: once to be kept, once to
/// be sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// Behind room for [`HEAD`].
    bytes: Vec<u8>,
    words: usize,
}

impl Call {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.resize(HEAD, 0);
        Self { bytes, words: 0 }
    }

    /// Adds an argument, or several.
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(self);
        self
    }

    /// What is sent.
    pub fn packed(&mut self) -> &[u8] {
        let mut number = itoa::Buffer::new();
        let number = number.format(self.words).as_bytes();
        let from = HEAD - number.len() - 3;
        let (head, _) = self.bytes.split_at_mut(HEAD);
        head[from] = b'*';
        head[from + 1..HEAD - 2].copy_from_slice(number);
        head[HEAD - 2..].copy_from_slice(b"\r\n");
        &self.bytes[from..]
    }
}

impl RedisWrite for Call {
    fn write_arg(&mut self, argument: &[u8]) {
        self.bytes.push(b'$');
        self.bytes.extend_from_slice(itoa::Buffer::new().format(argument.len()).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(argument);
        self.bytes.extend_from_slice(b"\r\n");
        self.words += 1;
    }

    fn writer_for_next_arg(&mut self) -> impl io::Write + '_ {
        Pieces { call: self, argument: Vec::new() }
    }
}

/// An argument that comes in pieces.
struct Pieces<'c> {
    call: &'c mut Call,
    argument: Vec<u8>,
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.argument.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        self.call.write_arg(&std::mem::take(&mut self.argument));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_call_is_packed_as_the_library_packs_it(
            arguments in proptest::collection::vec(any::<Vec<u8>>(), 0..12),
            number in any::<i64>(),
        ) {
            let script = Script::known("return 1", "0123");
            let mut call = script.call(&[b"key"]);
            let mut known = redis::cmd("EVALSHA");
            known.arg("0123").arg(1).arg("key").arg(&arguments).arg(number);
            call.arg(&arguments).arg(number);
            prop_assert_eq!(call.packed(), known.get_packed_command());
            let mut pieces = call.writer_for_next_arg();
            pieces.write_all(b"in ").unwrap();
            pieces.write_all(b"pieces").unwrap();
            drop(pieces);
            prop_assert_eq!(call.packed(), known.arg("in pieces").get_packed_command());
        }
    }
}
