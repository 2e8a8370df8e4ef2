//! Does a tool call change Fusebox itself? The places that are protected here, and where paths lead.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::session::SessionContext;
use crate::agents;
use crate::agents::tool::Reached;
use crate::config;
use crate::domain::protection::protected_path::ProtectedPath;
use crate::domain::protection::{
    self, ChangeExtent, PathChange, ProtectedKind, ProtectionReason, ShellContext, Suspicion, has_marker,
};
use crate::platform::{self, files};

/// The executables.
const EXECUTABLES: [&str; 6] =
    ["fusebox", "pre-tool-use", "post-tool-use", "prompt-submit", "session-event", "status-line"];

/// Bytes of a settings file that are read.
const MAX_SETTINGS: u64 = 1 << 20;

/// What stands against a call of `tool` with `input` (JSON), because it would change what guards the agent.
pub fn protects(ctx: &SessionContext, tool: &str, input: &str) -> Option<ProtectionReason> {
    if !ctx.config.enabled {
        return None;
    }
    let client = ctx.source.client.guarded();
    let home = ctx.env.home().unwrap_or_else(|| "/".into());
    let cwd = ctx.source.cwd.as_deref().unwrap_or(&ctx.env.cwd);
    let (home, cwd) = (home.to_string_lossy(), cwd.to_string_lossy());
    let at = ShellContext { vars: &ctx.env.vars, home: &home, cwd: &cwd, client };
    // What may say that something is ours: not all that a file is filled with.
    let (found, said) = match ctx.source.client.reaches(tool, input) {
        Reached::Command(command) => (protection::check_command(&command, at), command),
        Reached::File(path) => (protection::check_file_change(&path, input, at), path),
        Reached::Unknown if client.is_mentioned(input) => (of_other(tool, input, at), input.to_owned()),
        Reached::Unknown | Reached::Nothing => return None,
    };
    if found.is_empty() {
        return None;
    }
    let named = client.is_mentioned(&said);
    let mut eyes = Eyes { ctx, named, places: None, real: None };
    found.iter().find_map(|finding| eyes.reason(finding))
}

/// Everything that is protected here.
fn protected(ctx: &SessionContext) -> Vec<ProtectedPath> {
    let own = ctx.env;
    let cwd = ctx.source.cwd.as_deref().unwrap_or(&own.cwd);
    let text = |path: PathBuf| own.cwd.join(path).to_string_lossy().into_owned();
    let folder = |path: PathBuf, kind| ProtectedPath::folder(text(path), kind);
    let file = |path: PathBuf, kind| ProtectedPath::file(text(path), kind);
    let (configuration, settings) = (ProtectedKind::Configuration, ProtectedKind::Registration);
    let mut places =
        vec![folder(own.cache_dir(), ProtectedKind::Cache), folder("/etc/fusebox".into(), configuration)];
    places.extend(own.state_dir().map(|dir| folder(dir, ProtectedKind::State)));
    places.extend(own.user_config().map(|path| file(path, configuration)));
    if let Some(home) = own.home() {
        // Where a terminal, or a client with fewer variables, looks.
        places.push(folder(home.join(".local/state/fusebox"), ProtectedKind::State));
        places.push(folder(home.join(".config/fusebox"), configuration));
    }
    let project = agents::project_dir(own, cwd);
    for dir in [project.as_path(), cwd] {
        places.push(file(config::project_file(dir), configuration));
    }
    let (folders, files) = ctx.source.client.settings(own, &[&project, cwd]);
    places.extend(folders.into_iter().map(|path| folder(path, settings)));
    places.extend(files.into_iter().map(|path| file(path, settings)));
    if let Some(bin) = platform::program_dir() {
        places.extend(EXECUTABLES.map(|name| file(bin.join(name), ProtectedKind::Executable)));
    }
    places
}

/// Tools of servers, and tools that came later: what their input calls a command, or a path.
fn of_other(tool: &str, input: &str, at: ShellContext) -> Vec<Suspicion> {
    const COMMANDS: [&str; 4] = ["command", "cmd", "script", "code"];
    const PATHS: [&str; 7] = ["path", "file_path", "filename", "file", "destination", "source", "target"];
    const READS: [&str; 8] = ["read", "get", "list", "search", "find", "view", "info", "show"];
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(input) else { return Vec::new() };
    let verb = tool.rsplit("__").next().unwrap_or(tool).to_lowercase();
    let reads = READS.iter().any(|word| verb.starts_with(word));
    let mut found = Vec::new();
    for (name, value) in &fields {
        let Some(text) = value.as_str() else { continue };
        if COMMANDS.contains(&name.as_str()) {
            found.extend(protection::check_command(text, at));
        } else if PATHS.contains(&name.as_str()) && !reads {
            found.extend(protection::check_file_change(text, input, at));
        }
    }
    found
}

