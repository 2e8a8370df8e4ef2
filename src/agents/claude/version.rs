//! Versions of the client.

use std::fmt;
use std::str::FromStr;

/// A version such as `2.1.330`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientVersion(pub u32, pub u32, pub u32);

impl FromStr for ClientVersion {
    type Err = ();

    /// Parses the output of `claude --version`: `2.1.330 (Claude Code)`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let first = text.split_whitespace().next().ok_or(())?;
        let mut parts = first.splitn(3, '.').map(|part| part.parse::<u32>());
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Ok(Self(major, minor, patch)),
            _ => Err(()),
        }
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_clients_print_them() {
        assert_eq!("2.1.330 (Claude Code)\n".parse(), Ok(ClientVersion(2, 1, 330)));
        assert_eq!(ClientVersion(2, 1, 9).to_string(), "2.1.9");
        assert!(ClientVersion(2, 1, 197) < ClientVersion(2, 1, 330));
        for odd in ["", "claude", "2.1", "2.1.x", "2.1.3.4", "-1.2.3"] {
            assert_eq!(odd.parse::<ClientVersion>(), Err(()), "{odd}");
        }
    }
}
