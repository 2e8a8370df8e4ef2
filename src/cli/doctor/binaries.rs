//! Checks that the executables exist, can be run, and are Fusebox's.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::survey::Survey;
use crate::cli::render::counted;

/// Checks the programs in the settings; without any, those that `init` recorded.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let mut programs: BTreeSet<PathBuf> = survey.entries.iter().map(|e| PathBuf::from(&e.program)).collect();
    if programs.is_empty() {
        programs.extend(survey.installation.iter().flat_map(|i| i.binaries.clone()));
    }
    let bad: Vec<Finding> = programs.iter().filter_map(|program| problem(program)).collect();
    match (bad.is_empty(), programs.first().and_then(|p| p.parent())) {
        (false, _) => bad,
        (true, Some(dir)) => {
            vec![Finding::ok(format!("{} in {}", counted(programs.len(), "executable"), dir.display()))]
        }
        (true, None) => Vec::new(),
    }
}

fn problem(program: &Path) -> Option<Finding> {
    let shown = program.display();
    let fix = "build and install them (`cargo install --locked --path .`), then run `fusebox init`";
    match std::fs::metadata(program) {
        Err(error) => Some(Finding::problem(format!("{shown}: {error}"), fix)),
        Ok(meta) if !meta.is_file() => Some(Finding::problem(format!("{shown} is not a file"), fix)),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Some(Finding::problem(format!("{shown} is not executable"), format!("chmod +x '{shown}'")))
        }
        Ok(_) => None,
    }
}
