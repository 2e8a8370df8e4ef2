//! The terminal: taken over, and given back as it was, whatever happens.

use std::io::{self, Stdout, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyEvent, KeyEventKind, poll, read,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::draw;
use super::view::View;

/// The terminal, taken over until this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// The signal that asks to end; 0: none.
    signal: Arc<AtomicUsize>,
}

/// What happened in the terminal.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// A pasted text.
    Paste(String),
    /// Another size.
    Resized,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn open() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        restore_after_panic();
        enable_raw_mode()?;
        let opened = execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste);
        let terminal = opened.and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal, signal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub fn draw(&mut self, view: &View) -> io::Result<()> {
        self.terminal.draw(|frame| draw::draw(frame, view)).map(drop)
    }

    /// Draws everything again at the next time.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Waits for input, at most this long. Returns what there is.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn wait(&self, at_most: Duration) -> io::Result<Vec<Input>> {
        // Asked here first, because crossterm would read from a terminal that is gone for ever.
        let stdin = io::stdin();
        let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
        let time = Timespec::try_from(at_most).map_err(io::Error::other)?;
        match rustix::event::poll(&mut asked, Some(&time)) {
            // A signal: perhaps a new size.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal is gone"));
        }
        let mut all = Vec::new();
        while self.signal().is_none() && poll(Duration::ZERO)? {
            match read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => all.push(Input::Key(key)),
                Event::Paste(text) => all.push(Input::Paste(text)),
                Event::Resize(..) => all.push(Input::Resized),
                _ => {}
            }
        }
        Ok(all)
    }

    /// The signal that asks to end, if there was one.
    pub fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|number| *number != 0)
    }

    /// Gives the terminal back, and ends the process as this signal would have.
    pub fn end_by(self, number: i32) -> io::Result<()> {
        drop(self);
        signal_hook::low_level::emulate_default_handler(number)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. Doing it twice does no harm.
fn restore() {
    // Failures do not matter: the terminal is gone.
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
}

/// A panic first gives the terminal back, so that its message can be read. In a release build nothing else would: the
/// process is aborted.
fn restore_after_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        before(panic);
    }));
}
