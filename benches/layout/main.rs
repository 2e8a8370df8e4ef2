//! Which functions hooks run: `cargo bench --bench layout -- --bin DIR` writes `hooks/layout.txt`, by which the build puts them
//! side by side. In DIR are the executables as `CARGO_PROFILE_RELEASE_STRIP=none cargo install` makes them: those of a benchmark
//! are built with what tests need of some crates, and other functions of them are compiled into others. Needs valgrind and nm.
//! What is listed of another C library than the one it runs with is left in the list.
//!
//! A hook runs a fifth of its code. Where that lies all over the executable, mapping it takes longer than running it.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run must say where it stopped")]

#[path = "../hooks/place.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod place;
#[path = "../hooks/redis.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod redis;
#[path = "../hooks/spawn.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod spawn;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use place::{Place, Session, Text};
use spawn::Hook;

/// Where the list is.
const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/layout.txt");

/// What the list begins with.
const HEAD: &str = "\
# The functions that hooks run; `*` stands for what differs from build to build. The digits tell where, for
# pre-tool-use, post-tool-use, prompt-submit and session-event: 1 with SQLite, 2 with Redis, 3 with both, 0 with neither.
# Made by `cargo bench --bench layout`, which says how.
";

/// The calls that are looked at.
const CALLS: [(Hook, &str); 5] = [
    (Hook::PreToolUse, "PreToolUse"),
    (Hook::PostToolUse, "PostToolUse"),
    (Hook::PostToolUse, "PostToolBatch"),
    (Hook::PromptSubmit, "UserPromptSubmit"),
    (Hook::SessionEvent, "Stop"),
];

/// How many calls a session has made by then: enough for the breaker to know some.
const CALLS_BEFORE: usize = 12;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (Some("--bin"), Some(bin)) = (args.next().as_deref(), args.next()) else {
        panic!("--bin DIR says where the executables are, of this benchmark's target");
    };
    let bin = std::fs::canonicalize(bin).expect("there is such a folder");
    let dir = tempfile::Builder::new().prefix("layout-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = redis::Server::start(dir.path()).expect("there is a redis-server");
    let members = members_of_libc();
    // By pattern: on which stores each hook runs it, as bits.
    let mut run: BTreeMap<String, [u8; 4]> = BTreeMap::new();
    for (hook, event) in CALLS {
        let nr = Hook::ALL.iter().position(|known| *known == hook).unwrap();
        for on_redis in [false, true] {
            let name = format!("{event}-{on_redis}");
            let mut place = Place::new(&dir.path().join(&name));
            if on_redis {
                place = place.on_redis(&server.url(), &name);
            }
            let mut session = Session::begin(place);
            for _ in 0..CALLS_BEFORE {
                session.append(1, Text::ToolCall);
                session.call("PostToolUse");
            }
            session.append(1, if event == "Stop" { Text::Answer } else { Text::ToolCall });
            session.write_input(event);
            let functions =
                functions_run(&bin.join(hook.name()), &session, &dir.path().join("callgrind.out"));
            assert!(
                functions.len() > 200,
                "{name}: {} functions; is the executable stripped?",
                functions.len()
            );
            for function in functions {
                for pattern in patterns(&function, &members) {
                    run.entry(pattern).or_default()[nr] |= if on_redis { 2 } else { 1 };
                }
            }
        }
    }
    let line = |(pattern, [pre, post, prompt, event]): (&String, &[u8; 4])| {
        format!("{pre}{post}{prompt}{event} {pattern}\n")
    };
    let of_other = of_other_libc(&std::fs::read_to_string(LIST).unwrap());
    let lines: BTreeSet<String> = run.iter().map(line).chain(of_other).collect();
    let mut list: Vec<&str> = lines.iter().map(String::as_str).collect();
    // By name.
    list.sort_by_key(|line| line.split_once(' ').map(|(_, name)| name));
    let list = list.concat();
    std::fs::write(LIST, format!("{HEAD}{list}")).unwrap();
    println!("{} functions and parts of the C library: {LIST}", run.len());
}

/// What its parts are called in the archive of the C library.
const PART: &str = if cfg!(target_env = "musl") { ".lo" } else { ".o" };

