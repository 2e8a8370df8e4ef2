//! A person reads all data of a machine again: with server faults, beside hooks, and killed.

use serde_json::Value;

use super::steps::EVENTS;
use super::world::{HookRun, PreparedHook, World};
use crate::killed::At;

/// Roughly the number of stops at system calls until a resync ends.
const MAX_STOPS: usize = 6000;

impl World {
    /// Runs `fusebox resync` on a machine; the server may fail, or lose data, just before.
    pub fn resync(&mut self) {
        match self.random.weighted(&[(5, "nothing"), (2, "fails"), (2, "loses")]) {
            "fails" => self.break_server(),
            "loses" => self.lose(),
            _ => {}
        }
        let machine = self.any_machine();
        match self.random.weighted(&[(4, "whole"), (5, "killed"), (2, "beside hooks")]) {
            "whole" => self.resync_whole(machine),
            "killed" => {
                // As often soon after the start as late.
                let most = MAX_STOPS >> self.random.below(5);
                let at = At { stops: self.random.below(most), instructions: 0 };
                self.note(format!("resync on {machine}, killed at {}", at.stops));
                let (code, output, _) = self.fusebox_on(machine, &["resync", "--json"], Some(at));
                self.check_resync(machine, code, &output, "");
            }
            _ => self.resync_beside_hooks(),
        }
    }

    /// Runs `fusebox resync` on a machine.
    pub fn resync_whole(&mut self, machine: usize) {
        self.note(format!("resync on {machine}"));
        self.note_reading();
        let (code, output, errors) = self.fusebox_on(machine, &["resync", "--json"], None);
        self.check_resync(machine, code, &output, &errors);
        if code != Some(0) || self.failing {
            return;
        }
        // Its transcripts are completely read now.
        for session in self.sessions.iter_mut().filter(|s| s.machine == machine && s.has_written()) {
            session.in_store = true;
        }
    }

    /// On all machines at once, while hooks run.
    fn resync_beside_hooks(&mut self) {
        self.note("resync on all machines, beside hooks:");
        self.note_reading();
        let mut ready: Vec<PreparedHook> = Vec::new();
        for _ in 0..6 {
            let Some(session) = self.any_live() else { break };
            let event = self.random.weighted(&EVENTS);
            ready.push(self.prepare_hook(session, event, None, None));
        }
        let commands: Vec<_> =
            (0..self.machines()).map(|machine| self.person_command(machine, &["resync", "--json"])).collect();
        let (ran, called): (Vec<_>, Vec<HookRun>) = std::thread::scope(|scope| {
            let persons: Vec<_> = commands
                .into_iter()
                .map(|mut command| scope.spawn(move || crate::harness::run(&mut command, b"")))
                .collect();
            let hooks: Vec<_> = ready.into_iter().map(|ready| scope.spawn(|| ready.call())).collect();
            let persons = persons.into_iter().map(|person| person.join().expect("it runs")).collect();
            (persons, hooks.into_iter().map(|hook| hook.join().expect("a hook broke the contract")).collect())
        });
        called.iter().for_each(|called| self.remember(called));
        for (machine, ran) in ran.into_iter().enumerate() {
            self.check_resync(machine, Some(ran.code), &ran.stdout, &ran.stderr);
        }
    }

    /// Checks that it completes with a working server, and otherwise reports what failed.
    fn check_resync(&mut self, machine: usize, code: Option<i32>, output: &str, errors: &str) {
        self.note(format!("  on {machine}: {code:?} {}", errors.trim()));
        assert!(matches!(code, None | Some(0)) || self.failing, "resync on {machine}: {code:?} {errors}");
        if code == Some(0) {
            let said: Value = serde_json::from_str(output).unwrap_or_else(|e| panic!("{e}: {output}"));
            assert!(said["incomplete"].as_object().is_some_and(serde_json::Map::is_empty), "{output}");
        }
    }
}
