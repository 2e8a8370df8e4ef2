//! Words of shell text: quotes, patterns, brace lists, and substitutions.

use super::analysis::Analysis;
use super::shell::{MAX_DEPTH, Parser};
use super::text::{ANY, BRACES, ONE, SPLIT, UNKNOWN};

impl Parser {
    /// Reads a word. The second value is true if no part of it was quoted.
    pub(super) fn word(&mut self, analysis: &mut Analysis) -> (String, bool) {
        let [open, comma, close] = BRACES;
        let (mut word, mut bare, mut braces) = (String::new(), true, 0_usize);
        let begin = self.at;
        while let Some(c) = self.peek(0) {
            let at_start = self.at == begin;
            match c {
                '<' | '>' if at_start && self.peek(1) == Some('(') => {
                    self.at += 2;
                    let printed = self.nested(analysis);
                    let path = format!("/dev/fd/{}", 60 + analysis.files.len());
                    analysis.files.insert(path.clone(), printed);
                    word.push_str(&path);
                    continue;
                }
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => {
                    bare = false;
                    self.at += 1;
                    while let Some(c) = self.peek(0) {
                        self.at += 1;
                        if c == '\'' {
                            break;
                        }
                        word.push(c);
                    }
                    continue;
                }
                '"' => {
                    bare = false;
                    self.at += 1;
                    word.push_str(&self.quoted(analysis, Some('"')));
                    continue;
                }
                '\\' => {
                    bare = false;
                    word.extend(self.peek(1).filter(|c| *c != '\n'));
                    self.at += 2;
                    continue;
                }
                '$' if self.peek(1) == Some('\'') => {
                    bare = false;
                    self.at += 2;
                    word.push_str(&self.ansi_quoted());
                    continue;
                }
                '$' if self.peek(1) == Some('"') => self.at += 1,
                '$' | '`' => {
                    let split = |c: char| if c.is_whitespace() { SPLIT } else { c };
                    word.extend(self.substitution(analysis).chars().map(split));
                    continue;
                }
                '~' if (at_start || word.ends_with('='))
                    && self.peek(1).is_none_or(|c| !c.is_alphanumeric()) =>
                {
                    word.push_str(analysis.context.home);
                }
                '*' => word.push(ANY),
                '?' => word.push(ONE),
                '[' if !at_start || self.peek(1).is_some_and(|c| !c.is_whitespace() && c != '[') => {
                    let rest = &self.text[self.at + 1..];
                    let stop =
                        rest.iter().position(|c| c.is_whitespace() || matches!(c, ']' | '/' | ';' | '='));
                    match stop.filter(|n| rest[*n] == ']' && *n > 0) {
                        Some(n) => {
                            word.push(ONE);
                            self.at += n + 1;
                        }
                        None => word.push('['),
                    }
                }
                '{' if self.peek(1) == Some('}') => {
                    word.push_str("{}");
                    self.at += 1;
                }
                '{' if self.peek(1).is_some_and(|c| !c.is_whitespace()) => {
                    braces += 1;
                    word.push(open);
                }
                ',' if braces > 0 => word.push(comma),
                '}' if braces > 0 => {
                    braces -= 1;
                    word.push(close);
                }
                c => word.push(c),
            }
            self.at += 1;
        }
        (word, bare)
    }

    /// Reads text in which only `$`, backticks and some backslashes are special, up to `end`, which is consumed.
    pub(super) fn quoted(&mut self, analysis: &mut Analysis, end: Option<char>) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            match c {
                c if Some(c) == end => {
                    self.at += 1;
                    break;
                }
                '\\' => {
                    match self.peek(1) {
                        Some(next @ ('$' | '`' | '"' | '\\')) => text.push(next),
                        Some('\n') => {}
                        next => text.extend(std::iter::once('\\').chain(next)),
                    }
                    self.at += 2;
                }
                '$' | '`' => text.push_str(&self.substitution(analysis)),
                c => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        text
    }

    /// Reads `$'…'`, after the first quote.
    fn ansi_quoted(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            self.at += 1;
            if c == '\'' {
                break;
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let kind = self.peek(0).unwrap_or('\\');
            let (radix, max_digits) = match kind {
                'x' => (16, 2),
                'u' => (16, 4),
                'U' => (16, 8),
                '0'..='7' => (8, 3),
                _ => (0, 0),
            };
            if radix == 0 {
                self.at += 1;
                text.push(match kind {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
                continue;
            }
            self.at += usize::from(radix == 16);
            let digits: String = self.text[self.at.min(self.text.len())..]
                .iter()
                .take(max_digits)
                .take_while(|c| c.is_digit(radix))
                .collect();
            self.at += digits.len();
            text.extend(u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32));
        }
        text
    }

    /// The value of `$…` or `` `…` ``.
    fn substitution(&mut self, analysis: &mut Analysis) -> String {
        if self.peek(0) == Some('`') {
            self.at += 1;
            let mut script = String::new();
            while let Some(c) = self.peek(0) {
                self.at += 1;
                match c {
                    '`' => break,
                    '\\' => {
                        script.extend(self.peek(0));
                        self.at += 1;
                    }
                    c => script.push(c),
                }
            }
            let printed = Self::new(&script).run(analysis);
            return printed_or_unknown(analysis, &printed);
        }
        self.at += 1;
        match self.peek(0) {
            Some('(') if self.peek(1) == Some('(') => {
                self.arithmetic();
                UNKNOWN.to_string()
            }
            Some('(') => {
                self.at += 1;
                let printed = self.nested(analysis);
                printed_or_unknown(analysis, &printed)
            }
            Some('{') => {
                self.at += 1;
                self.parameter(analysis)
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                analysis.variable(&name)
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '@' | '*' | '#' | '?' | '$' | '!' | '-') => {
                self.at += 1;
                UNKNOWN.to_string()
            }
            _ => "$".to_owned(),
        }
    }

    /// Reads a list in parentheses, in its own subshell.
    fn nested(&mut self, analysis: &mut Analysis) -> String {
        if analysis.depth >= MAX_DEPTH {
            return String::new();
        }
        analysis.depth += 1;
        let cwd = analysis.cwd.clone();
        let printed = self.list(analysis, true);
        analysis.cwd = cwd;
        analysis.depth -= 1;
        printed
    }

    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let name: String = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_').collect();
        self.at += name.len();
        name
    }

    /// Reads `${…}`, after the brace.
    fn parameter(&mut self, analysis: &mut Analysis) -> String {
        let name = self.name();
        let mut more = String::new();
        let mut depth = 1;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            more.push(c);
        }
        let value = analysis.variable(&name);
        match more.trim_start_matches(':').chars().next() {
            None => value,
            Some('-' | '=') if value.contains(UNKNOWN) => {
                let default = more.trim_start_matches(':')[1..].to_owned();
                Self::new(&default).quoted(analysis, None)
            }
            Some('-' | '=' | '?') => value,
            Some(_) => UNKNOWN.to_string(),
        }
    }
}

fn printed_or_unknown(analysis: &mut Analysis, printed: &str) -> String {
    match printed.is_empty() || !analysis.spend(printed.len()) {
        true => UNKNOWN.to_string(),
        false => printed.trim_end().to_owned(),
    }
}
