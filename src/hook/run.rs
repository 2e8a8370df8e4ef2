//! Handles one event: standard input → event → answer → one write → exit code. Keeps the hook contract.
//!
//! On any failure (invalid input, a panic, the deadline, an unreachable store), standard output stays empty, the exit
//! code is 0, and the journal gets a line. Only one place sets exit code 2, for a decision.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use super::{alert_command, journal};
use crate::agents::answer::Reply;
use crate::agents::hook::Hook;
use crate::agents::{self, InvalidPayload, ParsedEvent};
use crate::app::handlers::{self, HandlerOutput};
use crate::app::session::SessionContext;
use crate::platform::{Env, deadline};
use crate::transcript::surrogates;

/// Maximum bytes of standard input: a hook needs up to four times as much memory. A longer payload (a result with a
/// large document) is not understood.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;

/// Runs a hook executable. Never fails and never returns: cleanup (closing the database, freeing memory) is left to the
/// kernel. Rust's runtime has already opened `/dev/null` for closed standard streams, and turned a closed pipe into an
/// error instead of a signal.
pub fn run(hook: Hook) -> ! {
    let (env, text) = begin(hook.name());
    let HandledEvent { mut ctx, reply, output } = match handle_payload(hook, &env, &text) {
        Ok(Some(answered)) => answered,
        Ok(None) => deadline::exit_now(0),
        Err(InvalidPayload) => {
            log_problems(
                &env,
                hook.name(),
                &[format!("not understood: {} bytes on standard input", text.len())],
            );
            deadline::exit_now(0)
        }
    };
    // The deadline applies here, too. A pipe takes up to 4 KB atomically. If a longer answer is cut off, the client
    // gets a part of it and exit code 0. That is no decision: the client treats incomplete JSON as plain text.
    let shown = write_all(io::stdout(), &reply.stdout) && write_all(io::stderr(), &reply.stderr);
    // The only place that turns a decision into an exit code.
    let code = if reply.blocks && shown { 2 } else { 0 };
    // The answer is written. The rest has its own deadline, which ends with the answer's exit code.
    deadline::arm_for_maintenance(code);
    if shown {
        confirm(&mut ctx, &output);
    }
    // First, because maintenance may hit the deadline.
    log_problems(&env, hook.name(), &ctx.take_journal());
    let tidied = ctx.store.maintain(hook == Hook::SessionEvent);
    ctx.notices.log_failure(tidied);
    log_problems(&env, hook.name(), &ctx.take_journal());
    deadline::exit_now(code)
}

/// Arms the deadline, makes a panic harmless, and reads standard input. `program`: the name in the journal.
pub(super) fn begin(program: &'static str) -> (Env, String) {
    deadline::arm();
    let env = Env::from_process();
    if let Some(dir) = env.state_dir() {
        let late = format!("not done within {} ms", deadline::DEADLINE_MS);
        deadline::set_late_entry(&journal::path(&dir), journal::line(env.now, program, &late));
    }
    let for_panic = env.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
        log_problems(&for_panic, program, &[format!("panic at {place}")]);
        deadline::exit_now(0);
    }));
    let input = read_input().unwrap_or_else(|error| {
        log_problems(&env, program, &[format!("standard input cannot be read: {error}")]);
        deadline::exit_now(0)
    });
    (env, into_text(input))
}

/// Marks alerts and events as shown, and runs the person's program for them.
fn confirm(ctx: &mut SessionContext, output: &HandlerOutput) {
    if output.alerts.is_empty() && output.events.is_empty() {
        return;
    }
    let alerts: Vec<i64> = output.alerts.iter().map(|alert| alert.id).collect();
    let events: Vec<i64> = output.events.iter().map(|event| event.id).collect();
    let confirmed = ctx.store.call(|store| store.confirm_shown(&alerts, &events));
    ctx.notices.log_failure(confirmed);
    let failed = alert_command::run(&ctx.config.alert_command, &output.alerts, &output.events);
    ctx.notices.journal.extend(failed);
}

/// Standard input, up to [`MAX_INPUT_BYTES`]. Read as a file: `Stdin` treats an unreadable stream as empty.
fn read_input() -> io::Result<Vec<u8>> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // With capacity for a usual payload: otherwise reading starts with 32 bytes.
    let mut input = Vec::with_capacity(16 * 1024);
    stdin.take(MAX_INPUT_BYTES).read_to_end(&mut input)?;
    Ok(input)
}

/// The input as text, of the same length. The client writes no invalid bytes. Those of others become `?`, because
/// U+FFFD takes three bytes.
fn into_text(input: Vec<u8>) -> String {
    String::from_utf8(input).unwrap_or_else(|error| {
        let mut bytes = error.into_bytes();
        let mut at = 0;
        while let Err(error) = str::from_utf8(&bytes[at..]) {
            at += error.valid_up_to();
            bytes[at] = b'?';
        }
        String::from_utf8(bytes).unwrap_or_default()
    })
}

/// Writes everything. Returns whether it worked. The standard library reports success for a stream that is not open for
/// writing, and discards the data: then the decision must hold, too.
pub(super) fn write_all(mut to: impl Write, bytes: &[u8]) -> bool {
    to.write_all(bytes).and_then(|()| to.flush()).is_ok()
}

pub(super) fn log_problems(env: &Env, program: &str, problems: &[String]) {
    if let Some(dir) = env.state_dir().filter(|_| !problems.is_empty()) {
        let lines: Vec<u8> = problems.iter().flat_map(|p| journal::line(env.now, program, p)).collect();
        journal::append(&dir, &lines);
    }
}

/// A handled event: the reply, and the data for work after it.
pub struct HandledEvent<'a> {
    /// The session.
    pub ctx: SessionContext<'a>,
    /// What to write.
    pub reply: Reply,
    /// What the reply shows.
    pub output: HandlerOutput,
}

/// Handles one payload; `None` if this executable does not handle the event. The caller owns the streams, so this can
/// run in process.
///
/// # Errors
/// The input is not a payload.
pub fn handle_payload<'a>(
    hook: Hook,
    env: &'a Env,
    text: &str,
) -> Result<Option<HandledEvent<'a>>, InvalidPayload> {
    let text = surrogates::repair(text);
    for agent in agents::ALL {
        match agent.parse_event(hook, &text, env.now) {
            Ok(None) => return Ok(None),
            Ok(Some(heard)) => return Ok(Some(handle_event(env, heard))),
            Err(InvalidPayload) => {}
        }
    }
    Err(InvalidPayload)
}

/// Handles an event, and encodes the answer for its agent.
pub fn handle_event<'a>(env: &'a Env, ParsedEvent { name, event }: ParsedEvent) -> HandledEvent<'a> {
    let client = event.source.client;
    let mut ctx = SessionContext::for_event(env, event.source);
    let output = handlers::handle(&mut ctx, event.kind);
    let reply = client.reply(&name, output.answer.clone());
    HandledEvent { ctx, reply, output }
}
