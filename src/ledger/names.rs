//! Names of models and projects as people write them, to find records.

use wildmatch::WildMatch;

/// The model's name without its vendor and date, as tables show it: `opus-4-5` for `claude-opus-4-5-20251101`.
pub fn short_model(name: &str) -> &str {
    let short = name.strip_prefix("claude-").unwrap_or(name);
    match short.rsplit_once('-') {
        Some((model, date)) if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) => model,
        _ => short,
    }
}

/// The last folder of a project.
pub fn last_folder(project: &str) -> &str {
    project.rsplit('/').next().unwrap_or_default()
}

/// A glob (`*`, `?`) for models. Matches the whole name or the short one, in upper or lower case.
#[derive(Clone, Debug)]
pub struct ModelGlob(WildMatch);

impl ModelGlob {
    /// The glob as written.
    pub fn new(written: &str) -> Self {
        Self(WildMatch::new_case_insensitive(written))
    }

    /// Whether it means this model.
    pub fn matches(&self, model: &str) -> bool {
        self.0.matches(model) || self.0.matches(short_model(model))
    }
}

/// A glob (`*`, `?`) for projects. Matches the whole path or its last folder.
#[derive(Clone, Debug)]
pub struct ProjectGlob(WildMatch);

impl ProjectGlob {
    /// The glob as written, but for slashes at its end.
    pub fn new(written: &str) -> Self {
        let bare = written.trim_end_matches('/');
        Self(WildMatch::new(if bare.is_empty() { written } else { bare }))
    }

    /// Whether it means this project.
    pub fn matches(&self, project: &str) -> bool {
        self.0.matches(project) || self.0.matches(last_folder(project))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_shortened() {
        for (name, short) in [
            ("claude-opus-4-5-20251101", "opus-4-5"),
            ("claude-haiku-5-5", "haiku-5-5"),
            ("claude-3-5-haiku-20241022", "3-5-haiku"),
            ("gpt-9", "gpt-9"),
            ("", ""),
        ] {
            assert_eq!(short_model(name), short);
        }
    }

    #[test]
    fn globs_match_whole_and_short_names() {
        for glob in ["claude-opus-4-5-20251101", "OPUS*", "opus-4-5", "*Opus-?-5*"] {
            assert!(ModelGlob::new(glob).matches("claude-opus-4-5-20251101"), "{glob}");
        }
        for glob in ["/src/api", "/src/api/", "api", "a*/", "/src/*"] {
            assert!(ProjectGlob::new(glob).matches("/src/api"), "{glob}");
        }
        assert!(!ProjectGlob::new("API").matches("/src/api"), "folders differ by case");
    }
}
