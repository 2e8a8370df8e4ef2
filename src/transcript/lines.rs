//! The lines of a file, in bounded memory, whatever the file contains.
//!
//! A line ends with a newline or a zero byte. JSON contains neither: zeros are what a crash, or `truncate`, leaves in
//! place of text.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::search;
use crate::platform::files;

/// Bytes read at once; the buffer grows for longer lines.
const CHUNK: usize = 64 * 1024;

/// The longest line that is read as a whole. Lines that count are far shorter; those with images or documents, which
/// say nothing about usage, may be longer.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// How much of the end of a longer line is kept: a whole record may have been appended to it.
const KEPT_BYTES: usize = 1024 * 1024;

/// A line, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'b> {
    /// A line without its end; or, of a line that is too long, the rest.
    Whole(&'b [u8]),
    /// The front of a line that is too long.
    Front(&'b [u8]),
}

/// Reads lines one after another.
pub struct Lines {
    file: File,
    /// The size of the file when it was opened.
    len: u64,
    /// Where the next line starts.
    offset: u64,
    /// Where the last line, or part of one, ended.
    text_end: u64,
    /// Bytes of lines that may still be read, see [`Self::allow`].
    allowed: u64,
    is_at_end: bool,
    /// Whether a hole was skipped after the last line.
    is_after_hole: bool,
    buffer: Vec<u8>,
    /// The unread bytes in the buffer.
    unread: std::ops::Range<usize>,
    /// Up to where the unread bytes were searched for an end.
    searched: usize,
}

impl Lines {
    /// The lines of `file`, which has `len` bytes, from `offset` on.
    ///
    /// # Errors
    /// The file cannot be read there.
    pub fn new(mut file: File, len: u64, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            file,
            len,
            offset,
            text_end: offset,
            allowed: u64::MAX,
            is_at_end: false,
            is_after_hole: false,
            buffer: Vec::new(),
            unread: 0..0,
            searched: 0,
        })
    }

    /// Allows to read about this many bytes more.
    pub fn allow(&mut self, bytes: u64) {
        self.allowed = bytes;
    }

    /// How many bytes more may be read.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the next line starts, or continues.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where to continue reading later. Not after a hole at the end: a file that was rewritten in the meantime looks
    /// the same there.
    pub fn next_start(&self) -> u64 {
        if self.is_at_end && self.is_after_hole { self.text_end } else { self.offset }
    }

    /// Where the last line, or part of one, ended: zeros may follow.
    pub fn text_end(&self) -> u64 {
        self.text_end
    }

    /// Whether there are no more lines, except for an unfinished one.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The next line; `None` at the end of the file, or if more bytes are not allowed. An unfinished last line stays
    /// unread.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let unread = &self.buffer[self.unread.clone()];
            if unread.first() == Some(&0) {
                let zeros = unread.iter().position(|byte| *byte != 0).unwrap_or(unread.len());
                self.take(zeros);
                if self.unread.is_empty() {
                    self.skip_hole()?;
                }
                continue;
            }
            if let Some(end) = search::line_end(&self.buffer[self.searched..self.unread.end]) {
                let line = self.take(self.searched + end + 1 - self.unread.start);
                self.text_end = self.offset;
                self.is_after_hole = false;
                return Ok(Some(Line::Whole(&self.buffer[line.start..line.end - 1])));
            }
            self.searched = self.unread.end;
            if self.unread.len() > MAX_LINE_BYTES {
                let front = self.take(self.unread.len() - KEPT_BYTES);
                self.text_end = self.offset;
                self.is_after_hole = false;
                return Ok(Some(Line::Front(&self.buffer[front])));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Marks bytes as read. Returns where they are in the buffer.
    fn take(&mut self, bytes: usize) -> std::ops::Range<usize> {
        let taken = self.unread.start..self.unread.start + bytes;
        self.unread.start = taken.end;
        self.searched = self.searched.max(taken.end);
        self.offset += bytes as u64;
        self.allowed = self.allowed.saturating_sub(bytes as u64);
        taken
    }

    /// Continues after a hole: gigabytes of zeros that are not on the disk cost nothing.
    fn skip_hole(&mut self) -> io::Result<()> {
        let data = files::next_data(&self.file, self.offset).unwrap_or(self.len);
        self.is_after_hole |= data > self.offset;
        self.offset = data.max(self.offset);
        self.file.seek(SeekFrom::Start(self.offset))?;
        Ok(())
    }

    /// Reads more into the buffer. Returns whether there was more, and it was allowed.
    fn fill(&mut self) -> io::Result<bool> {
        if self.allowed == 0 {
            return Ok(false);
        }
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.searched -= self.unread.start;
            self.unread = 0..self.unread.len();
        }
        let left = self.len.saturating_sub(self.offset).min(self.allowed);
        let wanted = usize::try_from(left).unwrap_or(CHUNK).clamp(4096, CHUNK);
        let end = self.unread.end + wanted;
        if self.buffer.len() < end {
            // All at once: resizing fills byte by byte.
            let mut longer = vec![0; end.max(2 * self.unread.end)];
            longer[..self.unread.end].copy_from_slice(&self.buffer[..self.unread.end]);
            self.buffer = longer;
        }
        let got = self.file.read(&mut self.buffer[self.unread.end..end])?;
        self.unread.end += got;
        self.is_at_end = got == 0;
        Ok(got > 0)
    }
}
