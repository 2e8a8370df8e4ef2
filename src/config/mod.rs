//! Configuration: files and variables → one checked [`Config`], with the source of each value.
//!
//! Layers, later ones over earlier ones: built-in defaults; the managed file; the user's file; variables; the
//! project's file, which may only tighten. In the end the managed file bounds the result. (What a variable says,
//! the project's file does not change; a variable that the project's settings name counts as the project's.)
//!
//! `paths` locates the files, `file` and `variable` read assignments from them and from variables; `field` is the table of all
//! keys, `value` the kinds of values they take; `draft` applies layer upon layer, and `effective` makes the configuration from
//! the result. `stamp` detects changes without reading.

mod draft;
mod effective;
mod field;
mod file;
mod paths;
pub mod redis_address;
mod source;
mod stamp;
mod value;
mod variable;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

use self::draft::{Draft, SourcedValue};
use self::file::Layer;
pub use self::paths::project_file;
pub use self::paths::{PathInfo, paths};
use self::paths::{display_path, user_file};
pub use self::source::{EffectiveValue, Problem, Source, printable};
pub use self::stamp::Stamp;
pub use self::value::is_name;
use self::value::{RawValue, ValueKind};
use self::variable::ProjectVariables;
use crate::agents::project_settings;
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::Budget;
use crate::domain::throttle::ThrottleLimits;
use crate::platform::Env;

/// The tenant if none is set.
pub const DEFAULT_TENANT: &str = "default";

/// The configuration in force. Kept in the session cache as the last good one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `false`: hooks do nothing and say nothing.
    pub enabled: bool,
    /// Part of every key in the store.
    pub tenant: String,
    /// The person's team: new sessions are charged to it.
    pub team: Option<String>,
    /// The shared store; `None`: the embedded one.
    #[serde(default)]
    pub redis: Option<RedisConfig>,
    /// Budgets in force, by unique names.
    pub budgets: Vec<Budget>,
    /// When the prompt line is shown.
    #[serde(rename = "brief")]
    pub prompt_line: PromptLineMode,
    /// Command that is run with each alert on its standard input; empty: none.
    pub alert_command: Vec<String>,
    /// The declared task type (`FUSEBOX_TASK_TYPE`).
    pub task_type: Option<String>,
    /// What the circuit breaker trips on. (In the cache only where it is not the default: each hook reads it.)
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub breaker: Policy,
    /// How subagents are throttled; `None`: they are not.
    pub throttle: Option<ThrottleLimits>,
}

/// The connection to the shared store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RedisConfig {
    /// Its address, without a password.
    pub url: String,
    /// The file with the password.
    pub password_file: Option<String>,
    /// Milliseconds to wait for a connection, and for each answer.
    pub timeout_ms: u64,
}

impl Default for Config {
    /// The configuration without any file or variable: one budget.
    fn default() -> Self {
        Draft::new(None).config().unwrap_or_else(|_| Self::none())
    }
}

impl Config {
    /// The configuration if none could be made (a problem says so): Fusebox does nothing.
    fn none() -> Self {
        Self {
            enabled: false,
            tenant: DEFAULT_TENANT.to_owned(),
            team: None,
            redis: None,
            budgets: Vec::new(),
            prompt_line: PromptLineMode::Never,
            alert_command: Vec::new(),
            task_type: None,
            breaker: Policy::default(),
            throttle: None,
        }
    }
}

/// When the prompt line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptLineMode {
    /// With every prompt.
    Always,
    /// From a budget's first threshold on.
    PastThreshold,
    /// Never.
    Never,
}

impl PromptLineMode {
    /// Every choice with the name it has in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("always", Self::Always), ("past_threshold", Self::PastThreshold), ("never", Self::Never)];
}

