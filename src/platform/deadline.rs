//! The hook's deadline.
//!
//! A timer signal ends the process, whatever it is doing: a thread would cost more than the rest of the hook, and
//! could not end a process that hangs in the kernel either.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// A hook's whole time, in milliseconds. The client's own limit is 2 s (`timeout` in its settings).
pub const DEADLINE_MS: i64 = 1_500;

/// The time for the work after the answer, in milliseconds.
const MAINTENANCE_MS: i64 = 400;

/// No answer has been written yet.
const NO_ANSWER: i32 = -1;

/// The exit code of the signal handler: that of the answer, once it is written.
static EXIT_CODE: AtomicI32 = AtomicI32::new(NO_ANSWER);

/// The journal entry that the signal handler writes, and its file: prepared beforehand, because a handler may not allocate.
static LATE_ENTRY: OnceLock<(CString, Vec<u8>)> = OnceLock::new();

/// Arms the deadline: the process exits with 0 after [`DEADLINE_MS`], whatever it is doing.
pub fn arm() {
    // SAFETY: plain system calls with valid arguments; `sigaction` gets a zeroed and then filled structure, and the handler
    // calls only functions that are safe in a handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_deadline as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        // A blocked signal is inherited; a blocked deadline would be none.
        let mut alarm: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut alarm);
        libc::sigaddset(&raw mut alarm, libc::SIGALRM);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const alarm, std::ptr::null_mut());
    }
    set_timer(DEADLINE_MS);
}

fn set_timer(ms: i64) {
    let ms = ms * test_patience();
    let time = libc::timeval { tv_sec: ms / 1000, tv_usec: (ms % 1000 * 1000) as _ };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: time };
    // SAFETY: a valid timer; the old one is not asked for.
    unsafe {
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}

/// The factor by which tests extend the deadlines (`FUSEBOX_TEST_PATIENCE`), so that a busy machine does not fail those that
/// are about something else. In builds with the feature `test-clock` only.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
fn test_patience() -> i64 {
    std::env::var("FUSEBOX_TEST_PATIENCE").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

#[cfg(not(feature = "test-clock"))]
const fn test_patience() -> i64 {
    1
}

/// Sets the journal entry to write when the deadline passes.
pub fn set_late_entry(journal: &Path, line: Vec<u8>) {
    if let Ok(path) = CString::new(journal.as_os_str().as_bytes()) {
        let _ = LATE_ENTRY.set((path, line));
    }
}

/// Arms a new deadline for the maintenance after the answer. It ends the process with `code`.
pub fn arm_for_maintenance(code: i32) {
    EXIT_CODE.store(code, Ordering::Relaxed);
    set_timer(MAINTENANCE_MS);
}

/// Ends the process at once with `code`: no destructors, no flushing, nothing that could fail.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

extern "C" fn on_deadline(_signal: i32) {
    // SAFETY: open, write and _exit are safe in a handler; the statics were set before and never change.
    unsafe {
        let code = EXIT_CODE.load(Ordering::Relaxed);
        if let Some((path, line)) = LATE_ENTRY.get().filter(|_| code == NO_ANSWER) {
            let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_APPEND | libc::O_NOFOLLOW);
            if file >= 0 {
                libc::write(file, line.as_ptr().cast(), line.len());
            }
        }
        libc::_exit(if code == NO_ANSWER { 0 } else { code })
    }
}
