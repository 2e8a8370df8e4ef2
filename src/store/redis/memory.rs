//! What the last step found, so that the next one need not ask: it is written down for a session's next hook. No count
//! depends on it: what a step takes for given is looked at where it is written. Scores are not: they spare a step from
//! noting again what was noted a moment ago, and are forgotten once anything else is not as it was.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::plan::{Content, Found, Place, SCORE, number_in};
use crate::domain::time::Timestamp;

/// Milliseconds after which what is there lives on from then.
const REFRESH_MS: i64 = 24 * 3600 * 1000;

/// Places and what stood there; `None`: nothing.
#[derive(Debug, Default)]
pub struct Memory {
    known: Found,
    /// When the session's keys last lived on.
    refreshed: Option<Timestamp>,
    /// What this machine is called; empty: nobody has asked yet.
    machine: String,
    /// The node that has the keys, where it is not the first one of the address.
    pub node: Option<String>,
    path: Option<PathBuf>,
    /// What it was read from, and is written to: to open it takes longer.
    file: Option<File>,
}

impl Memory {
    /// What stands in the file at `path`, which need not be there, nor make sense.
    pub fn of(path: Option<PathBuf>) -> Self {
        let file = path.as_ref().and_then(|path| open(path, false).ok());
        let bytes = file.as_ref().and_then(|file| bytes_of(file).ok()).unwrap_or_default();
        let Read { known, refreshed, machine, node } = read(&bytes).unwrap_or_default();
        Self { known, refreshed, machine, node, path, file }
    }

    /// What stood at a place, as far as is known.
    pub fn get(&self, place: &Place) -> Option<&Option<Content>> {
        self.known.get(place)
    }

    /// Learns what stands at a place.
    pub fn learn(&mut self, place: Place, value: Option<Content>) {
        self.known.insert(place, value);
    }

