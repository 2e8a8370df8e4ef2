//! The state of analysing shell text: variables, working folder, files written so far, and suspicions.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::STARTUP_FILES;
use super::text::{self, UNKNOWN, file_name};
use super::{ChangeExtent, MAX_TEXT, PathChange, ProtectedKind, ProtectionReason, ShellContext, Suspicion};

/// The maximum number of suspicions kept.
const MAX_SUSPICIONS: usize = 256;

/// A command with its redirections.
#[derive(Clone, Debug, Default)]
pub struct SimpleCommand {
    /// Assignments, name and arguments, with brace lists not yet expanded.
    pub words: Vec<String>,
    /// Standard input, if known.
    pub input: Option<String>,
    /// Files that output is redirected to.
    pub outputs: Vec<String>,
}

/// A program that is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunProgram {
    /// Its name or path, and its arguments.
    pub words: Vec<String>,
    /// The platform as whose call `fusebox run` counts it, if it does.
    pub counted_as: Option<String>,
}

/// The state of an analysis.
pub struct Analysis<'a> {
    /// The context in which the text would run.
    pub context: ShellContext<'a>,
    /// The current working folder.
    pub cwd: String,
    /// Text of files written so far, by path.
    pub files: BTreeMap<String, String>,
    /// The suspicions so far.
    pub suspicions: Vec<Suspicion>,
    /// The programs that are run.
    pub programs: Vec<RunProgram>,
    /// The platform as whose call `fusebox run` counts what is run now.
    pub counted_as: Option<String>,
    /// Nesting depth of the texts being read.
    pub depth: usize,
    /// Whether what is run now leaves the client's process tree.
    pub is_detached: bool,
    /// Other names of a client.
    pub client_names: BTreeSet<String>,
    /// Variables changed for the programs started from here on.
    pub exported: BTreeSet<String>,
    /// The whole text of the call.
    pub text: &'a str,
    variables: BTreeMap<String, String>,
    /// Characters that may still be read or substituted: a few lines can expand without limit.
    chars_left: usize,
}

impl<'a> Analysis<'a> {
    /// The state before the first command.
    pub fn new(whole: &'a str, at: ShellContext<'a>) -> Self {
        Self {
            context: at,
            cwd: at.cwd.to_owned(),
            files: BTreeMap::new(),
            suspicions: Vec::new(),
            programs: Vec::new(),
            counted_as: None,
            depth: 0,
            is_detached: false,
            client_names: BTreeSet::new(),
            exported: BTreeSet::new(),
            text: whole,
            variables: BTreeMap::new(),
            chars_left: 4 * MAX_TEXT,
        }
    }

    /// Sets a variable.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// A variable's value, or the marker for unknown values.
    pub fn variable(&mut self, name: &str) -> String {
        let known = self.variables.get(name).or_else(|| self.context.vars.get(name)).cloned();
        let known = known.filter(|value| self.spend(value.len()));
        match name {
            "PWD" => self.cwd.clone(),
            "HOME" => known.unwrap_or_else(|| self.context.home.to_owned()),
            _ => known.unwrap_or_else(|| UNKNOWN.to_string()),
        }
    }

    /// Whether the variables changed for a program, or before it, decide which settings and which store Fusebox uses.
    pub fn changes_settings(&self, changed: &[String]) -> bool {
        let decides = |name: &String| {
            let is_label = matches!(name.as_str(), "FUSEBOX_CHAIN" | "FUSEBOX_TASK" | "FUSEBOX_TASK_TYPE");
            let is_setting = name.starts_with("FUSEBOX_") || name.starts_with("XDG_");
            !is_label && (is_setting || matches!(name.as_str(), "*" | "HOME" | "USER"))
        };
        changed.iter().chain(&self.exported).chain(self.variables.keys()).any(decides)
    }

    /// Whether `characters` more may be analysed. If not, they stay unknown.
    pub fn spend(&mut self, characters: usize) -> bool {
        let enough = self.chars_left >= characters;
        self.chars_left = self.chars_left.saturating_sub(characters);
        enough
    }

    /// Remembers the text written to a file.
    pub fn remember_file(&mut self, path: &str, text: &str) {
        if self.spend(text.len()) {
            self.files.insert(self.resolve_path(path), text.to_owned());
        }
    }

    /// The absolute path, without `.` and `..`.
    pub fn resolve_path(&self, path: &str) -> String {
        text::normalize(&self.cwd, path)
    }

    /// Adds a suspicion.
    pub fn report(&mut self, suspicion: Suspicion) {
        if self.suspicions.len() < MAX_SUSPICIONS && !self.suspicions.contains(&suspicion) {
            self.suspicions.push(suspicion);
        }
    }

    /// Adds a suspicion that needs no further checks.
    pub fn forbid(&mut self, reason: ProtectionReason) {
        self.report(Suspicion::Forbidden(reason));
    }

    /// Adds a change of a path.
    pub fn change_path(&mut self, path: &str, extent: ChangeExtent, is_certain: bool) {
        self.change_files_named(path, extent, is_certain, Vec::new());
    }

    /// Adds a change of the files below a path that have one of `names`.
    pub fn change_files_named(
        &mut self,
        path: &str,
        extent: ChangeExtent,
        is_certain: bool,
        names: Vec<String>,
    ) {
        for path in text::alternatives(path) {
            let change =
                PathChange { path: self.resolve_path(&path), extent, names: names.clone(), is_certain };
            self.report(Suspicion::PathChanged(change));
        }
    }

    /// Adds a write to a file; `content`: as far as known.
    pub fn write_file(&mut self, path: &str, content: &str) {
        for path in text::alternatives(path) {
            let path = self.resolve_path(&path);
            let name = file_name(&path);
            if STARTUP_FILES.contains(&name)
                && (content.contains("FUSEBOX_") || self.text.contains("FUSEBOX_"))
            {
                self.forbid(ProtectionReason::Client);
            }
            // Settings outside this session's own.
            let client = self.context.client;
            let settings = name.starts_with(client.settings_file)
                && path.contains(&format!("/{}/", client.settings_folder));
            if settings && self.text.contains(client.hooks_off_setting) {
                self.forbid(ProtectionReason::Path(ProtectedKind::Registration));
            }
            self.report(Suspicion::PathChanged(PathChange {
                path,
                extent: ChangeExtent::Itself,
                names: vec![],
                is_certain: true,
            }));
        }
    }
}
