//! Removes comments, which do not change what a call does.

/// Removes comments between `/*` and `*/`, as in queries.
pub fn without_block_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        let Some((_, after)) = after.split_once("*/") else { break };
        out.push_str(before);
        rest = after;
    }
    out + rest
}

/// Removes the comments of a shell command.
pub fn without_shell_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quote, mut escaped, mut comment, mut before) = (None, false, false, ' ');
    for c in text.chars() {
        if comment && c != '\n' {
            continue;
        }
        comment = false;
        match (quote, c) {
            (None, '#') if before.is_whitespace() || before == ';' => {
                comment = true;
                continue;
            }
            (None, '"' | '\'') if !escaped => quote = Some(c),
            (Some(open), _) if open == c && !escaped => quote = None,
            _ => {}
        }
        escaped = c == '\\' && !escaped && quote != Some('\'');
        before = c;
        out.push(c);
    }
    out
}
