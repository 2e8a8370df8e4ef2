//! Mutated transcript lines break nothing, and do not change what other lines say.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use fusebox::agents::claude::transcript::ClaudeTranscripts;
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::time::Timestamp;
use fusebox::transcript::Fact;
use fusebox::transcript::cursor::{Position, read_new};
use serde_json::{Value, json};

use super::mutate::mutated;
use super::{amount, seed};
use crate::harness::Home;
use crate::random::Random;

const NOW: Timestamp = Timestamp(1_795_400_000_000);

/// The captured transcripts, line by line.
fn captured() -> Vec<Vec<Vec<u8>>> {
    fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "jsonl") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/transcripts")), &mut files);
    files.sort();
    let lines = |file: &PathBuf| -> Vec<Vec<u8>> {
        fs::read(file).unwrap().split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
    };
    files.iter().map(lines).filter(|lines| !lines.is_empty()).collect()
}

/// The facts of a file read at once.
fn facts_of(path: &Path, bytes: &[u8]) -> (Vec<Fact>, Position) {
    fs::write(path, bytes).unwrap();
    let mut position = Position::start(None, "main".into());
    let reading = read_new(&ClaudeTranscripts, path, &mut position, u64::MAX, NOW).unwrap();
    assert!(reading.complete);
    (reading.facts, position)
}

/// The responses in these facts, without what depends on earlier lines: which response an error followed, the model of
/// a compaction, and the first line of a stream, after which its message is named. What
/// copies would count as is left out.
fn responses(facts: &[Fact]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for fact in facts {
        let Fact::Message(m) = fact else { continue };
        if m.source == UsageSource::Response && !m.error_followed && !m.superseded {
            let unnamed = Message { key: MessageKey([0; 16]), at: Timestamp(0), ..m.clone() };
            *found.entry(format!("{unnamed:?}")).or_default() += 1;
        }
    }
    found
}

/// Numbers whose sum cannot overflow.
fn check_bounds(facts: &[Fact]) {
    for fact in facts {
        let usage = match fact {
            Fact::Message(message) => message.amount().usage,
            Fact::Total(total) => total.usage,
            Fact::Origin(_) => continue,
        };
        assert!(usage.total() < 1 << 44, "{fact:?}");
    }
}

#[test]
fn a_mutated_line_changes_nothing_that_other_lines_say() {
    let mut random = Random::new(seed());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let files = captured();
    let all: Vec<Value> =
        files.iter().flatten().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let mut differ = 0;
    for _ in 0..amount(4_000, 200_000) {
        let lines = random.pick(&files);
        let at = random.below(lines.len());
        let replaces = random.chance(50);
        let mut line = mutated(&mut random, &all);
        line.push(b'\n');
        let after = if replaces { at + 1 } else { at };
        let rest: Vec<u8> = [&lines[..at], &lines[after..]].concat().concat();
        let whole: Vec<u8> = [lines[..at].concat(), line.clone(), lines[after..].concat()].concat();
        let (without, with) = (facts_of(&path, &rest).0, facts_of(&path, &whole).0);
        check_bounds(&with);
        let (without, with) = (responses(&without), responses(&with));
        for (response, count) in &without {
            let now = with.get(response).copied().unwrap_or(0);
            assert!(now >= *count, "{response} is lost by {}", String::from_utf8_lossy(&line));
        }
        differ += usize::from(with != without);
    }
    assert!(differ > 0, "no mutated line said anything");
}

