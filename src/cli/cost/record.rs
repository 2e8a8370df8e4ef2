//! `fusebox cost record`: records a model call made outside Claude Code.

use super::super::render::{self, counted_many, usd, usd_or_more};
use super::super::{Io, UsageError, select, values};
use crate::app::import;
use crate::app::messages::amounts::grouped;
use crate::domain::money::MAX_COST;
use crate::ledger::{Call, CallRefused};
use crate::platform::Env;

/// Record a model call made outside Claude Code.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Recording a task again replaces its record, so a script may repeat the command. The call is priced now, and keeps \
that price.

Examples:
  fusebox cost record --task t1 --platform openai --model gpt-4o \\
    --input 1200 --output 300
  fusebox cost record --task t2 --platform openai --model gpt-4o \\
    --input 1k --output 200 --chain release"
)]
pub struct RecordArgs {
    /// The task, which identifies the record.
    #[arg(long, value_name = "ID", value_parser = values::name)]
    task: String,
    /// Where the call was made, such as openai.
    #[arg(long, value_name = "NAME", value_parser = values::platform)]
    platform: String,
    /// The model.
    #[arg(long, value_name = "NAME", value_parser = values::model)]
    model: String,
    /// Tokens that the model read.
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens)]
    input: u64,
    /// Tokens that the model wrote.
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens)]
    output: u64,
    /// The chain of tasks that the task is part of.
    #[arg(long, value_name = "ID", value_parser = values::name)]
    chain: Option<String>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The task is the key of a message, the call would cost too much to be recorded, or the configuration or the ledger cannot
/// be used.
pub fn run(args: &RecordArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let prices = select::configuration(env)?.prices;
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
    let record = ledger.record_call(&call, &prices, env.now)?.map_err(|refused| {
        let why = match refused {
            CallRefused::KeyOfMessage => {
                format!("{task} is the record of a message in a transcript: choose another --task")
            }
            CallRefused::TooDear => {
                let most = usd(MAX_COST);
                format!("a call must cost less than {most}: check --input, --output and --model")
            }
        };
        UsageError(format!("{why}. Nothing was recorded"))
    })?;
    if args.json {
        render::json(io.out, &record)?;
    } else {
        let (input, output) = (counted_many(record.input_tokens, "token"), grouped(record.output_tokens));
        let cost = usd_or_more(record.cost_nanos, record.price_estimated);
        io.line(&format!("Recorded {task} on {platform}: {input} in, {output} out, {cost}"))?;
    }
    Ok(0)
}
