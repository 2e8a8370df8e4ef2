//! Runs the `status-line` executable: standard input → one line → the client's figures are kept.
//!
//! It keeps the hook contract: on any failure, standard output stays empty and the exit code is 0. It starts no process,
//! waits for no lock, and asks no store, so it takes the same time whatever the history.

use std::io;

use super::run::{begin, log_problems, write_all};
use crate::agents;
use crate::agents::hook::STATUS_LINE as PROGRAM;
use crate::agents::status_line::StatusLineInput;
use crate::app::messages::status_line::line;
use crate::app::session::SessionContext;
use crate::app::status_line::segments;
use crate::platform::{Env, deadline};
use crate::store::cache_file::ClientCost;
use crate::store::plan_file::Plan;

/// The width of a terminal that the client does not name.
const DEFAULT_COLUMNS: usize = 80;

/// Columns that the client keeps free beside the line (2.1.332).
const MARGINS: usize = 4;

/// Runs the executable. Never fails and never returns.
pub fn run() -> ! {
    let (env, text) = begin(PROGRAM);
    let Some(input) = agents::ALL.iter().find_map(|agent| agent.parse_status_line(&text, env.now)) else {
        log_problems(&env, PROGRAM, &[format!("not understood: {} bytes on standard input", text.len())]);
        deadline::exit_now(0)
    };
    let shown = show(&env, &input);
    write_all(io::stdout(), shown.as_bytes());
    deadline::exit_now(0)
}

/// The line, with its end. Keeps what only the status line is told.
pub fn show(env: &Env, input: &StatusLineInput) -> String {
    let ctx = SessionContext::for_event(env, input.source.clone());
    let mut plan = env.state_dir().map(|dir| Plan::read(&dir)).unwrap_or_default();
    // A failure is not reported: the client calls this several times a second, and says the same again.
    if let Some(dir) = env.state_dir().filter(|_| !input.plan.is_empty()) {
        let _ = plan.note(&dir, &input.plan);
    }
    if let Some(nano_usd) = input.nano_usd {
        let _ = ctx.cache_file.note_client_cost(ClientCost { nano_usd, at: env.now });
    }
    let columns = env.var("COLUMNS").and_then(|columns| columns.parse().ok()).unwrap_or(DEFAULT_COLUMNS);
    let columns = columns.saturating_sub(MARGINS);
    let color = ctx.config.status_line.color && env.var("NO_COLOR").is_none();
    match segments(&ctx, input, &plan) {
        segments if segments.is_empty() => String::new(),
        segments => line(&segments, columns, color) + "\n",
    }
}
