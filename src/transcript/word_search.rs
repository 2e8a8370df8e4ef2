//! Searches transcripts for words, to find out whether anyone but a person wrote them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::lines::{Line, Lines};
use super::{Speaker, Transcripts};
use crate::platform::files;

/// Why a search failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchError {
    /// There is too much to read in the time.
    TooLong,
    /// A file cannot be read, is not a regular file, or lost lines that were already searched.
    Unreadable,
}

/// Bytes read between two checks of the time.
const TIME_CHECK_BYTES: u64 = 4 * 1024 * 1024;

/// A search for words. It can be repeated, and continues where it stopped.
#[derive(Clone)]
pub struct WordSearch {
    /// The format of the transcripts.
    transcripts: &'static dyn Transcripts,
    /// The words as escaped in JSON.
    escaped: Vec<u8>,
    /// How far each file was searched.
    searched: BTreeMap<PathBuf, u64>,
}

impl WordSearch {
    /// A search for `words`, which must not be empty.
    pub fn new(words: &str, transcripts: &'static dyn Transcripts) -> Self {
        let quoted = serde_json::Value::from(words).to_string();
        let escaped = quoted.as_bytes()[1..quoted.len() - 1].to_vec();
        Self { transcripts, escaped, searched: BTreeMap::new() }
    }

    /// Searches the new part of `file`, which need not exist yet. An unfinished last line is searched again next time.
    ///
    /// # Errors
    /// `is_over` returned true before the end was reached, or the file cannot be searched.
    pub fn search(
        &mut self,
        file: &Path,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Speaker>, SearchError> {
        let unreadable = |_: std::io::Error| SearchError::Unreadable;
        let known = self.searched.get(file).copied();
        // Opening a pipe would block until it has a writer.
        let open = match files::nonblocking().open(file) {
            Err(error) if error.kind() == ErrorKind::NotFound && known.is_none() => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let meta = open.metadata().map_err(unreadable)?;
        let at = known.unwrap_or_default();
        if !meta.is_file() || meta.len() < at {
            return Err(SearchError::Unreadable);
        }
        let finder = memmem::Finder::new(&self.escaped);
        let mut lines = Lines::new(open, meta.len(), at).map_err(unreadable)?;
        while !lines.is_at_end() {
            if is_over() {
                return Err(SearchError::TooLong);
            }
            lines.allow(TIME_CHECK_BYTES);
            while let Some(line) = lines.next_line().map_err(unreadable)? {
                match line {
                    Line::Whole(line) if finder.find(line).is_some() => {
                        if let Some(speaker) = self.transcripts.speaker(line) {
                            return Ok(Some(speaker));
                        }
                    }
                    // Who wrote it is not known.
                    Line::Front(part) if finder.find(part).is_some() => return Err(SearchError::Unreadable),
                    Line::Whole(_) | Line::Front(_) => {}
                }
            }
            self.searched.insert(file.to_owned(), lines.offset());
        }
        Ok(None)
    }
}
