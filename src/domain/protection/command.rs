//! What one command does with its words.

use super::shell::Parser;
use super::tables::{COPIERS, GIT_WRITERS, HOOKS, INTERPRETERS, PREFIXES, READERS, SHELLS, TYPISTS, WRITERS};
use super::text::{ANY, UNKNOWN, alternatives, base};
use super::world::{Simple, World};
use super::{Finding, Reach, Reason, child, code, own};

/// How many programs may run each other (`env nohup timeout …`).
const MAX_PREFIXES: usize = 16;

impl World<'_> {
    /// Runs a command, as far as that can be told from its words. Returns what it prints, as far as that is known.
    pub(super) fn run(&mut self, simple: Simple) -> String {
        let mut words: Vec<String> = simple.words.iter().flat_map(|word| alternatives(word)).collect();
        let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
        // A value may be a list in braces of its own making.
        let lists: Vec<String> = simple.words.iter().take(assigned).cloned().collect();
        words.drain(..assigned.min(words.len()));
        let mut changed = Vec::new();
        for (name, value) in lists.iter().filter_map(|word| assignment(word)) {
            if words.is_empty() {
                self.set(name, value);
            }
            changed.push(name.to_owned());
        }
        let input = simple.input.unwrap_or_default();
        let printed = match words.split_first() {
            Some((program, arguments)) => self.program(program, arguments, &input, changed, MAX_PREFIXES),
            None => input.clone(),
        };
        for output in &simple.outputs {
            if output.starts_with("/dev/") && !output.starts_with("/dev/shm/") {
                continue;
            }
            self.write(output, &printed);
            self.files.insert(self.place(output), printed.clone());
        }
        printed
    }

    fn program(
        &mut self,
        program: &str,
        arguments: &[String],
        input: &str,
        mut changed: Vec<String>,
        left: usize,
    ) -> String {
        let name = base(program);
        if let Some((_, options, before)) =
            PREFIXES.iter().find(|(prefix, ..)| *prefix == name).filter(|_| left > 0)
        {
            let inner = self.prefixed(name, arguments, options, *before, &mut changed);
            if TYPISTS.contains(&name) {
                self.typist(name, arguments, input);
            }
            if name == "xargs" && inner.is_empty() {
                return input.to_owned();
            }
            let Some((program, arguments)) = inner.split_first() else { return String::new() };
            let mut arguments = arguments.to_vec();
            if name == "xargs" {
                // What comes through the pipe becomes arguments, or takes the place of a mark.
                let piped: Vec<String> = input.split_whitespace().map(str::to_owned).collect();
                match arguments.iter().position(|word| word == "{}") {
                    Some(at) => drop(arguments.splice(at..=at, piped)),
                    None if piped.is_empty() => arguments.push(UNKNOWN.to_string()),
                    None => arguments.extend(piped),
                }
                let program =
                    if program == "{}" { input.split_whitespace().next().unwrap_or("{}") } else { program };
                return self.program(program, &arguments, "", changed, left - 1);
            }
            return self.program(program, &arguments, input, changed, left - 1);
        }
        self.own(program, arguments);
        if child::is_client(program, arguments) {
            let names: Vec<String> = changed.into_iter().chain(self.exported.clone()).collect();
            child::check(self, arguments, &names);
            return String::new();
        }
        if SHELLS.contains(&name) {
            return self.shell(arguments, input);
        }
        if let Some((_, options)) = INTERPRETERS.iter().find(|(known, _)| is_version_of(name, known)) {
            self.interpreter(name, options, arguments, input);
            return String::new();
        }
        if let Some(text) = self.files.get(&self.place(program)).cloned() {
            return Parser::new(&text).run(self);
        }
        self.builtin_or_tool(name, arguments, input)
    }

    /// The command behind a prefix, and the variables that the prefix changes.
    fn prefixed(
        &mut self,
        name: &str,
        arguments: &[String],
        options: &str,
        before: usize,
        changed: &mut Vec<String>,
    ) -> Vec<String> {
        let mut rest = arguments.iter().peekable();
        let mut skip = before;
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

    /// Fusebox's own executables, under whatever name.
    fn own(&mut self, program: &str, arguments: &[String]) {
        let name = base(program);
        if name == "fusebox" {
            if let Some(command) = own::deciding(arguments) {
                self.say(Reason::Command(command));
            }
        } else if program.contains([UNKNOWN, '/'])
            && let Some(command) = own::plainly_deciding(arguments)
        {
            match program.contains(UNKNOWN) {
                true => self.say(Reason::Command(command)),
                false => self.find(Finding::Runs { path: self.place(program), command }),
            }
        }
        if HOOKS.contains(&name) && !arguments.iter().any(|word| word == "--version") {
            let path = if program.contains('/') { self.place(program) } else { name.to_owned() };
            self.find(Finding::Feeds(path));
        }
    }

    fn shell(&mut self, arguments: &[String], input: &str) -> String {
        let mut rest = arguments.iter();
        let mut from_input = true;
        let mut printed = String::new();
        while let Some(word) = rest.next() {
            let option = word.starts_with(['-', '+']);
            if option && !word.starts_with("--") && word.contains('c') {
                // The text is the next word that is no option.
                let script = rest.by_ref().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
                return Parser::new(&script).run(self);
            }
            if word == "-o" || word == "+o" || word == "--rcfile" || word == "--init-file" {
                rest.next();
            } else if word == "-s" {
                break;
            } else if !option {
                from_input = false;
                if let Some(text) = self.files.get(&self.place(word)).cloned() {
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

    fn interpreter(&mut self, name: &str, options: &[&str], arguments: &[String], input: &str) {
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
        let written = others.first().and_then(|script| self.files.get(&self.place(script))).cloned();
        // A module that only reads.
        let reads = arguments.windows(2).any(|w| w[0] == "-m" && w[1] == "json.tool") && others.len() < 3;
        let inline = !code.is_empty() || written.is_some();
        if others.is_empty() || others.first().is_some_and(|first| *first == "-") {
            code.push(input);
        }
        let code = [code.join("\n"), written.unwrap_or_default()].join("\n");
        let writes =
            if awk { code.contains("system") || code.contains('>') } else { code::search(self, &code) };
        if awk {
            code::command_lines(self, if code.contains("system") { &code } else { "" });
        }
        // A script that is not known may do anything to what it is given.
        let reach =
            if in_place || writes { Some(true) } else { (!inline && !reads && !awk).then_some(false) };
        if let Some(surely) = reach {
            others.iter().for_each(|word| self.touch(word, Reach::Itself, surely));
        }
    }

    /// Programs that run or type a command line that they are given as text.
    fn typist(&mut self, name: &str, arguments: &[String], input: &str) {
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
                ]
                .iter()
                .any(|verb| word == *verb || word.starts_with(&format!("{verb}-")))
            }),
            _ => false,
        };
        if quiet {
            return;
        }
        for word in arguments.iter().filter(|word| word.contains(char::is_whitespace)) {
            Parser::new(word).run(self);
        }
        code::command_lines(self, &arguments.join(" "));
        code::command_lines(self, &arguments.concat());
        code::command_lines(self, input);
        if matches!(name, "at" | "batch" | "crontab" | "parallel") {
            Parser::new(input).run(self);
        }
    }

    fn builtin_or_tool(&mut self, name: &str, arguments: &[String], input: &str) -> String {
        let paths = || arguments.iter().filter(|word| !word.starts_with('-') || word.len() == 1);
        match name {
            "cd" | "pushd" => {
                let to = paths().next().cloned().unwrap_or_else(|| self.at.home.to_owned());
                self.cwd = if to == "-" { UNKNOWN.to_string() } else { self.place(&to) };
            }
            "popd" => self.cwd = UNKNOWN.to_string(),
            "export" | "declare" | "typeset" | "readonly" | "local" | "set" | "unset" => {
                for word in paths() {
                    let (variable, value) = assignment(word).unwrap_or((word, ""));
                    if word.contains('=') {
                        self.set(variable, value);
                    }
                    if name != "local" && name != "set" {
                        self.exported.insert(variable.to_owned());
                    }
                }
            }
            "eval" => return Parser::new(&arguments.join(" ")).run(self),
            "alias" => {
                for (_, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
                    Parser::new(value).run(self);
                }
            }
            "source" | "." => {
                if let Some(text) = paths().next().and_then(|path| self.files.get(&self.place(path))).cloned()
                {
                    return Parser::new(&text).run(self);
                }
            }
            "echo" => {
                let words = arguments
                    .iter()
                    .skip_while(|word| matches!(word.as_str(), "-n" | "-e" | "-ne" | "-en" | "-E"));
                let printed = words.cloned().collect::<Vec<_>>().join(" ");
                return if arguments.iter().any(|w| w.starts_with("-") && w.contains('e')) {
                    printed.replace("\\n", "\n")
                } else {
                    printed
                };
            }
            "printf" => return printf(arguments),
            "cat" => {
                let texts =
                    paths().map(|path| self.files.get(&self.place(path)).cloned().unwrap_or_default());
                let text = texts.collect::<Vec<_>>().join("\n");
                return if text.trim().is_empty() { input.to_owned() } else { text };
            }
            "tee" => {
                for path in paths() {
                    self.write(path, input);
                    self.files.insert(self.place(path), input.to_owned());
                }
                return input.to_owned();
            }
            // Where a program is, or which processes run it: not known, but its name is.
            "which" | "type" | "whereis" => {
                return paths().map(|word| format!("{UNKNOWN}/{word}")).collect::<Vec<_>>().join("\n");
            }
            "-v" | "-V" => {
                return paths().map(|word| format!("{UNKNOWN}/{word}")).collect::<Vec<_>>().join("\n");
            }
            "realpath" | "readlink" => return paths().cloned().collect::<Vec<_>>().join("\n"),
            "pgrep" | "pidof" => return format!("{UNKNOWN} {}", arguments.join(" ")),
            "kill" | "pkill" | "killall" | "skill" | "killall5" | "fuser" => {
                let ours = |word: &&str| HOOKS.iter().chain(&["fusebox"]).any(|own| word.contains(own));
                if arguments.iter().flat_map(|word| word.split_whitespace()).any(|word| ours(&word)) {
                    self.say(Reason::Hooks);
                }
            }
            "git" => self.git(arguments),
            "find" | "fd" => self.search_files(arguments),
            "cargo" => {
                let named = arguments.iter().any(|word| word == "fusebox");
                if named && arguments.iter().any(|word| word == "uninstall" || word == "install") {
                    self.touch(&format!("{UNKNOWN}/fusebox"), Reach::Itself, true);
                }
            }
            "dd" => {
                let out = arguments.iter().filter_map(|word| word.strip_prefix("of="));
                out.for_each(|path| self.touch(path, Reach::Itself, true));
            }
            "sed" => {
                let short = |w: &String| w.starts_with('-') && !w.starts_with("--") && w.contains('i');
                if arguments.iter().any(|w| short(w) || w.starts_with("--in-place")) {
                    paths().for_each(|path| self.touch(path, Reach::Itself, true));
                }
            }
            "yq" => {
                if arguments.iter().any(|word| word == "-i" || word == "--inplace") {
                    paths().for_each(|path| self.touch(path, Reach::Itself, true));
                }
            }
            "sort" | "curl" | "wget" => {
                let mut options =
                    arguments.windows(2).filter(|w| matches!(w[0].as_str(), "-o" | "-O" | "--output"));
                options.by_ref().for_each(|w| self.touch(&w[1], Reach::Itself, true));
            }
            "sqlite3" => {
                if !arguments.iter().any(|word| word == "-readonly" || word == "--readonly") {
                    paths().take(1).for_each(|path| self.touch(path, Reach::Itself, true));
                }
            }
            "tar" | "unzip" | "bsdtar" | "7z" | "cpio" | "zip" => self.archive(name, arguments),
            name if COPIERS.contains(&name) => self.copy(name, arguments),
            name if WRITERS.contains(&name) => self.change(name, arguments),
            name if READERS.contains(&name) => {}
            _ => {
                if TYPISTS.contains(&name) {
                    self.typist(name, arguments, input);
                }
                for word in arguments {
                    let value = word.split_once('=').map_or(word.as_str(), |(_, value)| value);
                    if !value.starts_with('-') {
                        self.touch(value, Reach::Itself, false);
                    }
                }
            }
        }
        String::new()
    }

    /// `rm`, `mv`, `chmod` and their like.
    fn change(&mut self, name: &str, arguments: &[String]) {
        let has = |short: &[char], long: &str| {
            let short = |w: &String| !w.starts_with("--") && w.starts_with('-') && w.contains(short);
            arguments.iter().any(|w| short(w) || w == long)
        };
        let reach = match name {
            "mv" | "trash" => Reach::Tree,
            "rm" if has(&['r', 'R'], "--recursive") => Reach::Tree,
            "chmod" | "chown" | "chgrp" | "setfacl" if has(&['R'], "--recursive") => Reach::Children,
            _ => Reach::Itself,
        };
        let paths: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
        let moves_into = name == "mv" && paths.len() > 1;
        for (at, path) in paths.iter().enumerate() {
            let last = moves_into && at + 1 == paths.len();
            self.touch(path, if last { Reach::Itself } else { reach }, true);
        }
        if moves_into {
            self.touch_inside(&paths, Reach::Tree);
        }
    }

    /// The last path is a folder, perhaps: then the others are known by their names in it.
    fn touch_inside(&mut self, paths: &[&String], reach: Reach) {
        let Some((to, from)) = paths.split_last() else { return };
        for path in from {
            let name = match base(path) {
                "." | "" => ANY.to_string(),
                name if path.ends_with('/') => format!("{ANY}{name}"),
                name => name.to_owned(),
            };
            self.touch(&format!("{to}/{name}"), reach, true);
        }
    }

    /// `cp`, `rsync` and their like.
    fn copy(&mut self, name: &str, arguments: &[String]) {
        let mut paths: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
        // `-t FOLDER` comes first.
        let target =
            arguments.windows(2).find(|w| w[0] == "-t" || w[0] == "--target-directory").map(|w| &w[1]);
        if let Some(target) = target {
            paths.retain(|path| *path != target);
            paths.push(target);
        }
        let recursive = arguments
            .iter()
            .any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains(['r', 'R', 'a']));
        let reach = if recursive { Reach::Tree } else { Reach::Itself };
        if let Some(to) = paths.last() {
            let mirrors = name == "rsync" && arguments.iter().any(|word| word.starts_with("--del"));
            self.touch(to, if mirrors { Reach::Tree } else { Reach::Itself }, true);
            let text = paths.first().and_then(|from| self.files.get(&self.place(from))).cloned();
            if let Some(text) = text {
                self.files.insert(self.place(to), text);
            }
        }
        self.touch_inside(&paths, reach);
    }

    fn archive(&mut self, name: &str, arguments: &[String]) {
        let letters = arguments.first().map_or("", String::as_str);
        let creates = name == "zip" || letters.contains('c') && !letters.starts_with("--ex");
        if creates {
            let file = arguments.iter().position(|w| w.starts_with('-') && w.ends_with('f') || w == letters);
            let file = file.and_then(|at| arguments.get(at + 1));
            file.into_iter().for_each(|path| self.touch(path, Reach::Itself, true));
            return;
        }
        let folder = arguments.windows(2).find(|w| matches!(w[0].as_str(), "-C" | "-d" | "--directory"));
        if let Some(pair) = folder {
            self.touch(&pair[1], Reach::Children, true);
        }
    }

    fn git(&mut self, arguments: &[String]) {
        let mut folder = self.cwd.clone();
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "-C" => folder = rest.next().map(|path| self.place(path)).unwrap_or(folder),
                "-c" | "--git-dir" | "--work-tree" => drop(rest.next()),
                option if option.starts_with('-') => {}
                verb if GIT_WRITERS.contains(&verb) => {
                    let outer = std::mem::replace(&mut self.cwd, folder.clone());
                    // The whole folder: only where it is one of ours.
                    if matches!(verb, "clean" | "stash" | "reset" | "checkout" | "restore") {
                        self.touch(&folder, Reach::Itself, true);
                    }
                    let reach = if verb == "rm" || verb == "mv" { Reach::Tree } else { Reach::Children };
                    rest.filter(|word| !word.starts_with('-')).for_each(|path| self.touch(path, reach, true));
                    self.cwd = outer;
                    return;
                }
                _ => return,
            }
        }
    }

    fn search_files(&mut self, arguments: &[String]) {
        let names = arguments
            .windows(2)
            .filter(|w| matches!(w[0].as_str(), "-name" | "-iname" | "-path" | "-wholename"));
        let glob = |name: &str| name.replace('*', &ANY.to_string());
        let names: Vec<String> = names.map(|w| glob(base(&w[1]))).collect();
        let mut changes = arguments.iter().any(|word| word == "-delete");
        let exec = arguments
            .iter()
            .position(|w| matches!(w.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir" | "-x" | "-X"));
        if let Some(at) = exec {
            let end = |word: &&String| *word != ";" && *word != "+";
            let inner: Vec<String> = arguments[at + 1..].iter().take_while(end).cloned().collect();
            if let Some((program, arguments)) = inner.split_first() {
                let known = |name: &str| {
                    READERS.contains(&name) || name == "sed" && !inner.iter().any(|w| w.starts_with("-i"))
                };
                let name = base(program);
                changes |= !known(name) && !SHELLS.contains(&name);
                self.program(program, arguments, "", vec![], MAX_PREFIXES);
            }
        }
        if changes {
            let roots: Vec<&String> =
                arguments.iter().take_while(|w| !w.starts_with(['-', '(', '!'])).collect();
            let here = ".".to_owned();
            let roots = if roots.is_empty() { vec![&here] } else { roots };
            roots.iter().for_each(|root| self.touch_names(root, Reach::Tree, true, names.clone()));
        }
    }
}

/// `NAME=value`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    (first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some((name, value))
}

/// `python3.12` is a `python3`.
fn is_version_of(name: &str, known: &str) -> bool {
    name == known
        || name.strip_prefix(known).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// What `printf` prints: its format with the arguments put in.
fn printf(arguments: &[String]) -> String {
    let Some((format, values)) = arguments.split_first() else { return String::new() };
    let mut printed = format.replace("\\n", "\n");
    let mut values = values.iter();
    while let Some(at) = printed.find("%s") {
        let value = values.next().cloned().unwrap_or_default();
        printed.replace_range(at..at + 2, &value.replace('%', "\u{0}"));
    }
    let rest: Vec<String> = values.cloned().collect();
    format!("{printed} {}", rest.join(" ")).trim_end().replace('\u{0}', "%")
}
