//! Random numbers, ids and words.

/// SplitMix64: the same numbers for the same seed, on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }

    pub fn id(&mut self, prefix: &str, length: usize) -> String {
        const DIGITS: &[u8] = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let digits = (0..length).map(|_| char::from(DIGITS[self.below(DIGITS.len() as u64) as usize]));
        prefix.chars().chain(digits).collect()
    }

    /// Text with some quotes, line breaks and characters of several bytes.
    pub fn words(&mut self, bytes: usize) -> String {
        const WORDS: [&str; 24] = [
            "fn",
            "let",
            "mut",
            "impl",
            "struct",
            "return",
            "error",
            "result",
            "\"found\"",
            "usage",
            "session",
            "the",
            "of",
            "and",
            "\n    ",
            "cargo",
            "warning:",
            "unused",
            "test",
            "passed();",
            "→",
            "src/lib.rs",
            "expected",
            "that",
        ];
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            text += WORDS[self.below(WORDS.len() as u64) as usize];
            text.push(' ');
        }
        text
    }
}
