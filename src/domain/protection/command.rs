//! What one command does.

use super::analysis::{Analysis, RunProgram, SimpleCommand};
use super::shell::Parser;
use super::tables::{DETACHING, HOOKS, INTERPRETERS, PREFIXES, SHELLS, TEXT_RUNNERS};
use super::text::{UNKNOWN, alternatives, file_name};
use super::{ChangeExtent, ProtectionReason, Suspicion, client, code, own_commands};

/// How many arguments of a program that types are joined without spaces, each with those after it.
const MAX_PIECES: usize = 16;

/// Prefixes that run a program as another user or in another root folder, where other settings apply.
const OTHER_USERS: [&str; 4] = ["sudo", "doas", "runuser", "chroot"];

/// Maximum number of programs that are listed.
const MAX_PROGRAMS: usize = 1024;

/// Maximum number of programs that run each other (`env nohup timeout …`).
pub(super) const MAX_PREFIXES: usize = 16;

impl Analysis<'_> {
    /// Runs a command, as far as its words tell. Returns its output, as far as known.
    pub(super) fn run(&mut self, command: SimpleCommand) -> String {
        let mut words: Vec<String> = command.words.iter().flat_map(|word| alternatives(word)).collect();
        let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
        // Brace lists in values of assignments are not expanded.
        let lists: Vec<String> = command.words.iter().take(assigned).cloned().collect();
        words.drain(..assigned.min(words.len()));
        let mut changed = Vec::new();
        for (name, value) in lists.iter().filter_map(|word| assignment(word)) {
            if words.is_empty() {
                self.set_variable(name, value);
            }
            changed.push(name.to_owned());
        }
        let input = command.input.unwrap_or_default();
        let printed = match words.split_first() {
            Some((program, arguments)) => self.run_program(program, arguments, &input, changed, MAX_PREFIXES),
            None => input.clone(),
        };
        for output in &command.outputs {
            if output.starts_with("/dev/") && !output.starts_with("/dev/shm/") {
                continue;
            }
            self.write_file(output, &printed);
            self.remember_file(output, &printed);
        }
        printed
    }

    pub(super) fn run_program(
        &mut self,
        program: &str,
        arguments: &[String],
        input: &str,
        mut changed: Vec<String>,
        left: usize,
    ) -> String {
        let name = file_name(program);
        if name == "command" && arguments.first().is_some_and(|word| word == "-v" || word == "-V") {
            return self.run_tool("which", &arguments[1..], input);
        }
        if let Some((_, options, before)) =
            PREFIXES.iter().find(|(prefix, ..)| *prefix == name).filter(|_| left > 0)
        {
            let inner = self.strip_prefix_program(name, arguments, options, *before, &mut changed);
            if TEXT_RUNNERS.contains(&name) {
                self.run_text(name, arguments, input);
            }
            if name == "xargs" && inner.is_empty() {
                return input.to_owned();
            }
            let Some((program, arguments)) = inner.split_first() else { return String::new() };
            let mut arguments = arguments.to_vec();
            if name == "xargs" {
                // Piped text becomes arguments, or replaces a placeholder.
                let piped: Vec<String> = input.split_whitespace().map(str::to_owned).collect();
                match arguments.iter().position(|word| word == "{}") {
                    Some(at) => drop(arguments.splice(at..=at, piped)),
                    None if piped.is_empty() => arguments.push(UNKNOWN.to_string()),
                    None => arguments.extend(piped),
                }
                let program =
                    if program == "{}" { input.split_whitespace().next().unwrap_or("{}") } else { program };
                return self.run_program(program, &arguments, "", changed, left - 1);
            }
            return self.run_program(program, &arguments, input, changed, left - 1);
        }
        if self.programs.len() < MAX_PROGRAMS {
            let words = std::iter::once(program.to_owned()).chain(arguments.iter().cloned()).collect();
            self.programs.push(RunProgram { words, counted_as: self.counted_as.clone() });
        }
        self.check_own_program(program, arguments);
        if name == "fusebox"
            && left > 0
            && let Some((platform, command)) = own_commands::wrapped_command(arguments)
            && let Some((program, arguments)) = command.split_first()
        {
            let (program, arguments) = (program.clone(), arguments.to_vec());
            // With other settings it may count elsewhere, or nowhere.
            let platform = platform.filter(|_| !self.changes_settings(&changed));
            let outer = std::mem::replace(&mut self.counted_as, platform);
            let printed = self.run_program(&program, &arguments, input, changed, left - 1);
            self.counted_as = outer;
            return printed;
        }
        let is_other_name = self.client_names.contains(program);
        let started = self.context.client.arguments(program, arguments);
        if let Some(arguments) = started.or(is_other_name.then_some(arguments)) {
            let names: Vec<String> = changed.into_iter().chain(self.exported.clone()).collect();
            client::check_start(self, arguments, &names);
            return String::new();
        }
        if SHELLS.contains(&name) {
            return self.run_shell(arguments, input);
        }
        if let Some((_, options)) = INTERPRETERS.iter().find(|(known, _)| is_version_of(name, known)) {
            self.run_interpreter(name, options, arguments, input);
            return if name.ends_with("awk") { input.to_owned() } else { String::new() };
        }
        if let Some(text) = self.files.get(&self.resolve_path(program)).cloned() {
            return Parser::new(&text).run(self);
        }
        self.run_tool(name, arguments, input)
    }

    /// Returns the command after a prefix such as `env`, and adds the variables that the prefix changes.
    fn strip_prefix_program(
        &mut self,
        name: &str,
        arguments: &[String],
        options: &str,
        before: usize,
        changed: &mut Vec<String>,
    ) -> Vec<String> {
        let mut rest = arguments.iter().peekable();
        let mut skip = before;
        if OTHER_USERS.contains(&name) {
            changed.push("USER".to_owned());
        }
        while let Some(word) = rest.peek() {
            if name == "env" && matches!(word.as_str(), "-i" | "-" | "--ignore-environment") {
                changed.push("*".to_owned());
            }
            if let Some((name, _)) = assignment(word) {
                changed.push(name.to_owned());
                rest.next();
            } else if word.starts_with('-') && word.len() > 1 {
                let word = rest.next().cloned().unwrap_or_default();
                if word == "--" {
                    break;
                }
                let takes =
                    word.chars().last().is_some_and(|c| options.contains(c)) && !word.starts_with("--");
                let unset = word.strip_prefix("--unset=").map(str::to_owned);
                let value =
                    if takes && word.len() == 2 || word == "--unset" { rest.next().cloned() } else { unset };
                if name == "env" && (word.starts_with("-u") || word.starts_with("--unset")) {
                    changed.extend(value.or_else(|| word.strip_prefix("-u").map(str::to_owned)));
                } else if name == "env" && word.starts_with("-S") {
                    Parser::new(&value.unwrap_or_else(|| word[2..].to_owned())).run(self);
                }
            } else if skip > 0 {
                skip -= 1;
                rest.next();
            } else {
                break;
            }
        }
        rest.cloned().collect()
    }

    /// Checks whether one of Fusebox's own executables is run, under any name.
    fn check_own_program(&mut self, program: &str, arguments: &[String]) {
        let name = file_name(program);
        if name == "fusebox" {
            if let Some(command) = own_commands::deciding_command(arguments) {
                self.forbid(ProtectionReason::Command(command));
            }
        } else if program.contains([UNKNOWN, '/'])
            && let Some(command) = own_commands::plain_deciding_command(arguments)
        {
            match program.contains(UNKNOWN) {
                true => self.forbid(ProtectionReason::Command(command)),
                false => self.report(Suspicion::ProgramRun { path: self.resolve_path(program), command }),
            }
        }
        if HOOKS.contains(&name) && !arguments.iter().any(|word| word == "--version") {
            let path = if program.contains('/') { self.resolve_path(program) } else { name.to_owned() };
            self.report(Suspicion::HookStarted(path));
        }
    }

    fn run_shell(&mut self, arguments: &[String], input: &str) -> String {
        let mut rest = arguments.iter();
        let mut from_input = true;
        let mut printed = String::new();
        while let Some(word) = rest.next() {
            let option = word.starts_with(['-', '+']);
            if option && !word.starts_with("--") && word.contains('c') {
                // The script is the next word that is not an option.
                let script = rest.by_ref().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
                return Parser::new(&script).run(self);
            }
            if option && word.ends_with('o') || word == "--rcfile" || word == "--init-file" {
                rest.next();
            } else if word == "-s" {
                break;
            } else if !option {
                from_input = false;
                if let Some(text) = self.files.get(&self.resolve_path(word)).cloned() {
                    printed = Parser::new(&text).run(self);
                }
                break;
            }
        }
        if from_input && !input.is_empty() {
            printed = Parser::new(input).run(self);
        }
        printed
    }

    fn run_interpreter(&mut self, name: &str, options: &[&str], arguments: &[String], input: &str) {
        let awk = name.ends_with("awk");
        let mut code: Vec<&str> = Vec::new();
        let mut others: Vec<&String> = Vec::new();
        let mut in_place = false;
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            let joined = |o: &&&str| {
                o.len() == 2 && word.starts_with('-') && !word.starts_with("--") && word.ends_with(&o[1..])
            };
            if options.contains(&word.as_str()) || options.iter().find(joined).is_some() {
                code.extend(rest.next().map(String::as_str));
                in_place |= name == "perl" && word.contains('i');
            } else if word.starts_with('-') && word.len() > 1 {
                in_place |= (name == "perl" || name == "ruby") && word.contains('i')
                    || awk && word.contains("inplace");
            } else if word == "inplace" {
                in_place = true;
            } else {
                others.push(word);
            }
        }
        if awk && !others.is_empty() {
            code.push(others.remove(0));
        }
        let written = others.first().and_then(|script| self.files.get(&self.resolve_path(script))).cloned();
        // A module that only reads.
        let reads = arguments.windows(2).any(|w| w[0] == "-m" && w[1] == "json.tool") && others.len() < 3;
        let inline = !code.is_empty() || written.is_some();
        if others.is_empty() || others.first().is_some_and(|first| *first == "-") {
            code.push(input);
        }
        let code = [code.join("\n"), written.unwrap_or_default()].join("\n");
        let writes =
            if awk { code.contains("system") || awk_writes(&code) } else { code::search(self, &code) };
        if awk {
            code::command_lines(self, if code.contains("system") { &code } else { "" });
        }
        // An unknown script may do anything with its arguments.
        let extent =
            if in_place || writes { Some(true) } else { (!inline && !reads && !awk).then_some(false) };
        if let Some(is_certain) = extent {
            others.iter().for_each(|word| self.change_path(word, ChangeExtent::Itself, is_certain));
        }
    }

    /// Analyses text that a program runs or types as command lines.
    pub(super) fn run_text(&mut self, name: &str, arguments: &[String], input: &str) {
        let quiet = match name {
            "tmux" => !arguments.iter().any(|word| {
                let word = word.as_str();
                [
                    "send",
                    "new",
                    "neww",
                    "split",
                    "splitw",
                    "respawn",
                    "run",
                    "if",
                    "popup",
                    "display-popup",
                    "pipe",
                    "set",
                    "setb",
                    "load",
                    "loadb",
                ]
                .iter()
                .any(|verb| word == *verb || word.starts_with(&format!("{verb}-")))
            }),
            _ => false,
        };
        if quiet {
            return;
        }
        let was_detached = self.is_detached;
        self.is_detached |= DETACHING.contains(&name);
        // Not the name of a session or a window.
        let names = |word: &String| matches!(word.as_str(), "-s" | "-t" | "-n" | "-S" | "-L");
        let client = self.context.client;
        let started = |at: &usize| client.arguments(&arguments[*at], &[]).is_some();
        let started = (0..arguments.len()).filter(|at| *at == 0 || !names(&arguments[at - 1])).find(started);
        if let Some(at) = started.filter(|_| self.is_detached) {
            client::check_start(self, &arguments[at + 1..], &[]);
        }
        for word in arguments.iter().filter(|word| word.contains(char::is_whitespace)) {
            Parser::new(word).run(self);
        }
        code::command_lines(self, &arguments.join(" "));
        // Pieces that become one when typed, from any of the first words on.
        for at in 0..arguments.len().min(MAX_PIECES) {
            code::command_lines(self, &arguments[at..].concat());
        }
        code::command_lines(self, input);
        if matches!(name, "at" | "batch" | "crontab" | "parallel") {
            Parser::new(input).run(self);
            let written =
                arguments.iter().filter_map(|path| self.files.get(&self.resolve_path(path)).cloned());
            for text in written.collect::<Vec<_>>() {
                code::command_lines(self, &text);
            }
        }
        self.is_detached = was_detached;
    }
}

/// Whether awk code redirects output to a file: `>` before anything but a number.
fn awk_writes(code: &str) -> bool {
    let after = code.split('>').skip(1).map(|rest| rest.trim_start_matches(['>', ' ']));
    after.into_iter().any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '='))
}

/// `NAME=value`.
pub(super) fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    (first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some((name, value))
}

/// `python3.12` is a version of `python3`.
fn is_version_of(name: &str, known: &str) -> bool {
    name == known
        || name.strip_prefix(known).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}
