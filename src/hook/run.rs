//! One event: standard input → event → answer → one write → exit code. The hook contract is kept here.
//!
//! Whatever fails (garbage on standard input, a panic, the deadline, a store out of reach) ends in nothing on standard
//! output, exit code 0 and a line in the journal. Exit code 2 is written in one place, for a decision.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use super::wire::input::{Common, ModelChoice, Over, ToolBatch, ToolCall, TurnEnd, UserPrompt};
use super::wire::output::Output;
use super::wire::seed::SeedPayload;
use super::{alert_command, deadline, journal};
use crate::app::admit::{Answer, Asked};
use crate::app::brief;
use crate::app::guard::Guard;
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::event::Event;
use crate::domain::throttle::SlotEvent;
use crate::domain::verdict::{Verdict, Why};
use crate::env::Env;
use crate::transcript::line::tool_hash;

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
}

/// What a hook says: bytes for standard output, bytes for standard error, the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For standard output: JSON, or nothing.
    pub stdout: Vec<u8>,
    /// For standard error: the reason of a block, or nothing.
    pub stderr: Vec<u8>,
    /// Whether the call is blocked by the exit code (the seed's protocol).
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
    let (reply, mut session) = answer(hook, &env, &input);
    if session.is_none() {
        note(&env, hook, &[format!("not understood: {} bytes on standard input", input.len())]);
    }
    // The deadline holds here, too. A pipe takes up to 4 KB as a whole or not at all; of a longer answer, a client that does not
    // read may get a part, and exit code 0. That is no decision: JSON that is cut off is plain text to the client.
    let shown = write_all(io::stdout(), &reply.stdout) && write_all(io::stderr(), &reply.stderr);
    // The only place that a decision becomes an exit code.
    let code = if reply.blocks && shown { 2 } else { 0 };
    // The answer is out: what is left has a deadline of its own, and the answer's exit code.
    deadline::begin_upkeep(code);
    if let Some((guard, shows)) = &mut session {
        if shown && !shows.is_empty() {
            let alerts: Vec<i64> = shows.alerts.iter().map(|alert| alert.id).collect();
            let events: Vec<i64> = shows.events.iter().map(|event| event.id).collect();
            guard.with_store(|store| store.confirm_shown(&alerts, &events));
            guard.notes.extend(alert_command::run(&guard.config.alert_command, shows));
        }
        note(&env, hook, &guard.notes);
        guard.tidy(hook == Hook::SessionEvent);
    }
    deadline::exit_now(code)
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

/// The reply to one payload, and what is left to do once it is written: confirm the alerts that it shows, and note
/// what went wrong. Streams are the caller's, so that this can be run in process.
pub fn answer<'a>(hook: Hook, env: &'a Env, input: &[u8]) -> (Reply, Option<(Guard<'a>, Shown)>) {
    if let Some(common) = parse::<Common>(input).filter(Common::is_usable) {
        let event = common.hook_event_name.clone();
        let mut guard = Guard::new(env, common.call());
        let answer = dispatch(hook, &event, &mut guard, input);
        let reply = answer.as_ref().map(|answer| in_json(&event, answer, &guard.quotes)).unwrap_or_default();
        return (reply, Some((guard, answer.map(Shown::of).unwrap_or_default())));
    }
    let Some(payload) = SeedPayload::parse(input) else { return (Reply::default(), None) };
    let mut guard = Guard::new(env, payload.call());
    let answer = match hook {
        Hook::PreToolUse => {
            let tool = payload.tool();
            let tool = tool.as_ref().map(|(tool, input)| (*tool, input.as_str()));
            Some(before_call(&mut guard, None, tool))
        }
        Hook::PostToolUse => {
            let call = payload.over(env.now).map(|over| kept(&mut guard, over));
            Some(guard.after_lone_call(payload.charge(input, env.now), call))
        }
        Hook::PromptSubmit => Some(guard.prompt(&payload.prompt())),
        Hook::SessionEvent => None,
    };
    let reply = answer.as_ref().map(|answer| in_seed(hook, answer, &guard.quotes)).unwrap_or_default();
    (reply, Some((guard, answer.map(Shown::of).unwrap_or_default())))
}

/// What an answer shows: to be confirmed once it is written.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Alerts.
    pub alerts: Vec<BudgetAlert>,
    /// Events.
    pub events: Vec<Event>,
}

impl Shown {
    fn of(answer: Answer) -> Self {
        Self { alerts: answer.shows, events: answer.tells }
    }

    fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.events.is_empty()
    }
}

/// A call for the breaker; what may be quoted of it stays with the guard.
fn kept(guard: &mut Guard, over: Over) -> NamedCall {
    guard.quotes.push((over.named.call.signature.hex(), over.quoted));
    over.named
}

fn parse<'i, T: serde::Deserialize<'i>>(input: &'i [u8]) -> Option<T> {
    serde_json::from_slice(input).ok()
}

