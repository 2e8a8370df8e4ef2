//! `fusebox init`: registers the hooks in the client's settings and records the installation.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::line_diff::diff;
use super::person_only::refuse_in_agent;
use super::settings_file::{STATUS_LINE, SettingsFile};
use super::settings_scope::SettingsScope;
use crate::agents::claude::hook_entries::{self, ReplacedEntry};
use crate::agents::claude::program;
use crate::agents::claude::registration::{self, EVENTS, events_of, is_supported};
use crate::agents::claude::version::ClientVersion;
use crate::agents::hook::{self, Hook};
use crate::app::installation::Installation;
use crate::app::open_store::StoreLocation;
use crate::app::operator;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::sqlite::make_private_dir;

/// Register the hooks, and the status line if there is none, in Claude Code's settings.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "The settings file is backed up first, and everything else in it stays. Running the command again changes nothing.

Examples:
  fusebox init --dry-run
  fusebox init
  fusebox init --status-line                    instead of another status line
  fusebox init --project --dir ~/work/project   in its shared settings"
)]
pub struct InitArgs {
    /// The settings file
    #[command(flatten)]
    pub place: SettingsScope,
    /// The folder with the hook executables [default: the folder of this program]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// The client for the hooks [default: the claude on the PATH]
    #[arg(long, value_name = "PROGRAM")]
    pub client: Option<PathBuf>,
    /// Set the status line even if there is another one, or for a project
    #[arg(long, conflicts_with = "no_status_line")]
    pub status_line: bool,
    /// Do not set the status line
    #[arg(long)]
    pub no_status_line: bool,
    /// Show what would change without changing anything
    #[arg(long)]
    pub dry_run: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

impl InitArgs {
    /// The version of the client to register hooks for; `None` if no client was found.
    fn client_version(&self, env: &Env, err: &mut dyn Write) -> anyhow::Result<Option<ClientVersion>> {
        let found = self.client.clone().or_else(|| program::find(env.var("PATH").unwrap_or_default()));
        let Some(program) = found else { return Ok(None) };
        match program::version(&program) {
            Ok(version) => Ok(Some(version)),
            Err(problem) if self.client.is_some() => {
                bail!("{}: {problem}. Nothing was changed", program.display())
            }
            Err(problem) => {
                writeln!(err, "fusebox: warning: {}: {problem}; assuming a new version", program.display())?;
                Ok(None)
            }
        }
    }

    /// What to do with the status line. Without being asked, it is only set in the user's own settings: in a project it
    /// would replace that of other people, or the user's.
    fn status_line_change(&self, file: &SettingsFile, env: &Env) -> StatusLineChange {
        let is_ours = file.has_our_status_line(env);
        let is_own_file = !self.place.project && !self.place.local;
        match file.get(STATUS_LINE) {
            _ if self.no_status_line => StatusLineChange::Skipped,
            _ if self.status_line || is_ours => StatusLineChange::Set,
            Some(_) => StatusLineChange::Kept,
            None if is_own_file => StatusLineChange::Set,
            None => StatusLineChange::Skipped,
        }
    }

