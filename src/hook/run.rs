//! One event: standard input → event → answer → one write → exit code. The hook contract is kept here.
//!
//! Whatever fails (garbage on standard input, a panic, the deadline, a store out of reach) ends in nothing on standard
//! output, exit code 0 and a line in the journal. Exit code 2 is written in one place, for a decision.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use super::{alert_command, deadline, journal};
use crate::agents::answer::{Answer, Decision};
use crate::agents::claude::output::Output;
use crate::agents::claude::payload::Payload;
use crate::agents::claude::plain::PlainPayload;
use crate::agents::event::{EventKind, HookEvent};
use crate::app::handlers::{self, Handled};
use crate::app::session::SessionContext;
use crate::domain::time::Timestamp;
use crate::env::Env;

/// Bytes of standard input that are read at most. Tool results can be large; more than this is no hook payload.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// Which executable runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `pre-tool-use`: PreToolUse.
    PreToolUse,
    /// `post-tool-use`: PostToolUse, PostToolUseFailure, PostToolBatch.
    PostToolUse,
    /// `prompt-submit`: UserPromptSubmit.
    PromptSubmit,
    /// `session-event`: SessionStart, Stop, StopFailure, SubagentStop, SessionEnd, PostCompact, PostModelSwitch.
    SessionEvent,
}

impl Hook {
    /// The executable's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreToolUse => "pre-tool-use",
            Self::PostToolUse => "post-tool-use",
            Self::PromptSubmit => "prompt-submit",
            Self::SessionEvent => "session-event",
        }
    }

    /// Whether the executable is registered for events of this kind.
    fn handles(self, kind: &EventKind) -> bool {
        match kind {
            EventKind::BeforeTool(_) => self == Self::PreToolUse,
            EventKind::AfterTool { .. } | EventKind::AfterLoneTool { .. } | EventKind::AfterBatch { .. } => {
                self == Self::PostToolUse
            }
            EventKind::Prompt { .. } => self == Self::PromptSubmit,
            EventKind::SessionStart { .. }
            | EventKind::ModelSwitched { .. }
            | EventKind::TurnEnd { .. }
            | EventKind::Compacted
            | EventKind::SessionEnd => self == Self::SessionEvent,
        }
    }
}

/// What a hook says: bytes for standard output, bytes for standard error, the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For standard output: JSON, or nothing.
    pub stdout: Vec<u8>,
    /// For standard error: the reason of a block, or nothing.
    pub stderr: Vec<u8>,
    /// Whether the call is blocked by the exit code (the plain protocol).
    pub blocks: bool,
}

/// Runs a hook executable. Never returns a failure, and does not return at all: what is left (closing the database,
/// freeing memory) is the kernel's work. Rust's runtime has opened `/dev/null` in place of closed standard streams before, and
/// made a closed pipe an error instead of a signal.
pub fn run(hook: Hook) -> ! {
    deadline::begin();
    let env = Env::of_process();
    if let Some(dir) = env.state_dir() {
        let late = format!("not done within {} ms", deadline::DEADLINE_MS);
        deadline::last_words(&journal::path(&dir), journal::line(env.now, hook.name(), &late));
    }
    let for_panic = env.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
        note(&for_panic, hook, &[format!("panic at {place}")]);
        deadline::exit_now(0);
    }));
    let input = read_input().unwrap_or_else(|error| {
        note(&env, hook, &[format!("standard input cannot be read: {error}")]);
        deadline::exit_now(0)
    });
    let text = String::from_utf8_lossy(&input);
    let Answered { mut ctx, reply, handled } = match answer(hook, &env, &text) {
        Ok(Some(answered)) => answered,
        Ok(None) => deadline::exit_now(0),
        Err(NotUnderstood) => {
            note(&env, hook, &[format!("not understood: {} bytes on standard input", input.len())]);
            deadline::exit_now(0)
        }
    };
    // The deadline holds here, too. A pipe takes up to 4 KB as a whole or not at all; of a longer answer, a client that does not
    // read may get a part, and exit code 0. That is no decision: JSON that is cut off is plain text to the client.
    let shown = write_all(io::stdout(), &reply.stdout) && write_all(io::stderr(), &reply.stderr);
    // The only place that a decision becomes an exit code.
    let code = if reply.blocks && shown { 2 } else { 0 };
    // The answer is out: what is left has a deadline of its own, and the answer's exit code.
    deadline::begin_upkeep(code);
    if shown {
        confirm(&mut ctx, &handled);
    }
    // First: upkeep may meet the deadline.
    note(&env, hook, &ctx.take_journal());
    let tidied = ctx.store.tidy(hook == Hook::SessionEvent);
    ctx.notices.swallow(tidied);
    note(&env, hook, &ctx.take_journal());
    deadline::exit_now(code)
}