/// Who looks where paths lead, and as seldom as can be.
struct Eyes<'g, 'e> {
    ctx: &'g SessionContext<'e>,
    /// Whether the call names anything that sounds like ours.
    named: bool,
    places: Option<Vec<ProtectedPath>>,
    /// The same, with symbolic links followed.
    real: Option<Vec<ProtectedPath>>,
}

impl Eyes<'_, '_> {
    fn reason(&mut self, finding: &Suspicion) -> Option<ProtectionReason> {
        match finding {
            Suspicion::Forbidden(reason) => Some(reason.clone()),
            Suspicion::PathChanged(touch) => self.kind_of(touch).map(ProtectionReason::Path),
            Suspicion::ProgramRun { path, command } => self
                .is_executable(path, |name| name == "fusebox")
                .then_some(ProtectionReason::Command(command)),
            Suspicion::HookStarted(path) => {
                self.is_executable(path, |name| name != "fusebox").then_some(ProtectionReason::Hooks)
            }
            Suspicion::ClientSettings(path) => {
                use std::io::Read;
                let mut text = String::new();
                std::fs::File::open(path).ok()?.take(MAX_SETTINGS).read_to_string(&mut text).ok()?;
                self.ctx.source.client.guarded().is_weakened_by(&text).then_some(ProtectionReason::Client)
            }
        }
    }

    fn is_executable(&mut self, path: &str, wanted: impl Fn(&str) -> bool) -> bool {
        if !path.contains('/') {
            return true;
        }
        let touch = PathChange {
            path: path.to_owned(),
            extent: ChangeExtent::Itself,
            names: Vec::new(),
            is_certain: true,
        };
        let is_one = |place: &ProtectedPath| {
            place.kind == ProtectedKind::Executable
                && place.is_changed_by(&touch)
                && Path::new(&place.path).file_name().and_then(|n| n.to_str()).is_some_and(&wanted)
        };
        if self.places().iter().any(is_one) {
            return true;
        }
        let Some(touch) = led(&touch) else { return false };
        self.real().iter().any(|place| place.kind == ProtectedKind::Executable && place.is_changed_by(&touch))
    }

    fn kind_of(&mut self, touch: &PathChange) -> Option<ProtectedKind> {
        let touched = |places: &[ProtectedPath], touch: &PathChange| {
            places.iter().find(|p| p.is_changed_by(touch)).map(|p| p.kind)
        };
        if let Some(kind) = touched(self.places(), touch) {
            return Some(kind);
        }
        if !touch.is_certain && !self.named {
            return None;
        }
        let led = led(touch)?;
        // Nothing led elsewhere, and nothing sounds like ours: the places need no look.
        if led.path == touch.path && !self.named {
            return None;
        }
        touched(self.real(), &led)
    }

    fn places(&mut self) -> &[ProtectedPath] {
        self.places.get_or_insert_with(|| protected(self.ctx))
    }

    fn real(&mut self) -> &[ProtectedPath] {
        if self.real.is_none() {
            let real = |place: &ProtectedPath| ProtectedPath { path: follow(&place.path), ..place.clone() };
            let real = self.places().iter().map(real).collect();
            self.real = Some(real);
        }
        self.real.as_deref().unwrap_or_default()
    }
}

/// The same with the symbolic links in its path followed, up to the first pattern.
fn led(touch: &PathChange) -> Option<PathChange> {
    touch.path.starts_with('/').then(|| PathChange { path: follow(&touch.path), ..touch.clone() })
}

/// Where a path leads; what does not exist, or is a pattern, stays as it is.
fn follow(path: &str) -> String {
    if files::is_straight(Path::new(path)) {
        return path.to_owned();
    }
    let whole = Path::new(path);
    for known in whole.ancestors() {
        if has_marker(&known.to_string_lossy()) {
            continue;
        }
        if let Ok(real) = known.canonicalize() {
            let rest = whole.strip_prefix(known).unwrap_or(Path::new(""));
            let real = if rest.as_os_str().is_empty() { real } else { real.join(rest) };
            return real.to_string_lossy().into_owned();
        }
    }
    path.to_owned()
}
