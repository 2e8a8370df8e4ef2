//! The hook's deadline.
//!
//! A timer signal ends the process, whatever it is doing. A thread would cost more than the rest of the hook, and could
//! not end a process that hangs in the kernel.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use super::test_patience;

/// The total time of a hook, in milliseconds. The client's own limit is 2 s (`timeout` in its settings).
pub const DEADLINE_MS: i64 = 1_500;

/// The time for maintenance after the answer, in milliseconds.
const MAINTENANCE_MS: i64 = 400;

/// No answer has been written yet.
const NO_ANSWER: i32 = -1;

/// The exit code that the signal handler uses: that of the answer, once it is written.
static EXIT_CODE: AtomicI32 = AtomicI32::new(NO_ANSWER);

/// The journal file and the entry that the signal handler writes. Prepared beforehand, because a handler must not
/// allocate.
static LATE_ENTRY: OnceLock<(CString, Vec<u8>)> = OnceLock::new();

/// Arms the deadline: the process exits with 0 after [`DEADLINE_MS`].
pub fn arm() {
    // SAFETY: plain system calls with valid arguments; `sigaction` gets a zeroed and then filled structure, and the
    // handler calls only async-signal-safe functions.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_deadline as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        // A blocked signal is inherited, and would disable the deadline.
        let mut alarm: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut alarm);
        libc::sigaddset(&raw mut alarm, libc::SIGALRM);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const alarm, std::ptr::null_mut());
    }
    set_timer(DEADLINE_MS);
}

fn set_timer(ms: i64) {
    let ms = ms * i64::from(test_patience());
    let time = libc::timeval { tv_sec: ms / 1000, tv_usec: (ms % 1000 * 1000) as _ };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: time };
    // SAFETY: a valid timer; null discards the old one.
    unsafe {
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}

/// Sets the journal entry to write if the deadline passes.
pub fn set_late_entry(journal: &Path, line: Vec<u8>) {
    if let Ok(path) = CString::new(journal.as_os_str().as_bytes()) {
        let _ = LATE_ENTRY.set((path, line));
    }
}

/// Arms a new deadline for the maintenance after the answer, which ends the process with `code`.
pub fn arm_for_maintenance(code: i32) {
    EXIT_CODE.store(code, Ordering::Relaxed);
    set_timer(MAINTENANCE_MS);
}

/// Ends the process at once with `code`, without destructors or flushing.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

extern "C" fn on_deadline(_signal: i32) {
    // SAFETY: open, write and _exit are async-signal-safe; the statics were set before and never change.
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
