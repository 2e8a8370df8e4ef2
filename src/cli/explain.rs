//! `fusebox explain`: explains why a call was denied or let through.

use anstyle::{AnsiColor, Style};

use super::render;
use super::{Io, UsageError, select};
use crate::app::explain::{self, Explanation};
use crate::app::messages::amounts::{number, quantity};
use crate::app::messages::replies;
use crate::platform::Env;

/// Explain why a tool call was denied or let through, with the numbers at that moment.
#[derive(Debug, clap::Args)]
#[command(after_help = "The id is in the transcript and begins with toolu_.

Examples:
  fusebox explain toolu_01ABC
  fusebox explain toolu_01ABC --json")]
pub struct ExplainArgs {
    /// The call's id.
    #[arg(value_name = "TOOL_USE_ID")]
    id: String,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// No known session made the call, or the store cannot be used.
pub fn run(args: &ExplainArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let mut store = select::open_current(env, io.err)?.store;
    let rows = select::sessions(&mut store)?;
    let Some(explanation) = explain::explain_call(env, &mut store, &rows, args.id.trim())? else {
        let text = format!(
            "no known session made a call with the id {}; the ids of calls are in the transcript",
            args.id
        );
        return Err(UsageError(text).into());
    };
    match args.json {
        true => render::json(io.out, &explanation)?,
        false => show(&explanation, io)?,
    }
    Ok(0)
}

fn show(explanation: &Explanation, io: &mut Io) -> anyhow::Result<()> {
    let Explanation { call, session, agent, tool, at, decision, .. } = explanation;
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let colour = if *decision == "let_through" { AnsiColor::Green } else { AnsiColor::Red };
    let style = Style::new().fg_color(Some(colour.into())).bold();
    let done = match *decision {
        "let_through" => "let through",
        "stopped" => "denied, and the turn stopped",
        other => other,
    };
    io.line(&format!("{bold}{tool}{bold:#} {call}  {style}{done}{style:#}"))?;
    let agent = if agent.is_empty() { "the main agent" } else { agent };
    io.line(&format!("  {dim}{at}, {agent} of session {session}{dim:#}"))?;
    let why = match &explanation.reason {
        None => "nothing blocked it".to_owned(),
        Some(reason) => replies::denial_reason(reason),
    };
    io.line(&format!("  {why}"))?;
    if let Some(iteration) = explanation.iteration {
        let max =
            explanation.max_iterations.map_or_else(String::new, |max| format!(" (the maximum is {max})"));
        io.line(&format!("  call {iteration} since the last prompt{max}"))?;
    }
    for budget in &explanation.budgets {
        let [used, limit] = [budget.used, budget.limit].map(|count| count.units(budget.unit));
        let (used, limit) = (number(used, budget.unit), quantity(limit, budget.unit));
        let percent = budget.utilization * 100.0;
        io.line(&format!(
            "  budget {} at that moment: {used} / {limit} ({percent:.2}%), {}",
            budget.name, budget.status
        ))?;
    }
    Ok(())
}