/// Hands an event to whom it concerns; `None`: none of this executable's.
fn dispatch(hook: Hook, event: &str, guard: &mut Guard, input: &[u8]) -> Option<Answer> {
    match (hook, event) {
        (Hook::PreToolUse, "PreToolUse") => {
            let call: ToolCall = parse(input)?;
            guard.call.spawns = call.spawns();
            let answer = before_call(guard, call.tool_use_id.as_deref(), call.tool());
            if answer.verdict != Verdict::Allow {
                guard.quotes.push(call.quote());
            }
            Some(answer)
        }
        (Hook::PostToolUse, "PostToolUse" | "PostToolUseFailure") => {
            // What cannot be recognised is a call all the same.
            let call = parse::<ToolCall>(input).unwrap_or_default();
            let failed = event == "PostToolUseFailure";
            let (over, slots) = (over(guard, &call, Some(failed)), call.slot());
            Some(guard.after_call(over, slots.into_iter().collect()))
        }
        (Hook::PostToolUse, "PostToolBatch") => {
            let batch: ToolBatch = parse(input)?;
            let calls = batch.tool_calls.iter().filter_map(|call| over(guard, call, None)).collect();
            let agents = batch.tool_calls.iter().filter(|call| call.starts_agent());
            let agents: Vec<u64> =
                agents.filter_map(|call| call.tool_use_id.as_deref().map(tool_hash)).collect();
            let slots = if agents.is_empty() { vec![] } else { vec![SlotEvent::Settled { calls: agents }] };
            let ids: Vec<&str> = batch.tool_calls.iter().filter_map(|c| c.tool_use_id.as_deref()).collect();
            Some(guard.after_batch(ids, calls, slots))
        }
        (Hook::PromptSubmit, "UserPromptSubmit") => {
            // A prompt of another shape is no command, and still a prompt.
            let prompt = parse::<UserPrompt>(input).unwrap_or_default();
            Some(guard.prompted(&prompt.into()))
        }
        (Hook::SessionEvent, "SessionStart") => {
            let choice: ModelChoice = parse(input)?;
            Some(guard.session_start(choice.chosen()))
        }
        (Hook::SessionEvent, "PostModelSwitch") => {
            let choice: ModelChoice = parse(input)?;
            Some(guard.model_switched(choice.chosen()))
        }
        (Hook::SessionEvent, "Stop" | "SubagentStop") => {
            let end: TurnEnd = parse(input)?;
            Some(guard.turn_end(end.last_assistant_message.as_deref()))
        }
        // What a failed turn said last is an error, on no line that counts.
        (Hook::SessionEvent, "StopFailure") => Some(guard.turn_end(None)),
        (Hook::SessionEvent, "PostCompact") => Some(guard.read_all(false)),
        (Hook::SessionEvent, "SessionEnd") => Some(guard.read_all(true)),
        _ => None,
    }
}

/// May a call of `tool` (its name and input) go on? Budgets and breakers are asked first: what they stop stays stopped.
fn before_call(guard: &mut Guard, id: Option<&str>, tool: Option<(&str, &str)>) -> Answer {
    let asked = Asked { id, tool: tool.map_or("", |(name, _)| name) };
    let mut answer = guard.before_call(&asked);
    if answer.verdict == Verdict::Allow
        && let Some(reason) = tool.and_then(|(tool, input)| guard.protects(tool, input))
    {
        answer.verdict = Verdict::DenyCall(Why::Protected(reason));
        guard.note_denial(&answer.verdict, &asked);
    }
    answer
}

/// The call for the breaker, where that is on.
fn over(guard: &mut Guard, call: &ToolCall, failed: Option<bool>) -> Option<NamedCall> {
    if !guard.config.enabled || !guard.config.breaker.enabled {
        return None;
    }
    let place = guard.call.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()).unwrap_or_default();
    call.over(failed, &place, guard.env.now).map(|over| kept(guard, over))
}

fn in_json(event: &str, answer: &Answer, quotes: &brief::Quotes) -> Reply {
    let stdout = Output::of(event, answer, quotes).and_then(|output| serde_json::to_vec(&output).ok());
    Reply { stdout: stdout.unwrap_or_default(), ..Reply::default() }
}

/// The seed's protocol: a warning is context on standard output, a block is exit code 2 with the reason on standard
/// error.
fn in_seed(hook: Hook, answer: &Answer, quotes: &brief::Quotes) -> Reply {
    let block = |text: String| Reply { stderr: (text + "\n").into_bytes(), blocks: true, ..Reply::default() };
    match &answer.verdict {
        Verdict::Deny { why, left } => block(brief::denial(why, *left, quotes)),
        Verdict::DenyCall(why) => block(brief::call_denial(why, quotes)),
        Verdict::Stop(why) | Verdict::Block(why) => block(brief::stop(why, answer.attended, quotes)),
        Verdict::Allow | Verdict::WrapUp(_) => {
            let event = match hook {
                Hook::PreToolUse => "PreToolUse",
                Hook::PostToolUse => "PostToolUse",
                _ => "UserPromptSubmit",
            };
            in_json(event, answer, quotes)
        }
    }
}
