//! A child process that takes this process's place for its caller: signals are passed on to it, and none is lost.

use std::io;
use std::mem::MaybeUninit;
use std::process::{Child, Command, ExitStatus};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, getpgrp, kill_process, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::{Cause, Origin};

/// The signals that are passed on.
const PASSED_ON: [(i32, Signal); 4] =
    [(SIGINT, Signal::INT), (SIGTERM, Signal::TERM), (SIGHUP, Signal::HUP), (SIGQUIT, Signal::QUIT)];

/// Receives the signals that ask this process to end, instead of ending it.
pub struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Starts to receive them. Those that this process was told to ignore (`nohup`) stay ignored, also by its children.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn receive() -> io::Result<Self> {
        let received = PASSED_ON.iter().map(|(number, _)| *number).filter(|number| !is_ignored(*number));
        SignalsInfo::new(received).map(Self)
    }

    /// A signal that came before a child was started.
    pub fn pending(&mut self) -> Option<i32> {
        self.0.pending().next().map(|origin| origin.signal)
    }

    /// Starts a child. Signals that come from now on, or came since the last look, go to it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut self, command: &mut Command) -> io::Result<PassingChild> {
        // The child cannot have got these. A key pressed between here and its start, some microseconds later, counts as one
        // that it got: a key that is lost is pressed again, and one that arrives twice means something else.
        let earlier: Vec<Origin> = self.0.pending().collect();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let handle = self.0.handle();
        let passing = std::thread::spawn(move || {
            for origin in earlier {
                send(&origin, pid);
            }
            for origin in self.0.forever().filter(|origin| !is_shared(origin, pid)) {
                send(&origin, pid);
            }
        });
        Ok(PassingChild { child, pid, handle, passing })
    }
}

/// A running child to which signals are passed on.
pub struct PassingChild {
    child: Child,
    pid: Pid,
    handle: Handle,
    passing: JoinHandle<()>,
}

impl PassingChild {
    /// Waits until it has ended.
    ///
    /// # Errors
    /// The system does not say.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        // Until it is reaped, no other process can get its id, and a signal to it does no harm.
        let until_end = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(self.pid), until_end) {}
        self.handle.close();
        let _ = self.passing.join();
        self.child.wait()
    }
}

/// Whether the child got a signal, too: the terminal sends Ctrl-C to all processes of the group in its foreground, and
/// twice often means "at once". (A hang-up goes to the leader of the session alone.)
fn is_shared(origin: &Origin, child: Pid) -> bool {
    let is_key = matches!(origin.signal, SIGINT | SIGQUIT) && matches!(origin.cause, Cause::Kernel);
    is_key && getpgid(Some(child)) == Ok(getpgrp())
}

fn send(origin: &Origin, child: Pid) {
    let Some((_, signal)) = PASSED_ON.iter().find(|(number, _)| *number == origin.signal) else { return };
    // It fails only if the child has changed its user.
    let _ = kill_process(child, *signal);
}

/// Whether this process ignores a signal.
#[allow(unsafe_code)]
fn is_ignored(signal: i32) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only reads the current action, into a structure of this type.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0 };
    // SAFETY: zeroed, and filled if the call succeeded; all its fields are plain numbers.
    read && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_IGN
}
