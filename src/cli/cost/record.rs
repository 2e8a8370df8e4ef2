//! `fusebox cost record`: records a call of another platform.

use super::super::{Io, UsageError, render};
use super::usd_or_more;
use crate::app::import;
use crate::app::messages::amounts::grouped;
use crate::ledger::Call;
use crate::platform::Env;

/// Record a call of another platform.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Recording a task again replaces its record, so a script may repeat the command. The call is priced now, and keeps \
that price.

Examples:
  fusebox cost record --task t1 --platform p --model m --input 1200 --output 300
  fusebox cost record --task t2 --platform p --model m --input 9 --output 2"
)]
pub struct RecordArgs {
    /// The task, which identifies the record.
    #[arg(long, value_name = "ID", value_parser = parse_name)]
    task: String,
    /// Where the call was made.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    platform: String,
    /// The model.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    model: String,
    /// Tokens that the model read.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS))]
    input: u64,
    /// Tokens that the model wrote.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS))]
    output: u64,
    /// The chain of tasks that the task is part of.
    #[arg(long, value_name = "ID", value_parser = parse_name)]
    chain: Option<String>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// The most tokens that are believed of one call.
const MAX_TOKENS: u64 = 1 << 40;

/// The longest name, in bytes.
const MAX_NAME: usize = 256;

fn parse_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("use 1 to {MAX_NAME} characters, without control characters"));
    }
    Ok(name.to_owned())
}

/// Runs the command.
///
/// # Errors
/// The task is the key of a message, or the ledger cannot be written.
pub fn run(args: &RecordArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let opened = import::open_ledger(env)?;
    if let Some(aside) = &opened.set_aside {
        let aside = aside.display();
        writeln!(
            io.err,
            "fusebox: the ledger was damaged, and is kept as {aside}. `fusebox import` fills a new one"
        )?;
    }
    let mut ledger = opened.database;
    let RecordArgs { task, platform, model, input, output, chain, .. } = args;
    let call = Call {
        task: task.clone(),
        platform: platform.clone(),
        model: model.clone(),
        input: *input,
        output: *output,
        chain: chain.clone(),
    };
    let Some(record) = ledger.record_call(&call, &import::prices(env), env.now)? else {
        return Err(UsageError(format!(
            "{task} is the record of a message in a transcript: choose another --task. Nothing was recorded"
        ))
        .into());
    };
    if args.json {
        render::json(io.out, &record)?;
    } else {
        let (input, output) = (grouped(record.input_tokens), grouped(record.output_tokens));
        let cost = usd_or_more(record.cost_nanos, record.price_estimated);
        io.line(&format!("Recorded {task} on {platform}: {input} tokens in, {output} out, {cost}"))?;
    }
    Ok(0)
}
