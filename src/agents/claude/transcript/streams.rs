//! Tells which lines belong to one response.
//!
//! Ids of messages and requests come from the API, from a relay or from a gateway, which may repeat or omit them. So a
//! message is named after the first line of its stream: its id, date and content. A line with the same id continues the
//! stream if it is chained to the stream's last line. In a slow stream, results of tools stand between; then, or if the
//! lines do not name their parents, the request and the counts decide.

use std::collections::VecDeque;

use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;

/// How many streams are remembered: more than one client writes at the same time.
const MAX_STREAMS: usize = 8;

/// Numbers per stream.
const LEN: usize = 10;

/// A line of a response.
pub struct StreamLine<'a> {
    /// Distinguishes agents whose lines are embedded in one file.
    pub embedded_agent: &'a str,
    /// The id of the message; without one, of the request.
    pub id: &'a str,
    /// The id of the request.
    pub request: Option<&'a str>,
    /// The id of the line.
    pub line: Option<&'a str>,
    /// The id of the line before it.
    pub parent: Option<&'a str>,
    /// The date as written.
    pub date: &'a str,
    /// The date as read.
    pub at: Timestamp,
    /// The content as written.
    pub content: &'a str,
    /// The counts.
    pub usage: Usage,
    /// The parts that are billed beside the counts, as written.
    pub parts: &'a str,
}

/// Where a line belongs.
#[derive(Debug)]
pub struct Place {
    /// The message.
    pub key: MessageKey,
    /// The date of the stream's first line.
    pub at: Timestamp,
    /// The key that the line would have as the first one of its stream, if it is a later one.
    pub later: Option<MessageKey>,
    /// Whether the same parts were not read with an earlier line.
    pub has_new_parts: bool,
}

impl Place {
    /// The place of a line that is a message of its own.
    pub fn alone(key: MessageKey, at: Timestamp) -> Self {
        Self { key, at, later: None, has_new_parts: true }
    }
}

/// An open stream. Hashes are 0 where nothing is known.
#[derive(Clone, Copy)]
struct Stream {
    id: u64,
    request: u64,
    last_line: u64,
    date: u64,
    at: i64,
    prompt: u64,
    counts: u64,
    parts: u64,
    key: [u64; 2],
}

/// Puts a line in its stream. `known`: the streams of the file, which change.
pub fn place(known: &mut VecDeque<u64>, line: &StreamLine) -> Place {
    let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = line.usage;
    let prompt = format!("{input} {cache_write_5m} {cache_write_1h} {cache_read}");
    let own = MessageKey::from_parts(&["message", line.id, line.date, line.content]);
    let seen = Stream {
        id: hash(&["id", line.embedded_agent, line.id]),
        request: optional(line.request),
        last_line: optional(line.line),
        date: hash(&[line.date]),
        at: line.at.0,
        prompt: hash(&[&prompt]),
        counts: hash(&[&prompt, &output.to_string()]),
        parts: optional(Some(line.parts)),
        key: halves(own),
    };
    let parent = optional(line.parent);
    let is_embedded = !line.embedded_agent.is_empty();
    let mut streams: Vec<Stream> =
        known.make_contiguous().as_chunks().0.iter().map(Stream::from_numbers).collect();
    let copied = streams.iter().position(|stream| stream.key == seen.key);
    let open =
        copied.or_else(|| streams.iter().rposition(|stream| stream.continues(&seen, parent, is_embedded)));
    let first = open.map(|index| streams.remove(index));
    let stream = match first {
        None => seen,
        Some(first) => Stream {
            // A copy has another request id, which its later lines share.
            request: if first.request == 0 || copied.is_some() { seen.request } else { first.request },
            parts: if seen.parts == 0 { first.parts } else { seen.parts },
            last_line: seen.last_line,
            counts: seen.counts,
            ..first
        },
    };
    streams.retain(|other| other.key != stream.key);
    streams.push(stream);
    let surplus = streams.len().saturating_sub(MAX_STREAMS);
    *known = streams[surplus..].iter().flat_map(Stream::numbers).collect();
    Place {
        key: joined(stream.key),
        at: Timestamp(stream.at),
        later: (stream.key != seen.key).then_some(own),
        has_new_parts: seen.parts != 0 && first.is_none_or(|first| first.parts != seen.parts),
    }
}

/// A new request ends the streams before it: only lines chained to them continue them. All but the last two are
/// forgotten, which keeps the session's cache small.
pub fn end(known: &mut VecDeque<u64>) {
    known.drain(..known.len().saturating_sub(2 * LEN));
    for stream in known.make_contiguous().as_chunks_mut::<LEN>().0 {
        // No line continues it because of its request, date or counts.
        (stream[1], stream[3], stream[5], stream[6]) = (1, 1, 1, 1);
    }
}

impl Stream {
    /// Whether a line belongs to this stream.
    fn continues(&self, seen: &Self, parent: u64, is_embedded: bool) -> bool {
        if self.id != seen.id {
            return false;
        }
        if self.last_line != 0 && (self.last_line == parent || self.last_line == seen.last_line) {
            return true;
        }
        let same_prompt = self.prompt == seen.prompt;
        match (self.request, seen.request) {
            // Embedded lines name neither their parents nor, with some gateways, their request.
            (0, 0) if is_embedded => same_prompt,
            (0, 0) if parent == 0 => self.date == seen.date,
            (0, 0) => self.counts == seen.counts,
            (0, _) | (_, 0) => same_prompt,
            (one, other) => one == other && (parent == 0 || same_prompt),
        }
    }

    fn numbers(&self) -> [u64; LEN] {
        let Self { id, request, last_line, date, at, prompt, counts, parts, key: [high, low] } = *self;
        [id, request, last_line, date, at.cast_unsigned(), prompt, counts, parts, high, low]
    }

    fn from_numbers(numbers: &[u64; LEN]) -> Self {
        let [id, request, last_line, date, at, prompt, counts, parts, high, low] = *numbers;
        Self { id, request, last_line, date, at: at.cast_signed(), prompt, counts, parts, key: [high, low] }
    }
}

fn hash(parts: &[&str]) -> u64 {
    MessageKey::from_parts(parts).short()
}

/// The hash of a text; 0 if there is none.
fn optional(text: Option<&str>) -> u64 {
    text.filter(|text| !text.is_empty()).map_or(0, |text| hash(&[text]))
}

fn halves(key: MessageKey) -> [u64; 2] {
    let number = u128::from_le_bytes(key.0);
    [(number >> 64) as u64, number as u64]
}

fn joined([high, low]: [u64; 2]) -> MessageKey {
    MessageKey((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
}