    /// The absolute path of the folder with the hook executables.
    fn bin_dir(&self, env: &Env) -> anyhow::Result<PathBuf> {
        let dir = match &self.bin_dir {
            // Do not resolve links: one may be meant to outlive an update.
            Some(dir) if dir.is_absolute() => dir.components().collect(),
            Some(dir) => {
                let dir = env.cwd.join(dir);
                dir.canonicalize().with_context(|| dir.display().to_string())?
            }
            None => {
                let program = std::env::current_exe().and_then(std::fs::canonicalize);
                let program =
                    program.context("this program cannot find its own folder; name it with --bin-dir")?;
                program.parent().unwrap_or(&program).to_owned()
            }
        };
        check_binaries(&dir)?;
        Ok(dir)
    }
}

/// Registers the hooks. Returns the exit code.
///
/// # Errors
/// Something is missing or wrong; says what, and what to do. Nothing was registered.
pub fn run(args: &InitArgs, env: &Env, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    if !args.dry_run {
        refuse_in_agent(env, "fusebox init")?;
    }
    let bin_dir = args.bin_dir(env)?;
    let file = SettingsFile::read(&args.place.file(env)?)?;
    let mut hooks = file.hooks();
    let client = args.client_version(env, err)?;
    let replaced = hook_entries::register(&mut hooks, &bin_dir, client, env);
    let status_line = args.status_line_change(&file, env);
    let mut wanted = vec![("hooks", Some(hooks.clone().into()))];
    if status_line == StatusLineChange::Set {
        wanted.push((STATUS_LINE, Some(registration::status_line(&bin_dir))));
    }
    let text = file.with(&wanted)?;
    let (backup, installed_at) = (None, None);
    let mut done =
        InitReport { file: &file, bin_dir: &bin_dir, text, client, status_line, backup, installed_at };
    for line in warnings(&file, &hooks, &replaced) {
        writeln!(err, "fusebox: warning: {line}")?;
    }
    if args.dry_run {
        done.installed_at = env.state_dir().and_then(|dir| Installation::read(&dir)).map(|i| i.installed_at);
    } else {
        // Before the hooks are registered: usage before the first hook is history.
        done.installed_at = Some(record_installation(env, &file, &bin_dir, err)?);
        if let Some(text) = &done.text {
            done.backup = file.replace(text, env.now)?;
        }
    }
    match (args.json, args.dry_run) {
        (true, dry_run) => writeln!(out, "{:#}", done.to_json(dry_run))?,
        (false, true) => write!(out, "{}", done.preview())?,
        (false, false) => write!(out, "{}", done.summary(args, &replaced))?,
    }
    Ok(0)
}

/// Refuses a folder in which an executable is missing or cannot be run: the client would silently skip it.
fn check_binaries(dir: &Path) -> anyhow::Result<()> {
    if dir.to_str().is_none() {
        bail!("{}: the path of the folder must be UTF-8. Move the executables elsewhere", dir.display());
    }
    let mut bad = Vec::new();
    for name in hook::programs() {
        match std::fs::metadata(dir.join(name)) {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {}
            Ok(_) => bad.push(format!("{name} is not executable")),
            Err(_) => bad.push(format!("{name} is missing")),
        }
    }
    if !bad.is_empty() {
        bail!(
            "{}: {}. Build them all with `cargo build --release --bins`, or name their folder with --bin-dir. \
             Nothing was changed",
            dir.display(),
            bad.join(", ")
        );
    }
    Ok(())
}

/// Records the installation in the store and in the state folder. Returns the time of the first installation.
fn record_installation(
    env: &Env,
    file: &SettingsFile,
    bin_dir: &Path,
    err: &mut dyn Write,
) -> anyhow::Result<Timestamp> {
    let config = crate::config::load(env, None).config;
    let (mut store, warning) = StoreLocation::new(&config).open(env, None)?;
    if let Some(warning) = warning {
        writeln!(err, "{warning}")?;
    }
    let state_dir = env.cwd.join(env.state_dir().context("there is no home folder. Set HOME")?);
    // A shared store does not create the folder.
    make_private_dir(&state_dir)?;
    // After a store was lost, earlier usage must not all count as history.
    let noted = Installation::read(&state_dir).map(|i| i.installed_at);
    let installed_at = store.installed_at()?.or(noted).unwrap_or(env.now);
    match store.note_installation(installed_at) {
        // Only a warning, since hooks record without it. No warning if the first installation is already recorded.
        Err(error) if error.is_denied() && store.installed_at()?.is_none() => {
            let command = operator::operator_command(&config, "fusebox init");
            writeln!(
                err,
                "fusebox: warning: the shared store does not know when Fusebox was installed, and this Redis user may only \
                 record: what sessions used before counts against their limits. An operator should run once: {command}"
            )?;
        }
        Err(error) if error.is_denied() => {}
        noted => noted?,
    }
    let installation = Installation {
        installed_at,
        cache_dir: env.cwd.join(env.cache_dir()),
        config: env.user_config().map(|path| env.cwd.join(path)),
        settings_file: file.path().to_owned(),
        binaries: hook::programs().map(|name| bin_dir.join(name)).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
        state_dir,
    };
    installation.write().with_context(|| installation.state_dir.display().to_string())?;
    Ok(installed_at)
}

/// What keeps the hooks from running, or how they ran differently until now.
fn warnings(file: &SettingsFile, hooks: &Map<String, Value>, replaced: &[ReplacedEntry]) -> Vec<String> {
    let path = file.path().display();
    let mut lines = Vec::new();
    if file.get("disableAllHooks") == Some(&true.into()) {
        lines.push(format!("disableAllHooks is true in {path}: no hook runs until it is removed"));
    }
    for entry in hook_entries::fatal_entries(hooks) {
        lines.push(format!("{path}: {entry}; in print mode, Claude Code then ignores all hooks in the file"));
    }
    for old in replaced {
        if let Some(matcher) = &old.matcher {
            let (program, event) = (&old.program, &old.event);
            lines.push(format!(
                "{program} was limited to \"{matcher}\" at {event}; Fusebox needs to see everything"
            ));
        }
    }
    lines
}

/// What was done, or would be done.
struct InitReport<'a> {
    file: &'a SettingsFile,
    bin_dir: &'a Path,
    text: Option<String>,
    client: Option<ClientVersion>,
    status_line: StatusLineChange,
    backup: Option<PathBuf>,
    installed_at: Option<Timestamp>,
}

