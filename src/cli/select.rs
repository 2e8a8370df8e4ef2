//! Which session is meant, and a store that is ready to be asked.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Misuse;
use crate::app::guard::{Call, Guard};
use crate::app::operation_ledger::OperationLedger;
use crate::app::{ancestry, rebuild};
use crate::config::Config;
use crate::env::Env;
use crate::store::SessionRow;

/// A guard for commands that concern no session in particular: the configuration is that of the working folder.
///
/// # Errors
/// The configuration cannot be used, or the store cannot be opened.
pub fn guard<'a>(env: &'a Env, err: &mut dyn std::io::Write) -> anyhow::Result<Guard<'a>> {
    let (mut guard, is_rebuilding) = opened(env, err)?;
    if is_rebuilding {
        fill(env, &guard.config);
    } else if let Some(dir) = env.state_dir() {
        // A decision is of no session that could notice that it was lost.
        let ledger = OperationLedger::of(&dir, &guard.config);
        guard.with_store(|store| ledger.replay(store, None));
    }
    Ok(guard)
}

/// The same, with a store that may have lost what it knew: whether it is to be filled.
///
/// # Errors
/// The configuration cannot be used, or the store cannot be opened.
pub fn opened<'a>(env: &'a Env, err: &mut dyn std::io::Write) -> anyhow::Result<(Guard<'a>, bool)> {
    let loaded = crate::config::load(env, Some(&env.project_dir(&env.cwd)));
    if !loaded.is_usable() {
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        return Err(Misuse(problems.join("\n")).into());
    }
    let mut guard = Guard::new(env, Call::default());
    guard.config = loaded.config;
    let is_rebuilding = |guard: &mut Guard| {
        guard.with_store(|store| {
            rebuild::look_for_loss(env, store)?;
            store.is_rebuilding()
        })
    };
    // A store that turns out to be damaged is set aside, and the next one is new.
    let answer = is_rebuilding(&mut guard).or_else(|| is_rebuilding(&mut guard));
    for warning in guard.tell.drain(..) {
        writeln!(err, "{warning}")?;
    }
    match answer {
        Some(is_rebuilding) => Ok((guard, is_rebuilding)),
        None => Err(anyhow::anyhow!("{}", guard.notes.join("; "))),
    }
}

/// Fills a store that lost what it knew, and shows how far that is.
fn fill(env: &Env, config: &Config) {
    let bar = bar("rebuilding the store");
    rebuild::rebuild(env, config, None, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
}

/// A bar that says how many sessions are done of something that takes long.
pub fn bar(what: &str) -> ProgressBar {
    // Drawn on standard error, and only where that is a terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = format!("{what} {{wide_bar}} {{pos}}/{{len}} sessions {{eta}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The sessions that the store knows, last seen first.
///
/// # Errors
/// The store cannot be read.
pub fn sessions(guard: &mut Guard) -> anyhow::Result<Vec<SessionRow>> {
    let noted = guard.notes.len();
    let rows = guard.with_store(|store| store.sessions());
    rows.ok_or_else(|| anyhow::anyhow!("{}", guard.notes[noted..].join("; ")))
}

/// The session with this id, or the only one whose id begins so.
///
/// # Errors
/// There is none, or there are several.
pub fn named<'r>(rows: &'r [SessionRow], id: &str) -> anyhow::Result<&'r SessionRow> {
    if id.is_empty() {
        return Err(Misuse("the session's id is empty: give one, or the beginning of one".into()).into());
    }
    if let Some(row) = rows.iter().find(|row| row.session.id == id) {
        return Ok(row);
    }
    let mut begins = rows.iter().filter(|row| row.session.id.starts_with(id));
    match (begins.next(), begins.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => {
            Err(Misuse(format!("no session {id} is known; `fusebox status --all` lists them")).into())
        }
        (Some(a), Some(b)) => {
            let (a, b) = (&a.session.id, &b.session.id);
            Err(Misuse(format!("several sessions begin with {id}, such as {a} and {b}: give more of the id"))
                .into())
        }
    }
}

/// The session named, else the only live one.
///
/// # Errors
/// None or several are live: it must be named.
pub fn one<'r>(rows: &'r [SessionRow], id: Option<&str>, env: &Env) -> anyhow::Result<&'r SessionRow> {
    if let Some(id) = id {
        return named(rows, id);
    }
    let live: Vec<&SessionRow> = rows.iter().filter(|row| ancestry::is_live(row, env.now)).collect();
    match live[..] {
        [only] => Ok(only),
        [] => Err(Misuse(
            "no session is live: name one with --session (`fusebox status --all` lists them)".into(),
        )
        .into()),
        _ => {
            let ids: Vec<&str> = live.iter().map(|row| row.session.id.as_str()).collect();
            Err(Misuse(format!("several sessions are live: name one with --session: {}", ids.join(", ")))
                .into())
        }
    }
}
