//! `fusebox run`: runs a command as a call of a platform, which is reserved before and recorded after it.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use super::quota::request::{RequestArgs, fresh, say_refused};
use super::quota::{REFUSED, alerts, or_store_failed, reservation, while_busy};
use super::select::{self, ConfiguredStore};
use super::{Io, UsageError};
use crate::app::quota::Quotas;
use crate::app::store_access::{StoreAccess, Unavailable};
use crate::config::Config;
use crate::domain::reservation::{AtExpiry, Reservation};
use crate::platform::Env;
use crate::platform::child::Signals;
use crate::store::quota::{NewReservation, NotDone, QuotaResult, ReservationName};

/// Run a command as a call of a platform: reserve it, run it, record it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command gets the same standard input, output and error, and the signals that fusebox gets. What it reserved is \
recorded when it has ended, whether it failed or not, and however long it took. If fusebox is killed meanwhile, that is charged when the \
reservation expires (--ttl). A --key runs the command once: with the key of a command that has run, it does not run.

Exit codes: those of the command, and 128 + N if signal N ended it; 126 it is not executable; 127 it was not found. If it did not run: 2 \
wrong use, or the command of this key has run; 3 a budget has no room; 4 the store cannot be used.

Examples:
  fusebox run --platform gemini -- gemini -p 'Say hello'
  fusebox run --platform gemini --tokens 20k --ttl 10m -- ./ask.sh
  fusebox wait --until-reset --platform gemini && \\
    fusebox run --platform gemini -- ./ask.sh"
)]
pub struct RunArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// What to do if the store cannot be used.
    #[arg(long, value_name = "ACTION", default_value = "refuse")]
    if_store_down: IfStoreDown,
    /// The command with its arguments, after --.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum IfStoreDown {
    /// Do not run the command (exit code 4).
    Refuse,
    /// Run it; it is recorded if the store answers again when it has ended.
    Run,
}

/// The exit code of a command that was not found.
const NOT_FOUND: u8 = 127;

/// The exit code of a command that cannot be run.
const NOT_EXECUTABLE: u8 = 126;

/// Added to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// Runs the command.
///
/// # Errors
/// Wrong use; the command did not run.
pub fn run(args: &RunArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let done = reserve_and_run(args, env, io);
    or_store_failed(done, io)
}

fn reserve_and_run(args: &RunArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let config = select::configuration(env)?;
    let new = args.request.reservation(AtExpiry::Charge, &config, env)?;
    // From here on no signal ends this process and leaves a reservation behind.
    let mut signals = Signals::receive()?;
    let mut is_reserved = true;
    match while_busy(|| reserve(&new, env, io)) {
        Ok(None) => {}
        Ok(Some(refused)) => return Ok(refused),
        Err(error) if error.is::<Unavailable>() && args.if_store_down == IfStoreDown::Run => {
            is_reserved = false;
            writeln!(io.err, "fusebox: not reserved, the command runs all the same: {error:#}")?;
        }
        Err(error) => return Err(error.context("the command was not run")),
    }
    if let Some(signal) = signals.pending() {
        release(&new, &config, env, io)?;
        return Ok(exit_code(BY_SIGNAL + signal));
    }
    let Some((program, arguments)) = args.command.split_first() else { return Ok(NOT_FOUND) };
    let started = signals.start(Command::new(program).args(arguments));
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            let name = program.to_string_lossy();
            let (code, why) = why_not_started(&error);
            writeln!(io.err, "fusebox: {name}: {why}")?;
            release(&new, &config, env, io)?;
            return Ok(code);
        }
    };
    let ended = child.wait()?;
    record(&new, is_reserved, &config, env, io);
    Ok(exit_code(code_of(ended)))
}

