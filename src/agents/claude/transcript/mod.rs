//! Transcripts: JSON lines in the client's folder, with a file per session and per subagent.

pub mod calls;
pub mod files;
pub mod history;
mod line;
mod object;
mod pricing;
mod speaker;
mod streams;
mod totals;

use std::path::{Path, PathBuf};

use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::transcript::cursor::Position;
use crate::transcript::{AgentNote, Fact, FoundCall, Speaker, TranscriptFile, Transcripts};

/// The format of the client's transcripts.
pub struct ClaudeTranscripts;

impl Transcripts for ClaudeTranscripts {
    fn all(&self, env: &Env) -> Vec<(String, PathBuf)> {
        files::all(env)
    }

    fn owns(&self, transcript: &Path) -> bool {
        transcript.extension().is_some_and(|extension| extension == "jsonl")
    }

    fn find(&self, env: &Env, session: &str) -> Option<PathBuf> {
        files::find_all(env, session).next()
    }

    fn find_all(&self, env: &Env, session: &str) -> Vec<PathBuf> {
        files::find_all(env, session).collect()
    }

    fn facts(&self, line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>) {
        line::facts(line, position, now, out);
    }

    fn files(&self, transcript: &Path) -> Vec<TranscriptFile> {
        files::session_files(transcript)
    }

    fn agent_file(&self, transcript: &Path, agent: &str) -> Option<TranscriptFile> {
        files::agent_file(transcript, agent)
    }

    fn agent_note(&self, file: &TranscriptFile) -> Option<AgentNote> {
        files::agent_note(file)
    }

    fn working_folder(&self, transcript: &Path) -> Option<PathBuf> {
        files::working_folder(transcript)
    }

    fn find_call(&self, file: &Path, id: &str) -> Option<FoundCall> {
        calls::find(file, id)
    }

    fn speaker(&self, line: &[u8]) -> Option<Speaker> {
        speaker::speaker(line)
    }
}
