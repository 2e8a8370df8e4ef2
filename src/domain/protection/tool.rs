//! What programs do with their files: shell builtins and common tools.

use super::analysis::Analysis;
use super::command::{MAX_PREFIXES, assignment};
use super::shell::Parser;
use super::tables::{COPIERS, GIT_WRITERS, HOOKS, READERS, SHELLS, TEXT_RUNNERS, WRITERS};
use super::text::{ANY, ONE, UNKNOWN, file_name};
use super::{ChangeExtent, ProtectionReason, client};

impl Analysis<'_> {
    /// Runs a program that runs no other. Returns its output, as far as known.
    pub(super) fn run_tool(&mut self, name: &str, arguments: &[String], input: &str) -> String {
        let paths = || arguments.iter().filter(|word| !word.starts_with('-') || word.len() == 1);
        self.check_reads(name, arguments);
        match name {
            "cd" | "pushd" => {
                let to = paths().next().cloned().unwrap_or_else(|| self.context.home.to_owned());
                self.cwd = if to == "-" { UNKNOWN.to_string() } else { self.resolve_path(&to) };
            }
            "popd" => self.cwd = UNKNOWN.to_string(),
            "export" | "declare" | "typeset" | "readonly" | "local" | "set" | "unset" => {
                for word in paths() {
                    let (variable, value) = assignment(word).unwrap_or((word, ""));
                    if word.contains('=') {
                        self.set_variable(variable, value);
                    }
                    if name != "local" && name != "set" {
                        self.exported.insert(variable.to_owned());
                    }
                }
            }
            "eval" => return Parser::new(&arguments.join(" ")).run(self),
            "alias" => {
                for (name, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
                    Parser::new(value).run(self);
                    if file_name(value) == self.context.client.program {
                        self.client_names.insert(name.to_owned());
                    }
                }
            }
            "source" | "." => {
                if let Some(text) =
                    paths().next().and_then(|path| self.files.get(&self.resolve_path(path))).cloned()
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
                    paths().map(|path| self.files.get(&self.resolve_path(path)).cloned().unwrap_or_default());
                let text = texts.collect::<Vec<_>>().join("\n");
                return if text.trim().is_empty() { input.to_owned() } else { text };
            }
            "tee" => {
                for path in paths() {
                    self.write_file(path, input);
                    self.remember_file(path, input);
                }
                return input.to_owned();
            }
            // The path of a program, or the processes running it: unknown, but its name is known.
            "which" | "type" | "whereis" => {
                return paths().map(|word| format!("{UNKNOWN}/{word}")).collect::<Vec<_>>().join("\n");
            }
            "realpath" | "readlink" => return paths().cloned().collect::<Vec<_>>().join("\n"),
            "pgrep" | "pidof" => return format!("{UNKNOWN} {}", arguments.join(" ")),
            "kill" | "pkill" | "killall" | "skill" | "killall5" | "fuser" => {
                let ours = |word: &&str| HOOKS.iter().chain(&["fusebox"]).any(|own| word.contains(own));
                if arguments.iter().flat_map(|word| word.split_whitespace()).any(|word| ours(&word)) {
                    self.forbid(ProtectionReason::Hooks);
                }
            }
            "git" => self.git(arguments),
            "find" | "fd" => return self.search_files(arguments),
            "ls" => {
                let inside = paths().flat_map(|path| [path.clone(), format!("{path}/{ANY}")]);
                return inside.collect::<Vec<_>>().join("\n");
            }
            "ps" => return UNKNOWN.to_string(),
            "grep" | "egrep" | "fgrep" | "rg" if !input.is_empty() => {
                return format!("{input} {}", arguments.join(" "));
            }
            "head" | "tail" | "cut" | "uniq" | "tr" | "tac" if !input.is_empty() => return input.to_owned(),
            "cargo" => {
                let named = arguments.iter().any(|word| word == "fusebox");
                if named && arguments.iter().any(|word| word == "uninstall" || word == "install") {
                    self.change_path(&format!("{UNKNOWN}/fusebox"), ChangeExtent::Itself, true);
                }
            }
            "dd" => {
                let out = arguments.iter().filter_map(|word| word.strip_prefix("of="));
                out.for_each(|path| self.change_path(path, ChangeExtent::Itself, true));
            }
            "sed" => {
                let short = |w: &String| w.starts_with('-') && !w.starts_with("--") && w.contains('i');
                if arguments.iter().any(|w| short(w) || w.starts_with("--in-place")) {
                    paths().for_each(|path| self.change_path(path, ChangeExtent::Itself, true));
                }
            }
            "yq" => {
                if arguments.iter().any(|word| word == "-i" || word == "--inplace") {
                    paths().for_each(|path| self.change_path(path, ChangeExtent::Itself, true));
                }
            }
            "prettier" => {
                if arguments.iter().any(|word| word == "--write" || word == "-w") {
                    paths().for_each(|path| self.change_path(path, ChangeExtent::Itself, true));
                }
            }
            "vim" | "nvim" | "vi" if arguments.iter().any(|word| word == "-R") => {}
            "sort" | "curl" | "wget" => {
                // Also `-so FILE`.
                let out = |w: &str| {
                    w == "--output" || (w.starts_with('-') && !w.starts_with("--") && w.ends_with(['o', 'O']))
                };
                for pair in arguments.windows(2).filter(|pair| out(&pair[0])) {
                    self.change_path(&pair[1], ChangeExtent::Itself, true);
                }
            }
            "sqlite3" => {
                if !arguments.iter().any(|word| word == "-readonly" || word == "--readonly") {
                    let file = |word: &str| {
                        let path = word.strip_prefix("file:").unwrap_or(word);
                        path.split('?').next().unwrap_or(path).to_owned()
                    };
                    let paths = paths().filter(|word| !word.contains("mode=ro"));
                    paths.for_each(|path| self.change_path(&file(path), ChangeExtent::Itself, true));
                }
            }
            "tar" | "unzip" | "bsdtar" | "7z" | "cpio" | "zip" => self.archive(name, arguments),
            name if COPIERS.contains(&name) => self.copy(name, arguments),
            name if WRITERS.contains(&name) => self.change_paths(name, arguments),
            name if READERS.contains(&name) => {}
            _ => {
                if TEXT_RUNNERS.contains(&name) {
                    self.run_text(name, arguments, input);
                }
                for word in arguments {
                    let value = word.split_once('=').map_or(word.as_str(), |(_, value)| value);
                    // Most calls end here: a plain word is not one of our paths, unless it has such a name.
                    let path = value.contains(['/', '.', ANY, ONE, UNKNOWN])
                        || self.context.client.is_mentioned(value);
                    if path && !value.starts_with('-') {
                        self.change_path(value, ChangeExtent::Itself, false);
                    }
                }
            }
        }
        String::new()
    }

    /// `rm`, `mv`, `chmod` and the like.
    fn change_paths(&mut self, name: &str, arguments: &[String]) {
        let has = |short: &[char], long: &str| {
            let short = |w: &String| !w.starts_with("--") && w.starts_with('-') && w.contains(short);
            arguments.iter().any(|w| short(w) || w == long)
        };
        let extent = match name {
            "mv" | "trash" => ChangeExtent::Tree,
            // Everything in a folder can be reached through a link to it.
            "ln" => ChangeExtent::Children,
            "rm" if has(&['r', 'R'], "--recursive") => ChangeExtent::Tree,
            "chmod" | "chown" | "chgrp" | "setfacl" if has(&['R'], "--recursive") => ChangeExtent::Children,
            _ => ChangeExtent::Itself,
        };
        let paths: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
        if matches!(name, "mv" | "ln") {
            client::check_copies(self, &paths);
        }
        let moves_into = name == "mv" && paths.len() > 1;
        for (at, path) in paths.iter().enumerate() {
            let last = moves_into && at + 1 == paths.len();
            self.change_path(path, if last { ChangeExtent::Itself } else { extent }, true);
        }
        if moves_into {
            self.change_inside(&paths, ChangeExtent::Tree, false);
        }
    }

    /// The last path may be a folder; then the others are known by their names in it. `contents`: a trailing slash
    /// means the contents of a folder.
    fn change_inside(&mut self, paths: &[&String], extent: ChangeExtent, contents: bool) {
        let Some((to, from)) = paths.split_last() else { return };
        for path in from {
            let name = match file_name(path) {
                "." | "" => ANY.to_string(),
                _ if contents && path.ends_with('/') => ANY.to_string(),
                name => name.to_owned(),
            };
            self.change_path(&format!("{to}/{name}"), extent, true);
        }
    }

    /// `cp`, `rsync` and the like.
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
        let extent = if recursive { ChangeExtent::Tree } else { ChangeExtent::Itself };
        client::check_copies(self, &paths);
        if let Some(to) = paths.last() {
            let mirrors = name == "rsync" && arguments.iter().any(|word| word.starts_with("--del"));
            self.change_path(to, if mirrors { ChangeExtent::Tree } else { ChangeExtent::Itself }, true);
            let text = paths.first().and_then(|from| self.files.get(&self.resolve_path(from))).cloned();
            if let Some(text) = text {
                self.remember_file(to, &text);
            }
        }
        self.change_inside(&paths, extent, name == "rsync");
    }

    fn archive(&mut self, name: &str, arguments: &[String]) {
        let letters = arguments.first().map_or("", String::as_str);
        let creates = name == "zip" || letters.contains('c') && !letters.starts_with("--ex");
        if creates {
            let file = arguments.iter().position(|w| w.starts_with('-') && w.ends_with('f') || w == letters);
            let file = file.and_then(|at| arguments.get(at + 1));
            file.into_iter().for_each(|path| self.change_path(path, ChangeExtent::Itself, true));
            return;
        }
        let folder = arguments.windows(2).find(|w| matches!(w[0].as_str(), "-C" | "-d" | "--directory"));
        if let Some(pair) = folder {
            self.change_path(&pair[1], ChangeExtent::Children, true);
        }
    }

    fn git(&mut self, arguments: &[String]) {
        let mut folder = self.cwd.clone();
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "-C" => folder = rest.next().map(|path| self.resolve_path(path)).unwrap_or(folder),
                "-c" | "--git-dir" | "--work-tree" => drop(rest.next()),
                option if option.starts_with('-') => {}
                verb if GIT_WRITERS.contains(&verb) => {
                    let outer = std::mem::replace(&mut self.cwd, folder.clone());
                    // The whole working tree: relevant only if it is one of our folders.
                    if matches!(verb, "clean" | "stash" | "reset" | "checkout" | "restore") {
                        self.change_path(&folder, ChangeExtent::Itself, true);
                    }
                    let extent = if verb == "rm" || verb == "mv" {
                        ChangeExtent::Tree
                    } else {
                        ChangeExtent::Children
                    };
                    rest.filter(|word| !word.starts_with('-'))
                        .for_each(|path| self.change_path(path, extent, true));
                    self.cwd = outer;
                    return;
                }
                _ => return,
            }
        }
    }

    fn search_files(&mut self, arguments: &[String]) -> String {
        let names = arguments
            .windows(2)
            .filter(|w| matches!(w[0].as_str(), "-name" | "-iname" | "-path" | "-wholename"));
        let glob = |name: &str| name.replace('*', &ANY.to_string());
        let names: Vec<String> = names.map(|w| glob(file_name(&w[1]))).collect();
        let mut deletes = arguments.iter().any(|word| word == "-delete");
        let mut changes = deletes;
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
                let name = file_name(program);
                deletes |= matches!(name, "rm" | "unlink" | "shred" | "truncate" | "mv");
                changes |= !known(name) && !SHELLS.contains(&name);
                self.run_program(program, arguments, "", vec![], MAX_PREFIXES);
            }
        }
        let roots: Vec<&String> = arguments.iter().take_while(|w| !w.starts_with(['-', '(', '!'])).collect();
        let here = ".".to_owned();
        let roots = if roots.is_empty() { vec![&here] } else { roots };
        if changes {
            // Without deleting, a walk over a whole tree is assumed to be about the project's files.
            let extent =
                if deletes || !names.is_empty() { ChangeExtent::Tree } else { ChangeExtent::Children };
            roots.iter().for_each(|root| self.change_files_named(root, extent, true, names.clone()));
        }
        let mut printed = Vec::new();
        for root in roots {
            let depths = if names.is_empty() { 1..2 } else { 0..6 };
            for between in depths.map(|depth| format!("/{UNKNOWN}").repeat(depth)) {
                match &names[..] {
                    [] => printed.push(format!("{root}{between}")),
                    names => printed.extend(names.iter().map(|name| format!("{root}{between}/{name}"))),
                }
            }
        }
        printed.join("\n")
    }
}

/// The output of `printf`: its format with the arguments filled in.
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
