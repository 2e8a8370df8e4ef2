//! Searches transcripts for words, to find out whether anyone but a person wrote them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use memchr::memmem;

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

/// The maximum length of a searched line, in bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

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
        let mut open = match files::nonblocking().open(file) {
            Err(error) if error.kind() == ErrorKind::NotFound && known.is_none() => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let (meta, at) =
            (open.metadata().map_err(unreadable)?, self.searched.entry(file.to_owned()).or_default());
        if !meta.is_file() || meta.len() < *at {
            return Err(SearchError::Unreadable);
        }
        open.seek(SeekFrom::Start(*at)).map_err(unreadable)?;
        let finder = memmem::Finder::new(&self.escaped);
        let mut lines = BufReader::with_capacity(256 * 1024, open);
        let (mut line, mut next_look) = (Vec::new(), *at);
        loop {
            if *at >= next_look {
                next_look = *at + TIME_CHECK_BYTES;
                if is_over() {
                    return Err(SearchError::TooLong);
                }
            }
            line.clear();
            let bytes =
                lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(unreadable)? as u64;
            if line.last() != Some(&b'\n') {
                return if bytes == MAX_LINE_BYTES { Err(SearchError::TooLong) } else { Ok(None) };
            }
            if finder.find(&line).is_some()
                && let Some(speaker) = self.transcripts.speaker(&line)
            {
                return Ok(Some(speaker));
            }
            *at += bytes;
        }
    }
}
