//! What the client's status line says about plan windows: one small file in the state folder, because the limits belong
//! to the user's account and not to a session.

use std::fs::DirBuilder;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::plan::{PlanReading, PlanUsage, PlanWindow};
use crate::platform::files;

/// Name of the file in the state folder.
pub const FILE: &str = "plan.json";

/// A larger file is not ours.
const MAX_BYTES: u64 = 64 * 1024;

/// What is known about the plan windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The window of five hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_5h: Option<PlanUsage>,
    /// The window of seven days.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_week: Option<PlanUsage>,
}

impl Plan {
    /// What the file in a state folder says; nothing if it is missing or unreadable.
    pub fn read(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let is_ours = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_BYTES);
        let bytes = is_ours.then(|| std::fs::read(&path).ok()).flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// What is known about a window.
    pub fn usage(&self, window: PlanWindow) -> Option<&PlanUsage> {
        match window {
            PlanWindow::FiveHours => self.plan_5h.as_ref(),
            PlanWindow::Week => self.plan_week.as_ref(),
        }
    }

    /// Adds readings, and writes the file if they say something new. Two sessions may write at the same time: what one
    /// of them said is said again with its next response.
    ///
    /// # Errors
    /// The file cannot be written; the old one is unchanged.
    pub fn note(&mut self, state_dir: &Path, readings: &[(PlanWindow, PlanReading)]) -> Result<()> {
        let before = self.clone();
        for (window, reading) in readings {
            let known = match window {
                PlanWindow::FiveHours => &mut self.plan_5h,
                PlanWindow::Week => &mut self.plan_week,
            };
            match known {
                Some(known) => known.note(*window, *reading),
                None => *known = Some(PlanUsage::new(*reading)),
            }
        }
        if *self == before {
            return Ok(());
        }
        let content = serde_json::to_vec(self)?;
        let write = || files::write(&state_dir.join(FILE), &content);
        match write() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
                write()
            }
            written => written,
        }
    }
}
