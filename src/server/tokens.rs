//! The file with the tokens, and what each token may do.
//!
//! The first line of a new file is a new operator's token and nothing else. Further lines are `ROLE TOKEN`, and a name may
//! follow, under which decisions are recorded. Empty lines and lines that start with `#` are ignored. In memory there are
//! only hashes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::platform::files;

/// The fewest characters of a token: 128 bits in base64.
const MIN_TOKEN: usize = 22;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read.
    Viewer,
    /// Read, extend, reset and acknowledge.
    Operator,
    /// Send telemetry, and nothing else.
    Ingest,
}

impl Role {
    const ALL: [(&'static str, Self); 3] =
        [("viewer", Self::Viewer), ("operator", Self::Operator), ("ingest", Self::Ingest)];

    /// The name in the file.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }

    /// Whether it may read.
    pub fn may_read(self) -> bool {
        matches!(self, Self::Viewer | Self::Operator)
    }

    /// Whether it may decide.
    pub fn may_decide(self) -> bool {
        self == Self::Operator
    }
}

/// The holder of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The role.
    pub role: Role,
    /// The name under which decisions are recorded.
    pub name: String,
}

/// The SHA-256 hash of a secret.
pub type SecretHash = [u8; 32];

/// The hash of a secret, to keep and to compare.
pub fn hash(secret: impl AsRef<[u8]>) -> SecretHash {
    Sha256::digest(secret.as_ref()).into()
}

/// A new secret of 256 random bits, as text without special characters.
///
/// # Errors
/// The system has no random numbers.
pub fn new_secret() -> anyhow::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no random numbers: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The tokens of a file. The file is read again when it changes.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    read: Mutex<TokenFile>,
}

/// What was read.
#[derive(Debug)]
struct TokenFile {
    /// When the file or its mode changed, and its inode: another one means that it must be read again.
    version: (i64, i64, u64),
    holders: Vec<(SecretHash, Holder)>,
}

impl Tokens {
    /// Reads the file. If it does not exist, it is created with a new operator's token; then the second result is true.
    ///
    /// # Errors
    /// It cannot be read or created, others can read it, or a line is not understood.
    pub fn open(path: &Path) -> anyhow::Result<(Self, bool)> {
        let is_new = create(path)?;
        let read = Mutex::new(TokenFile::read(path)?);
        Ok((Self { path: path.to_owned(), read }, is_new))
    }

    /// Who holds this token; `None`: nobody. Every token of the file is compared, in constant time.
    pub fn holder(&self, token: &str) -> Option<Holder> {
        self.holder_of_hash(&hash(token))
    }

    /// The same for the hash of a token.
    pub fn holder_of_hash(&self, hashed: &SecretHash) -> Option<Holder> {
        let mut file = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        file.renew(&self.path);
        let mut found = None;
        for (known, holder) in &file.holders {
            if bool::from(known.ct_eq(hashed)) {
                found = Some(holder.clone());
            }
        }
        found
    }
}

impl TokenFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut file = files::private()
            .read(true)
            .open(path)
            .with_context(|| format!("the token file {shown} cannot be read (a symbolic link is refused)"))?;
        let found = file.metadata()?;
        ensure!(found.is_file(), "the token file {shown} is not a regular file");
        ensure!(
            found.mode() & 0o077 == 0,
            "the token file {shown} can be read by others: run `chmod 600 {shown}`"
        );
        ensure!(found.len() <= MAX_FILE, "the token file {shown} is too large: at most {MAX_FILE} bytes");
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("the token file {shown} cannot be read"))?;
        let holders = parse(&text).with_context(|| format!("the token file {shown}"))?;
        Ok(Self { version: version(&found), holders })
    }

    /// Reads the file again if it changed. If it cannot be used any more, no token is valid.
    fn renew(&mut self, path: &Path) {
        let now = std::fs::symlink_metadata(path).map(|found| version(&found)).unwrap_or_default();
        if now == self.version {
            return;
        }
        *self = Self::read(path).unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "no token is valid until the token file is fixed");
            Self { version: now, holders: Vec::new() }
        });
    }
}

fn version(found: &std::fs::Metadata) -> (i64, i64, u64) {
    (found.ctime(), found.ctime_nsec(), found.ino())
}

/// Creates the file, if it does not exist.
fn create(path: &Path) -> anyhow::Result<bool> {
    let shown = path.display();
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("the folder {} cannot be created", dir.display()))?;
    }
    let mut file = match files::private().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("the token file {shown} cannot be created")),
    };
    let text = format!("{}\n", new_secret()?);
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("the token file {shown} cannot be written"))?;
    Ok(true)
}

fn parse(text: &str) -> anyhow::Result<Vec<(SecretHash, Holder)>> {
    let mut holders: Vec<(SecretHash, Holder)> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Errors never quote the line: it may contain a secret.
        let (role, token, name) = match words[..] {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            [token] => ("operator", token, None),
            [role, token] => (role, token, None),
            [role, token, name] => (role, token, Some(name)),
            _ => bail!("line {}: must be `ROLE TOKEN` or `ROLE TOKEN NAME`", n + 1),
        };
        let Some((_, role)) = Role::ALL.into_iter().find(|(known, _)| *known == role) else {
            bail!("line {}: the role must be viewer, operator or ingest", n + 1);
        };
        ensure!(token.len() >= MIN_TOKEN, "line {}: a token has at least {MIN_TOKEN} characters", n + 1);
        let hashed = hash(token);
        ensure!(
            holders.iter().all(|(known, _)| *known != hashed),
            "line {}: the token is that of an earlier line",
            n + 1
        );
        holders.push((hashed, Holder { role, name: name.unwrap_or(role.name()).to_owned() }));
    }
    ensure!(!holders.is_empty(), "contains no token. Remove it, and a new one is created");
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn lines_are_tokens_with_roles_and_names() {
        let text =
            format!("{TOKEN}\n# for the wall\nviewer {TOKEN}1\n\noperator {TOKEN}2 alice\ningest {TOKEN}3\n");
        let holders = parse(&text).expect("tokens");
        let shown: Vec<(&str, &str)> =
            holders.iter().map(|(_, holder)| (holder.role.name(), holder.name.as_str())).collect();
        assert_eq!(
            shown,
            [("operator", "operator"), ("viewer", "viewer"), ("operator", "alice"), ("ingest", "ingest")]
        );
    }

    #[test]
    fn errors_name_the_line_and_no_secret() {
        for (text, said) in [
            ("short", "line 1: a token has at least 22 characters"),
            (&format!("{TOKEN}\nroot {TOKEN}1"), "line 2: the role must be viewer, operator or ingest"),
            (&format!("{TOKEN}\n\nviewer {TOKEN}"), "line 3: the token is that of an earlier line"),
            (&format!("viewer {TOKEN} a b"), "line 1: must be `ROLE TOKEN` or `ROLE TOKEN NAME`"),
            ("# nothing\n", "contains no token. Remove it, and a new one is created"),
        ] {
            let error = parse(text).expect_err("refused").to_string();
            assert_eq!(error, said);
            assert!(!error.contains(TOKEN));
        }
    }
}
