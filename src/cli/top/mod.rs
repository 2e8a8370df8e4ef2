//! `fusebox top`: a live view of all sessions, with keys to extend, reset and acknowledge.
//!
//! [`view`] is the state, which keys and data change; [`draw`] draws it; [`worker`] reads the store and carries out
//! decisions in its own thread; [`screen`] is the terminal. Only the latter knows that there is one.

mod actions;
mod activity;
mod details;
mod dialog;
mod draw;
mod input;
mod overlay;
mod screen;
mod sessions;
mod style;
mod subject;
mod view;
mod worker;

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use anyhow::Context;

use self::screen::{Input, Screen};
use self::style::Theme;
use self::view::{Request, View};
use self::worker::{Done, Job};
use super::{Io, UsageError, person_only};
use crate::app::overview::Selection;
use crate::domain::window::Zone;
use crate::platform::{Env, Stopwatch, clock, test_panic};
use crate::zoneinfo;

/// How long the screen waits for a key before it looks for news.
const TICK: Duration = Duration::from_millis(100);

/// How often it is drawn although nothing happened, in milliseconds: the time and ages go on.
const REDRAW_MS: i64 = 1000;

/// Show all sessions, live: budgets, costs, breakers, alerts; extend, reset and acknowledge with keys.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Keys: arrows select, Tab changes the pane, e extends a budget, r resets, a acknowledges, q quits, \
? shows all. Each decision asks for a reason. Needs a terminal; elsewhere, use `fusebox status --watch`.

Examples:
  fusebox top
  fusebox top --session 3f2a
  fusebox top --interval 10"
)]
pub struct TopArgs {
    /// Only this session: an id, or the beginning of one.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// How often to read the store, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,
}

/// Runs the command.
///
/// # Errors
/// An agent started it; there is no terminal, or it is gone.
pub fn run(args: &TopArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    // Its keys decide. Said now, not after a person has typed a reason.
    person_only::refuse_in_agent(env, "fusebox top")?;
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        let way = "use `fusebox status --watch`, or `fusebox status --json` in scripts";
        return Err(UsageError(format!("`fusebox top` needs a terminal: {way}")).into());
    }
    // A time zone that is not known here is no reason to show nothing.
    let zone = zoneinfo::local(env.var("TZ")).or_else(|_| zoneinfo::local(None));
    let zone = zone.unwrap_or_else(|_| Zone::utc());
    let colours = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let mut view = View::new(env.now, zone.clone(), Theme { colours });
    view.only.clone_from(&args.session);
    let (jobs, done) = worker::start(env, &zone);
    let screen = Screen::open().context("the terminal cannot be used")?;
    let mut top = Top { args, view, jobs, done, since_read: None, is_reading: false };
    let ended = top.run(screen);
    io.out.flush()?;
    ended.map(|()| 0)
}

/// The running program.
struct Top<'a> {
    args: &'a TopArgs,
    view: View,
    jobs: Sender<Job>,
    done: Receiver<Done>,
    /// Since the store was last read; `None`: read it now.
    since_read: Option<Stopwatch>,
    is_reading: bool,
}

impl Top<'_> {
    /// Until a key or a signal ends it.
    fn run(&mut self, mut screen: Screen) -> anyhow::Result<()> {
        let mut since_drawn: Option<Stopwatch> = None;
        loop {
            if let Some(number) = screen.signal() {
                return screen.end_by(number).map_err(Into::into);
            }
            let has_news = self.take_news()?;
            self.read_if_due()?;
            if has_news || since_drawn.is_none_or(|since| since.ms() >= REDRAW_MS) {
                self.view.now = clock();
                screen.draw(&self.view)?;
                since_drawn = Some(Stopwatch::start());
            }
            for input in screen.wait(TICK)? {
                since_drawn = None;
                match self.on_input(input) {
                    None => {}
                    Some(Request::Quit) => return Ok(()),
                    Some(Request::Redraw) => {
                        test_panic("top");
                        screen.clear()?;
                    }
                    Some(Request::Read) => self.since_read = None,
                    Some(Request::Act(action)) => self.jobs.send(Job::Act(action))?,
                }
            }
        }
    }

    fn on_input(&mut self, input: Input) -> Option<Request> {
        match input {
            Input::Key(key) => return self.view.on_key(key),
            Input::Paste(text) => self.view.on_paste(&text),
            Input::Resized => {}
        }
        None
    }

    /// Takes what the worker has done. Returns whether there was something.
    fn take_news(&mut self) -> anyhow::Result<bool> {
        let mut has_news = false;
        loop {
            match self.done.try_recv() {
                Ok(Done::Read(data, problem)) => {
                    self.is_reading = false;
                    self.view.on_data(data.map(|data| *data), problem);
                }
                Ok(Done::Acted(result)) => {
                    self.view.on_result(result);
                    // Show the effect.
                    self.since_read = None;
                }
                Err(TryRecvError::Empty) => return Ok(has_news),
                Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that reads the store has ended"),
            }
            has_news = true;
        }
    }

    /// Reads the store again after the interval, unless it is still being read.
    fn read_if_due(&mut self) -> anyhow::Result<()> {
        let interval = i64::from(self.args.interval) * 1000;
        if !self.is_reading && self.since_read.is_none_or(|since| since.ms() >= interval) {
            let selection = Selection { session: self.args.session.clone(), ended: self.view.ended };
            self.jobs.send(Job::Read(selection))?;
            (self.since_read, self.is_reading) = (Some(Stopwatch::start()), true);
        }
        Ok(())
    }
}
