//! Short hashes that distinguish texts. They need not resist collisions: an agent that wants to evade the breaker can
//! simply vary its calls. (Calls are identified by a SHA-256, see `signature`.)

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// A hash of several parts.
#[derive(Default)]
pub struct Fingerprint(SipHasher13);

impl Fingerprint {
    /// The hash of one text.
    pub fn from_text(text: &str) -> Self {
        Self::from_bytes(text.as_bytes())
    }

    /// The hash of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut whole = Self::default();
        whole.add(bytes);
        whole
    }

    /// Adds a part.
    pub fn add(&mut self, part: &[u8]) {
        self.0.write(part);
    }

    /// Four bytes of the hash.
    pub fn to_u32(&self) -> u32 {
        let [a, b, c, d, ..] = self.0.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Two bytes of the hash.
    pub fn to_u16(&self) -> u16 {
        let [a, b, ..] = self.0.finish().to_le_bytes();
        u16::from_le_bytes([a, b])
    }
}
