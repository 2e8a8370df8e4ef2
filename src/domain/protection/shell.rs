//! A shell's text, read as far as it says which commands run with which words. Lenient: what a shell would refuse is
//! read on as it comes.

use super::text::{ANY, BRACES, ONE, SPLIT, UNKNOWN};
use super::world::{Simple, World};

/// How deep lists, substitutions and scripts in words may lie in each other.
const MAX_DEPTH: usize = 24;

/// Words that only say how the command after them is run.
const LEADING: [&str; 11] =
    ["if", "then", "else", "elif", "do", "while", "until", "!", "time", "{", "coproc"];

/// A reader of one text.
pub struct Parser {
    text: Vec<char>,
    at: usize,
    /// Bodies of here-documents begin and end here: where a line ends, and the next one begins.
    skip: Option<(usize, usize)>,
    /// `case` lists that are open: in them a closing parenthesis ends a pattern.
    cases: usize,
}

impl Parser {
    /// At the beginning of `text`.
    pub fn new(text: &str) -> Self {
        Self { text: text.chars().collect(), at: 0, skip: None, cases: 0 }
    }

    /// Reads all of it. Returns what it would print, as far as that is known.
    pub fn run(&mut self, world: &mut World) -> String {
        if world.depth >= MAX_DEPTH {
            return String::new();
        }
        world.depth += 1;
        let printed = self.list(world, false);
        world.depth -= 1;
        printed
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn is_next(&self, word: &str) -> bool {
        word.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c))
    }

    /// Commands up to the end, or to the parenthesis that closes them.
    fn list(&mut self, world: &mut World, in_parentheses: bool) -> String {
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
                '&' if self.peek(1) == Some('>') => printed.push(self.simple(world, None)),
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
                    let cwd = world.cwd.clone();
                    if world.depth < MAX_DEPTH {
                        world.depth += 1;
                        printed.push(self.list(world, true));
                        world.depth -= 1;
                    }
                    world.cwd = cwd;
                }
                _ => {
                    let before = self.at;
                    printed.push(self.simple(world, piped.take()));
                    // Whatever it was: go on.
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
    fn arithmetic(&mut self) {
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

    /// One command with its redirections, up to what ends it.
    fn simple(&mut self, world: &mut World, piped: Option<String>) -> String {
        let mut simple = Simple { input: piped, ..Simple::default() };
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.peek(1) == Some('\n') => self.at += 2,
                Some('>' | '<') if self.peek(1) != Some('(') => self.redirection(world, &mut simple),
                Some('&') if self.peek(1) == Some('>') => {
                    self.at += 1;
                    self.redirection(world, &mut simple);
                }
                Some('(') if simple.words.len() == 1 => {
                    // A function's name: what it does is read as if it ran.
                    self.at += 1;
                    self.blank_lines();
                    self.at += usize::from(self.peek(0) == Some(')'));
                    simple.words.clear();
                    self.blank_lines();
                }
                None | Some('\n' | ';' | '&' | '|' | ')' | '(') => break,
                Some('#') => self.comment(),
                Some(_) => {
                    let (word, bare) = self.word(world);
                    if bare && simple.words.is_empty() && self.reserved(world, &word) {
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
                        let values = self.words_until(world, ')');
                        simple.words.push(format!("{word}{}", one_of(&values)));
                        continue;
                    }
                    simple
                        .words
                        .extend(word.split(SPLIT).filter(|w| !w.is_empty() || !bare).map(str::to_owned));
                }
            }
        }
        world.run(simple)
    }

    /// Takes a reserved word with what belongs to it. `false`: it is none.
    fn reserved(&mut self, world: &mut World, word: &str) -> bool {
        match word {
            "fi" | "done" | "}" => {}
            "esac" => self.cases = self.cases.saturating_sub(1),
            "case" => {
                self.words_until_word(world, "in");
                self.cases += 1;
            }
            "for" | "select" => {
                self.blanks();
                let (name, _) = self.word(world);
                self.blanks();
                let mut values = self.words_until(world, '\n');
                if values.first().is_some_and(|first| first == "in") {
                    values.remove(0);
                }
                world.set(&name, &one_of(&values));
            }
            "function" => {
                self.blanks();
                self.word(world);
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

    /// Words up to `end`, which is taken, or to what ends a command, which is not.
    fn words_until(&mut self, world: &mut World, end: char) -> Vec<String> {
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
                _ => words.push(self.word(world).0.replace(SPLIT, " ")),
            }
        }
        words
    }

    fn words_until_word(&mut self, world: &mut World, end: &str) {
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\n' => self.at += 1,
                ';' | '&' | '|' | ')' | '<' | '>' | '(' => break,
                _ if self.word(world).0 == end => break,
                _ => {}
            }
        }
    }

    /// `>`, `>>`, `<`, `<<`, `<<<`, `>&` and their like.
    fn redirection(&mut self, world: &mut World, simple: &mut Simple) {
        if self.is_next("<<<") {
            self.at += 3;
            self.blanks();
            simple.input = Some(self.word(world).0.replace(SPLIT, " "));
            return;
        }
        if self.is_next("<<") {
            self.at += 2;
            simple.input = Some(self.here_document(world));
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
        let (target, _) = self.word(world);
        let number = target.chars().all(|c| c.is_ascii_digit() || c == '-');
        match (writes, duplicates && number) {
            (_, true) => {}
            (true, false) => simple.outputs.push(target),
            (false, false) => {
                simple.input = world.files.get(&world.place(&target)).cloned().or(simple.input.take());
            }
        }
    }

    /// The body stands behind the line.
    fn here_document(&mut self, world: &mut World) -> String {
        let indented = self.peek(0) == Some('-');
        self.at += usize::from(indented);
        self.blanks();
        let from = self.at;
        let delimiter = self.word(world).0;
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
        if quoted || world.depth >= MAX_DEPTH {
            return body;
        }
        world.depth += 1;
        let expanded = Self::new(&body).quoted(world, None);
        world.depth -= 1;
        expanded
    }

    /// A word; the second value: none of it was quoted.
    fn word(&mut self, world: &mut World) -> (String, bool) {
        let [open, comma, close] = BRACES;
        let (mut word, mut bare, mut braces) = (String::new(), true, 0_usize);
        let begin = self.at;
        while let Some(c) = self.peek(0) {
            let at_start = self.at == begin;
            match c {
                '<' | '>' if at_start && self.peek(1) == Some('(') => {
                    self.at += 2;
                    let printed = self.nested(world);
                    let path = format!("/dev/fd/{}", 60 + world.files.len());
                    world.files.insert(path.clone(), printed);
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
                    word.push_str(&self.quoted(world, Some('"')));
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
                    word.push_str(&self.ansi());
                    continue;
                }
                '$' if self.peek(1) == Some('"') => self.at += 1,
                '$' | '`' => {
                    let split = |c: char| if c.is_whitespace() { SPLIT } else { c };
                    word.extend(self.substitution(world).chars().map(split));
                    continue;
                }
                '~' if (at_start || word.ends_with('='))
                    && self.peek(1).is_none_or(|c| !c.is_alphanumeric()) =>
                {
                    word.push_str(world.at.home);
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

    /// Text in which only `$`, backticks and some backslashes mean something, up to `end`, which is taken.
    fn quoted(&mut self, world: &mut World, end: Option<char>) -> String {
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
                '$' | '`' => text.push_str(&self.substitution(world)),
                c => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        text
    }

    /// `$'…'`, after the first quote.
    fn ansi(&mut self) -> String {
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
            let (radix, most) = match kind {
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
                .take(most)
                .take_while(|c| c.is_digit(radix))
                .collect();
            self.at += digits.len();
            text.extend(u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32));
        }
        text
    }

    /// What stands for `$…` or `` `…` ``.
    fn substitution(&mut self, world: &mut World) -> String {
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
            return printed_or_unknown(&Self::new(&script).run(world));
        }
        self.at += 1;
        match self.peek(0) {
            Some('(') if self.peek(1) == Some('(') => {
                self.arithmetic();
                UNKNOWN.to_string()
            }
            Some('(') => {
                self.at += 1;
                printed_or_unknown(&self.nested(world))
            }
            Some('{') => {
                self.at += 1;
                self.parameter(world)
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                world.value(&name)
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '@' | '*' | '#' | '?' | '$' | '!' | '-') => {
                self.at += 1;
                UNKNOWN.to_string()
            }
            _ => "$".to_owned(),
        }
    }

    /// A list in parentheses, in a shell of its own.
    fn nested(&mut self, world: &mut World) -> String {
        if world.depth >= MAX_DEPTH {
            return String::new();
        }
        world.depth += 1;
        let cwd = world.cwd.clone();
        let printed = self.list(world, true);
        world.cwd = cwd;
        world.depth -= 1;
        printed
    }

    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let name: String = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_').collect();
        self.at += name.len();
        name
    }

    /// `${…}`, after the brace.
    fn parameter(&mut self, world: &mut World) -> String {
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
        let value = world.value(&name);
        match more.trim_start_matches(':').chars().next() {
            None => value,
            Some('-' | '=') if value.contains(UNKNOWN) => {
                let default = more.trim_start_matches(':')[1..].to_owned();
                Self::new(&default).quoted(world, None)
            }
            Some('-' | '=' | '?') => value,
            Some(_) => UNKNOWN.to_string(),
        }
    }
}

fn printed_or_unknown(printed: &str) -> String {
    if printed.is_empty() { UNKNOWN.to_string() } else { printed.trim_end().to_owned() }
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
