//! A store that cannot be used: exit code 4, a clear message, and nothing runs.

use std::io::Write;
use std::process::Stdio;

use super::World;
use crate::redis::free_port;

/// Every command that needs the store.
const COMMANDS: [&str; 8] = [
    "quota status",
    "quota summary --json",
    "quota reserve --platform gemini",
    "quota record --platform gemini",
    "quota release --id x",
    "quota reset --platform gemini --reason x --yes",
    "run --platform gemini -- touch ran",
    "wait --until-reset --platform gemini",
];

#[track_caller]
fn all_fail(world: &World, says: &str) {
    for line in COMMANDS {
        let ran = world.fails(line, 4, says);
        assert_eq!(ran.stdout, "", "{line}");
        assert_eq!(ran.stderr.lines().filter(|line| line.contains("panicked")).count(), 0, "{ran:?}");
    }
    assert!(!world.home.path("project/ran").exists());
    // Whoever prefers to run says so.
    let ran = world.fusebox("run --platform gemini --if-store-down run -- sh -c pwd");
    assert!(
        ran.code == 0 && ran.stdout.ends_with("project\n") && ran.stderr.contains("not reserved"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("was not recorded"), "{ran:?}");
}

#[test]
fn a_server_that_is_not_there() {
    let World { home, server } = World::embedded();
    let home = home.var("FUSEBOX_STORE_REDIS_URL", &format!("redis://127.0.0.1:{}", free_port()));
    all_fail(&World { home, server }, "");
}

#[test]
fn a_folder_that_cannot_be_made() {
    let world = World::embedded();
    std::fs::write(world.home.path("state"), "a file").unwrap();
    all_fail(&world, "state");
}

#[test]
fn a_damaged_store_is_set_aside() {
    let world = World::embedded();
    world.done("quota record --platform gemini");
    for file in ["state/state.db", "state/state.db-wal"] {
        let text = "this is no database, but long enough to look like one".repeat(1000);
        std::fs::write(world.home.path(file), text).unwrap();
    }
    let ran = world.fusebox("quota reserve --platform gemini");
    assert!(ran.code == 0 && ran.stderr.contains("corrupt") && ran.stdout.trim_end().len() == 24, "{ran:?}");
    assert_eq!(world.gemini(), [0, 1]);
    // A store that is gone is a new one.
    for entry in std::fs::read_dir(world.home.path("state")).unwrap() {
        let _ = std::fs::remove_file(entry.unwrap().path());
    }
    assert_eq!(world.gemini(), [0, 0]);
}

#[test]
fn a_server_that_goes_while_the_command_runs_is_said() {
    let mut world = World::shared();
    let mut command = world.home.command("fusebox");
    command.args(["run", "--platform", "gemini", "--", "sh", "-c", "read line; exit 5"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while world.gemini()[1] == 0 {
        std::thread::yield_now();
    }
    world.server.as_mut().unwrap().kill();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.lines().count() == 1 && said.contains("charged when the reservation expires"), "{said}");
}

#[test]
fn a_server_that_comes_back_gets_what_ran_without_it() {
    let mut world = World::shared();
    world.done("quota status");
    world.server.as_mut().unwrap().kill();
    let mut command = world.home.command("fusebox");
    command.args([
        "run",
        "--platform",
        "gemini",
        "--if-store-down",
        "run",
        "--",
        "sh",
        "-c",
        "echo ready; read line",
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
    world.server.as_mut().unwrap().restart();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(world.gemini(), [1, 0]);
}

/// Needs a mount namespace.
mod faults {
    use std::io::Write;
    use std::process::Stdio;

    use super::super::World;
    use crate::faults::namespace::{Disk, with_mounts};

    #[test]
    fn a_full_disk_is_said() {
        with_mounts("quota::failing::faults::a_full_disk_is_said", || {
            let world = World::embedded();
            let disk = Disk::mount(&world.home.path("state"));
            let id = world.done("quota reserve --platform gemini");
            let mut command = world.home.command("fusebox");
            command.args(["run", "--platform", "gemini", "--", "sh", "-c", "read line; exit 5"]);
            let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            while world.gemini()[1] < 2 {
                std::thread::yield_now();
            }
            disk.fill(0);
            child.stdin.take().unwrap().write_all(b"\n").unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{said}");
            assert!(said.contains("charged when the reservation expires"), "{said}");
            let ran = world.fails(&format!("quota record --id {id}"), 4, "");
            assert_eq!(ran.stdout, "");
            world.fails("quota reserve --platform gemini", 4, "nothing was changed");
            disk.free();
            assert_eq!(world.gemini(), [0, 2], "nothing is lost");
            world.pass(2 * super::super::HOUR_MS);
            assert_eq!(world.gemini(), [1, 0], "the command's is charged, the other is released");
            drop(disk);
        });
    }
}
