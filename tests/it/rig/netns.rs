//! Runs a test in a network namespace that has only loopback, by starting the test binary anew in it.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Set in the process that already is in the namespace.
const MARKER: &str = "FUSEBOX_TEST_IN_NETNS";

/// Brings loopback up, then becomes what it is given as arguments.
const LOOPBACK_UP: &str = r#"PATH="$PATH:/usr/sbin:/sbin"; ip link set lo up && exec "$0" "$@""#;

/// Runs `body` where nothing but loopback can be reached; `path` is the test's full path
/// (see `this_test!`). Outside the namespace it starts this very test again, inside.
pub fn in_netns(path: &str, body: impl FnOnce()) {
    if std::env::var_os(MARKER).is_some() {
        return body();
    }
    let flags = flags().expect(
        "no network namespace can be made here: that needs unshare, ip, and root or user namespaces. To leave these tests \
         out: -- --skip ::live_",
    );
    let exe = std::env::current_exe().expect("the test binary");
    // libtest and nextest both take these; nextest starts each test in a process of its own.
    let output = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", LOOPBACK_UP])
        .arg(exe)
        .args(["--exact", path, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(MARKER, "1")
        // What failed says where; frames of two processes would bury it.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("start unshare");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let told = format!("--- in the namespace, stdout:\n{stdout}\n--- stderr:\n{stderr}");
    assert!(output.status.success(), "{path} failed in its namespace\n{told}");
    // A wrong path would run no test at all and still succeed.
    assert!(stdout.contains("1 passed"), "no test is called {path}\n{told}");
    // What the inner test said, for whoever asks with --nocapture.
    eprint!("{stderr}");
}

/// How to call `unshare` here; `None` when it cannot be done.
fn flags() -> Option<&'static [&'static str]> {
    static FLAGS: OnceLock<Option<&'static [&'static str]>> = OnceLock::new();
    *FLAGS.get_or_init(|| {
        let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
        // With a process namespace, whatever a client leaves running dies with the test.
        // Some containers forbid mounting a proc; then the network namespace must do.
        let ways: [&[&str]; 2] = if root {
            [&["-n", "-p", "-f", "--kill-child", "--mount-proc"], &["-n"]]
        } else {
            [&["-r", "-n", "-p", "-f", "--kill-child", "--mount-proc"], &["-r", "-n"]]
        };
        ways.into_iter().find(|way| {
            Command::new("unshare")
                .args(*way)
                .args(["sh", "-c", LOOPBACK_UP, "true"])
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|o| o.status.success())
        })
    })
}

/// The full path of the test function it is used in (not in a closure), as `--exact` wants it.
macro_rules! this_test {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here");
        path.split_once("::").map_or(path, |(_, path)| path)
    }};
}
pub(crate) use this_test;