/// A configuration, with sources, problems and notes.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration. If there are problems: everything else that was set, on top of the defaults and within the managed
    /// file's bounds.
    pub config: Config,
    /// Every value of it.
    pub values: Vec<EffectiveValue>,
    /// What was refused.
    pub problems: Vec<Problem>,
    /// Settings that were taken, but have no effect or not the intended one.
    pub warnings: Vec<Problem>,
    /// Settings that were taken under an old name.
    pub notes: Vec<Problem>,
    /// The state of files and variables before they were read.
    pub stamp: Stamp,
}

impl LoadedConfig {
    /// Whether it can be used: nothing was refused, except settings of the project, which are ignored.
    pub fn is_usable(&self) -> bool {
        self.problems.iter().all(|problem| problem.source.is_project())
    }
}

/// Reads files and variables. Whatever is unreadable or wrong becomes a [`Problem`].
pub fn load(env: &Env, project_dir: Option<&Path>) -> LoadedConfig {
    load_with_managed(env, project_dir, Path::new(paths::MANAGED_FILE))
}

/// The same, with another managed file.
fn load_with_managed(env: &Env, project_dir: Option<&Path>, managed: &Path) -> LoadedConfig {
    // Before reading: a change in between must show as a difference.
    let stamp = Stamp::with_managed(env, project_dir, managed);
    let settings = project_dir.map(project_settings).into_iter().flatten().collect::<Vec<_>>();
    let by_project =
        ProjectVariables::read(settings.iter().map(|path| (path.as_path(), display_path(env, path))));

    let (task_type, refused) = declared_task_type(env, &by_project);
    let mut draft = Draft::new(task_type);
    draft.problems.extend(refused);
    draft.apply(file::read(managed, &Source::Managed(display_path(env, managed))));
    let bounds = draft.clone();

    draft.apply(user_layer(env, &by_project));
    let variables = variable::read(env, &by_project, &draft);
    // Before the project's file, although later in rank: so nothing in the project can make them wrong.
    draft.apply(variables.own);
    if let Some(dir) = project_dir {
        let path = project_file(dir);
        draft.apply(file::read(&path, &Source::Project(display_path(env, &path))));
        draft.problems.extend(by_project.problems());
    }
    draft.apply(variables.project);
    draft.apply(variable::read_pending(&variables.pending, &by_project, &draft));
    draft.bound_by(&bounds);
    draft.check_task_type();
    draft.check_throttle();
    draft.check_windows();

    // If the project sets HOME, the stamp looked at the wrong files.
    let stamp = if by_project.names("HOME") { Stamp::NEVER } else { stamp };
    let config = draft.config().unwrap_or_else(|problem| {
        draft.problems.push(problem);
        Config::none()
    });
    let (values, warnings) = (draft.values(), draft.warnings());
    LoadedConfig { config, values, problems: draft.problems, warnings, notes: draft.notes, stamp }
}

/// The user's file; one that `FUSEBOX_CONFIG` names must be there.
fn user_layer(env: &Env, by_project: &ProjectVariables) -> Layer {
    let Some(path) = user_file(env, |name| by_project.names(name)) else {
        return Layer::default();
    };
    let shown = display_path(env, &path);
    let mut layer = file::read(&path, &Source::User(shown.clone()));
    let named = env.var("FUSEBOX_CONFIG").is_some() && !by_project.names("FUSEBOX_CONFIG");
    if named && !path.exists() {
        let message = format!("must name an existing file (found \"{shown}\")");
        let source = Source::Variable("FUSEBOX_CONFIG".into());
        layer.problems.push(Problem::at(&source, None, "", message));
    }
    layer
}

fn declared_task_type(env: &Env, by_project: &ProjectVariables) -> (Option<SourcedValue>, Option<Problem>) {
    const NAME: &str = "FUSEBOX_TASK_TYPE";
    let Some(text) = env.var(NAME) else {
        return (None, None);
    };
    let source = by_project.source(NAME);
    match ValueKind::Name.parse(&RawValue::Variable(text.to_owned())) {
        Ok(value) => (Some(SourcedValue { value, source }), None),
        Err(message) => (None, Some(Problem::at(&source, None, "", message))),
    }
}
