//! Selects one of the client's settings files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::agents::claude::protected_client;
use crate::platform::Env;

/// The settings file that is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SettingsScope {
    /// Use your settings, for every project (the default)
    #[arg(long, group = "scope")]
    pub user: bool,
    /// Use the project's shared settings, .claude/settings.json
    #[arg(long, group = "scope")]
    pub project: bool,
    /// Use your settings for the project, .claude/settings.local.json
    #[arg(long, group = "scope")]
    pub local: bool,
    /// The project's folder [default: the current folder]
    #[arg(long, value_name = "DIR", requires = "scope", conflicts_with = "user")]
    pub dir: Option<PathBuf>,
}

impl SettingsScope {
    /// Whether a file was selected explicitly.
    pub fn is_named(&self) -> bool {
        self.user || self.project || self.local
    }

    /// The selected file.
    ///
    /// # Errors
    /// There is no such project, or no home folder.
    pub fn file(&self, env: &Env) -> anyhow::Result<PathBuf> {
        let project = env.cwd.join(self.dir.as_deref().unwrap_or(Path::new("")));
        if self.dir.is_some() && !project.is_dir() {
            bail!("{}: no such folder. Nothing was changed", project.display());
        }
        if self.project || self.local {
            let [shared, local] = protected_client::project_settings(&project);
            return Ok(if self.local { local } else { shared });
        }
        let dir = protected_client::user_dir(env)
            .context("there is no home folder. Set HOME or CLAUDE_CONFIG_DIR")?;
        Ok(env.cwd.join(dir).join("settings.json"))
    }
}
