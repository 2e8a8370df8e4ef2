//! Finds bytes in lines, without detecting CPU features.
//!
//! At its first use, `memchr` detects whether the CPU has 32-byte vectors. Hypervisors trap that instruction, which
//! then takes as long as reading ten pages: most of the time of a hook that searches one line. This module only uses
//! what every CPU of the architecture has.

/// Position of the first such byte.
pub fn byte(byte: u8, text: &[u8]) -> Option<usize> {
    plain::byte(byte, text)
}

/// Position of the first byte that ends a line: a newline, or a zero.
pub fn line_end(text: &[u8]) -> Option<usize> {
    plain::either(b'\n', 0, text)
}

/// Position of the first occurrence of `bytes`.
pub fn bytes(bytes: &[u8], text: &[u8]) -> Option<usize> {
    plain::bytes(bytes, text)
}

#[cfg(target_arch = "x86_64")]
mod plain {
    use memchr::arch::x86_64::sse2::memchr::{One, Two};
    use memchr::arch::x86_64::sse2::packedpair::Finder;

    pub fn byte(byte: u8, text: &[u8]) -> Option<usize> {
        One::new(byte).map_or_else(|| memchr::memchr(byte, text), |one| one.find(text))
    }

    pub fn either(one: u8, other: u8, text: &[u8]) -> Option<usize> {
        Two::new(one, other).map_or_else(|| memchr::memchr2(one, other, text), |two| two.find(text))
    }

    pub fn bytes(bytes: &[u8], text: &[u8]) -> Option<usize> {
        match Finder::new(bytes) {
            Some(finder) if text.len() >= finder.min_haystack_len() => finder.find(text, bytes),
            // Text shorter than one vector.
            _ if bytes.is_empty() => Some(0),
            _ => text.windows(bytes.len()).position(|window| window == bytes),
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod plain {
    pub fn byte(byte: u8, text: &[u8]) -> Option<usize> {
        memchr::memchr(byte, text)
    }

    pub fn either(one: u8, other: u8, text: &[u8]) -> Option<usize> {
        memchr::memchr2(one, other, text)
    }

    pub fn bytes(bytes: &[u8], text: &[u8]) -> Option<usize> {
        memchr::memmem::find(text, bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_there_is_found(text in "[ab\"]{0,80}", wanted in "[ab\"]{1,6}") {
            prop_assert_eq!(super::bytes(wanted.as_bytes(), text.as_bytes()), text.find(&wanted));
            let first = wanted.as_bytes()[0];
            prop_assert_eq!(super::byte(first, text.as_bytes()), text.bytes().position(|b| b == first));
            let ends = text.replace('a', "\n").replace('b', "\0");
            prop_assert_eq!(super::line_end(ends.as_bytes()), ends.find(['\n', '\0']));
        }
    }
}
