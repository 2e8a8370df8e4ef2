//! Transcripts that are not what they seem: lines without an end, holes, zeros, files that shrink and grow again. Hooks
//! and commands read them in bounded memory, and what is whole counts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{amount, seed};
use crate::harness::{Home, Ran, hook_of, message, program_path, run};
use crate::random::Random;

const MIB: usize = 1024 * 1024;

/// Runs a program that may use 64 MiB of memory, and no more.
pub fn bounded(home: &Home, program: &str, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = home.furnish(Command::new("/bin/sh"));
    command.args(["-c", "ulimit -d 65536 && exec \"$0\" \"$@\"", program_path(program)]).args(arguments);
    let ran = run(&mut command, input);
    assert!(matches!(ran.code, 0 | 1) && !ran.stderr.contains("memory"), "{program} {arguments:?}: {ran:?}");
    ran
}

fn write(file: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(file).unwrap().write_all(bytes).unwrap();
}

/// Appends zeros that are on no disk.
fn add_hole(file: &Path, bytes: u64) {
    let file = OpenOptions::new().append(true).open(file).unwrap();
    file.set_len(file.metadata().unwrap().len() + bytes).unwrap();
}

/// What is added to a file, and how.
type Addition<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn what_does_not_end_is_read_in_bounded_memory() {
    let long = amount(40, 200) * MIB;
    let add: [Addition; 8] = [
        ("a hole", &|file| add_hole(file, 3 << 30)),
        ("a torn line, and a hole", &|file| {
            write(file, &message(8, 5000, 5).to_string().as_bytes()[..90]);
            add_hole(file, 3 << 30);
        }),
        ("zeros", &|file| write(file, &vec![0; long])),
        ("a line that never ends", &|file| write(file, &vec![b'x'; long])),
        ("a line that ends", &|file| write(file, &[vec![b'x'; long], b"\n".to_vec()].concat())),
        ("a long record", &|file| {
            write(file, format!("{{\"usage\":1,\"x\":\"{}\"}}\n", "\\ud800".repeat(long / 12)).as_bytes());
        }),
        ("nested without an end", &|file| write(file, "{\"usage\":".repeat(long / 9).as_bytes())),
        ("many torn records", &|file| {
            let torn = &message(9, 5000, 5).to_string()[..200];
            write(file, torn.repeat(7 * MIB / 200).as_bytes());
        }),
    ];
    for (name, add) in add {
        let home = Home::new();
        let file = home.transcript("s");
        home.append(&file, &[message(1, 100, 10)]);
        add(&file);
        home.append(&file, &[message(2, 200, 20), message(3, 300, 30)]);
        for event in
            ["PreToolUse", "PostToolUse", "Stop", "PostToolBatch", "SubagentStop", "UserPromptSubmit"]
        {
            let call =
                json!({"tool_use_id": "toolu_3", "tool_name": "Read", "tool_input": {}, "prompt": "x"});
            let ran =
                bounded(&home, hook_of(event), &[], home.payload(event, "s", call).to_string().as_bytes());
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}, {event}");
        }
        for fresh in [false, true] {
            if fresh {
                fs::remove_dir_all(home.path("cache")).unwrap();
            }
            let status = bounded(&home, "fusebox", &["status", "--session", "s", "--json"], b"").json();
            let tokens = &status["tokens"];
            assert_eq!((&tokens["input"], &tokens["output"]), (&json!(600), &json!(60)), "{name}: {status}");
        }
        let explained = bounded(&home, "fusebox", &["explain", "toolu_3", "--json"], b"").json();
        assert_eq!(explained["tool"], "Bash", "{name}");
        bounded(&home, "fusebox", &["doctor", "--json"], b"");
        assert!(!home.journal().contains("not done"), "{name}: {}", home.journal());
    }
}

#[test]
fn what_a_file_said_before_it_shrank_still_counts() {
    let mut random = Random::new(seed() + 5);
    for round in 0..amount(6, 200) {
        let home = Home::new();
        let file = home.transcript("s");
        home.append(&file, &[]);
        // Messages in the file, and all that were there when a hook looked.
        let (mut written, mut seen) = (Vec::<(usize, u64)>::new(), BTreeMap::new());
        for step in 0..12 {
            // Shrinks, perhaps to nothing, and grows again, perhaps to more than before.
            written.truncate(random.below(written.len() + 1).max(random.below(written.len() + 1)));
            for _ in 0..random.below(5) {
                written.push((random.below(1_000_000), random.within(1, 900)));
            }
            let lines: Vec<String> =
                written.iter().map(|(n, input)| format!("{}\n", message(*n, *input, 1))).collect();
            fs::write(&file, lines.concat()).unwrap();
            if random.chance(20) {
                add_hole(&file, random.within(1, 1 << 32));
            }
            assert_eq!(home.hook("PostToolUse", "s", json!({})).code, 0);
            seen.extend(written.iter().copied());
            let input: u64 = seen.values().sum();
            assert_eq!(home.status("s")["tokens"]["input"], json!(input), "round {round}, step {step}");
        }
        assert_eq!(home.journal(), "");
    }
}
