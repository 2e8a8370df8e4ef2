//! Tests of the configuration with files in a temporary home folder.

mod layers;
mod managed;
mod platforms;
mod prices;
mod project;
mod rates;
mod refusals;
mod renamed;
mod scopes;
mod stamp;
mod tightening;

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::{LoadedConfig, Source, Stamp, load_with_managed};
use crate::domain::budget::Budget;
use crate::domain::time::Timestamp;
use crate::platform::Env;

const USER: &str = "~/.config/fusebox/config.toml";
const PROJECT: &str = "~/work/.claude/fusebox.toml";
const MANAGED: &str = "~/etc/config.toml";

/// A home folder with the user's file, a project in `~/work` and a managed file in `~/etc`.
struct Case {
    home: TempDir,
    env: Env,
}

impl Case {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let mut case = Self {
            env: Env { now: Timestamp(0), vars: Default::default(), cwd: home.path().into(), uid: 12345 },
            home,
        };
        let home = case.home.path().to_str().unwrap().to_owned();
        case.env.vars.insert("HOME".into(), home);
        case
    }

    /// A case with this user's file.
    fn user(text: &str) -> Self {
        Self::new().with(USER, text)
    }

    fn path(&self, shown: &str) -> PathBuf {
        self.home.path().join(shown.trim_start_matches("~/"))
    }

    fn write(&self, shown: &str, text: impl AsRef<[u8]>) {
        let path = self.path(shown);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn with(self, shown: &str, text: &str) -> Self {
        self.write(shown, text);
        self
    }

    fn project(self, text: &str) -> Self {
        self.with(PROJECT, text)
    }

    fn managed(self, text: &str) -> Self {
        self.with(MANAGED, text)
    }

    /// Sets a variable in the person's environment.
    fn var(mut self, name: &str, value: &str) -> Self {
        self.env.vars.insert(name.into(), value.into());
        self
    }

    /// Sets a variable in the project's settings.
    fn project_var(self, name: &str, value: &str) -> Self {
        let path = self.path("~/work/.claude/settings.json");
        let text = std::fs::read_to_string(path).unwrap_or_else(|_| "{}".into());
        let mut settings: Value = serde_json::from_str(&text).unwrap();
        settings["env"][name] = value.into();
        self.with("~/work/.claude/settings.json", &settings.to_string()).var(name, value)
    }

    fn load(&self) -> LoadedConfig {
        load_with_managed(&self.env, Some(&self.path("~/work")), &self.path(MANAGED))
    }

    fn stamp(&self) -> Stamp {
        Stamp::with_managed(&self.env, Some(&self.path("~/work")), &self.path(MANAGED))
    }

    /// The problems, as lines.
    fn refusals(&self) -> Vec<String> {
        self.load().problems.iter().map(ToString::to_string).collect()
    }

    /// The configuration. Fails if anything was refused.
    fn good(&self) -> LoadedConfig {
        assert_eq!(self.refusals(), [] as [String; 0]);
        self.load()
    }
}

impl LoadedConfig {
    fn budget(&self, name: &str) -> &Budget {
        self.config.budgets.iter().find(|b| b.name == name).unwrap()
    }

    fn names(&self) -> Vec<&str> {
        self.config.budgets.iter().map(|b| b.name.as_str()).collect()
    }

    fn value(&self, key: &str) -> (Value, Source) {
        let found = self.values.iter().find(|v| v.key == key).unwrap_or_else(|| panic!("no {key}"));
        (found.value.clone(), found.source.clone())
    }
}
