//! A guard and its store: opened at its first use, and left alone for a while after it did not answer.

use super::guard::Guard;
use super::opening::{self, corrupt};
use crate::env::Stopwatch;
use crate::store::{Result, Store, StoreError};

/// Milliseconds that hooks count locally for after the store did not answer.
const STORE_ASLEEP_MS: i64 = 5_000;

/// What is noted of such a store.
const SLOW: &str = "the store answers, but so slowly that a hook cannot wait for it. Look at what keeps it busy, or at the network";

impl Guard<'_> {
    /// Whether the store did not answer a short while ago.
    pub(super) fn is_asleep(&self) -> bool {
        let (now, later) = (self.env.now, self.env.now.plus_millis(STORE_ASLEEP_MS));
        // A time further off was written under another clock.
        self.cache.store_asleep_until.is_some_and(|until| now < until && until <= later)
    }

    /// Works with the store, which is opened at its first use. A failure is noted, and `None`; for a while the store is
    /// not asked again then.
    pub fn with_store<T>(&mut self, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Option<T> {
        let store = self.opened()?;
        let started = Stopwatch::start();
        let done = work(store);
        if let Some(left) = &mut self.store_ms {
            *left -= started.ms();
            if *left < 0 && done.is_ok() {
                self.notes.push(SLOW.into());
                self.leave_store();
            }
        }
        self.judge_store(done)
    }

    /// Whether the store can be reached, for all that is known before it is asked: it is connected to.
    pub(super) fn reaches_store(&mut self) -> bool {
        let Some(store) = self.opened() else { return false };
        let reached = store.reach();
        self.judge_store(reached).is_some()
    }

    /// The store, opened; `None`: it is not asked now.
    fn opened(&mut self) -> Option<&mut dyn Store> {
        if self.is_asleep() {
            return None;
        }
        self.cache.store_asleep_until = None;
        if self.store.is_none() {
            match opening::open(self.env, &self.config, Some(&self.file)) {
                Ok((store, warning)) => {
                    self.store = Some(store);
                    self.tell.extend(warning);
                }
                Err(error) => {
                    self.notes.push(error.to_string());
                    self.leave_store();
                    return None;
                }
            }
        }
        self.store.as_deref_mut().map(|store| store as &mut dyn Store)
    }

    /// What the store answered; a failure says that it is left alone for a while, or given up.
    fn judge_store<T>(&mut self, done: Result<T>) -> Option<T> {
        self.denied = done.as_ref().is_err_and(StoreError::is_denied);
        match &done {
            // A shared store is others' too: what is wrong with it stays wrong for a while.
            Err(error) if error.is_corrupt() && self.config.redis.is_none() => self.give_up_store(),
            Err(_) => self.leave_store(),
            Ok(_) => {}
        }
        done.map_err(|error| self.notes.push(error.to_string())).ok()
    }

    fn leave_store(&mut self) {
        self.cache.store_asleep_until = Some(self.env.now.plus_millis(STORE_ASLEEP_MS));
    }

    /// Opens the store anew when it is used next.
    pub(super) fn close_store(&mut self) {
        self.store = None;
    }

    /// Lets the store, where it was used, do its upkeep. `idle`: the agent is not at work.
    pub fn tidy(&mut self, idle: bool) {
        if self.store.is_some() {
            self.with_store(|store| store.tidy(idle));
        }
    }

    /// The store turned out to be damaged while it worked: opening reads one page only.
    fn give_up_store(&mut self) {
        let Some(store) = self.store.take() else { return };
        match store.set_aside(self.env.now) {
            Ok(aside) => {
                let told = aside.as_deref().map(corrupt);
                self.notes.extend(told.clone());
                self.tell.extend(told);
            }
            Err(error) => self.notes.push(format!("the corrupt store cannot be set aside: {error}")),
        }
    }
}
