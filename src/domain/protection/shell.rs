//! Reads shell text as far as needed to see which commands run with which words. Lenient: continues after syntax
//! errors.

use super::analysis::{Analysis, SimpleCommand};
use super::text::{BRACES, SPLIT, UNKNOWN};

/// Maximum nesting of lists, substitutions and scripts in words.
pub(super) const MAX_DEPTH: usize = 24;

/// Words that only affect how the following command runs.
const LEADING: [&str; 11] =
    ["if", "then", "else", "elif", "do", "while", "until", "!", "time", "{", "coproc"];

/// A parser of one text.
pub struct Parser {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    /// The range of here-document bodies to skip: from the end of a line to the start of the next.
    skip: Option<(usize, usize)>,
    /// Number of open `case` lists, in which a closing parenthesis ends a pattern.
    cases: usize,
}

impl Parser {
    /// A parser at the start of `text`.
    pub fn new(text: &str) -> Self {
        Self { text: text.chars().collect(), at: 0, skip: None, cases: 0 }
    }

    /// Reads the whole text. Returns its output, as far as known.
    pub fn run(&mut self, analysis: &mut Analysis) -> String {
        if analysis.depth >= MAX_DEPTH || !analysis.spend(self.text.len()) {
            return String::new();
        }
        analysis.depth += 1;
        let printed = self.list(analysis, false);
        analysis.depth -= 1;
        printed
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn is_next(&self, word: &str) -> bool {
        word.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c))
    }

    /// Reads commands up to the end, or to the closing parenthesis.
    pub(super) fn list(&mut self, analysis: &mut Analysis, in_parentheses: bool) -> String {
        let outer_cases = std::mem::take(&mut self.cases);
        let mut printed: Vec<String> = Vec::new();
        let mut piped = None;
        while let Some(next) = self.peek(0) {
            match next {
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.peek(1) == Some('\n') => self.at += 2,
                '#' => self.comment(),
                '\n' => {
                    self.line_end();
                    piped = None;
                }
                '&' if self.peek(1) == Some('>') => printed.push(self.simple(analysis, None)),
                ';' | '&' => {
                    self.at += 1;
                    piped = None;
                }
                '|' if self.peek(1) == Some('|') => {
                    self.at += 2;
                    piped = None;
                }
                '|' => {
                    self.at += if self.peek(1) == Some('&') { 2 } else { 1 };
                    piped = Some(printed.pop().unwrap_or_default());
                    self.blank_lines();
                }
                ')' if self.cases > 0 => self.at += 1,
                ')' => {
                    self.at += 1;
                    if in_parentheses {
                        break;
                    }
                }
                '(' if self.peek(1) == Some('(') => self.arithmetic(),
                '(' => {
                    self.at += 1;
                    let cwd = analysis.cwd.clone();
                    if analysis.depth < MAX_DEPTH {
                        analysis.depth += 1;
                        printed.push(self.list(analysis, true));
                        analysis.depth -= 1;
                    }
                    analysis.cwd = cwd;
                }
                _ => {
                    let before = self.at;
                    printed.push(self.simple(analysis, piped.take()));
                    // Always make progress.
                    self.at = self.at.max(before + usize::from(self.at == before));
                }
            }
        }
        self.cases = outer_cases;
        printed.retain(|text| !text.is_empty());
        printed.join("\n")
    }

    fn comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn line_end(&mut self) {
        match self.skip.take_if(|(start, _)| *start == self.at) {
            Some((_, end)) => self.at = end,
            None => self.at += 1,
        }
    }

    fn blank_lines(&mut self) {
        while let Some(c) = self.peek(0).filter(|c| c.is_whitespace()) {
            if c == '\n' { self.line_end() } else { self.at += 1 }
        }
    }

    /// `((…))`.
    pub(super) fn arithmetic(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '(' => depth += 1,
                ')' if depth == 1 => return,
                ')' => depth -= 1,
                _ => {}
            }
        }
    }

    /// Reads one command with its redirections.
    fn simple(&mut self, analysis: &mut Analysis, piped: Option<String>) -> String {
        let mut command = SimpleCommand { input: piped, ..SimpleCommand::default() };
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.peek(1) == Some('\n') => self.at += 2,
                Some('>' | '<') if self.peek(1) != Some('(') => self.redirection(analysis, &mut command),
                Some('&') if self.peek(1) == Some('>') => {
                    self.at += 1;
                    self.redirection(analysis, &mut command);
                }
                Some('(') if command.words.len() == 1 => {
                    // A function definition: its body is read as if it ran.
                    self.at += 1;
                    self.blank_lines();
                    self.at += usize::from(self.peek(0) == Some(')'));
                    command.words.clear();
                    self.blank_lines();
                }
                None | Some('\n' | ';' | '&' | '|' | ')' | '(') => break,
                Some('#') => self.comment(),
                Some(_) => {
                    let (word, bare) = self.word(analysis);
                    if bare && command.words.is_empty() && self.reserved(analysis, &word) {
                        if word == "[[" {
                            return String::new();
                        }
                        continue;
                    }
                    if bare
                        && word.chars().all(|c| c.is_ascii_digit())
                        && matches!(self.peek(0), Some('<' | '>'))
                    {
                        continue;
                    }
                    if self.peek(0) == Some('(') && word.ends_with('=') {
                        self.at += 1;
                        let values = self.words_until(analysis, ')');
                        command.words.push(format!("{word}{}", one_of(&values)));
                        continue;
                    }
                    command
                        .words
                        .extend(word.split(SPLIT).filter(|w| !w.is_empty() || !bare).map(str::to_owned));
                }
            }
        }
        analysis.run(command)
    }

    /// Reads a reserved word with what belongs to it. `false` if it is not one.
    fn reserved(&mut self, analysis: &mut Analysis, word: &str) -> bool {
        match word {
            "fi" | "done" | "}" => {}
            "esac" => self.cases = self.cases.saturating_sub(1),
            "case" => {
                self.words_until_word(analysis, "in");
                self.cases += 1;
            }
            "for" | "select" => {
                self.blanks();
                let (name, _) = self.word(analysis);
                self.blanks();
                let mut values = self.words_until(analysis, '\n');
                if values.first().is_some_and(|first| first == "in") {
                    values.remove(0);
                }
                analysis.set_variable(&name, &one_of(&values));
            }
            "function" => {
                self.blanks();
                self.word(analysis);
            }
            "[[" => {
                while self.peek(0).is_some() && !self.is_next("]]") && self.peek(0) != Some('\n') {
                    self.at += 1;
                }
                self.at += if self.is_next("]]") { 2 } else { 0 };
            }
            word => return LEADING.contains(&word),
        }
        true
    }

    fn blanks(&mut self) {
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
    }

    /// Words up to `end`, which is consumed, or to the end of the command, which is not.
    fn words_until(&mut self, analysis: &mut Analysis, end: char) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(c) = self.peek(0) {
            match c {
                c if c == end && end == ')' => {
                    self.at += 1;
                    break;
                }
                ' ' | '\t' => self.at += 1,
                '\n' if end == ')' => self.at += 1,
                '\n' | ';' | '&' | '|' | ')' | '<' | '>' | '(' => break,
                _ => words.push(self.word(analysis).0.replace(SPLIT, " ")),
            }
        }
        words
    }

    fn words_until_word(&mut self, analysis: &mut Analysis, end: &str) {
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\n' => self.at += 1,
                ';' | '&' | '|' | ')' | '<' | '>' | '(' => break,
                _ if self.word(analysis).0 == end => break,
                _ => {}
            }
        }
    }

    /// Reads `>`, `>>`, `<`, `<<`, `<<<`, `>&` and the like.
    fn redirection(&mut self, analysis: &mut Analysis, command: &mut SimpleCommand) {
        if self.is_next("<<<") {
            self.at += 3;
            self.blanks();
            command.input = Some(self.word(analysis).0.replace(SPLIT, " "));
            return;
        }
        if self.is_next("<<") {
            self.at += 2;
            command.input = Some(self.here_document(analysis));
            return;
        }
        let writes = self.peek(0) == Some('>') || self.peek(1) == Some('>');
        while matches!(self.peek(0), Some('>' | '<' | '|')) {
            self.at += 1;
        }
        let duplicates = self.peek(0) == Some('&');
        self.at += usize::from(duplicates);
        self.blanks();
        if self.peek(0).is_none_or(|c| matches!(c, '\n' | ';' | '&' | '|' | ')')) {
            return;
        }
        let (target, _) = self.word(analysis);
        let number = target.chars().all(|c| c.is_ascii_digit() || c == '-');
        match (writes, duplicates && number) {
            (_, true) => {}
            (true, false) => command.outputs.push(target),
            (false, false) => {
                command.input =
                    analysis.files.get(&analysis.resolve_path(&target)).cloned().or(command.input.take());
            }
        }
    }

    /// The body follows after the line.
    fn here_document(&mut self, analysis: &mut Analysis) -> String {
        // Each body is searched for up to the end of the text.
        if !analysis.spend((self.text.len() - self.at.min(self.text.len())) / 16) {
            return String::new();
        }
        let indented = self.peek(0) == Some('-');
        self.at += usize::from(indented);
        self.blanks();
        let from = self.at.min(self.text.len());
        let delimiter = self.word(analysis).0;
        // A final backslash escapes a character that does not exist.
        self.at = self.at.min(self.text.len());
        let quoted = self.text[from..self.at].iter().any(|c| matches!(c, '\'' | '"' | '\\'));
        let line_end =
            |at: usize| self.text[at..].iter().position(|c| *c == '\n').map_or(self.text.len(), |n| at + n);
        let (newline, begin) = match self.skip.filter(|(start, _)| *start >= self.at) {
            Some(span) => span,
            None => (line_end(self.at), (line_end(self.at) + 1).min(self.text.len())),
        };
        let mut at = begin;
        let mut end = self.text.len();
        while at < self.text.len() {
            let stop = line_end(at);
            let line: String = self.text[at..stop].iter().collect();
            let line = if indented { line.trim_start_matches('\t') } else { &line };
            if line == delimiter {
                end = at;
                break;
            }
            at = stop + 1;
        }
        let body: String = self.text[begin.min(end)..end].iter().collect();
        let after = if end < self.text.len() { (line_end(end) + 1).min(self.text.len()) } else { end };
        self.skip = Some((newline, after));
        if quoted || analysis.depth >= MAX_DEPTH {
            return body;
        }
        analysis.depth += 1;
        let expanded = Self::new(&body).quoted(analysis, None);
        analysis.depth -= 1;
        expanded
    }
}

/// A word that stands for any of `values`.
fn one_of(values: &[String]) -> String {
    let [open, comma, close] = BRACES;
    match values {
        [] => UNKNOWN.to_string(),
        [one] => one.clone(),
        more => format!("{open}{}{close}", more.join(&comma.to_string())),
    }
}
