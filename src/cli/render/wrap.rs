//! Wraps text to a width. Lines break at spaces only: words, ids, paths and short commands stay whole, so they can be copied.

use std::borrow::Cow;

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter};

/// Columns where there is no terminal.
pub const DEFAULT_COLUMNS: usize = 80;

/// Quoted commands up to this length stay on one line.
const MAX_UNBROKEN: usize = 60;

/// The columns of the terminal that standard output goes to; `None`: it goes elsewhere.
pub fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(columns, _)| usize::from(columns.0))
}

/// The lines of `text`, each of at most `width` columns unless a single word is longer. What follows an indented first line
/// is indented as well.
pub fn lines(text: &str, width: usize) -> Vec<Cow<'_, str>> {
    let indent = &text[..text.len() - text.trim_start_matches(' ').len()];
    let options = Options::new(width)
        .subsequent_indent(indent)
        .word_separator(WordSeparator::Custom(split_words))
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::wrap(text, options)
}

/// Splits a line into words at its spaces; a short command in backticks is one word.
fn split_words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut rest = line;
    Box::new(std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let (word, after) = rest.split_at(word_length(rest));
            rest = after;
            Word::from(word)
        })
    }))
}

/// Bytes of the first word, with the spaces after it.
fn word_length(text: &str) -> usize {
    let mut end = 0;
    while let Some(c) = text[end..].chars().next() {
        match c {
            ' ' => return end + text[end..].find(|c| c != ' ').unwrap_or(text.len() - end),
            '`' => end += quoted_length(&text[end..]).unwrap_or(1),
            c => end += c.len_utf8(),
        }
    }
    end
}

/// Bytes of the quotation that `text` starts with, if that is short enough to stay whole.
fn quoted_length(text: &str) -> Option<usize> {
    let end = text[1..].find('`')? + 2;
    (end <= MAX_UNBROKEN).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::lines;

    #[test]
    fn ids_paths_and_commands_stay_whole() {
        let text = "see session 67393810-3473-4bd3-b05f-e73c943b62e9 in ~/.local/state/fusebox/journal.jsonl, then run \
                    `fusebox budget show session` (`--json` too)";
        let shown = [
            "see session",
            "67393810-3473-4bd3-b05f-e73c943b62e9",
            "in",
            "~/.local/state/fusebox/journal.jsonl,",
            "then run",
            "`fusebox budget show session`",
            "(`--json` too)",
        ];
        assert_eq!(lines(text, 30), shown);
        assert_eq!(lines("one  two\n\nthree", 80), ["one  two", "", "three"]);
        assert_eq!(lines("  one two three", 10), ["  one two", "  three"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_lines_break_at_spaces(text in "[-a`/é ]{0,80}", width in 1_usize..30) {
            let wrapped = lines(&text, width);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped.join(" ")), words(&text));
        }
    }
}