/// What happens to the status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusLineChange {
    /// It is Fusebox's now.
    Set,
    /// There is another one, which stays.
    Kept,
    /// It was not wanted.
    Skipped,
}

impl StatusLineChange {
    /// The name in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Kept => "kept",
            Self::Skipped => "skipped",
        }
    }
}

impl InitReport<'_> {
    fn to_json(&self, dry_run: bool) -> Value {
        let path = |name: &str| self.bin_dir.join(name).to_string_lossy().into();
        let binaries: Map<String, Value> =
            hook::programs().map(|name| (name.to_owned(), path(name))).collect();
        json!({
            "settings_file": self.file.path().to_string_lossy(),
            "changed": self.text.is_some(),
            "dry_run": dry_run,
            "backup": self.backup.as_ref().map(|path| path.to_string_lossy()),
            "events": EVENTS.map(|(event, _)| event).into_iter().filter(|e| is_supported(e, self.client)).collect::<Vec<_>>(),
            "client": self.client.map(|version| version.to_string()),
            "binaries": binaries,
            "status_line": self.status_line.name(),
            "installed_at": self.installed_at.map(Timestamp::to_rfc3339),
        })
    }

    fn preview(&self) -> String {
        let path = self.file.path().display();
        match &self.text {
            None => format!("Nothing would change in {path}\n"),
            Some(text) => format!("Changes to {path}:\n\n{}", diff(self.file.text(), text)),
        }
    }

    fn summary(&self, args: &InitArgs, replaced: &[ReplacedEntry]) -> String {
        let path = self.file.path().display();
        let Some(_) = &self.text else { return format!("Already registered in {path}; nothing changed\n") };
        let mut text = format!("Hooks registered in {path}\n\n");
        for hook in Hook::ALL {
            let events: Vec<_> = events_of(hook).filter(|event| is_supported(event, self.client)).collect();
            text += &format!("  {:<14} {}\n", hook.name(), events.join(", "));
        }
        if self.status_line == StatusLineChange::Set {
            text += &format!("  {:<14} the line below the prompt\n", hook::STATUS_LINE);
        }
        text += &format!("\nFolder    {}\n", self.bin_dir.display());
        if let Some(client) = self.client {
            text += &format!("Client    {client}\n");
        }
        if let Some(backup) = &self.backup {
            text += &format!("Backup    {}\n", backup.display());
        }
        let mut programs: Vec<_> = replaced.iter().map(|old| old.program.as_str()).collect();
        programs.sort_unstable();
        programs.dedup();
        for program in programs {
            text += &format!("Replaced  {program}\n");
        }
        if self.status_line == StatusLineChange::Kept {
            text += "\nYour own status line stays. `fusebox init --status-line` replaces it by Fusebox's; `fusebox uninstall` \
                     then brings it back.\n";
        }
        if args.place.project {
            text += "\nThis file is often committed, but the folder is on this machine; --local keeps the change to yourself.\n";
        }
        text + "\nNext: start a new Claude Code session, then check it with `fusebox status`.\n"
    }
}
