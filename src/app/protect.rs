//! Whether a tool call would change Fusebox itself: checks it against the protected paths of this machine, with
//! symbolic links resolved.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::session::SessionContext;
use crate::agents;
use crate::agents::tool::ToolTarget;
use crate::config;
use crate::domain::protection::protected_path::ProtectedPath;
use crate::domain::protection::{
    self, ChangeExtent, PathChange, ProtectedKind, ProtectionReason, ShellContext, Suspicion, has_marker,
};
use crate::platform::{self, files};

/// Fusebox's executables.
const EXECUTABLES: [&str; 6] =
    ["fusebox", "pre-tool-use", "post-tool-use", "prompt-submit", "session-event", "status-line"];

/// The maximum number of bytes read from a settings file.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Why a call of `tool` with `input` (JSON) must be denied: it would change what guards the agent.
pub fn protection_reason(ctx: &SessionContext, tool: &str, input: &str) -> Option<ProtectionReason> {
    if !ctx.config.enabled {
        return None;
    }
    let client = ctx.source.client.protected_client();
    let home = ctx.env.home().unwrap_or_else(|| "/".into());
    let cwd = ctx.source.cwd.as_deref().unwrap_or(&ctx.env.cwd);
    let (home, cwd) = (home.to_string_lossy(), cwd.to_string_lossy());
    let at = ShellContext { vars: &ctx.env.vars, home: &home, cwd: &cwd, client };
    // The text that may mention Fusebox, without content written to a file.
    let (found, said) = match ctx.source.client.tool_target(tool, input) {
        ToolTarget::Command(command) => (protection::check_command(&command, at), command),
        ToolTarget::File(path) => (protection::check_file_change(&path, input, at), path),
        ToolTarget::ReadFile(path) => (protection::check_file_read(&path, at), path),
        ToolTarget::Unknown if client.is_mentioned(input) => {
            (findings_of_other_tool(tool, input, at), input.to_owned())
        }
        ToolTarget::Unreadable => return Some(ProtectionReason::Unreadable),
        ToolTarget::Unknown | ToolTarget::Nothing => return None,
    };
    if found.is_empty() {
        return None;
    }
    let mentions_fusebox = client.is_mentioned(&said);
    let mut paths = ProtectedPaths { ctx, mentions_fusebox, places: None, resolved: None };
    found.iter().find_map(|finding| paths.reason(finding))
}

/// All protected paths on this machine.
fn protected_places(ctx: &SessionContext) -> Vec<ProtectedPath> {
    let own = ctx.env;
    let cwd = ctx.source.cwd.as_deref().unwrap_or(&own.cwd);
    let text = |path: PathBuf| own.cwd.join(path).to_string_lossy().into_owned();
    let folder = |path: PathBuf, kind| ProtectedPath::folder(text(path), kind);
    let file = |path: PathBuf, kind| ProtectedPath::file(text(path), kind);
    let (configuration, settings) = (ProtectedKind::Configuration, ProtectedKind::Registration);
    let mut places =
        vec![folder(own.cache_dir(), ProtectedKind::Cache), folder("/etc/fusebox".into(), configuration)];
    places.extend(own.state_dir().map(|dir| folder(dir, ProtectedKind::State)));
    // Before the folder that it is in: the first place found is the reason.
    let tokens = own.user_config().map(|path| path.with_file_name(protection::TOKEN_FILE));
    let of_home = own.home().map(|home| home.join(".config/fusebox").join(protection::TOKEN_FILE));
    places.splice(0..0, tokens.into_iter().chain(of_home).map(|path| file(path, ProtectedKind::Tokens)));
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
    let (folders, files) = ctx.source.client.settings_paths(own, &[&project, cwd]);
    places.extend(folders.into_iter().map(|path| folder(path, settings)));
    places.extend(files.into_iter().map(|path| file(path, settings)));
    if let Some(bin) = platform::program_dir() {
        places.extend(EXECUTABLES.map(|name| file(bin.join(name), ProtectedKind::Executable)));
    }
    places
}

