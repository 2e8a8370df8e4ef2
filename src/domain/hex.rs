//! Bytes as they stand in names: hexadecimal digits.

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// The digits of these bytes, two for each. Not by `format!`, which takes fifty times as long: a hook writes a hundred.
pub fn of(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn as_they_are_formatted() {
        let all: Vec<u8> = (0..=255).collect();
        let formatted: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(of(&all), formatted);
        assert_eq!(of(&[]), "");
    }
}
