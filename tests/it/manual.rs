//! The manual pages and the completion scripts, which are generated from the commands.

use std::path::Path;
use std::process::Command;

use crate::harness::{Home, Ran, run};

fn ran(program: &str, arguments: &[&str], input: &str) -> Option<Ran> {
    let there = |dir: &str| Path::new(dir).join(program).exists();
    let there = ["/usr/bin", "/bin"].into_iter().any(there);
    there.then(|| run(Command::new(program).args(arguments), input.as_bytes()))
}

/// Every command with its subcommands, as listed by `--help`: `["budget", "show"]`.
pub fn commands(home: &Home, path: &[String]) -> Vec<Vec<String>> {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let help = home.fusebox(&[&words[..], &["--help"]].concat());
    assert_eq!(help.code, 0, "{path:?}: {help:?}");
    let listed = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let names =
        listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let below = names.filter(|name| *name != "help").map(|name| [path, &[name.to_owned()]].concat());
    let below: Vec<Vec<String>> = below.flat_map(|path| commands(home, &path)).collect();
    [vec![path.to_vec()], below].concat()
}

#[test]
fn each_example_fits_one_line_of_a_terminal() {
    let home = Home::new().var("COLUMNS", "110");
    for path in commands(&home, &[]) {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = home.fusebox(&[&words[..], &["--help"]].concat()).stdout;
        let examples = help.lines().filter(|line| line.starts_with("  fusebox "));
        let long: Vec<&str> = examples.filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, [] as [&str; 0]);
    }
}

#[test]
fn each_command_has_a_page_that_renders_without_warnings() {
    let home = Home::new();
    let dir = home.path("share/man1");
    let said = home.fusebox(&["man", dir.to_str().unwrap()]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let all = commands(&home, &[]);
    assert!(all.len() > 15, "{all:?}");
    for path in &all {
        let name = [&["fusebox".to_owned()], &path[..]].concat().join("-");
        let page = std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"] {
            let (bare, quoted) = (format!("\n.SH {section}\n"), format!("\n.SH \"{section}\"\n"));
            assert!(page.contains(&bare) || page.contains(&quoted), "{name} has no {section}:\n{page}");
        }
        assert_eq!(page.matches("\n.nf\n").count(), page.matches("\n.fi\n").count(), "{name}");
        if let Some(shown) = ran("groff", &["-ww", "-man", "-Tutf8"], &page) {
            assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{name}");
        }
        if let Some(shown) = ran("mandoc", &["-T", "lint", "-W", "error"], &page) {
            assert_eq!(shown.code, 0, "{name}: {shown:?}");
        }
    }
    assert_eq!(dir.read_dir().unwrap().count(), all.len(), "and no page for nothing");
    assert!(said.stdout.contains(&format!("{} pages", all.len())), "{said:?}");

    let first = home.fusebox(&["man"]);
    assert_eq!(first.stdout, std::fs::read_to_string(dir.join("fusebox.1")).unwrap());
}

#[test]
fn a_folder_that_cannot_be_made_is_a_failure() {
    let home = Home::new();
    std::fs::write(home.path("file"), "").unwrap();
    let ran = home.fusebox(&["man", home.path("file/man1").to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("file/man1"), "{ran:?}");
}

#[test]
fn each_shell_gets_a_script_that_it_can_read() {
    let home = Home::new();
    for (shell, parse) in [
        ("bash", &["-n"][..]),
        ("zsh", &["-n"]),
        ("fish", &["--no-execute"]),
        ("elvish", &["-compileonly"]),
        ("powershell", &[]),
    ] {
        let script = home.fusebox(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (0, ""), "{script:?}");
        for word in ["alerts", "config", "extend", "tool-calls"] {
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
        let file = home.path(shell);
        std::fs::write(&file, &script.stdout).unwrap();
        let arguments = [parse, &[file.to_str().unwrap()]].concat();
        if let Some(parsed) = ran(shell, &arguments, "").filter(|_| !parse.is_empty()) {
            assert_eq!((parsed.code, parsed.stderr.as_str()), (0, ""), "{shell}");
        }
    }
    let ran = home.fusebox(&["completions", "cmd"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}