/// Reserves the call. Returns the exit code if it is refused.
fn reserve(new: &NewReservation, env: &Env, io: &mut Io) -> anyhow::Result<Option<u8>> {
    // The store is closed again before the command starts.
    let ConfiguredStore { config, mut store } = select::open_current(env, io.err)?;
    let (result, now) = store.call(|store| {
        let mut quotas = Quotas::new(store, &config, env.now)?;
        Ok((quotas.reserve(vec![new.clone()])?, quotas.now()))
    })?;
    let known = match result {
        Ok(made) => made.into_iter().find(|one| one.id != new.id()),
        Err(NotDone::Conflict(other)) => Some(*other),
        Err(NotDone::Refused(refusal)) => {
            say_refused(&refusal, now, io)?;
            return Ok(Some(REFUSED));
        }
        Err(NotDone::NotFound) => None,
    };
    match known {
        None => Ok(None),
        Some(Reservation { ref key, ref id, .. }) => {
            let fate = known.as_ref().map(reservation::fate).unwrap_or_default();
            let said = format!("key {key} is known: reservation {id} {fate}");
            Err(UsageError(said).into())
        }
    }
}

/// Records what was reserved. A failure is said, and the reservation is charged when it expires.
fn record(new: &NewReservation, is_reserved: bool, config: &Config, env: &Env, io: &mut Io) {
    // A lost reservation is counted anew; not under the key, which may be another call's by now.
    let anew = NewReservation { key: new.nonce.clone(), ..new.clone() };
    let (name, or_new) = match is_reserved {
        true => (ReservationName::Id(new.id()), Some(anew)),
        false => (key_of(new), Some(new.clone())),
    };
    let now = fresh(env);
    let mut store = StoreAccess::for_command(&now, config);
    let last = alerts::last(&mut store);
    let done = settle(config, env, |quotas| quotas.record(name.clone(), None, or_new.clone()));
    let failed = match is_reserved {
        true => "the call was not recorded; it is charged when the reservation expires",
        false => "the call was not recorded, and is not counted",
    };
    let is_recorded = matches!(done, Ok(Ok(_)));
    say_failure(done, failed, io);
    if is_recorded {
        alerts::tell((&new.platform, &new.chain), last, config, &mut store, &now, io);
    }
}

/// Releases the reservation of a command that did not run.
fn release(new: &NewReservation, config: &Config, env: &Env, io: &mut Io) -> io::Result<()> {
    let name = ReservationName::Id(new.id());
    match settle(config, env, |quotas| quotas.release(name.clone())) {
        // Without a store, nothing was reserved.
        Ok(Err(NotDone::NotFound)) => {}
        done => say_failure(done, "the reservation was not released; it is charged when it expires", io),
    }
    Ok(())
}

fn say_failure(done: anyhow::Result<QuotaResult>, failed: &str, io: &mut Io) {
    let why = match done {
        Ok(Ok(_)) => return,
        Ok(Err(NotDone::Refused(refusal))) => format!("budget {} has no room", refusal.state.budget.name),
        Ok(Err(NotDone::Conflict(other))) => format!("it {}", reservation::fate(&other)),
        Ok(Err(NotDone::NotFound)) => "the reservation is gone".to_owned(),
        Err(error) => error.to_string().lines().collect::<Vec<_>>().join(" "),
    };
    // Standard error may be gone with the terminal.
    let _ = writeln!(io.err, "fusebox: {failed}: {why}");
}

fn settle(
    config: &Config,
    env: &Env,
    work: impl Fn(&mut Quotas) -> crate::store::Result<QuotaResult>,
) -> anyhow::Result<QuotaResult> {
    while_busy(|| {
        // The command may have run for hours.
        let env = fresh(env);
        let mut store = StoreAccess::for_command(&env, config);
        Ok(store.call(|store| work(&mut Quotas::new(store, config, env.now)?))?)
    })
}

fn key_of(new: &NewReservation) -> ReservationName {
    ReservationName::Key { platform: new.platform.clone(), key: new.key.clone() }
}

fn why_not_started(error: &io::Error) -> (u8, String) {
    match error.kind() {
        ErrorKind::NotFound => (NOT_FOUND, "command not found".to_owned()),
        ErrorKind::PermissionDenied => (NOT_EXECUTABLE, "permission denied".to_owned()),
        _ => (NOT_EXECUTABLE, error.to_string()),
    }
}

fn code_of(ended: ExitStatus) -> i32 {
    ended.code().or_else(|| ended.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(1)
}

fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}
