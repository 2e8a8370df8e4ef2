//! Maps by message key. Keys are hashes already, so nothing is hashed again.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::domain::message::MessageKey;

/// A map by message key.
pub type KeyMap<T> = HashMap<MessageKey, T, BuildHasherDefault<KeyHasher>>;

/// A set of message keys.
pub type KeySet = HashSet<MessageKey, BuildHasherDefault<KeyHasher>>;

/// Takes the first bytes of a key.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length, which is the same for all keys.
    fn write_usize(&mut self, _: usize) {}
}
