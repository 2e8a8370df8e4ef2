//! Reading the file with the server's tokens. Who has an operator's token can extend budgets.

use super::analysis::Analysis;
use super::text::{ANY, ONE, file_name};
use super::{ChangeExtent, PathChange, ProtectedKind, ProtectionReason, Suspicion};

/// The name of the file. The tripwire recognises it in any folder.
pub const TOKEN_FILE: &str = "serve-tokens";

/// Programs that read no content of the files they are given, besides those that change them.
const LISTERS: [&str; 21] = [
    "[", "[[", "basename", "cd", "df", "dirname", "du", "echo", "find", "getfacl", "ls", "lsattr", "mkdir",
    "namei", "printf", "pushd", "readlink", "realpath", "stat", "test", "tree",
];

/// Programs that read whole folders without being told to.
const WALKERS: [&str; 4] = ["ack", "ag", "rg", "rsync"];

/// Whether text names the file as a path, or as what a shell reads from.
pub fn names_token_file(text: &str) -> bool {
    text.match_indices(TOKEN_FILE).any(|(at, _)| text[..at].trim_end_matches(' ').ends_with(['/', '<']))
}

impl Analysis<'_> {
    /// Checks what a program reads of the files that it is given.
    pub(super) fn check_reads(&mut self, program: &str, arguments: &[String]) {
        if LISTERS.contains(&program) {
            return;
        }
        let is_recursive = |word: &String| {
            word.starts_with('-') && !word.starts_with("--") && word.contains(['r', 'R', 'a'])
                || word == "--recursive"
        };
        let walks = WALKERS.contains(&program) || arguments.iter().any(is_recursive);
        for word in arguments {
            self.check_read(word.split_once('=').map_or(word, |(_, value)| value), walks);
        }
    }

    /// Checks what is read at a path; `walks`: also everything below it.
    pub(super) fn check_read(&mut self, path: &str, walks: bool) {
        if file_name(path) == TOKEN_FILE {
            self.forbid(ProtectionReason::Path(ProtectedKind::Tokens));
            return;
        }
        let path = self.resolve_path(path);
        if path.contains([ANY, ONE]) || path.contains("/fusebox") {
            let extent = if walks { ChangeExtent::Tree } else { ChangeExtent::Itself };
            self.report(Suspicion::PathRead(PathChange {
                path,
                extent,
                names: Vec::new(),
                is_certain: false,
            }));
        }
    }
}
