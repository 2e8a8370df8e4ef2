//! Transcripts: JSON lines in the client's folder, a file for each session and each subagent.

pub mod calls;
pub mod files;
mod line;
mod words;

use std::path::{Path, PathBuf};

use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::transcript::cursor::Position;
use crate::transcript::{AgentNote, Fact, FoundCall, Speaker, TranscriptFile, Transcripts};

/// How the client writes its transcripts.
pub struct Lines;

impl Transcripts for Lines {
    fn all(&self, env: &Env) -> Vec<(String, PathBuf)> {
        files::all(env)
    }

    fn owns(&self, transcript: &Path) -> bool {
        transcript.extension().is_some_and(|extension| extension == "jsonl")
    }

    fn find(&self, env: &Env, session: &str) -> Option<PathBuf> {
        files::find(env, session)
    }

    fn facts(&self, line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>) {
        line::facts(line, position, now, out);
    }

    fn files(&self, transcript: &Path) -> Vec<TranscriptFile> {
        files::of_session(transcript)
    }

    fn file_of(&self, transcript: &Path, agent: &str) -> Option<TranscriptFile> {
        files::of_agent(transcript, agent)
    }

    fn note_of(&self, file: &TranscriptFile) -> Option<AgentNote> {
        files::agent_note(file)
    }

    fn folder(&self, transcript: &Path) -> Option<PathBuf> {
        files::folder(transcript)
    }

    fn call(&self, file: &Path, id: &str) -> Option<FoundCall> {
        calls::find(file, id)
    }

    fn speaker(&self, line: &[u8]) -> Option<Speaker> {
        words::speaker(line)
    }
}
