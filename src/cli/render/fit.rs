//! Text that fits a number of columns. Wide characters take two.

use ratatui::text::Span;

use crate::config::printable;

/// The longest foreign text that is looked at, in characters.
const MAX_CHARS: usize = 500;

/// Foreign text, safe for the screen and at most `columns` wide: `a very lo…`.
pub fn fit(text: &str, columns: usize) -> String {
    let text = printable(text, MAX_CHARS);
    if width(&text) <= columns {
        return text;
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        // One column is for the dots.
        if width(&cut) >= columns {
            cut.pop();
            break;
        }
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// [`fit`] for text whose end says most, such as a path: `…/a/project`.
pub fn fit_end(text: &str, columns: usize) -> String {
    let text = printable(text, MAX_CHARS);
    if width(&text) <= columns {
        return text;
    }
    let mut kept: Vec<char> = Vec::new();
    for c in text.chars().rev() {
        kept.push(c);
        if width(&kept.iter().collect::<String>()) >= columns {
            kept.pop();
            break;
        }
    }
    let start = if columns > 0 { "…" } else { "" };
    start.chars().chain(kept.into_iter().rev()).collect()
}

/// [`fit`], filled up with spaces on the right.
pub fn left(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text + &" ".repeat(missing)
}

/// [`fit`], filled up with spaces on the left.
pub fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// Columns of a text.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// `987`, `12.3k`, `4.6M`: a count in six columns.
pub fn compact(count: u64) -> String {
    let (unit, name) = match count {
        0..1_000 => return count.to_string(),
        // From here on, one decimal rounds up to the next unit.
        1_000..999_950 => (1_000_u64, "k"),
        999_950..999_950_000 => (1_000_000, "M"),
        _ => (1_000_000_000, "G"),
    };
    let tenths = (u128::from(count) * 10 + u128::from(unit) / 2) / u128::from(unit);
    format!("{}.{}{name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (count, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (12_345, "12.3k"),
            (999_949, "999.9k"),
            (999_950, "1.0M"),
            (4_567_890, "4.6M"),
            (999_949_999, "999.9M"),
            (999_950_000, "1.0G"),
            (u64::MAX, "18446744073.7G"),
        ] {
            assert_eq!(compact(count), shown);
        }
    }

    #[test]
    fn text_is_cut_by_columns_and_made_safe() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("項目項目", 6), "項目…");
        assert_eq!(fit("項目項目", 5), "項目…");
        assert_eq!(left("項目", 6), "項目  ");
        assert_eq!(right("項目", 6), "  項目");
        assert_eq!(fit_end("/home/me/project", 9), "…/project");
        assert_eq!(fit("a\u{1b}[2J\nb", 20), "a\\u{1b}[2J\\nb");
        for columns in 0..12 {
            for text in ["項目項目項目", "abcdefghijkl", "é́́x", ""] {
                assert!(width(&fit(text, columns)) <= columns, "{text} {columns}");
                assert!(width(&fit_end(text, columns)) <= columns, "{text} {columns}");
            }
        }
    }
}
