//! Protected paths, and whether a change affects them.

use super::text::{UNKNOWN, file_name, part_fits};
use super::{ChangeExtent, PathChange, ProtectedKind};

/// A file or folder that agents must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedPath {
    /// Absolute and normalized.
    pub path: String,
    /// What kind of path it is.
    pub kind: ProtectedKind,
    /// Whether everything in it is protected as well.
    pub folder: bool,
}

impl ProtectedPath {
    /// A file.
    pub fn file(path: impl Into<String>, kind: ProtectedKind) -> Self {
        Self { path: path.into(), kind, folder: false }
    }

    /// A folder with everything in it.
    pub fn folder(path: impl Into<String>, kind: ProtectedKind) -> Self {
        Self { path: path.into(), kind, folder: true }
    }

    /// Whether `change` affects this path.
    pub fn is_changed_by(&self, change: &PathChange) -> bool {
        let own: Vec<&str> = parts(&self.path).collect();
        let theirs: Vec<&str> = parts(&change.path).collect();
        if theirs.first().is_some_and(|first| first.contains(UNKNOWN)) && !change.path.starts_with('/') {
            return self.matches_end_of(&theirs);
        }
        if !theirs.iter().zip(&own).all(|(part, name)| part_fits(part, name)) {
            return false;
        }
        if theirs.len() == own.len() || (theirs.len() > own.len() && self.folder) {
            return true;
        }
        if theirs.len() > own.len() {
            return false;
        }
        let reached = match change.extent {
            ChangeExtent::Itself => false,
            ChangeExtent::Children => theirs.len() + 1 == own.len(),
            ChangeExtent::Tree => true,
        };
        let name = file_name(&self.path);
        reached && (change.names.is_empty() || self.folder || change.names.iter().any(|n| part_fits(n, name)))
    }

    /// For a path with an unknown start: whether its end identifies this path.
    fn matches_end_of(&self, theirs: &[&str]) -> bool {
        let telling = |name: &str| {
            matches!(
                name,
                "fusebox"
                    | "pre-tool-use"
                    | "post-tool-use"
                    | "prompt-submit"
                    | "session-event"
                    | "fusebox.toml"
            )
        };
        let own: Vec<&str> = parts(&self.path).collect();
        let known = &theirs[1..];
        let Some(last) = known.last().filter(|last| !last.contains(UNKNOWN)) else { return false };
        let shared = known.len().min(own.len());
        let fits = known.iter().rev().zip(own.iter().rev()).all(|(part, name)| part_fits(part, name));
        (fits && (shared > 1 || (*last == file_name(&self.path) && telling(last) && !self.folder)))
            || (self.folder
                && known.len() > 1
                && known[..known.len() - 1].ends_with(&own[own.len().saturating_sub(2)..]))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}
