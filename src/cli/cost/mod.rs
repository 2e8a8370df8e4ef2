//! `fusebox cost`: what texts would cost, and what tasks, chains and platforms did cost.

mod estimate;
mod record;
mod show;

use super::Io;
use crate::platform::Env;

/// Estimate, record and show costs.
#[derive(Debug, clap::Args)]
#[command(after_help = "For ordinary reports use `fusebox report`. `platforms` and `summary` use UTC days.

Examples:
  fusebox cost estimate prompt.md
  fusebox cost record --task t1 --platform openai --model gpt-4o \\
    --input 1200 --output 300
  fusebox cost chain release
  fusebox cost platforms --since 2026-11-01
  fusebox cost summary")]
pub struct CostArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Estimate what a text would cost as a prompt, for several models.
    Estimate(estimate::EstimateArgs),
    /// Record a model call made outside Claude Code.
    Record(record::RecordArgs),
    /// Show the cost of one task.
    Task(show::TaskArgs),
    /// Show the cost of a chain, with its tasks.
    Chain(show::ChainArgs),
    /// Show the cost of each platform.
    Platforms(show::PlatformsArgs),
    /// Show the records, tokens and cost of each platform on one day.
    Summary(show::SummaryArgs),
}

/// Runs the command.
///
/// # Errors
/// Wrong use, an unknown task or chain, or the ledger cannot be used.
pub fn run(args: &CostArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match &args.command {
        Command::Estimate(args) => estimate::run(args, env, io),
        Command::Record(args) => record::run(args, env, io),
        Command::Task(args) => show::task(args, env, io),
        Command::Chain(args) => show::chain(args, env, io),
        Command::Platforms(args) => show::platforms(args, env, io),
        Command::Summary(args) => show::summary(args, env, io),
    }
}
