//! A Lua script, known to the server by the hash of its text.

use std::borrow::Cow;

use redis::Cmd;

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
    pub fn call(&self, keys: &[&[u8]]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.sha1()).arg(keys.len()).arg(keys);
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
