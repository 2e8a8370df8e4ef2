//! Who said certain words in a transcript, besides a person: the client's queue, or the agent in a tool call.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

/// Who said them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The client's queue: scheduled tasks, other sessions, and what was typed while the agent was at work.
    Queue,
    /// The agent, in the input of a tool call.
    Agent,
}

/// Why a search came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// There is too much to read.
    TooLong,
    /// A file cannot be read, is no file, or lost what was searched already.
    Unreadable,
}

/// Bytes of the longest line that is taken for one.
const MOST_LINE: u64 = 64 * 1024 * 1024;

/// How many bytes are read between two looks at the time.
const STRIDE: u64 = 4 * 1024 * 1024;

/// A search for words. It can be repeated: it goes on where it ended.
#[derive(Clone, Debug)]
pub struct Words {
    /// The words as they stand inside a JSON text.
    escaped: Vec<u8>,
    /// How far each file was searched.
    searched: BTreeMap<PathBuf, u64>,
}

impl Words {
    /// A search for `words`, which must not be empty.
    pub fn new(words: &str) -> Self {
        let quoted = serde_json::Value::from(words).to_string();
        let escaped = quoted.as_bytes()[1..quoted.len() - 1].to_vec();
        Self { escaped, searched: BTreeMap::new() }
    }

    /// Searches what is new in `file`; one that is not there yet says nothing. A last line that is not finished is looked
    /// at again the next time.
    ///
    /// # Errors
    /// `is_over` said so before the end was reached, or the file cannot be searched: then nothing is known of it.
    pub fn search(&mut self, file: &Path, is_over: impl Fn() -> bool) -> Result<Option<Speaker>, GivenUp> {
        let unreadable = |_: std::io::Error| GivenUp::Unreadable;
        let known = self.searched.get(file).copied();
        // Opening a pipe would wait for a writer.
        let mut open = match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(file) {
            Err(error) if error.kind() == ErrorKind::NotFound && known.is_none() => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let (meta, at) =
            (open.metadata().map_err(unreadable)?, self.searched.entry(file.to_owned()).or_default());
        if !meta.is_file() || meta.len() < *at {
            return Err(GivenUp::Unreadable);
        }
        open.seek(SeekFrom::Start(*at)).map_err(unreadable)?;
        let finder = memmem::Finder::new(&self.escaped);
        let mut lines = BufReader::with_capacity(256 * 1024, open);
        let (mut line, mut next_look) = (Vec::new(), *at);
        loop {
            if *at >= next_look {
                next_look = *at + STRIDE;
                if is_over() {
                    return Err(GivenUp::TooLong);
                }
            }
            line.clear();
            let bytes =
                lines.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(unreadable)? as u64;
            if line.last() != Some(&b'\n') {
                return if bytes == MOST_LINE { Err(GivenUp::TooLong) } else { Ok(None) };
            }
            if finder.find(&line).is_some()
                && let Some(speaker) = speaker(&line)
            {
                return Ok(Some(speaker));
            }
            *at += bytes;
        }
    }
}

/// Who speaks in a line, if it is not a person, nor the agent to a person.
fn speaker(line: &[u8]) -> Option<Speaker> {
    // Who hides words in a line that cannot be read (a lone surrogate, deep nesting) is no person.
    let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { return Some(Speaker::Agent) };
    match line["type"].as_str()? {
        "queue-operation" if line["operation"] == "enqueue" => Some(Speaker::Queue),
        "assistant" => {
            let blocks = line["message"]["content"].as_array()?;
            blocks.iter().any(|block| block["type"] == "tool_use").then_some(Speaker::Agent)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(words: &str, lines: &str) -> Option<Speaker> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        Words::new(words).search(file.path(), || false).unwrap()
    }

    #[test]
    fn queue_and_tool_calls_speak_for_others() {
        let words = "fusebox: extend session 5k because \"ü\" \\ x";
        let queue = json!({"type": "queue-operation", "operation": "enqueue", "content": words});
        let call = json!({"type": "assistant", "message": {"content": [
            {"type": "tool_use", "name": "CronCreate", "input": {"prompt": words}}]}});
        let advice = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": words}]}});
        let person = json!({"type": "user", "message": {"content": words}});
        assert_eq!(found(words, &format!("{person}\n{advice}\n")), None);
        assert_eq!(found(words, &format!("{person}\n{queue}\n")), Some(Speaker::Queue));
        assert_eq!(found(words, &format!("{advice}\n{call}\n")), Some(Speaker::Agent));
        assert_eq!(found(words, &format!("{call}")), None, "not finished yet");
        assert_eq!(found("fusebox: status", &format!("{queue}\n{call}\n")), None);
        // JavaScript writes lone surrogates, and JSON here does not read them.
        let odd = call.to_string().replacen("CronCreate", "\\ud800", 1);
        assert_eq!(found(words, &format!("{odd}\n")), Some(Speaker::Agent));
    }

    #[test]
    fn what_cannot_be_searched_is_no_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.jsonl");
        let mut words = Words::new("w w");
        assert_eq!(words.search(&file, || false), Ok(None), "not there yet");
        std::fs::write(&file, "{}\n{}\n").unwrap();
        assert_eq!(words.search(&file, || false), Ok(None));
        std::fs::write(&file, "{}\n").unwrap();
        assert_eq!(words.search(&file, || false), Err(GivenUp::Unreadable), "it lost a line");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(words.search(&file, || false), Err(GivenUp::Unreadable), "it is gone");
        assert_eq!(Words::new("w").search(folder.path(), || false), Err(GivenUp::Unreadable), "no file");
    }

    #[test]
    fn a_search_goes_on_where_it_ended_and_can_be_given_up() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut words = Words::new("w w");
        let queue = json!({"type": "queue-operation", "operation": "enqueue", "content": "w w"}).to_string();
        std::fs::write(file.path(), format!("{{}}\n{}", &queue[..40])).unwrap();
        assert_eq!(words.search(file.path(), || false), Ok(None));
        std::fs::write(file.path(), format!("{{}}\n{queue}\n")).unwrap();
        assert_eq!(words.search(file.path(), || false), Ok(Some(Speaker::Queue)));
        std::fs::write(file.path(), "{}\n".repeat(STRIDE as usize)).unwrap();
        assert_eq!(Words::new("w").search(file.path(), || true), Err(GivenUp::TooLong));
    }
}
