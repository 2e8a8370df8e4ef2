//! What the last step found, so that the next one need not ask: it is written down for a session's next hook. Nothing
//! depends on it: what a step takes for given is looked at where it is written.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::plan::Place;

/// Places and what stood there; `None`: nothing.
#[derive(Debug, Default)]
pub struct Memory {
    known: BTreeMap<Place, Option<Vec<u8>>>,
    file: Option<PathBuf>,
}

/// One place, as it is written down.
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl Memory {
    /// What stands in `file`, which need not be there, nor make sense.
    pub fn of(file: Option<PathBuf>) -> Self {
        let bytes = file.as_ref().and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        let lines: Vec<Line> = serde_json::from_slice(&bytes).unwrap_or_default();
        let known = lines.into_iter().map(|line| {
            let value = line.text.map(String::into_bytes).or_else(|| from_hex(&line.hex?));
            ((line.key, line.field), value)
        });
        Self { known: known.collect(), file }
    }

    /// What stood at a place, as far as is known.
    pub fn get(&self, place: &Place) -> Option<&Option<Vec<u8>>> {
        self.known.get(place)
    }

    /// Learns what stands at a place.
    pub fn learn(&mut self, place: Place, value: Option<Vec<u8>>) {
        self.known.insert(place, value);
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Keeps what is of use to the next hook, and writes it down.
    pub fn keep(&mut self, is_of_use: impl Fn(&Place) -> bool) {
        self.known.retain(|place, _| is_of_use(place));
        let Some(file) = &self.file else { return };
        let lines: Vec<Line> =
            self.known.iter().map(|((key, field), value)| line(key, field, value)).collect();
        let Ok(bytes) = serde_json::to_vec(&lines) else { return };
        let _ = write(file, &bytes);
    }
}

fn line(key: &str, field: &str, value: &Option<Vec<u8>>) -> Line {
    let text = value.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
    let hex = match text {
        Some(_) => None,
        None => value.as_ref().map(|bytes| to_hex(bytes)),
    };
    Line { key: key.to_owned(), field: field.to_owned(), text, hex }
}

/// Half of it may be written, or of two at once: then it does not make sense, and is not believed.
fn write(file: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(file)?.write_all(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |d: u8| char::from(DIGITS[usize::from(d)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? << 4) | digit(*pair.get(1)?)?)).collect()
}
