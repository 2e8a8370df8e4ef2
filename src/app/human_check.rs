//! Checks that a prompt is a person's: typed into a terminal into which no program is known to type, and not the words
//! of anyone else.
//!
//! Scheduled tasks, messages of other sessions and background agents use the same hook, and an agent can start a
//! client. So several conditions must hold; if one cannot be checked, the prompt does not count as a person's. This
//! check is not a security boundary: the agent runs as the same user. Source of the facts: `tests/fixtures/README.md`.

use std::path::Path;
use std::time::{Duration, Instant};

use super::process_tree;
use super::session::SessionContext;
use crate::agents;
use crate::agents::event::Prompt;
use crate::platform::{
    self,
    process::{self, Process},
};
use crate::store::ClientProcess;
use crate::transcript::word_search::{SearchError, WordSearch};
use crate::transcript::{Speaker, Transcripts};

/// How long to wait for the line that says that a prompt came through the client's queue. It is written after the hook
/// has started (20 to 60 ms later in tests; the client delays lines by 170 ms at most).
const MAX_WAIT: Duration = Duration::from_millis(300);

/// Maximum time to search the transcripts.
const MAX_SEARCH: Duration = Duration::from_millis(700);

/// How often to check.
const POLL: Duration = Duration::from_millis(10);

/// Multiplexers and recorders: they own a client's terminal, and accept keys for it from other programs. (The terminal
/// of an unknown program looks like that of a terminal emulator.)
const TYPISTS: [&str; 13] = [
    "tmux",
    "tmate",
    "screen",
    "zellij",
    "zellij-server",
    "dtach",
    "abduco",
    "dvtm",
    "shpool",
    "script",
    "expect",
    "ttyd",
    "asciinema",
];

/// Variables of these programs, and of terminals and editors that accept keys from the programs in them.
const TYPIST_VARIABLES: [&str; 7] =
    ["TMUX", "STY", "ZELLIJ", "KITTY_LISTEN_ON", "WEZTERM_UNIX_SOCKET", "NVIM", "INSIDE_EMACS"];

/// Why a prompt does not count as a person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPerson {
    /// Print mode, or no client in a terminal.
    #[error("nobody attends this session (print mode, or the client is not in a terminal)")]
    NoTerminal,
    /// The client was started by an agent.
    #[error(
        "this client was started inside another client, or in a terminal that inherited CLAUDECODE from one (if it is \
         your own terminal, start the client with `env -u CLAUDECODE claude`)"
    )]
    Nested,
    /// Programs can type into the client's terminal.
    #[error("programs can type into this session's terminal ({0}), and the agent can start such programs")]
    Typable(&'static str),
    /// A subagent was prompted.
    #[error("the prompt was sent to a subagent")]
    Subagent,
    /// The client says that it wrote the prompt itself, or the words went through its queue.
    #[error(
        "the prompt came through the client's queue, like scheduled tasks and messages from other sessions. If you typed it while \
         the agent was working, wait until the agent is idle and send it again in other words"
    )]
    Queued,
    /// The agent wrote these words into a tool call.
    #[error(
        "the agent itself wrote these words in a tool call. If you wrote them, send the command again with a different reason"
    )]
    Agent,
    /// The transcript cannot be searched for the words.
    #[error("the transcript cannot be searched for these words")]
    Unreadable,
    /// There is more transcript than can be searched in time.
    #[error("the transcript is too long to search for these words in time")]
    TooLong,
}

/// Checks that a person sent `prompt`.
///
/// # Errors
/// Why it does not count as a person's.
pub fn ensure_person(ctx: &mut SessionContext, prompt: &Prompt) -> Result<(), NotAPerson> {
    let began = Instant::now();
    if ctx.source.agent.is_some() {
        return Err(NotAPerson::Subagent);
    }
    if prompt.source.as_deref().is_some_and(|source| source != "user") {
        return Err(NotAPerson::Queued);
    }
    // Variables can be set in a project's settings, so check the process as well.
    let agent = ctx.source.client;
    let client = process_tree::calling_client(ctx.env, agent).ok_or(NotAPerson::NoTerminal)?;
    if !agent.is_attended(ctx.env)
        || !process_tree::is_client(client.pid)
        || !process_tree::has_terminal(client)
    {
        return Err(NotAPerson::NoTerminal);
    }
    let own = ctx.source.session.clone();
    let is_nested = ctx.store.call(|store| Ok(process_tree::is_nested(client, &own, &mut Some(store))));
    let is_nested = ctx.notices.log_failure(is_nested);
    if is_nested.unwrap_or_else(|| process_tree::is_nested(client, &own, &mut None)) {
        return Err(NotAPerson::Nested);
    }
    if let Some(typist) = typist(client) {
        return Err(NotAPerson::Typable(typist));
    }
    // Do not hold the store open while waiting for the transcript.
    ctx.store.close();
    let transcript = ctx.source.transcript.as_deref();
    let transcript = transcript.and_then(|path| Some((path, agents::transcript_format(path, agent)?)));
    ensure_own_words(transcript, &prompt.text, began)
}

/// Whether to mention prompt commands: a person may be at the session's terminal, and the commands would be obeyed.
pub fn suggests_commands(ctx: &SessionContext) -> bool {
    let agent = ctx.source.client;
    agent.is_attended(ctx.env)
        && process_tree::calling_client(ctx.env, agent).is_none_or(|client| typist(client).is_none())
}

/// What lets programs type into a client's terminal, if anything known does.
fn typist(client: ClientProcess) -> Option<&'static str> {
    if platform::is_test_runner(client.pid) {
        return None;
    }
    let of = |process: Process| {
        let name = process.name.split(':').next().unwrap_or_default();
        TYPISTS.into_iter().find(|typist| name.eq_ignore_ascii_case(typist))
    };
    process::ancestors(client.pid)
        .find_map(of)
        .or_else(|| process::set_variable(client.pid, &TYPIST_VARIABLES))
}

fn ensure_own_words(
    transcript: Option<(&Path, &'static dyn Transcripts)>,
    text: &str,
    began: Instant,
) -> Result<(), NotAPerson> {
    let (transcript, transcripts) = transcript.ok_or(NotAPerson::Unreadable)?;
    let mut words = WordSearch::new(text.trim(), transcripts);
    loop {
        for file in transcripts.files(transcript) {
            match words.search(&file.path, || began.elapsed() > MAX_SEARCH) {
                Ok(Some(Speaker::Queue)) => return Err(NotAPerson::Queued),
                Ok(Some(Speaker::Agent)) => return Err(NotAPerson::Agent),
                Ok(None) => {}
                Err(SearchError::TooLong) => return Err(NotAPerson::TooLong),
                Err(SearchError::Unreadable) => return Err(NotAPerson::Unreadable),
            }
        }
        if began.elapsed() > MAX_WAIT {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
}