/// Notes that what the answer shows was shown, and tells the person's own program.
fn confirm(ctx: &mut SessionContext, handled: &Handled) {
    if handled.alerts.is_empty() && handled.events.is_empty() {
        return;
    }
    let alerts: Vec<i64> = handled.alerts.iter().map(|alert| alert.id).collect();
    let events: Vec<i64> = handled.events.iter().map(|event| event.id).collect();
    let confirmed = ctx.store.call(|store| store.confirm_shown(&alerts, &events));
    ctx.notices.swallow(confirmed);
    let failed = alert_command::run(&ctx.config.alert_command, &handled.alerts, &handled.events);
    ctx.notices.journal.extend(failed);
}

/// Standard input, to its end or to [`MAX_INPUT`]. As a file: `Stdin` takes a stream that cannot be read for an empty one.
fn read_input() -> io::Result<Vec<u8>> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // With room for a usual payload: else the library begins with reads of 32 bytes.
    let mut input = Vec::with_capacity(16 * 1024);
    stdin.take(MAX_INPUT).read_to_end(&mut input)?;
    Ok(input)
}

/// Writes all of it; whether that worked. The standard library discards what is written to a stream that is not open for
/// writing, and reports success: the decision is to hold then, too.
fn write_all(mut to: impl Write, bytes: &[u8]) -> bool {
    to.write_all(bytes).and_then(|()| to.flush()).is_ok()
}

fn note(env: &Env, hook: Hook, problems: &[String]) {
    if let Some(dir) = env.state_dir().filter(|_| !problems.is_empty()) {
        let lines: Vec<u8> = problems.iter().flat_map(|p| journal::line(env.now, hook.name(), p)).collect();
        journal::append(&dir, &lines);
    }
}

/// How a payload is answered.
#[derive(Clone, Debug)]
enum Protocol {
    /// Claude Code's, to the event of this name.
    Claude(String),
    /// The plain one.
    Plain,
}

/// Standard input is no payload of any protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood;

/// One event, handled: the reply, and what is left to do once it is written.
pub struct Answered<'a> {
    /// The session.
    pub ctx: SessionContext<'a>,
    /// What to write.
    pub reply: Reply,
    /// What the reply shows.
    pub handled: Handled,
}

/// Answers one payload; `None`: an event that this executable has nothing to say about. Streams are the caller's, so that
/// this can be run in process.
///
/// # Errors
/// It is no payload.
pub fn answer<'a>(hook: Hook, env: &'a Env, text: &str) -> Result<Option<Answered<'a>>, NotUnderstood> {
    let Some((protocol, event)) = parse(hook, text, env.now)? else { return Ok(None) };
    let mut ctx = SessionContext::for_event(env, event.source);
    let handled = handlers::handle(&mut ctx, event.kind);
    let reply = encode(hook, &protocol, handled.answer.clone());
    Ok(Some(Answered { ctx, reply, handled }))
}

/// The event that standard input describes; `None`: none of this executable's.
fn parse<'p>(
    hook: Hook,
    text: &'p str,
    now: Timestamp,
) -> Result<Option<(Protocol, HookEvent<'p>)>, NotUnderstood> {
    if let Some(payload) = Payload::parse(text) {
        let protocol = Protocol::Claude(payload.event_name().to_owned());
        let event = payload.into_event(now).filter(|event| hook.handles(&event.kind));
        return Ok(event.map(|event| (protocol, event)));
    }
    let payload = PlainPayload::parse(text).ok_or(NotUnderstood)?;
    Ok(match hook {
        Hook::PreToolUse => Some((Protocol::Plain, payload.before_tool())),
        Hook::PostToolUse => Some((Protocol::Plain, payload.after_tool(text, now))),
        Hook::PromptSubmit => Some((Protocol::Plain, payload.prompt())),
        Hook::SessionEvent => None,
    })
}

/// The answer as the protocol says it. In the plain one, a warning is context on standard output, a block is exit code 2 with
/// the reason on standard error.
fn encode(hook: Hook, protocol: &Protocol, answer: Answer) -> Reply {
    let event = match (protocol, hook) {
        (Protocol::Claude(event), _) => event.as_str(),
        (Protocol::Plain, Hook::PreToolUse) => "PreToolUse",
        (Protocol::Plain, Hook::PostToolUse) => "PostToolUse",
        (Protocol::Plain, _) => "UserPromptSubmit",
    };
    match (protocol, answer.decision) {
        (
            Protocol::Plain,
            Decision::Deny { reason }
            | Decision::Stop { for_person: reason, .. }
            | Decision::Block { reason },
        ) => Reply { stderr: (reason + "\n").into_bytes(), blocks: true, ..Reply::default() },
        (_, decision) => {
            Reply { stdout: Output::bytes(event, &Answer { decision, ..answer }), ..Reply::default() }
        }
    }
}
