//! Configuration: files and variables → one checked [`Config`], with the source of each value.
//!
//! Layers, later ones over earlier ones: built-in defaults; the managed file; the user's file; variables; the
//! project's file, which may only tighten. In the end the managed file bounds the result. (What a variable says,
//! the project's file does not change; a variable that the project's settings name counts as the project's.)
//!
//! `place` says where the files are, `file` and `variable` read what is stated, with line or name; `field` is the
//! table of all keys, `value` the kinds of values they take; `draft` puts layer upon layer, and `effective` makes
//! the configuration of the result. `stamp` tells whether anything changed since, without reading.

mod draft;
mod effective;
mod field;
mod file;
mod place;
pub mod redis_address;
mod source;
mod stamp;
mod value;
mod variable;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

use self::draft::{Draft, Held};
use self::file::Layer;
pub use self::place::project_file;
pub use self::place::{Place, places};
use self::place::{shown_path, user_file};
pub use self::source::{Effective, Problem, Source, shown};
pub use self::stamp::Stamp;
pub use self::value::is_name;
use self::value::{Kind, Raw};
use self::variable::ByProject;
use crate::agents::project_settings;
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::Budget;
use crate::domain::throttle::ThrottleLimits;
use crate::platform::Env;

/// Where no tenant is named.
pub const DEFAULT_TENANT: &str = "default";

/// What holds. Kept in the session cache as the last good configuration.
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
    pub brief: Show,
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

/// Where the shared store is.
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
    /// What holds without any configuration: one budget.
    fn default() -> Self {
        Draft::new(None).config().unwrap_or_else(|_| Self::none())
    }
}

impl Config {
    /// What holds where no configuration could be made, which a problem says: nothing is done.
    fn none() -> Self {
        Self {
            enabled: false,
            tenant: DEFAULT_TENANT.to_owned(),
            team: None,
            redis: None,
            budgets: Vec::new(),
            brief: Show::Never,
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
pub enum Show {
    /// With every prompt.
    Always,
    /// From a budget's first threshold on.
    PastThreshold,
    /// Never.
    Never,
}

impl Show {
    /// Every choice with the name it has in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("always", Self::Always), ("past_threshold", Self::PastThreshold), ("never", Self::Never)];
}

/// A configuration, and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds. Where there are problems: everything else that was said, on top of the defaults and within the
    /// managed file's bounds.
    pub config: Config,
    /// Every value of it.
    pub values: Vec<Effective>,
    /// What was refused.
    pub problems: Vec<Problem>,
    /// What was taken, and does not do what was meant.
    pub warnings: Vec<Problem>,
    /// The state of files and variables before they were read.
    pub stamp: Stamp,
}

impl Loaded {
    /// Whether it may be used: nothing was refused, except of the project's, which is left out.
    pub fn is_usable(&self) -> bool {
        self.problems.iter().all(|problem| problem.source.is_project())
    }
}

/// Reads files and variables. What cannot be read or is wrong becomes a [`Problem`].
pub fn load(env: &Env, project_dir: Option<&Path>) -> Loaded {
    load_bounded_by(env, project_dir, Path::new(place::MANAGED))
}

/// The same, with another managed file.
fn load_bounded_by(env: &Env, project_dir: Option<&Path>, managed: &Path) -> Loaded {
    // Before reading: a change in between must show as a difference.
    let stamp = Stamp::bounded_by(env, project_dir, managed);
    let settings = project_dir.map(project_settings).into_iter().flatten().collect::<Vec<_>>();
    let by_project = ByProject::of(settings.iter().map(|path| (path.as_path(), shown_path(env, path))));

    let (task_type, refused) = declared_task_type(env, &by_project);
    let mut draft = Draft::new(task_type);
    draft.problems.extend(refused);
    draft.apply(file::read(managed, &Source::Managed(shown_path(env, managed))));
    let bounds = draft.clone();

    draft.apply(user_layer(env, &by_project));
    let variables = variable::read(env, &by_project, &draft);
    // Before the project's file, although later in rank: so nothing in the project can make them wrong.
    draft.apply(variables.own);
    if let Some(dir) = project_dir {
        let path = project_file(dir);
        draft.apply(file::read(&path, &Source::Project(shown_path(env, &path))));
        draft.problems.extend(by_project.problems());
    }
    draft.apply(variables.project);
    draft.apply(variable::read_pending(&variables.pending, &by_project, &draft));
    draft.hold_to(&bounds);
    draft.check_task_type();
    draft.check_throttle();
    draft.check_windows();

    // With the project's word for the home, the stamp looked at the wrong files.
    let stamp = if by_project.names("HOME") { Stamp::NEVER } else { stamp };
    let config = draft.config().unwrap_or_else(|problem| {
        draft.problems.push(problem);
        Config::none()
    });
    let (values, warnings) = (draft.values(), draft.warnings());
    Loaded { config, values, problems: draft.problems, warnings, stamp }
}

/// The user's file; one that `FUSEBOX_CONFIG` names must be there.
fn user_layer(env: &Env, by_project: &ByProject) -> Layer {
    let Some(path) = user_file(env, |name| by_project.names(name)) else {
        return Layer::default();
    };
    let shown = shown_path(env, &path);
    let mut layer = file::read(&path, &Source::User(shown.clone()));
    let named = env.var("FUSEBOX_CONFIG").is_some() && !by_project.names("FUSEBOX_CONFIG");
    if named && !path.exists() {
        let message = format!("must name a file that is there (found \"{shown}\")");
        let source = Source::Variable("FUSEBOX_CONFIG".into());
        layer.problems.push(Problem::at(&source, None, "", message));
    }
    layer
}

fn declared_task_type(env: &Env, by_project: &ByProject) -> (Option<Held>, Option<Problem>) {
    const NAME: &str = "FUSEBOX_TASK_TYPE";
    let Some(text) = env.var(NAME) else {
        return (None, None);
    };
    let source = by_project.source(NAME);
    match Kind::Name.parse(&Raw::Variable(text.to_owned())) {
        Ok(value) => (Some(Held { value, source }), None),
        Err(message) => (None, Some(Problem::at(&source, None, "", message))),
    }
}
