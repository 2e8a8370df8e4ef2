//! Two texts line by line: what a dry run shows.

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// One line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The differences of two texts: lines that go (`-`), that come (`+`) and a few around them; empty when there are
/// none.
pub fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let changed: Vec<usize> = (0..lines.len()).filter(|i| !matches!(lines[*i], Line::Same(_))).collect();
    let near = |i: usize| changed.iter().any(|c| c.abs_diff(i) <= CONTEXT);
    let (mut text, mut elided) = (String::new(), false);
    for (i, line) in lines.iter().enumerate() {
        let (sign, line) = match line {
            Line::Same(_) if !near(i) => {
                elided = true;
                continue;
            }
            Line::Same(line) => (' ', line),
            Line::Old(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        if std::mem::take(&mut elided) {
            text.push_str("  …\n");
        }
        text.extend([sign, ' ']);
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The longest common subsequence, by the textbook's table: settings are short.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::with_capacity(old.len().max(new.len()));
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn shows_changes_with_their_neighbours() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        assert_eq!(diff(old, &old.replace('6', "six")), "  …\n  3\n  4\n  5\n- 6\n+ six\n  7\n  8\n  9\n");
        assert_eq!(diff("", "{}\n"), "+ {}\n");
        assert_eq!(diff(old, old), "");
    }
}
