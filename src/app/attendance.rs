//! Whether a prompt is a person's: typed into a terminal of their own, and nobody else's words.
//!
//! Scheduled tasks, messages of other sessions and background agents come through the same hook, and an agent can
//! start a client of its own. So several things must hold; where one cannot be told, the prompt is not a person's.
//! A tripwire, not a wall: the agent runs as the same user. Source of the facts: `tests/fixtures/README.md`.

use std::time::{Duration, Instant};

use super::ancestry;
use super::guard::Guard;
use crate::transcript::files;
use crate::transcript::words::{GivenUp, Speaker, Words};

/// How long to wait for the line that says that a prompt came through the client's queue: it is written when the hook
/// has started already (20 to 60 ms later, seen; the client's lines take 170 ms at most).
const WAIT: Duration = Duration::from_millis(300);

/// How long the transcripts may be searched.
const SEARCH: Duration = Duration::from_millis(700);

/// How often to look.
const POLL: Duration = Duration::from_millis(10);

/// A prompt as the client hands it over.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// The client's id of it.
    pub id: Option<String>,
    /// Who made it, where the client says so.
    pub source: Option<String>,
}

impl Prompt {
    /// Whether the client made it itself: a background task or agent wakes the session up. Such a prompt stands in a tag of
    /// the client's as a whole.
    pub fn is_client_made(&self) -> bool {
        let text = self.text.trim();
        let tag = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(tag, _)| tag);
        let is_tag =
            |tag: &str| tag.contains('-') && tag.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let whole = tag.is_some_and(|tag| is_tag(tag) && text.ends_with(&format!("</{tag}>")));
        whole || self.source.as_deref().is_some_and(|source| source != "user")
    }
}

/// Why a prompt cannot be taken for a person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unattended {
    /// Print mode, or no client in a terminal that calls.
    #[error("no person attends this session (print mode, or no client in a terminal)")]
    NoTerminal,
    /// The client was started by an agent.
    #[error("this client was started inside another one")]
    Nested,
    /// A subagent was prompted.
    #[error("it was sent to a subagent")]
    Subagent,
    /// The client says that it made the prompt itself, or the words went through its queue.
    #[error(
        "it came through the client's queue, as scheduled tasks and messages of other sessions do. If you typed it while \
         the agent was at work, send it again in other words when the agent rests"
    )]
    Queued,
    /// The agent wrote these words into a tool call.
    #[error(
        "the agent itself wrote these words into a tool call. If they are yours, send them with another reason"
    )]
    Agent,
    /// The transcript cannot be searched for the words.
    #[error("the transcript cannot be searched for these words")]
    Unreadable,
    /// There is more transcript than can be searched in time.
    #[error("the transcript is too long to be searched for these words in time")]
    TooLong,
}

impl Guard<'_> {
    /// Whether a person sits at this session's terminal, for all that its variables say: enough to name the prompt
    /// commands, not enough to obey one.
    pub fn is_attended(&self) -> bool {
        match self.env.var("CLAUDE_CODE_SESSION_ATTENDED") {
            Some(attended) => attended == "1",
            // 2.1.197 does not set it, 2.1.330 does.
            None => self.env.var("CLAUDE_CODE_ENTRYPOINT") == Some("cli"),
        }
    }

    /// Makes sure that `prompt` is a person's.
    ///
    /// # Errors
    /// Why it is not, or cannot be told to be.
    pub fn ensure_person(&mut self, prompt: &Prompt) -> Result<(), Unattended> {
        let began = Instant::now();
        if self.call.agent.is_some() {
            return Err(Unattended::Subagent);
        }
        if prompt.source.as_deref().is_some_and(|source| source != "user") {
            return Err(Unattended::Queued);
        }
        // Variables can be set in a project's settings: the process itself is asked, too.
        let client = ancestry::client(self.env).ok_or(Unattended::NoTerminal)?;
        if !self.is_attended() || !ancestry::is_client(client.pid) || !ancestry::has_terminal(client) {
            return Err(Unattended::NoTerminal);
        }
        let own = self.call.session.clone();
        let parent = self.with_store(|store| Ok(ancestry::parent(client, &own, store))).flatten();
        if parent.is_some() || ancestry::is_nested(client) {
            return Err(Unattended::Nested);
        }
        self.ensure_own_words(&prompt.text, began)
    }

    fn ensure_own_words(&self, text: &str, began: Instant) -> Result<(), Unattended> {
        let transcript = self.call.transcript.as_ref().ok_or(Unattended::Unreadable)?;
        let mut words = Words::new(text.trim());
        loop {
            for file in files::of_session(transcript) {
                match words.search(&file.path, || began.elapsed() > SEARCH) {
                    Ok(Some(Speaker::Queue)) => return Err(Unattended::Queued),
                    Ok(Some(Speaker::Agent)) => return Err(Unattended::Agent),
                    Ok(None) => {}
                    Err(GivenUp::TooLong) => return Err(Unattended::TooLong),
                    Err(GivenUp::Unreadable) => return Err(Unattended::Unreadable),
                }
            }
            if began.elapsed() > WAIT {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }
}
