//! What is known while a shell's text is read: variables, the folder, files that were written on the way; and what was
//! found.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::STARTUP_FILES;
use super::text::{self, UNKNOWN, base};
use super::{Finding, Kind, MAX_TEXT, Reach, Reason, Surroundings, Touch};

/// The most findings that are kept.
const MAX_FOUND: usize = 256;

/// A command with its redirections.
#[derive(Clone, Debug, Default)]
pub struct Simple {
    /// Assignments before it, its name, its arguments; lists in braces not yet taken apart.
    pub words: Vec<String>,
    /// What comes in on standard input, as far as that is known.
    pub input: Option<String>,
    /// Files that its output goes to.
    pub outputs: Vec<String>,
}

/// Everything that reading a text needs to remember.
pub struct World<'a> {
    /// Where the text would run.
    pub at: Surroundings<'a>,
    /// Working folder now.
    pub cwd: String,
    /// Texts of files that were written on the way, by path.
    pub files: BTreeMap<String, String>,
    /// What was found.
    pub found: Vec<Finding>,
    /// How many texts are being read in each other.
    pub depth: usize,
    /// Names of variables that were changed for programs that start from here on.
    pub exported: BTreeSet<String>,
    /// All of the call's text.
    pub whole: &'a str,
    set: BTreeMap<String, String>,
    /// Characters that may still be read, or put in for variables: a few lines can stand for any number of them.
    left: usize,
}

impl<'a> World<'a> {
    /// Nothing has happened yet.
    pub fn new(whole: &'a str, at: Surroundings<'a>) -> Self {
        Self {
            at,
            cwd: at.cwd.to_owned(),
            files: BTreeMap::new(),
            found: Vec::new(),
            depth: 0,
            exported: BTreeSet::new(),
            whole,
            set: BTreeMap::new(),
            left: 4 * MAX_TEXT,
        }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.set.insert(name.to_owned(), value.to_owned());
    }

    /// A variable's value, or the mark of what is not known.
    pub fn value(&mut self, name: &str) -> String {
        let known = self.set.get(name).or_else(|| self.at.vars.get(name)).cloned();
        let known = known.filter(|value| self.spend(value.len()));
        match name {
            "PWD" => self.cwd.clone(),
            "HOME" => known.unwrap_or_else(|| self.at.home.to_owned()),
            _ => known.unwrap_or_else(|| UNKNOWN.to_string()),
        }
    }

    /// Whether `characters` more may be looked at. If not, what they say stays unknown.
    pub fn spend(&mut self, characters: usize) -> bool {
        let enough = self.left >= characters;
        self.left = self.left.saturating_sub(characters);
        enough
    }

    /// Remembers what was written into a file.
    pub fn keep(&mut self, path: &str, text: &str) {
        if self.spend(text.len()) {
            self.files.insert(self.place(path), text.to_owned());
        }
    }

    /// A path as it is meant here.
    pub fn place(&self, path: &str) -> String {
        text::plain(&self.cwd, path)
    }

    /// Notes something.
    pub fn find(&mut self, finding: Finding) {
        if self.found.len() < MAX_FOUND && !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// Notes something that needs no further look.
    pub fn say(&mut self, reason: Reason) {
        self.find(Finding::Says(reason));
    }

    /// Notes that a path is changed.
    pub fn touch(&mut self, path: &str, reach: Reach, surely: bool) {
        self.touch_names(path, reach, surely, Vec::new());
    }

    /// The same, of the files below it that have one of `names`.
    pub fn touch_names(&mut self, path: &str, reach: Reach, surely: bool, names: Vec<String>) {
        for path in text::alternatives(path) {
            let touch = Touch { path: self.place(&path), reach, names: names.clone(), surely };
            self.find(Finding::Touch(touch));
        }
    }

    /// Notes that a file is written; `content`: with what, as far as that is known.
    pub fn write(&mut self, path: &str, content: &str) {
        for path in text::alternatives(path) {
            let path = self.place(&path);
            let name = base(&path);
            if STARTUP_FILES.contains(&name)
                && (content.contains("FUSEBOX_") || self.whole.contains("FUSEBOX_"))
            {
                self.say(Reason::Client);
            }
            // Settings of other places than this session's.
            let client = self.at.client;
            let settings =
                name.starts_with(client.settings_file) && path.contains(&format!("/{}/", client.folder));
            if settings && self.whole.contains(client.off) {
                self.say(Reason::Place(Kind::Registration));
            }
            self.find(Finding::Touch(Touch { path, reach: Reach::Itself, names: vec![], surely: true }));
        }
    }
}