/// What a list says of parts of another C library, and of what programs bring themselves on musl.
fn of_other_libc(list: &str) -> Vec<String> {
    let is_own =
        |name: &str| name.contains("7fusebox6memory") || list.contains(&format!(" libc.a:{name}.lo\n"));
    let is_other = |line: &&str| match line.split_once(' ') {
        Some((_, name)) => match name.strip_prefix("libc.a:") {
            Some(member) => !member.ends_with(PART),
            None => cfg!(not(target_env = "musl")) && is_own(name),
        },
        None => false,
    };
    list.lines().filter(is_other).map(|line| format!("{line}\n")).collect()
}

/// What every hook runs and callgrind does not see: it is written in assembler, without a size.
const UNSEEN: [&str; 1] = ["__set_thread_area"];

/// The functions that a hook runs, by their names for the linker.
fn functions_run(hook: &Path, session: &Session, out: &Path) -> BTreeSet<String> {
    let mut command = spawn::command("valgrind".as_ref(), session);
    command.args(["--tool=callgrind", "--demangle=no", "--compress-strings=no", "-q"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(hook);
    assert!(command.status().expect("valgrind can be started").success(), "{} failed", hook.display());
    let text = std::fs::read_to_string(out).unwrap();
    let names =
        text.lines().filter_map(|line| line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")));
    // Recursion is numbered.
    let names = names.map(|name| name.split('\'').next().unwrap_or(name));
    names.chain(UNSEEN).map(str::to_owned).collect()
}

/// How a function, or the part of the C library that it is in, is known in any build.
fn patterns(function: &str, members: &BTreeMap<String, String>) -> Vec<String> {
    if let Some(member) = members.get(function) {
        let part = format!("libc.a:{member}");
        // Valgrind's processor is not the newest: what is run here by AVX2 is run elsewhere by AVX-512.
        let newer = part.replace("-avx-", "-evex-").replace("-avx2-", "-evex-").replace("-avx2", "-evex");
        let newer = Some(newer).filter(|newer| *newer != part);
        // Or it is not that one, but what a program brings in its place.
        let own = Some(function.to_owned()).filter(|_| cfg!(target_env = "musl"));
        return std::iter::once(part).chain(newer).chain(own).collect();
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    if !function.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !function.chars().all(is_name)
    {
        return vec![];
    }
    vec![without_hashes(function)]
}

/// A name without what differs from compiler to compiler: the hash of a crate, `Cs4fqI2_`, and how far back a part is repeated
/// from, `B7_`, which depends on the hashes' lengths. Where a function is there several times, they are numbered, `.324`.
fn without_hashes(name: &str) -> String {
    if !name.starts_with("_R") {
        return name.to_owned();
    }
    let name = match name.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("{name}*"),
        _ => without_user(name),
    };
    ["Cs", "B"].iter().fold(name, |name, mark| {
        let mut parts = name.split(mark);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |without, part| {
            let is_number = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
            match part.find('_').filter(|at| *at <= 14 && is_number(&part[..*at])) {
                Some(at) => without + mark + "*" + &part[at..],
                None => without + mark + part,
            }
        })
    })
}

/// A name without the crate at its end for which a generic function was compiled, `Cs4fqI2_5clap2`: which of the crates that use
/// it that was, differs from build to build.
fn without_user(name: &str) -> String {
    let Some((rest, user)) = name.rsplit_once("Cs") else { return name.to_owned() };
    let is_crate = user.split_once('_').is_some_and(|(hash, krate)| {
        let digits = krate.bytes().take_while(u8::is_ascii_digit).count();
        let (length, word) = krate.split_at(digits);
        hash.chars().all(|c| c.is_ascii_alphanumeric())
            && length.parse().is_ok_and(|length: usize| length == word.trim_start_matches('_').len())
    });
    if is_crate { format!("{rest}*") } else { name.to_owned() }
}

/// Which part of the C library has which function: it is linked in parts.
fn members_of_libc() -> BTreeMap<String, String> {
    let said = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
    let archive = if cfg!(target_env = "musl") {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let dir = said(Command::new("rustc").args(["--print", "target-libdir", "--target", &target]));
        format!("{}/self-contained/libc.a", dir.trim())
    } else {
        said(Command::new("cc").arg("-print-file-name=libc.a"))
    };
    let symbols = said(Command::new("nm").args(["-A", "--defined-only", archive.trim()]));
    let member = |line: &str| {
        let (place, symbol) = line.rsplit_once(' ')?;
        let kind = place.chars().last()?;
        let member = place.strip_prefix(archive.trim())?.strip_prefix(':')?.split(':').next()?;
        "tTwWi".contains(kind).then(|| (symbol.to_owned(), member.to_owned()))
    };
    symbols.lines().filter_map(member).collect()
}
