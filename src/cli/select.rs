//! Selects a session, and opens a store that is up to date.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::UsageError;
use crate::agents;
use crate::app::open_store::StoreLocation;
use crate::app::operation_ledger::OperationLedger;
use crate::app::session::Notices;
use crate::app::store_access::{self, StoreAccess, Unavailable};
use crate::app::{backfill, plan, process_tree, recovery};
use crate::config::Config;
use crate::platform::Env;
use crate::store::SessionRow;

/// A configuration and its store.
pub struct ConfiguredStore<'a> {
    /// The configuration.
    pub config: Config,
    /// The store.
    pub store: StoreAccess<'a>,
}

/// Opens the store of the working folder's configuration. First refills a store that lost data, and records data of
/// hooks that could not reach it.
///
/// # Errors
/// The configuration cannot be used, or the store cannot be opened.
pub fn open_current<'a>(env: &'a Env, err: &mut dyn std::io::Write) -> anyhow::Result<ConfiguredStore<'a>> {
    let (mut opened, is_rebuilding) = open_as_is(env, err)?;
    if is_rebuilding {
        for warning in rebuild(env, &opened.config).person {
            writeln!(err, "{warning}")?;
        }
    } else if let Some(dir) = env.state_dir() {
        // Decisions belong to no session, so no session's hook would notice a missing one.
        let ledger = OperationLedger::new(&dir, &opened.config);
        match opened.store.call(|store| ledger.replay(store, None)) {
            // The next call would wait just as long.
            Err(error) if error.is_out_of_reach() => return Err(error.into()),
            Err(error) if !error.is_denied() => {
                writeln!(err, "fusebox: this machine's ledger of decisions could not be replayed: {error}")?;
            }
            _ => {}
        }
        opened.store.retry_now();
    }
    for warning in backfill::catch_up_unsent(env, &opened.config)?.person {
        writeln!(err, "{warning}")?;
    }
    Ok(opened)
}

/// Like [`open_current`], without refilling the store. Also returns whether it must be refilled.
///
/// # Errors
/// The configuration cannot be used, or the store cannot be opened.
pub fn open_as_is<'a>(
    env: &'a Env,
    err: &mut dyn std::io::Write,
) -> anyhow::Result<(ConfiguredStore<'a>, bool)> {
    let config = configuration(env)?;
    let mut store = StoreAccess::for_command(env, &config);
    let is_rebuilding = |store: &mut StoreAccess| {
        store.call(|store| {
            recovery::detect_loss(env, store)?;
            store.is_rebuilding()
        })
    };
    // A damaged store was quarantined, and the next call creates a new one.
    let first = is_rebuilding(&mut store);
    let answer = match first {
        Err(Unavailable::Damaged { outcome, .. }) => {
            writeln!(err, "{outcome}")?;
            is_rebuilding(&mut store)
        }
        answer => answer,
    };
    for warning in store.take_warnings() {
        writeln!(err, "{warning}")?;
    }
    Ok((ConfiguredStore { config, store }, answer?))
}

/// The configuration of the working folder.
///
/// # Errors
/// It cannot be used.
pub fn configuration(env: &Env) -> anyhow::Result<Config> {
    let loaded = crate::config::load(env, Some(&agents::project_dir(env, &env.cwd)));
    if !loaded.is_usable() {
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        return Err(UsageError(problems.join("\n")).into());
    }
    let mut config = loaded.config;
    plan::look_up(&mut config, env);
    Ok(config)
}

/// Adds "nothing was changed" to the error of a command that could not reach the store.
pub fn with_unchanged(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Unavailable>() { error.context("nothing was changed") } else { error }
}

/// Refills a store that lost data, with a progress bar.
fn rebuild(env: &Env, config: &Config) -> Notices {
    let bar = progress_bar("rebuilding the store");
    let notices = backfill::rebuild(env, config, None, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    notices
}

/// A progress bar that counts sessions.
pub fn progress_bar(what: &str) -> ProgressBar {
    // On standard error, and only if that is a terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = format!("{what} {{wide_bar}} {{pos}}/{{len}} sessions {{eta}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The stored sessions, most recently seen first.
///
/// # Errors
/// The store cannot be read.
pub fn sessions(store: &mut StoreAccess) -> store_access::Result<Vec<SessionRow>> {
    store.call(|store| store.sessions())
}

/// Catches up on every incomplete session, so that lists show current numbers.
///
/// # Errors
/// The store is unreachable, or warnings cannot be written. (An unreadable session does not prevent others from being
/// listed.)
pub fn catch_up(
    env: &Env,
    config: &Config,
    rows: &[SessionRow],
    err: &mut dyn std::io::Write,
) -> anyhow::Result<()> {
    catch_up_in(env, config, rows.iter().filter(|row| !row.complete), err)
}

/// Catches up on these sessions.
///
/// # Errors
/// The store is unreachable, or warnings cannot be written.
pub fn catch_up_in<'r>(
    env: &Env,
    config: &Config,
    rows: impl Iterator<Item = &'r SessionRow>,
    err: &mut dyn std::io::Write,
) -> anyhow::Result<()> {
    let location = StoreLocation::new(config);
    for row in rows {
        let (mut ctx, recorded) = backfill::catch_up(env, row, u64::MAX);
        if let Some(failure) = &recorded.failure {
            ctx.notices.warn_person(failure);
        }
        for warning in ctx.take_warnings() {
            writeln!(err, "{warning}")?;
        }
        // The next session would wait just as long for it. (A session's own configuration may name another store.)
        match recorded.failure {
            Some(failure) if failure.is_out_of_reach() && location.is_same_store(&ctx.config) => {
                return Err(failure.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The session with this id or unique id prefix.
///
/// # Errors
/// No session matches, or several do.
pub fn find_session<'r>(rows: &'r [SessionRow], id: &str) -> anyhow::Result<&'r SessionRow> {
    if id.is_empty() {
        return Err(UsageError(
            "the session id is empty: name a session by its id, or the beginning of it".into(),
        )
        .into());
    }
    if let Some(row) = rows.iter().find(|row| row.session.id == id) {
        return Ok(row);
    }
    let mut begins = rows.iter().filter(|row| row.session.id.starts_with(id));
    match (begins.next(), begins.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => {
            Err(UsageError(format!("unknown session {id}; `fusebox status --all` lists all sessions")).into())
        }
        (Some(a), Some(b)) => {
            let (a, b) = (&a.session.id, &b.session.id);
            Err(UsageError(format!(
                "several session ids begin with {id}, such as {a} and {b}: use more characters of the id"
            ))
            .into())
        }
    }
}

/// The named session, else the only live one.
///
/// # Errors
/// No or several sessions are live, so one must be named.
pub fn session_or_live<'r>(
    rows: &'r [SessionRow],
    id: Option<&str>,
    env: &Env,
) -> anyhow::Result<&'r SessionRow> {
    if let Some(id) = id {
        return find_session(rows, id);
    }
    let live: Vec<&SessionRow> = rows.iter().filter(|row| process_tree::is_live(row, env.now)).collect();
    match live[..] {
        [only] => Ok(only),
        [] => Err(UsageError(
            "no session is live: name one with --session (`fusebox status --all` lists all sessions)".into(),
        )
        .into()),
        _ => {
            let ids: Vec<&str> = live.iter().map(|row| row.session.id.as_str()).collect();
            Err(UsageError(format!("several sessions are live: name one with --session: {}", ids.join(", ")))
                .into())
        }
    }
}
