//! Runs a test in a network namespace with only loopback, by restarting the test binary in it.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Set in the process that is already in the namespace.
const MARKER: &str = "FUSEBOX_TEST_IN_NETNS";

/// Brings loopback up, then executes its arguments.
const LOOPBACK_UP: &str = r#"PATH="$PATH:/usr/sbin:/sbin"; ip link set lo up && exec "$0" "$@""#;

/// Runs `body` where only loopback is reachable. `path` is the test's full path (see `this_test!`). Outside the
/// namespace, restarts this test inside.
pub fn in_netns(path: &str, body: impl FnOnce()) {
    if std::env::var_os(MARKER).is_some() {
        return body();
    }
    let flags = flags().expect(
        "no network namespace can be made here: that needs unshare, ip, and root or user namespaces. To leave these tests \
         out: -- --skip ::live_",
    );
    let exe = std::env::current_exe().expect("the test binary");
    // libtest and nextest both accept these; nextest starts a process per test.
    let output = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", LOOPBACK_UP])
        .arg(exe)
        .args(["--exact", path, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(MARKER, "1")
        // The failure says where; backtraces of two processes would bury it.
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
    // The inner test's output, for --nocapture.
    eprint!("{stderr}");
}

/// The flags for `unshare` on this machine; `None` if it does not work.
fn flags() -> Option<&'static [&'static str]> {
    static FLAGS: OnceLock<Option<&'static [&'static str]>> = OnceLock::new();
    *FLAGS.get_or_init(|| {
        let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
        // With a process namespace, all processes of a client die with the test. Some containers forbid mounting proc;
        // then only use the network namespace.
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

/// The full path of the enclosing test function (not in a closure), for `--exact`.
macro_rules! this_test {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here");
        path.split_once("::").map_or(path, |(_, path)| path)
    }};
}
pub(crate) use this_test;