/// Findings for MCP tools and unknown tools, from the fields of their input that contain commands or paths.
fn findings_of_other_tool(tool: &str, input: &str, at: ShellContext) -> Vec<Suspicion> {
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
        } else if PATHS.contains(&name.as_str()) {
            found.extend(protection::check_file_read(text, at));
            if !reads {
                found.extend(protection::check_file_change(text, input, at));
            }
        }
    }
    found
}

/// The protected paths. Listed, and their symbolic links resolved, only when needed.
struct ProtectedPaths<'g, 'e> {
    ctx: &'g SessionContext<'e>,
    /// Whether the call mentions Fusebox or the client.
    mentions_fusebox: bool,
    places: Option<Vec<ProtectedPath>>,
    /// The protected paths with symbolic links resolved.
    resolved: Option<Vec<ProtectedPath>>,
}

impl ProtectedPaths<'_, '_> {
    fn reason(&mut self, finding: &Suspicion) -> Option<ProtectionReason> {
        match finding {
            Suspicion::Forbidden(reason) => Some(reason.clone()),
            Suspicion::PathChanged(touch) => self.kind_of(touch).map(ProtectionReason::Path),
            Suspicion::PathRead(touch) => {
                self.kind_of(touch).filter(|kind| *kind == ProtectedKind::Tokens).map(ProtectionReason::Path)
            }
            Suspicion::ProgramRun { path, command } => self
                .is_executable(path, |name| name == "fusebox")
                .then_some(ProtectionReason::Command(command)),
            Suspicion::HookStarted(path) => {
                self.is_executable(path, |name| name != "fusebox").then_some(ProtectionReason::Hooks)
            }
            // Not a folder with such a name.
            Suspicion::ClientCopied(path) => Path::new(path).is_file().then_some(ProtectionReason::Client),
            Suspicion::ClientSettings(path) => {
                use std::io::Read;
                let mut text = String::new();
                std::fs::File::open(path).ok()?.take(MAX_SETTINGS_BYTES).read_to_string(&mut text).ok()?;
                self.ctx
                    .source
                    .client
                    .protected_client()
                    .is_weakened_by(&text)
                    .then_some(ProtectionReason::Client)
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
        let Some(touch) = resolve_touch(&touch) else { return false };
        self.resolved()
            .iter()
            .any(|place| place.kind == ProtectedKind::Executable && place.is_changed_by(&touch))
    }

    fn kind_of(&mut self, touch: &PathChange) -> Option<ProtectedKind> {
        let touched = |places: &[ProtectedPath], touch: &PathChange| {
            places.iter().find(|p| p.is_changed_by(touch)).map(|p| p.kind)
        };
        if let Some(kind) = touched(self.places(), touch) {
            return Some(kind);
        }
        if !touch.is_certain && !self.mentions_fusebox {
            return None;
        }
        let led = resolve_touch(touch)?;
        // No symbolic link, and no mention of Fusebox: resolving the protected paths is unnecessary.
        if led.path == touch.path && !self.mentions_fusebox {
            return None;
        }
        touched(self.resolved(), &led)
    }

    fn places(&mut self) -> &[ProtectedPath] {
        self.places.get_or_insert_with(|| protected_places(self.ctx))
    }

    fn resolved(&mut self) -> &[ProtectedPath] {
        if self.resolved.is_none() {
            let real =
                |place: &ProtectedPath| ProtectedPath { path: resolve_links(&place.path), ..place.clone() };
            let real = self.places().iter().map(real).collect();
            self.resolved = Some(real);
        }
        self.resolved.as_deref().unwrap_or_default()
    }
}

/// The same change, with symbolic links in its path resolved up to the first pattern.
fn resolve_touch(touch: &PathChange) -> Option<PathChange> {
    touch.path.starts_with('/').then(|| PathChange { path: resolve_links(&touch.path), ..touch.clone() })
}

/// Resolves symbolic links in a path. Parts that do not exist, or are patterns, stay unchanged.
fn resolve_links(path: &str) -> String {
    if files::has_no_symlinks(Path::new(path)) {
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
