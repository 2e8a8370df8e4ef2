//! Faults of caches, the store and disks, and how they end.

use std::fs;
use std::path::PathBuf;

use super::world::{DecisionOutcome, World};

impl World {
    fn caches(&self, machine: usize) -> Vec<PathBuf> {
        let files = fs::read_dir(self.home_of(machine).path("cache"))
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().path());
        let is_cache = |f: &PathBuf| f.extension().is_some_and(|e| e == "json" || e == "redis");
        let mut caches: Vec<PathBuf> = files.filter(is_cache).collect();
        caches.sort();
        caches
    }

    /// Damages one cache, or the folder of all caches.
    pub fn damage_cache(&mut self) {
        let machine = self.any_machine();
        let caches = self.caches(machine);
        if caches.is_empty() || self.failing {
            return;
        }
        let cache = self.random.pick(&caches).clone();
        let name = cache.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&cache).unwrap();
        let how = self.random.weighted(&[
            (3, "deleted"),
            (2, "truncated"),
            (2, "garbage"),
            (1, "empty"),
            (2, "an old copy"),
            (2, "all deleted"),
        ]);
        self.note(format!("cache {name} on {machine}: {how}"));
        let copy = self.home_of(machine).path("copies").join(&name);
        match how {
            "deleted" => fs::remove_file(&cache).unwrap(),
            "truncated" => fs::write(&cache, &bytes[..self.random.below(bytes.len())]).unwrap(),
            "garbage" => fs::write(&cache, self.random.next().to_le_bytes().repeat(200)).unwrap(),
            "empty" => fs::write(&cache, b"").unwrap(),
            "an old copy" => {
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                match fs::read(&copy) {
                    Ok(old) => fs::write(&cache, old).unwrap(),
                    Err(_) => return fs::write(&copy, &bytes).unwrap(),
                }
            }
            _ => empty_folder(&self.home_of(machine).path("cache")),
        }
        for session in self.sessions.iter_mut().filter(|session| session.machine == machine) {
            session.in_cache &= how != "all deleted" && name != format!("guardrails-{}.json", session.id);
            session.note_loss();
        }
    }

    /// Damages the database. Decisions in it may be lost, and a person is told; everything else is restored.
    pub fn damage_store(&mut self) {
        if self.failing || !self.database().exists() {
            return;
        }
        let bytes = fs::read(self.database()).unwrap();
        let how = self.random.weighted(&[
            (2, "deleted"),
            (2, "truncated"),
            (2, "garbage"),
            (4, "a page"),
            (3, "its log deleted"),
            (1, "the folder deleted"),
        ]);
        self.note(format!("the store: {how}"));
        let side = |suffix: &str| PathBuf::from(format!("{}{suffix}", self.database().display()));
        match how {
            "deleted" => {
                for file in ["-wal", "-shm", ""].map(side) {
                    let _ = fs::remove_file(file);
                }
            }
            "truncated" => fs::write(self.database(), &bytes[..self.random.below(bytes.len())]).unwrap(),
            "garbage" => fs::write(self.database(), b"no database ".repeat(1000)).unwrap(),
            "a page" => {
                let pages = (bytes.len() / 1024).max(1);
                let page = self.random.below(pages);
                let mut bytes = bytes;
                let end = bytes.len().min((page + 1) * 1024);
                // An invalid page type.
                bytes[page * 1024..end].fill(0xee);
                fs::write(self.database(), bytes).unwrap();
            }
            "its log deleted" => {
                let _ = fs::remove_file(side("-wal"));
            }
            _ => {
                empty_folder(&self.home.path("state"));
                // Only the database knew the time of installation.
                self.installed = i64::MIN;
            }
        }
        self.damaged = true;
        // Alerts recorded as shown in the store may be shown again.
        self.shown_alerts.values_mut().for_each(|(sure, unsure)| *unsure += std::mem::take(sure));
        for asked in self.decisions.values_mut().filter(|asked| **asked == DecisionOutcome::Done) {
            *asked = DecisionOutcome::Unknown;
        }
        self.lose_store();
    }

    /// No session is known to be in the store any more.
    pub fn lose_store(&mut self) {
        for session in &mut self.sessions {
            session.in_store = false;
            session.note_loss();
        }
        self.note_reading();
    }

    /// Fills a disk, or makes it or the journal read-only.
    pub fn fail_disk(&mut self) {
        let Some([state, cache]) = &self.disks else { return };
        if self.failing {
            return;
        }
        let but = self.random.below(3) * self.random.below(40_000);
        let how = self.random.weighted(&[
            (3, "the store's disk is full"),
            (3, "the caches' disk is full"),
            (3, "the store cannot be written"),
            (2, "the caches cannot be written"),
            (2, "both disks are full"),
            (1, "the journal is a folder"),
        ]);
        match how {
            "the store's disk is full" => state.fill(but),
            "the caches' disk is full" => cache.fill(but),
            "the store cannot be written" => state.read_only(true),
            "the caches cannot be written" => cache.read_only(true),
            "both disks are full" => {
                state.fill(but);
                cache.fill(but);
            }
            _ => {
                let _ = fs::remove_file(self.home.path("state/journal.jsonl"));
                fs::create_dir_all(self.home.path("state/journal.jsonl")).unwrap();
            }
        }
        self.note(format!("{how} ({but} bytes left)"));
        self.failing = true;
        // Caches that cannot be written may lose what was held.
        self.sessions.iter_mut().for_each(|session| session.held.surely.clear());
    }

    /// Ends all faults and back-offs.
    pub fn heal(&mut self) {
        if !self.failing {
            return;
        }
        if let Some(disks) = &self.disks {
            for disk in disks {
                disk.read_only(false);
                disk.free();
            }
        }
        self.heal_shared();
        let _ = fs::remove_dir(self.home.path("state/journal.jsonl"));
        self.failing = false;
        self.note("healed");
        self.pass();
    }

    /// Lets some seconds pass.
    pub fn pass(&mut self) {
        for machine in 0..self.machines() {
            let by = self.random.within(6_000, 60_000).cast_signed();
            self.jump(machine, by);
        }
    }
}

/// Empties a folder, which may be a mount point.
fn empty_folder(folder: &std::path::Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path()) {
        if entry.is_dir() { fs::remove_dir_all(entry).unwrap() } else { fs::remove_file(entry).unwrap() }
    }
}
