//! A settings file of the client: reads it, replaces its `hooks` and its `statusLine`, backs it up and writes it
//! atomically.
//!
//! The file belongs to a person, so no byte outside these two values changes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::settings_text::{around, cut, replace};
use crate::agents::claude::hook_entries;
use crate::domain::time::Timestamp;
use crate::platform::Env;

/// The key of the status line.
pub const STATUS_LINE: &str = "statusLine";

/// A settings file as read.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    path: PathBuf,
    text: Option<String>,
    settings: Map<String, Value>,
}

/// How to remove Fusebox's entries from a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It has none.
    Nothing,
    /// Remove the file: `init` created it, and it has no other content.
    File,
    /// Write this text, without the entries.
    Text(String),
}

/// The required structure of settings before a change. `_rest` ensures that these are objects: serde would also read a
/// struct from a list.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct ValidSettings {
    #[serde(default, rename = "hooks")]
    _hooks: std::collections::BTreeMap<String, Vec<HookGroup>>,
    #[serde(flatten)]
    _rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a list `hooks`")]
struct HookGroup {
    #[serde(rename = "hooks")]
    _hooks: Vec<Map<String, Value>>,
    #[serde(flatten)]
    _rest: Map<String, Value>,
}

impl SettingsFile {
    /// Reads the file. A missing or empty file has no settings. Follows symbolic links.
    ///
    /// # Errors
    /// It cannot be read, is not JSON, or its `hooks` have an invalid structure; says where, and what to do.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let path = resolve_links(path)?;
        let text = match fs::read(&path) {
            Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| not_usable(&path, "it is not UTF-8"))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => bail!("{}: {error}. Nothing was changed", path.display()),
        };
        let settings = match text.as_deref().filter(|text| !text.trim().is_empty()) {
            None => Map::new(),
            Some(text) => serde_json::from_str::<ValidSettings>(text)
                .and_then(|_| serde_json::from_str(text))
                .map_err(|error| not_usable(&path, &describe_error(&error)))?,
        };
        Ok(Self { path, text, settings })
    }

    /// The path of the file, with links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's text; empty if it does not exist.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// A top-level setting.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.settings.get(key)
    }

    /// Its hooks, as event → groups.
    pub fn hooks(&self) -> Map<String, Value> {
        self.get("hooks").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The text with these values of top-level keys instead of its own (`None`: without the key); `None` if they are
    /// equal.
    ///
    /// # Errors
    /// The new text would not have these values.
    pub fn with(&self, wanted: &[(&str, Option<Value>)]) -> anyhow::Result<Option<String>> {
        let (mut text, mut meant) = (self.text().to_owned(), self.settings.clone());
        for (key, value) in wanted {
            match value {
                Some(value) if meant.get(*key) == Some(value) => {}
                Some(value) => {
                    text = replace(&text, key, value)?;
                    meant.insert((*key).into(), value.clone());
                }
                None if meant.shift_remove(*key).is_some() => text = cut(&text, key)?,
                None => {}
            }
        }
        if meant == self.settings {
            return Ok(None);
        }
        let says: Value = serde_json::from_str(&text)?;
        ensure!(says == Value::from(meant), "{}: its settings cannot be replaced", self.path.display());
        Ok(Some(text))
    }

    /// Whether its status line is Fusebox's.
    pub fn has_our_status_line(&self, env: &Env) -> bool {
        self.get(STATUS_LINE).is_some_and(|setting| hook_entries::is_our_status_line(setting, env))
    }

    /// How to remove Fusebox from the file. If `init` made the file from a backup beside it without other changes
    /// since, the backup is restored; if `init` created it, it is removed; otherwise only the entries are removed, a
    /// status line that was replaced comes back, and every other byte stays.
    ///
    /// # Errors
    /// The new text would not have the remaining settings.
    pub fn without_fusebox(&self, env: &Env) -> anyhow::Result<Removal> {
        let mut hooks = self.hooks();
        let has_our_status_line = self.has_our_status_line(env);
        if hook_entries::unregister(&mut hooks, env).is_empty() && !has_our_status_line {
            return Ok(Removal::Nothing);
        }
        let backups = self.backups();
        let before = |text: &&String| {
            self.with_text(text).is_some_and(|file| {
                hook_entries::fusebox_entries(&file.hooks(), env).is_empty()
                    && !file.has_our_status_line(env)
                    && nonempty_events(&file.hooks()) == nonempty_events(&hooks)
                    && self.is_made_of(text, env)
            })
        };
        if let Some(text) = backups.iter().find(before) {
            return Ok(Removal::Text(text.clone()));
        }
        if hooks.is_empty() && self.is_made_of("", env) {
            return Ok(Removal::File);
        }
        let known: Vec<Self> = backups.iter().filter_map(|text| self.with_text(text)).collect();
        let status_line = match has_our_status_line {
            true => known
                .iter()
                .find(|file| !file.has_our_status_line(env))
                .and_then(|file| file.get(STATUS_LINE)),
            false => self.get(STATUS_LINE),
        };
        // An empty `hooks` from before `init` is harmless.
        let had_hooks = self.get("hooks").is_some() && known.iter().any(|file| file.get("hooks").is_some());
        let hooks = (!hooks.is_empty() || had_hooks).then(|| Value::from(hooks));
        let text = self.with(&[("hooks", hooks), (STATUS_LINE, status_line.cloned())])?;
        Ok(text.map_or(Removal::Nothing, Removal::Text))
    }

    /// Whether the file is exactly `text` with other hooks, and perhaps Fusebox's status line, as `init` writes them.
    fn is_made_of(&self, text: &str, env: &Env) -> bool {
        let status_line = self.get(STATUS_LINE).filter(|_| self.has_our_status_line(env));
        let made = replace(text, "hooks", &self.hooks().into()).and_then(|made| match status_line {
            Some(setting) => replace(&made, STATUS_LINE, setting),
            None => Ok(made),
        });
        made.is_ok_and(|made| {
            around(&made, "hooks").is_some_and(|rest| Some(rest) == around(self.text(), "hooks"))
        })
    }

    /// The texts of the backups beside the file, latest first.
    fn backups(&self) -> Vec<String> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{name}.fusebox-backup-");
        let entries =
            self.path.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let mut paths: Vec<PathBuf> = ours.map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().rev().filter_map(|path| fs::read_to_string(path).ok()).collect()
    }

    /// This file with another text, if that is valid.
    fn with_text(&self, text: &str) -> Option<Self> {
        let settings = if text.trim().is_empty() { Map::new() } else { serde_json::from_str(text).ok()? };
        Some(Self { path: self.path.clone(), text: Some(text.to_owned()), settings })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// It cannot be removed, or was changed since it was read.
    pub fn remove(&self) -> anyhow::Result<()> {
        self.ensure_unchanged()?;
        fs::remove_file(&self.path).with_context(|| self.path.display().to_string())
    }

    /// Checks that the file was not changed since it was read: the client writes it as well.
    fn ensure_unchanged(&self) -> anyhow::Result<()> {
        let latest = fs::read(&self.path).ok();
        ensure!(
            latest.as_deref() == self.text.as_deref().map(str::as_bytes),
            "{} was just changed by another program. Run this again",
            self.path.display()
        );
        Ok(())
    }

    /// Replaces the file's text, and keeps a backup beside it. Returns the backup's path. Permissions and owner stay.
    ///
    /// # Errors
    /// The file was not replaced: that is impossible, or it was changed since it was read.
    pub fn replace(&self, text: &str, now: Timestamp) -> anyhow::Result<Option<PathBuf>> {
        let dir = self.path.parent().context("the settings file has no folder")?;
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        self.ensure_unchanged()?;
        let backup = match &self.text {
            Some(old) => Some(self.back_up(old, now)?),
            None => None,
        };
        self.write(dir, text).with_context(|| format!("{} cannot be written", self.path.display()))?;
        Ok(backup)
    }

    fn write(&self, dir: &Path, text: &str) -> std::io::Result<()> {
        // The default mode of a new file, less the umask.
        let mode = Permissions::from_mode(0o666);
        let mut new = tempfile::Builder::new().prefix(".settings-").permissions(mode).tempfile_in(dir)?;
        new.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(&self.path) {
            // Only root can do this, and only root needs it.
            let _ = std::os::unix::fs::fchown(&new, Some(old.uid()), Some(old.gid()));
            new.as_file().set_permissions(old.permissions())?;
        }
        new.as_file().sync_all()?;
        new.persist(&self.path)?;
        Ok(())
    }

    /// Writes `old` beside the file, under an unused name.
    fn back_up(&self, old: &str, now: Timestamp) -> anyhow::Result<PathBuf> {
        let name = format!("{}.fusebox-backup-{}", self.path.display(), now.utc().format("%Y%m%dT%H%M%SZ"));
        let mut path = PathBuf::from(&name);
        let mut number = 1;
        let mut file = loop {
            match create_new(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    number += 1;
                    path = format!("{name}-{number}").into();
                }
                made => break made.with_context(|| path.display().to_string())?,
            }
        };
        let permissions = fs::metadata(&self.path)?.permissions();
        let written = file
            .write_all(old.as_bytes())
            .and_then(|()| file.set_permissions(permissions))
            .and_then(|()| file.sync_all());
        written.with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

fn create_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Resolves symbolic links in a path.
fn resolve_links(path: &Path) -> anyhow::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ensure!(!path.is_symlink(), "{} is a dangling link. Nothing was changed", path.display());
            Ok(path.to_owned())
        }
        Err(error) => bail!("{}: {error}. Nothing was changed", path.display()),
    }
}

fn not_usable(path: &Path, problem: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{}: {problem}. Nothing was changed: correct the file (or move it away), then run this again",
        path.display()
    )
}

/// `line 3, column 5: expected value`.
fn describe_error(error: &serde_json::Error) -> String {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    format!("line {}, column {}: {what}", error.line(), error.column())
}

/// The events that have hooks.
fn nonempty_events(hooks: &Map<String, Value>) -> Map<String, Value> {
    let is_filled = |groups: &Value| groups.as_array().is_none_or(|groups| !groups.is_empty());
    hooks.iter().filter(|(_, groups)| is_filled(groups)).map(|(e, g)| (e.clone(), g.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        for before in [None, Some("{}")] {
            if let Some(text) = before {
                fs::write(&path, text).unwrap();
            }
            let file = SettingsFile::read(&path).unwrap();
            fs::write(&path, "{\"theirs\": 1}").unwrap();
            assert!(file.replace("{}", Timestamp(0)).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), "{\"theirs\": 1}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "and no backup");
        }
    }
}
