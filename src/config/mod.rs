//! Configuration: reads files and variables into one checked [`Config`], with the source of each value.
//!
//! Layers, each overriding those before it: built-in defaults, the managed file, the user's file, variables, and the
//! project's file, which may only tighten. Finally, the managed file bounds the result. (The project's file does not
//! override variables; a variable that the project's settings name counts as the project's.)
//!
//! `paths` locates the files; `file` and `variable` read assignments. `field` is the table of all keys, and `value`
//! defines their types. `table` has the tables with names: budgets, rates, platforms. `draft` applies the layers, `limits`
//! and `scopes` check budgets, and `bounds` applies the managed file's. `effective` builds the configuration from the
//! result, `prices` and `platforms` their parts of it. `stamp` detects changes without reading.

mod bounds;
mod checked;
mod draft;
mod effective;
mod field;
mod file;
mod limits;
mod paths;
mod platforms;
mod prices;
pub mod redis_address;
mod scopes;
mod source;
mod stamp;
mod status_line;
mod table;
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
pub use self::status_line::{StatusLineConfig, StatusPart};
pub use self::value::is_name;
use self::value::{RawValue, ValueKind};
use self::variable::ProjectVariables;
use crate::agents::project_settings;
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::Budget;
use crate::domain::platform::Platform;
use crate::domain::throttle::ThrottleLimits;
use crate::platform::Env;
use crate::prices::Prices;

/// The default tenant.
pub const DEFAULT_TENANT: &str = "default";

/// The configuration in force. The session cache keeps the last valid one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `false`: hooks do nothing.
    pub enabled: bool,
    /// Part of every key in the store.
    pub tenant: String,
    /// The platforms whose calls are counted.
    #[serde(default)]
    pub platforms: Vec<Platform>,
    /// The person's team, which new sessions are charged to.
    pub team: Option<String>,
    /// The shared store; `None`: the embedded one.
    #[serde(default)]
    pub redis: Option<RedisConfig>,
    /// Budgets in force, with unique names.
    pub budgets: Vec<Budget>,
    /// When the prompt line is shown.
    #[serde(rename = "brief")]
    pub prompt_line: PromptLineMode,
    /// Command that gets each alert on its standard input; empty: none.
    pub alert_command: Vec<String>,
    /// The declared task type (`FUSEBOX_TASK_TYPE`).
    pub task_type: Option<String>,
    /// When the circuit breaker trips. (In the cache only if it is not the default, because each hook reads it.)
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub breaker: Policy,
    /// Limits on subagents; `None`: no throttling.
    pub throttle: Option<ThrottleLimits>,
    /// What models cost. (In the cache only if it is not the default, because each hook reads it.)
    #[serde(default, skip_serializing_if = "Prices::is_default")]
    pub prices: Prices,
    /// What the status line shows. (In the cache only if it is not the default.)
    #[serde(default, skip_serializing_if = "StatusLineConfig::is_default")]
    pub status_line: StatusLineConfig,
}

/// The connection to the shared store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RedisConfig {
    /// The address, without a password.
    pub url: String,
    /// The file with the password.
    pub password_file: Option<String>,
    /// Timeout for connecting and for each reply, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Config {
    /// The configuration without any file or variable: one budget.
    fn default() -> Self {
        Draft::new(None).config().unwrap_or_else(|_| Self::none())
    }
}

impl Config {
    /// The configuration if none could be built (a problem says so): Fusebox does nothing.
    fn none() -> Self {
        Self {
            enabled: false,
            tenant: DEFAULT_TENANT.to_owned(),
            platforms: Vec::new(),
            team: None,
            redis: None,
            budgets: Vec::new(),
            prompt_line: PromptLineMode::Never,
            alert_command: Vec::new(),
            task_type: None,
            breaker: Policy::default(),
            throttle: None,
            prices: Prices::default(),
            status_line: StatusLineConfig::default(),
        }
    }
}

/// When the prompt line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptLineMode {
    /// With every prompt.
    Always,
    /// Once a budget reaches its first threshold.
    PastThreshold,
    /// Never.
    Never,
}

impl PromptLineMode {
    /// Every choice and its name in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("always", Self::Always), ("past_threshold", Self::PastThreshold), ("never", Self::Never)];
}

/// A configuration with sources, problems and notes.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration. Refused values are left out; the managed file's bounds still apply.
    pub config: Config,
    /// Every value in it.
    pub values: Vec<EffectiveValue>,
    /// Refused values.
    pub problems: Vec<Problem>,
    /// Settings that were accepted, but have no effect or an unintended one.
    pub warnings: Vec<Problem>,
    /// Settings that were accepted under an old name.
    pub notes: Vec<Problem>,
    /// The state of files and variables, taken before reading them.
    pub stamp: Stamp,
}

impl LoadedConfig {
    /// Whether it can be used: nothing was refused except the project's settings, which are ignored.
    pub fn is_usable(&self) -> bool {
        self.problems.iter().all(|problem| problem.source.is_project())
    }
}

/// Reads files and variables. Anything unreadable or wrong becomes a [`Problem`].
pub fn load(env: &Env, project_dir: Option<&Path>) -> LoadedConfig {
    load_with_managed(env, project_dir, Path::new(paths::MANAGED_FILE))
}

/// Like [`load`], with another managed file.
fn load_with_managed(env: &Env, project_dir: Option<&Path>, managed: &Path) -> LoadedConfig {
    // Taken before reading, so that a change in between is detected.
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
    // Applied before the project's file, although it ranks higher: then nothing in the project can invalidate it.
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
    draft.check_units();

    // If the project sets HOME, the stamp covers the wrong files.
    let stamp = if by_project.names("HOME") { Stamp::NEVER } else { stamp };
    let config = draft.config().unwrap_or_else(|problem| {
        draft.problems.push(problem);
        Config::none()
    });
    let (values, warnings) = (draft.values(), draft.warnings());
    LoadedConfig { config, values, problems: draft.problems, warnings, notes: draft.notes, stamp }
}

/// The user's file. If `FUSEBOX_CONFIG` names it, it must exist.
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