    /// Learns how it is where something was not as it was taken to be.
    pub fn correct(&mut self, actual: impl Iterator<Item = ((Place, Option<Content>), Option<Content>)>) {
        // Scores are trusted without being looked at.
        self.known.retain(|(_, field), _| !field.starts_with(SCORE));
        self.known.extend(actual.map(|((place, _), value)| (place, value)));
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Whether the session's keys are to live on from now.
    pub fn is_to_refresh(&self, now: Timestamp) -> bool {
        self.refreshed.is_none_or(|at| !(0..REFRESH_MS).contains(&now.millis_since(at)))
    }

    /// They do.
    pub fn refreshed(&mut self, now: Timestamp) {
        self.refreshed = Some(now);
    }

    /// What this machine is called: it need not be asked twice.
    pub fn machine(&mut self, name: impl Fn() -> String) -> &str {
        if self.machine.is_empty() {
            self.machine = name();
        }
        &self.machine
    }

    /// What is known, with `after` in its place, as far as it `is_of_use` to the next hook.
    pub fn with(&self, after: Found, is_of_use: impl Fn(&Place) -> bool) -> Found {
        let mut next: Found = self
            .known
            .iter()
            .filter(|(place, _)| is_of_use(place) && !after.contains_key(place))
            .map(|(place, value)| (place.clone(), value.clone()))
            .collect();
        next.extend(after.into_iter().filter(|(place, _)| is_of_use(place)));
        next
    }

    /// Writes down what is known, or will be if a step is done as it is expected to be. Should it not be, nothing is lost:
    /// whoever reads it looks at it.
    pub fn write_down(&self, known: &Found) {
        let Some(path) = &self.path else { return };
        let new = self.file.is_none().then(|| open(path, true).ok()).flatten();
        if let Some(file) = self.file.as_ref().or(new.as_ref()) {
            // Over what is there: a file that is emptied first is brought to disk at once. What is left of that at the end is
            // not read. Half of it may be written, or of two at once: then it does not make sense, or speaks of what is not
            // so, and is not believed.
            let bytes = written(known, self.refreshed, &self.machine, self.node.as_deref());
            let _ = file.write_all_at(&bytes, 0);
        }
    }

    /// Knows this, and nothing else.
    pub fn keep(&mut self, known: Found) {
        self.known = known;
    }
}

/// What stands in a file.
#[derive(Debug, Default, PartialEq)]
struct Read {
    known: Found,
    refreshed: Option<Timestamp>,
    machine: String,
    node: Option<String>,
}

/// Lines of lengths, each with a key, a field and a value after it.
fn written(known: &Found, refreshed: Option<Timestamp>, machine: &str, node: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * 1024);
    let refreshed = refreshed.map_or_else(String::new, |at| at.0.to_string());
    let (count, scores, node) = (known.len(), sum_of_scores(known), node.unwrap_or_default());
    bytes.extend_from_slice(format!("{FORMAT} {count} {refreshed} {machine} {scores} {node}\n").as_bytes());
    let mut number = itoa::Buffer::new();
    for ((key, field), value) in known {
        for length in [key.len(), field.len()] {
            bytes.extend_from_slice(number.format(length).as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(value.as_ref().map_or("-", |value| number.format(value.len())).as_bytes());
        bytes.push(b'\n');
        for part in [key.as_bytes(), field.as_bytes(), value.as_deref().unwrap_or_default()] {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// What the first line begins with.
const FORMAT: &str = "fusebox-memory-4";

/// What [`written`] made.
fn read(mut rest: &[u8]) -> Option<Read> {
    let first = line(&mut rest)?;
    let mut words = first.split(' ');
    if words.next() != Some(FORMAT) {
        return None;
    }
    let count: usize = words.next()?.parse().ok()?;
    let refreshed = words.next()?.parse().ok().map(Timestamp);
    let machine = words.next()?.to_owned();
    let scores: u64 = words.next()?.parse().ok()?;
    let node = Some(words.next()?.to_owned()).filter(|node| !node.is_empty());
    let mut known = BTreeMap::new();
    for _ in 0..count {
        let lengths = line(&mut rest)?;
        let mut lengths = lengths.split(' ');
        let (key, field, value) =
            (lengths.next()?.parse().ok()?, lengths.next()?.parse().ok()?, lengths.next()?);
        let mut part = |length: usize| {
            let (part, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(part)
        };
        let place = (text(part(key)?)?, text(part(field)?)?);
        let value = match value {
            "-" => None,
            length => Some(part(length.parse().ok()?)?.into()),
        };
        known.insert(place, value);
    }
    if sum_of_scores(&known) != scores {
        return None;
    }
    Some(Read { known, refreshed, machine, node })
}

/// What scores come to. They are trusted without being looked at, so they must not be half of one and half of another: all else
/// would be noticed.
fn sum_of_scores(known: &Found) -> u64 {
    let scores = known.iter().filter(|((_, field), _)| field.starts_with(SCORE));
    let numbers = scores.filter_map(|(_, value)| number_in(value.as_ref()?));
    numbers.fold(0, |sum, number| sum.wrapping_mul(31).wrapping_add_signed(number))
}

fn line<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    std::str::from_utf8(line).ok()
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Opens the file; where there is none, it is made if that `is_new`.
fn open(path: &PathBuf, is_new: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(is_new).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(path)
}

/// All that stands in it. (Nobody asks first how much that is.)
fn bytes_of(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 * 1024);
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_score_that_is_half_of_another_is_not_believed() {
        let score = |at: &str| (("values".to_owned(), format!("{SCORE}any")), Some(at.as_bytes().into()));
        let written =
            |at: &str| String::from_utf8(written(&Found::from([score(at)]), None, "m", None)).unwrap();
        let (before, after) = (written("1791239959999"), written("1791240019999"));
        let (kept, cut) = (after.len() - 7, after.len() - 6);
        assert!(read(before.as_bytes()).is_some() && read(after.as_bytes()).is_some());
        for torn in
            [format!("{}{}", &after[..kept], &before[kept..]), format!("{}{}", &before[..cut], &after[cut..])]
        {
            assert!(torn != before && torn != after && read(torn.as_bytes()).is_none(), "{torn}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            known in proptest::collection::btree_map(("[a-z\n]{0,5}", "[a-z]{0,3}"), any::<Option<Vec<u8>>>(), 0..5),
            at in any::<Option<i64>>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let refreshed = at.map(Timestamp);
            let known = known.into_iter().map(|(place, value)| (place, value.map(Content::from))).collect();
            let all = Read { known, refreshed, machine: "machine".into(), node: Some("h:1".into()) };
            let bytes = written(&all.known, refreshed, "machine", Some("h:1"));
            prop_assert_eq!(read(&bytes), Some(all));
            // Cut off anywhere it is nothing, and no panic.
            read(&bytes[..cut.index(bytes.len())]);
            // What is left at the end of something longer is not read.
            let longer = [&bytes[..], &bytes[..cut.index(bytes.len())]].concat();
            prop_assert_eq!(read(&longer), read(&bytes));
        }
    }
}
