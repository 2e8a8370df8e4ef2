//! Files that lie: a transcript is missing, replaced by an older one or by a link to `/dev/null` for a while, and what
//! was written meanwhile appears later.

use std::fs;

use super::steps::Step;
use super::world::World;

/// The weight of each step.
pub const LYING_STEPS: [(u64, Step); 11] = [
    (24, World::respond),
    (30, World::call),
    (9, World::call_killed),
    (3, World::call_in_parallel),
    (5, World::flush),
    (2, World::start),
    (1, World::fork),
    (2, World::start_agent),
    (6, World::hide),
    (2, World::show),
    (2, World::ask),
];

impl World {
    /// A transcript goes away, and nothing is written any more.
    pub fn hide(&mut self) {
        let Some(session) = self.any_live() else { return };
        let of = &mut self.sessions[session];
        if of.hidden {
            return;
        }
        of.hidden = true;
        let (file, kept) = (of.transcript.clone(), of.transcript.with_extension("kept"));
        let instead =
            self.random.weighted(&[(1, "itself"), (1, "nothing"), (1, "/dev/null"), (1, "an older one")]);
        self.note(format!("{}: instead of its transcript there is {instead}", self.sessions[session].id));
        if !file.exists() || instead == "itself" {
            return;
        }
        fs::rename(&file, &kept).unwrap();
        match instead {
            "/dev/null" => std::os::unix::fs::symlink(instead, &file).unwrap(),
            "an older one" => {
                let bytes = fs::read(&kept).unwrap();
                fs::write(&file, &bytes[..self.random.below(bytes.len() + 1)]).unwrap();
            }
            _ => {}
        }
    }

    /// A transcript is back.
    pub fn show(&mut self) {
        let hidden: Vec<usize> = (0..self.sessions.len()).filter(|i| self.sessions[*i].hidden).collect();
        if !hidden.is_empty() {
            let session = *self.random.pick(&hidden);
            self.show_one(session);
        }
    }

    /// Hides the transcript of a new session until a hook takes a response for missing, or has seen several.
    pub fn lie(&mut self) {
        self.start_session();
        let session = self.sessions.len() - 1;
        for n in 0..20 {
            self.sessions[session].hidden = n > 0;
            let (serial, now) = (self.serial(), self.now_of(session));
            self.sessions[session].respond(&mut self.random, None, serial, now);
            self.sessions[session].flush(None);
            self.hook(session, "PostToolBatch", None, None);
            if self.noticed_lies() {
                return;
            }
        }
    }

    /// Whether a response was taken for missing.
    pub fn noticed_lies(&self) -> bool {
        self.home.journal().contains("incomplete transcript")
    }

    /// All transcripts are back, with everything that was said.
    pub fn show_all(&mut self) {
        if self.lies {
            (0..self.sessions.len()).for_each(|session| self.show_one(session));
        }
    }

    fn show_one(&mut self, session: usize) {
        self.note(format!("{}: its transcript is back", self.sessions[session].id));
        let of = &mut self.sessions[session];
        let kept = of.transcript.with_extension("kept");
        if kept.exists() {
            fs::rename(&kept, &of.transcript).unwrap();
        }
        of.hidden = false;
        of.flush(None);
    }
}
