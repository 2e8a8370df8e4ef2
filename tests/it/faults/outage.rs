//! Faults of a shared server as a whole, and how they end.

use std::fs;
use std::path::{Path, PathBuf};

use super::world::World;
use crate::redis::text;

impl World {
    /// Stops, pauses or kills the server, or flushes its scripts.
    pub fn break_server(&mut self) {
        if self.failing {
            return;
        }
        let how = self.random.weighted(&[
            (2, "forgets scripts"),
            (3, "stands still"),
            (2, "pauses"),
            (1, "pauses writes"),
            (3, "is killed"),
            (3, "is killed and started again"),
        ]);
        self.note(format!("the server {how}"));
        let shared = self.shared.as_mut().unwrap();
        match how {
            "forgets scripts" => drop(shared.server.command(&["SCRIPT", "FLUSH"])),
            "stands still" => {
                shared.server.stop();
                shared.stands_still = true;
            }
            "pauses" => drop(shared.server.command(&["CLIENT", "PAUSE", "700", "ALL"])),
            "pauses writes" => drop(shared.server.command(&["CLIENT", "PAUSE", "700", "WRITE"])),
            "is killed" => shared.server.kill(),
            _ => shared.server.restart(),
        }
        self.failing = !matches!(how, "forgets scripts" | "is killed and started again");
    }

    /// The server loses its data, or goes back to earlier data.
    pub fn lose(&mut self) {
        let shared = self.shared.as_mut().unwrap();
        if self.failing || !shared.faults.may_lose {
            return;
        }
        let how = self.random.weighted(&[(2, "flushed"), (2, "started empty"), (3, "went back")]);
        let (log, copy) = (shared.log(), shared.copy());
        match how {
            "flushed" => drop(shared.server.command(&["FLUSHALL"])),
            "started empty" => {
                shared.server.kill();
                fs::remove_dir_all(log).unwrap();
                shared.server.restart();
            }
            _ if !shared.copied => {
                copy_folder(&log, &copy);
                shared.copied = true;
                return self.note("the server is copied");
            }
            _ => {
                shared.server.kill();
                fs::remove_dir_all(&log).unwrap();
                copy_folder(&copy, &log);
                shared.server.restart();
                fs::remove_dir_all(copy).unwrap();
                shared.copied = false;
            }
        }
        self.note(format!("the server {how}"));
        if how == "went back" {
            // Between two hooks of a session, nobody notices.
            self.mark_doubtful();
        }
        // Alerts recorded as shown in the store may be shown again.
        self.shown_alerts.values_mut().for_each(|(sure, unsure)| *unsure += std::mem::take(sure));
        self.lose_store();
    }

    /// Restores the server.
    pub fn heal_shared(&mut self) {
        let Some(shared) = &mut self.shared else { return };
        if std::mem::take(&mut shared.stands_still) {
            shared.server.cont();
        }
        // A killed server has no socket.
        if !PathBuf::from(shared.server.path("socket")).exists() {
            shared.server.restart();
        }
        // A paused server does not answer.
        assert_eq!(text(&shared.server.command(&["GET", "nothing"])), "nil");
    }
}

/// Copies the files of a folder.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
