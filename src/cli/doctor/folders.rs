//! Checks that the hooks and this terminal use the same folders, and that these are usable.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::survey::Survey;

/// Variables that locate a folder or the configuration.
const LOCATION_VARIABLES: [&str; 7] = [
    "FUSEBOX_STATE_DIR",
    "FUSEBOX_CACHE_DIR",
    "FUSEBOX_CONFIG",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "CLAUDE_CONFIG_DIR",
    "HOME",
];

/// Compares the folders recorded by `init`, and those set by settings, with this process's own.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let mut found = other_folders(survey);
    found.extend(set_by_settings(survey));
    found.extend(unfit_cache(&survey.env.cache_dir(), survey.env.uid));
    if found.is_empty() {
        let state = survey.env.state_dir().unwrap_or_default();
        found.push(Finding::ok(format!(
            "state {}, caches {}",
            state.display(),
            survey.env.cache_dir().display()
        )));
    }
    found
}

fn other_folders(survey: &Survey) -> Vec<Finding> {
    let Some(known) = &survey.installation else {
        let found = "`fusebox init` left no record in this terminal's state folder";
        return vec![Finding::warning(found, "run `fusebox init` with the same variables as the client")];
    };
    let env = survey.env;
    let absolute = |path: Option<PathBuf>| path.map(|path| env.cwd.join(path));
    let pairs = [
        ("state folder", Some(known.state_dir.clone()), absolute(env.state_dir())),
        ("cache folder", Some(known.cache_dir.clone()), absolute(Some(env.cache_dir()))),
        ("configuration", known.config.clone(), absolute(env.user_config())),
    ];
    let differs = pairs.into_iter().filter(|(_, then, now)| then != now);
    let shown = |path: &Option<PathBuf>| path.as_deref().unwrap_or(Path::new("none")).display().to_string();
    let of = |(what, then, now): (&str, Option<PathBuf>, Option<PathBuf>)| {
        let found = format!(
            "the {what} is {} in this terminal, but was {} at `fusebox init`",
            shown(&now),
            shown(&then)
        );
        Finding::warning(
            found,
            "set the same FUSEBOX_* and XDG_* variables for the client and this terminal, or run `fusebox init` again",
        )
    };
    differs.map(of).collect()
}

/// Settings can set variables for hooks that this terminal lacks.
fn set_by_settings(survey: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    for layer in &survey.layers {
        let variables = layer.get("env").and_then(serde_json::Value::as_object).into_iter().flatten();
        for (name, value) in variables {
            let chooses = LOCATION_VARIABLES.contains(&name.as_str());
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !(chooses || name.starts_with("FUSEBOX_")) || survey.env.var(name) == Some(&value) {
                continue;
            }
            let text = format!(
                "{} sets {name}={value} for the hooks, but this terminal has another value",
                layer.path.display()
            );
            let fix = format!("remove it there, or export {name}={value} in this terminal too");
            found.push(if chooses { Finding::problem(text, fix) } else { Finding::warning(text, fix) });
        }
    }
    found
}

fn unfit_cache(dir: &Path, uid: u32) -> Option<Finding> {
    let shown = dir.display();
    let fix = "remove it, or set FUSEBOX_CACHE_DIR to a folder of your own (mode 0700): without its cache, a session is stopped at the \
                limit without a wrap-up";
    let meta = match std::fs::symlink_metadata(dir) {
        Ok(meta) => meta,
        // The first hook creates it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Finding::problem(format!("{shown}: {error}"), fix)),
    };
    let problem = if meta.is_symlink() {
        "is a symbolic link"
    } else if !meta.is_dir() {
        "is not a folder"
    } else if meta.uid() != uid {
        "belongs to another user"
    } else if meta.permissions().mode() & 0o077 != 0 {
        "is readable by others"
    } else if tempfile::tempfile_in(dir).is_err() {
        "is not writable"
    } else {
        return None;
    };
    Some(Finding::problem(format!("the cache folder {shown} {problem}"), fix))
}
