//! `fusebox quota`: where platforms stand, and their reservations. `fusebox run` shares its parts.

pub mod alerts;
pub mod request;
pub mod reservation;
mod reserve;
mod reset;
mod settle;
pub mod show;

use std::time::Duration;

use super::Io;
use crate::app::store_access::Unavailable;
use crate::platform::{Env, Stopwatch};
use crate::store::{BackendErrorKind, StoreError};

/// Show the quotas of platforms; reserve, record and release calls of them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A platform is a service that agents and scripts call, such as Gemini. A budget of scope \"platform\" limits \
its calls. Reserve a call before you make it, then record it or release it: parallel callers never pass the limit.

Examples:
  fusebox quota status
  id=$(fusebox quota reserve --platform gemini)
  fusebox quota record --id \"$id\"
  fusebox run --platform gemini -- gemini -p 'Say hello'"
)]
pub struct QuotaArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show each platform: used, reserved and available, and the next reset.
    Status(show::StatusArgs),
    /// Show one line for each platform: the budget that is used most.
    Summary(show::SummaryArgs),
    /// Reserve calls of a platform before making them, and print the id of the reservation.
    Reserve(reserve::ReserveArgs),
    /// Record what was really used, which ends a reservation.
    Record(settle::RecordArgs),
    /// Release a reservation: nothing was used.
    Release(settle::ReleaseArgs),
    /// Start again from zero, for every budget of a platform.
    Reset(reset::ResetArgs),
}

/// The exit code of a call that a budget has no room for.
pub const REFUSED: u8 = 3;

/// The exit code if the store cannot be used. Scripts decide what to do without it.
const STORE_FAILED: u8 = 4;

/// Runs the command.
///
/// # Errors
/// Wrong use, or something other than the store failed.
pub fn run(args: &QuotaArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let done = while_busy(|| match &args.command {
        Command::Status(args) => show::status(args, env, io),
        Command::Summary(args) => show::summary(args, env, io),
        Command::Reserve(args) => reserve::run(args, env, io),
        Command::Record(args) => settle::record(args, env, io),
        Command::Release(args) => settle::release(args, env, io),
        Command::Reset(args) => reset::run(args, env, io),
    });
    or_store_failed(done, io)
}

/// For how long a store that many callers keep busy is asked again, in milliseconds.
const BUSY_MS: i64 = 20_000;

/// Does it again while other callers keep the store busy. (A failed step of the store has changed nothing.)
///
/// # Errors
/// It failed otherwise, or the store stays busy.
pub fn while_busy<T>(mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let since = Stopwatch::start();
    loop {
        match work() {
            Err(error) if is_busy(&error) && since.ms() < BUSY_MS => {}
            done => return done,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<Unavailable>() {
        Some(Unavailable::Failed(StoreError::Contended)) => true,
        Some(Unavailable::Failed(StoreError::Backend(failure))) => failure.kind == BackendErrorKind::Busy,
        _ => false,
    }
}

/// Turns a failure of the store into its own exit code, after the message.
///
/// # Errors
/// Something else failed.
pub fn or_store_failed(done: anyhow::Result<u8>, io: &mut Io) -> anyhow::Result<u8> {
    match done {
        Err(error) if error.is::<Unavailable>() => {
            writeln!(io.err, "fusebox: {error:#}")?;
            Ok(STORE_FAILED)
        }
        done => done,
    }
}
