//! Shell words with unknown parts, and paths made of such words.
//!
//! Patterns and unknown values are characters of the private-use area, which no relevant path contains.

use wildmatch::WildMatch;

/// `*`.
pub const ANY: char = '\u{E000}';
/// `?`, `[…]`.
pub const ONE: char = '\u{E001}';
/// An unknown value.
pub const UNKNOWN: char = '\u{E002}';
/// `{`, `,` and `}` of a brace list.
pub const BRACES: [char; 3] = ['\u{E003}', '\u{E004}', '\u{E005}'];
/// White space that separates words, from an unquoted substitution.
pub const SPLIT: char = '\u{E006}';

/// The maximum number of words that brace lists expand to.
const MAX_ALTERNATIVES: usize = 64;

/// Whether a word contains a pattern or an unknown value.
pub fn has_marker(text: &str) -> bool {
    text.contains([ANY, ONE, UNKNOWN])
}

/// Expands the brace lists of a word.
pub fn alternatives(word: &str) -> Vec<String> {
    let [open, comma, close] = BRACES;
    let mut done = Vec::new();
    let mut open_words = vec![word.to_owned()];
    while let Some(word) = open_words.pop() {
        // The innermost list: its first closing brace, and the opening brace before it.
        let end = word.find(close);
        let start = end.and_then(|end| word[..end].rfind(open));
        let (Some(start), Some(end)) = (start, end) else {
            done.push(word.replace(open, "{").replace(comma, ",").replace(close, "}"));
            continue;
        };
        let (before, inner, after) =
            (&word[..start], &word[start + open.len_utf8()..end], &word[end + close.len_utf8()..]);
        if !inner.contains(comma) {
            let inner = if inner.contains("..") { ANY.to_string() } else { format!("{{{inner}}}") };
            open_words.push(format!("{before}{inner}{after}"));
        } else if done.len() + open_words.len() < MAX_ALTERNATIVES {
            open_words.extend(inner.split(comma).map(|part| format!("{before}{part}{after}")));
        } else {
            done.push(format!("{before}{ANY}{after}"));
        }
    }
    done
}

/// A path without `.`, `..` and doubled slashes; absolute unless its start is unknown.
pub fn normalize(cwd: &str, path: &str) -> String {
    let whole = if path.starts_with(['/', UNKNOWN]) { path.to_owned() } else { format!("{cwd}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| !last.contains(UNKNOWN)) => {
                parts.pop();
            }
            ".." => {}
            part => parts.push(part),
        }
    }
    let root = if whole.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Whether one part of a path could be `name`.
pub fn part_fits(part: &str, name: &str) -> bool {
    if !has_marker(part) {
        return part == name;
    }
    // A glob does not match hidden files.
    if name.starts_with('.') && part.starts_with([ANY, ONE]) {
        return false;
    }
    let pattern: String = part
        .chars()
        .map(|c| match c {
            ANY | UNKNOWN => '*',
            ONE => '?',
            c => c,
        })
        .collect();
    WildMatch::new(&pattern).matches(name)
}
