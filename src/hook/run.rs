//! One event: standard input → event → answer → one write → exit code. The hook contract is kept here.
//!
//! Whatever fails (garbage on standard input, a panic, the deadline, a store out of reach) ends in nothing on standard
//! output, exit code 0 and a line in the journal. Exit code 2 is written in one place, for a decision.

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

/// The most bytes of standard input that are read. Tool results can be large; more than this is not a hook payload.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// Runs a hook executable. It never fails, and never returns: the rest (closing the database, freeing memory) is left to the
/// kernel. Rust's runtime has opened `/dev/null` in place of closed standard streams before, and
/// made a closed pipe an error instead of a signal.
pub fn run(hook: Hook) -> ! {
    deadline::arm();
    let env = Env::from_process();
    if let Some(dir) = env.state_dir() {
        let late = format!("not done within {} ms", deadline::DEADLINE_MS);
        deadline::set_late_entry(&journal::path(&dir), journal::line(env.now, hook.name(), &late));
    }
    let for_panic = env.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
        log_problems(&for_panic, hook, &[format!("panic at {place}")]);
        deadline::exit_now(0);
    }));
    let input = read_input().unwrap_or_else(|error| {
        log_problems(&env, hook, &[format!("standard input cannot be read: {error}")]);
        deadline::exit_now(0)
    });
    let text = String::from_utf8_lossy(&input);
    let HandledEvent { mut ctx, reply, output } = match handle_payload(hook, &env, &text) {
        Ok(Some(answered)) => answered,
        Ok(None) => deadline::exit_now(0),
        Err(InvalidPayload) => {
            log_problems(&env, hook, &[format!("not understood: {} bytes on standard input", input.len())]);
            deadline::exit_now(0)
        }
    };
    // The deadline holds here, too. A pipe takes up to 4 KB as a whole or not at all; of a longer answer, a client that does not
    // read may get a part, and exit code 0. That is no decision: JSON that is cut off is plain text to the client.
    let shown = write_all(io::stdout(), &reply.stdout) && write_all(io::stderr(), &reply.stderr);
    // The only place that a decision becomes an exit code.
    let code = if reply.blocks && shown { 2 } else { 0 };
    // The answer is out: what is left has a deadline of its own, and the answer's exit code.
    deadline::arm_for_maintenance(code);
    if shown {
        confirm(&mut ctx, &output);
    }
    // First: upkeep may meet the deadline.
    log_problems(&env, hook, &ctx.take_journal());
    let tidied = ctx.store.maintain(hook == Hook::SessionEvent);
    ctx.notices.log_failure(tidied);
    log_problems(&env, hook, &ctx.take_journal());
    deadline::exit_now(code)
}

/// Marks alerts and events as shown, and runs the person's own program for them.
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

/// Standard input, to its end or to [`MAX_INPUT_BYTES`]. As a file: `Stdin` takes a stream that cannot be read for an empty one.
fn read_input() -> io::Result<Vec<u8>> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // With room for a usual payload: else the library begins with reads of 32 bytes.
    let mut input = Vec::with_capacity(16 * 1024);
    stdin.take(MAX_INPUT_BYTES).read_to_end(&mut input)?;
    Ok(input)
}

/// Writes everything. Returns whether that worked. The standard library discards what is written to a stream that is not open for
/// writing, and reports success: the decision is to hold then, too.
fn write_all(mut to: impl Write, bytes: &[u8]) -> bool {
    to.write_all(bytes).and_then(|()| to.flush()).is_ok()
}

fn log_problems(env: &Env, hook: Hook, problems: &[String]) {
    if let Some(dir) = env.state_dir().filter(|_| !problems.is_empty()) {
        let lines: Vec<u8> = problems.iter().flat_map(|p| journal::line(env.now, hook.name(), p)).collect();
        journal::append(&dir, &lines);
    }
}

/// A handled event: the reply, and what is left to do once it is written.
pub struct HandledEvent<'a> {
    /// The session.
    pub ctx: SessionContext<'a>,
    /// What to write.
    pub reply: Reply,
    /// What the reply shows.
    pub output: HandlerOutput,
}

/// Handles one payload; `None`: an event that this executable does not handle. The caller owns the streams, so that this can
/// run in process.
///
/// # Errors
/// It is not a payload.
pub fn handle_payload<'a>(
    hook: Hook,
    env: &'a Env,
    text: &str,
) -> Result<Option<HandledEvent<'a>>, InvalidPayload> {
    for agent in agents::ALL {
        match agent.parse_event(hook, text, env.now) {
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