/// A line that the client writes, damaged by what happens to files, and the whole lines in it still whole.
fn damaged(random: &mut Random, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        let mut line = line.clone();
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        match random.below(12) {
            // Zeros after a crash, or in place of the end.
            0 => bytes.extend(vec![0; random.below(9000)]),
            1 => *line.last_mut().unwrap() = 0,
            // A torn line, and this one goes on there.
            2 => bytes.extend_from_slice(&line[..random.below(line.len())]),
            3 => {
                let other = random.pick(lines);
                bytes.extend_from_slice(&other[..random.below(other.len())]);
            }
            // Two lines without an end between them.
            4 => drop(line.pop()),
            _ => {}
        }
        if random.chance(20) {
            // A text that was cut within an emoji.
            let half = *random.pick(&["\\ud83d", "\\ude00", "\\uD83D\\ud83d"]);
            let text = String::from_utf8(line).unwrap();
            line = text
                .replacen("\"uuid\":\"", &format!("\"half{half}\":\"{half}\",\"uuid\":\""), 1)
                .into_bytes();
        }
        bytes.extend_from_slice(&line);
    }
    bytes.push(b'\n');
    bytes
}

#[test]
fn whole_lines_among_torn_ones_count() {
    let mut random = Random::new(seed() + 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let files = captured();
    for _ in 0..amount(1_000, 100_000) {
        let lines = random.pick(&files);
        let bytes = damaged(&mut random, lines);
        let (whole, with) =
            (responses(&facts_of(&path, &lines.concat()).0), responses(&facts_of(&path, &bytes).0));
        for (response, count) in &whole {
            let now = with.get(response).copied().unwrap_or(0);
            assert!(now >= *count, "{response} is lost in {}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_file_says_the_same_in_whatever_slices_it_comes_and_is_read() {
    let mut random = Random::new(seed() + 1);
    let dir = tempfile::tempdir().unwrap();
    let files = captured();
    let all: Vec<Value> =
        files.iter().flatten().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    for n in 0..amount(300, 10_000) {
        let mut bytes = Vec::new();
        let lines = random.pick(&files).clone();
        if random.chance(30) {
            bytes.extend(damaged(&mut random, &lines));
        }
        for line in &lines {
            bytes.extend_from_slice(line);
            if random.chance(10) {
                bytes.extend_from_slice(&mutated(&mut random, &all));
                bytes.push(b'\n');
            }
        }
        let (at_once, end) = facts_of(&dir.path().join("whole.jsonl"), &bytes);
        let path = dir.path().join(format!("{n}.jsonl"));
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut position = Position::start(None, "main".into());
        let (mut facts, mut written) = (Vec::new(), 0);
        while written < bytes.len() || position.offset < end.offset {
            let part = random.below(20_000).min(bytes.len() - written);
            file.write_all(&bytes[written..written + part]).unwrap();
            written += part;
            let most = random.within(1, 9_000);
            facts.extend(read_new(&ClaudeTranscripts, &path, &mut position, most, NOW).unwrap().facts);
            // The position is stored in the session's cache.
            position = serde_json::from_value(json!(position)).unwrap();
        }
        assert_eq!(facts, at_once);
        // How much was read since the last response is known to the slice.
        let of_lines = |position| Position { inode: 0, starts: 0, silent: 0, ..position };
        assert_eq!(of_lines(position), of_lines(end));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn mutated_transcripts_are_recorded_and_asked_for() {
    let mut random = Random::new(seed() + 2);
    let files = captured();
    let all: Vec<Value> =
        files.iter().flatten().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    for _ in 0..amount(20, 400) {
        let home = Home::new();
        let transcript = home.transcript("s");
        fs::create_dir_all(transcript.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        for line in random.pick(&files) {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(&mutated(&mut random, &all));
            bytes.push(b'\n');
        }
        fs::write(&transcript, &bytes).unwrap();
        let ran = home.hook("PostToolUse", "s", json!({}));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        let tokens = home.status("s")["tokens"].clone();
        assert!(tokens.as_object().unwrap().values().all(Value::is_u64), "{tokens}");
        // Reading again gives the same result.
        fs::remove_dir_all(home.path("cache")).unwrap();
        home.hook("PostToolUse", "s", json!({}));
        assert_eq!(home.status("s")["tokens"], tokens);
        assert_eq!(home.journal(), "");
    }
}
