//! `fusebox wait`: waits until no budget holds a script back.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::quota::request::{ensure_known, fresh};
use super::quota::{or_store_failed, show};
use super::select::{self, ConfiguredStore};
use super::{Io, UsageError, render, values};
use crate::app::holding::{self, Concern, Held};
use crate::app::messages::amounts::{duration, number};
use crate::app::messages::share;
use crate::app::operate;
use crate::app::status::BudgetStatus;
use crate::app::store_access::{StoreAccess, Unavailable};
use crate::domain::time::Timestamp;
use crate::platform::Env;

/// Wait until the budget that holds you back starts again, or a person extends or resets it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --budget or --platform: whatever holds back this user, team, project, session, task type or chain, and any \
platform. A platform also holds you back while the rest of its budget is reserved. Returns at once if nothing does.

Exit codes: 0 nothing holds you back; 1 failed; 2 wrong use; 3 still held back after --timeout; 4 the store cannot be used.

Examples:
  fusebox wait --until-reset && ./nightly.sh
  fusebox wait --until-reset --platform gemini --timeout 2h
  fusebox wait --until-reset --budget daily --json"
)]
pub struct WaitArgs {
    /// Wait for the reset.
    #[arg(long, required = true)]
    until_reset: bool,
    /// Only this budget, for your own user, team, project or session.
    #[arg(long, value_name = "NAME", value_parser = values::name, conflicts_with = "platform")]
    budget: Option<String>,
    /// Only this platform.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    platform: Option<String>,
    /// Give up after this time, in seconds or as 30m or 2h.
    #[arg(long, value_name = "SECONDS", value_parser = values::span_ms)]
    timeout: Option<i64>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// The exit code after the timeout.
const TIMED_OUT: u8 = 3;

/// How often to look: a person may extend the budget at any time.
const INTERVAL: Duration = Duration::from_secs(2);

/// For how long a store that stops answering is asked again, in milliseconds.
const PATIENCE_MS: i64 = 60_000;

#[derive(Serialize)]
struct WaitJson {
    /// Whether nothing holds the caller back any more.
    free: bool,
    waited_seconds: i64,
    /// What holds the caller back still.
    budgets: Vec<BudgetStatus>,
}

/// Runs the command.
///
/// # Errors
/// Wrong use, or something other than the store failed.
pub fn run(args: &WaitArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let done = wait(args, env, io);
    or_store_failed(done, io)
}

fn wait(args: &WaitArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let concern = concern(args, env)?;
    // Once, so that the counts are current; later, the hooks record.
    let ConfiguredStore { config, mut store } = select::open_current(env, io.err)?;
    if !matches!(concern, Concern::Platform(_)) {
        let rows = select::sessions(&mut store)?;
        select::catch_up(env, &config, &rows, io.err)?;
    }
    store.close();
    let bar = progress();
    let (mut said, mut failing_since) = (false, None::<Timestamp>);
    loop {
        let env_now = fresh(env);
        let waited = env_now.now.millis_since(env.now);
        let is_over = args.timeout.is_some_and(|timeout| waited >= timeout);
        let held = match look(&env_now, &concern) {
            Ok(held) => {
                failing_since = None;
                held
            }
            // At first, it is not known whether there is anything to wait for.
            Err(error) if said && error.is::<Unavailable>() && !is_over => {
                let since = *failing_since.get_or_insert(env_now.now);
                if env_now.now.millis_since(since) >= PATIENCE_MS {
                    return Err(error);
                }
                std::thread::sleep(INTERVAL);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(last) = last_to_end(&held) else {
            bar.finish_and_clear();
            return end(true, waited, &held, args.json, io);
        };
        if is_over {
            bar.finish_and_clear();
            let waited_for = render::age(args.timeout.unwrap_or_default());
            writeln!(io.err, "fusebox: still held back after {waited_for}: {}", held_text(last, &env_now))?;
            return end(false, waited, &held, args.json, io).map(|_| TIMED_OUT);
        }
        if !said {
            said = true;
            let more = match held.len() {
                1 => String::new(),
                2 => "; another budget also holds you back".to_owned(),
                n => format!("; {} more budgets also hold you back", n - 1),
            };
            writeln!(io.err, "fusebox: waiting: {}{more}", held_text(last, &env_now))?;
        }
        let left = last.state.window.end.map(|end| end.millis_since(env_now.now));
        bar.set_message(
            left.map_or_else(|| "waiting".to_owned(), |left| format!("waiting, {} left", duration(left))),
        );
        std::thread::sleep(pause(left, args.timeout.map(|timeout| timeout - waited)));
    }
}

/// How long to sleep: not past the reset, nor past the timeout.
fn pause(left_ms: Option<i64>, timeout_ms: Option<i64>) -> Duration {
    let earliest = [left_ms, timeout_ms].into_iter().flatten().min().unwrap_or(i64::MAX).max(1);
    INTERVAL.min(Duration::from_millis(earliest.unsigned_abs()))
}

fn end(free: bool, waited_ms: i64, held: &[Held], json: bool, io: &mut Io) -> anyhow::Result<u8> {
    if json {
        let budgets = held.iter().map(|held| BudgetStatus::from_state(&held.state)).collect();
        render::json(io.out, &WaitJson { free, waited_seconds: waited_ms.max(0) / 1000, budgets })?;
    }
    Ok(0)
}

fn concern(args: &WaitArgs, env: &Env) -> anyhow::Result<Concern> {
    let config = select::configuration(env)?;
    match (&args.budget, &args.platform) {
        (Some(name), _) => {
            let found = operate::find_budget(&config.budgets, name);
            let budget = found.map_err(|refusal| UsageError(refusal.to_string()))?;
            if holding::is_out_of_scope(env, &config, budget) {
                let scope = budget.scope.name();
                return Err(
                    UsageError(format!("budget {name} counts by {scope}, and there is none here")).into()
                );
            }
            Ok(Concern::Budget(name.clone()))
        }
        (None, Some(platform)) => {
            ensure_known(&config, platform)?;
            Ok(Concern::Platform(platform.clone()))
        }
        (None, None) => Ok(Concern::Everything),
    }
}

/// What holds the caller back now. The configuration is read each time: a person may raise a limit there, too.
fn look(env: &Env, concern: &Concern) -> anyhow::Result<Vec<Held>> {
    let config = select::configuration(env)?;
    let mut store = StoreAccess::for_command(env, &config);
    Ok(store.call(|store| holding::held(env, &config, store, concern))?)
}

/// The budget whose window ends last; one that never ends is the last of all.
fn last_to_end(held: &[Held]) -> Option<&Held> {
    held.iter().max_by_key(|held| held.state.window.end.unwrap_or(Timestamp(i64::MAX)))
}

/// `budget daily (user alice) is at 1,000 / 1,000 tokens (100.00%), until Wed 2 Dec 01:00 (in 3 h)`
fn held_text(held: &Held, env: &Env) -> String {
    let Held { state, reserved } = held;
    let (name, scope, unit) = (&state.budget.name, state.budget.scope.name(), state.budget.unit);
    let reserved = match reserved {
        0 => String::new(),
        reserved => format!(", {} reserved", number(*reserved, unit)),
    };
    let until = match state.window.end {
        Some(end) => {
            let date = show::local_zone(env).local(end).format("%a %-d %b %H:%M").to_string();
            format!("until {date} (in {})", duration(end.millis_since(env.now)))
        }
        None => "until a person extends or resets it".to_owned(),
    };
    format!("budget {name} ({scope} {}) is at {}{reserved}, {until}", state.value, share(state))
}

/// A line that says how long it may still take, on a terminal only.
fn progress() -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}
