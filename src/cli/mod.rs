//! The command line: one file per command. Exit codes: 0 success, 1 failure, 2 wrong use or refused, 3 a session is
//! stopped (`status --check`), a model has no exact price (`prices check`), or a budget has no room (`quota`, `run`,
//! `wait`), 4 the store cannot be used (the same). `run` ends with the exit code of its command.

pub mod alerts;
pub mod budget;
pub mod circuit;
pub mod completions;
pub mod config;
mod confirm;
pub mod cost;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod history;
pub mod import;
pub mod init;
pub mod last_known;
pub mod ledger;
pub mod line_diff;
pub mod man;
pub mod person_only;
pub mod prices;
pub mod quota;
pub mod redis;
pub mod render;
pub mod report;
pub mod resync;
pub mod run;
pub mod select;
pub mod serve;
pub mod settings_file;
pub mod settings_scope;
mod settings_text;
pub mod status;
pub mod top;
pub mod uninstall;
pub mod values;
pub mod wait;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::render::wrap;
use crate::platform::Env;

/// Budgets, quotas and a circuit breaker for Claude Code.
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Examples:
  fusebox demo                                see what it does
  fusebox init                                register the hooks
  fusebox doctor                              check that the hooks work
  fusebox status                              show the live session
  fusebox status --session ID --json --check  exit code 3 if it was stopped
  fusebox top                                 watch all sessions
  fusebox report daily --last 7               what was used, and what it cost
  fusebox budget extend session --tokens 200000 --reason \"nearly done\"")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what Fusebox does, with a recorded session, in a temporary folder.
    Demo(demo::DemoArgs),
    /// Register the hooks in Claude Code's settings.
    Init(init::InitArgs),
    /// Remove the hooks from Claude Code's settings; everything else stays.
    Uninstall(uninstall::UninstallArgs),
    /// Check that the hooks work, and say what to fix.
    Doctor(doctor::DoctorArgs),
    /// Show sessions and their budgets.
    Status(status::StatusArgs),
    /// Show all sessions, live, with keys to extend, reset and acknowledge.
    Top(top::TopArgs),
    /// Show what was used and what it cost: by period, session, model, project and more.
    Report(report::ReportArgs),
    /// Read every transcript of this machine into the store again, from its start.
    Resync(resync::ResyncArgs),
    /// Read the history of all sessions into the ledger.
    Import(import::ImportArgs),
    /// Remove records from the ledger.
    Ledger(ledger::LedgerArgs),
    /// Estimate, record and show costs.
    Cost(cost::CostArgs),
    /// List, show, extend, reset and delete budgets.
    Budget(budget::BudgetArgs),
    /// Show the quotas of platforms; reserve, record and release calls of them.
    Quota(quota::QuotaArgs),
    /// Run a command as a call of a platform: reserve it, run it, record it.
    Run(run::RunArgs),
    /// Wait until the budget that holds you back starts again, or a person extends or resets it.
    Wait(wait::WaitArgs),
    /// List and acknowledge alerts: budgets that passed a threshold.
    Alerts(alerts::AlertsArgs),
    /// List, show, acknowledge and reset circuit breakers, which stop agents that loop
    Circuit(circuit::CircuitArgs),
    /// Explain why a tool call was denied or let through, with the numbers at that moment.
    Explain(explain::ExplainArgs),
    /// Show what happened: breakers, denials, throttling, alerts, decisions about budgets.
    History(history::HistoryArgs),
    /// Write, check and show the configuration.
    Config(config::ConfigArgs),
    /// List, show and check what models cost, and price the ledger's records again.
    Prices(prices::PricesArgs),
    /// Serve the dashboard, the REST API and Prometheus metrics.
    Serve(serve::ServeArgs),
    /// Print the Redis users that a shared store needs.
    Redis(redis::RedisArgs),
    /// Print the manual page, or write one for each command into a folder.
    Man(man::ManArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// The output streams of a command.
pub struct Io<'a> {
    /// For the result.
    pub out: &'a mut dyn Write,
    /// For messages.
    pub err: &'a mut dyn Write,
}

impl Io<'_> {
    /// Writes one line for people. A terminal that is too narrow for it gets several.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, line: &str) -> std::io::Result<()> {
        let Some(columns) = wrap::columns() else { return writeln!(self.out, "{line}") };
        wrap::lines(line, columns).iter().try_for_each(|part| writeln!(self.out, "{part}"))
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = Env::from_process();
    // Colours only on a terminal without NO_COLOR; a closed pipe (`| head`) ends quietly.
    let (mut out, mut err) = (anstream::stdout(), anstream::stderr());
    match run(&cli, &env, &mut Io { out: &mut out, err: &mut err }) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(err, "fusebox: {error:#}");
            ExitCode::from(failure_code(&error))
        }
    }
}

/// Runs a parsed command line.
///
/// # Errors
/// The command failed; `failure_code` is its exit code.
pub fn run(cli: &Cli, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match &cli.command {
        Command::Demo(args) => demo::run(args, env, io),
        // All errors of init are usage errors: nothing was written.
        Command::Init(args) => {
            init::run(args, env, io.out, io.err).map_err(|e| UsageError(format!("{e:#}")).into())
        }
        Command::Uninstall(args) => uninstall::run(args, env, io),
        Command::Doctor(args) => doctor::run(args, env, io),
        Command::Status(args) => status::run(args, env, io),
        Command::Top(args) => top::run(args, env, io),
        Command::Report(args) => report::run(args, env, io),
        Command::Resync(args) => resync::run(args, env, io),
        Command::Import(args) => import::run(args, env, io),
        Command::Ledger(args) => ledger::run(args, env, io),
        Command::Cost(args) => cost::run(args, env, io),
        Command::Budget(args) => budget::run(args, env, io),
        Command::Quota(args) => quota::run(args, env, io),
        Command::Run(args) => run::run(args, env, io),
        Command::Wait(args) => wait::run(args, env, io),
        Command::Alerts(args) => alerts::run(args, env, io),
        Command::Circuit(args) => circuit::run(args, env, io),
        Command::Explain(args) => explain::run(args, env, io),
        Command::History(args) => history::run(args, env, io),
        Command::Config(args) => config::run(args, env, io),
        Command::Prices(args) => prices::run(args, env, io),
        Command::Serve(args) => serve::run(args, env, io),
        Command::Redis(args) => redis::run(args, env, io),
        Command::Man(args) => man::run(args, Cli::command(), io),
        Command::Completions(args) => completions::run(args, &mut Cli::command(), io),
    }
}

/// Wrong use: exit code 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

fn failure_code(error: &anyhow::Error) -> u8 {
    if error.is::<UsageError>() { 2 } else { 1 }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
