//! Reads the store and carries out decisions in a thread of its own, so that the screen never waits for either.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::actions::{self, Action};
use crate::app::overview::{Overview, Selection};
use crate::cli::select;
use crate::domain::window::Zone;
use crate::platform::{Env, clock};

/// What to do.
#[derive(Debug)]
pub enum Job {
    /// Read the store.
    Read(Selection),
    /// Carry out a decision.
    Act(Action),
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// The data, if there is new data, and why the store could not be read, if it could not.
    Read(Option<Box<Overview>>, Option<String>),
    /// What changed, or why nothing was changed.
    Acted(Result<String, String>),
}

/// Starts the thread. It ends when its sender is dropped.
pub fn start(env: &Env, zone: &Zone) -> (Sender<Job>, Receiver<Done>) {
    let (env, zone) = (env.clone(), zone.clone());
    let (jobs, asked) = channel();
    let (answers, done) = channel();
    thread::spawn(move || {
        let mut has_data = false;
        for job in asked {
            // The process's own time is that of its start.
            let env = Env { now: clock(), ..env.clone() };
            let done = match job {
                Job::Read(selection) => read(&env, &zone, &selection, &mut has_data),
                Job::Act(action) => {
                    Done::Acted(actions::act(&env, &action).map_err(|error| format!("{error:#}")))
                }
            };
            if answers.send(done).is_err() {
                return;
            }
        }
    });
    (jobs, done)
}

/// Reads the store. If that fails and nothing is on the screen yet, takes what this machine knows of a shared store.
fn read(env: &Env, zone: &Zone, selection: &Selection, has_data: &mut bool) -> Done {
    let config = match select::configuration(env) {
        Ok(config) => config,
        Err(error) => return Done::Read(None, Some(format!("{error:#}"))),
    };
    let (data, problem) = match Overview::read(env, &config, zone, selection) {
        Ok(data) => (Some(data), None),
        Err(error) => {
            let problem = error.to_string();
            let asks = config.redis.is_some() && !*has_data;
            let known = asks.then(|| Overview::last_known(env, &config, &problem, selection));
            (known.flatten(), Some(problem))
        }
    };
    *has_data |= data.is_some();
    Done::Read(data.map(Box::new), problem)
}
