//! Random steps from a seed: reservations with TTLs, made, recorded and released by programs that are killed in between and
//! run at the same time, on machines whose clocks are wrong, with a server that is killed. What is used and reserved must be
//! what an independent count says.
//!
//! `FUSEBOX_TEST_SEEDS=20` runs seeds 1 to 20, each with 300 steps.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use super::{HOUR_MS, World};
use crate::killed::{At, run_killed_at};
use crate::random::Random;
use crate::redis::Options;

/// The clock moves by this: the steps between two moves take less.
const TICK_MS: i64 = HOUR_MS / 3;

/// Ticks from the start (half past eleven) to midnight.
const TICKS_TO_MIDNIGHT: i64 = 37;

/// Ticks of a day.
const TICKS_A_DAY: i64 = 72;

/// Requests a day.
const LIMIT: u64 = 10;

/// Stops of a command at system calls, about.
const STOPS: usize = 900;

/// How far the clocks of machines are off, in hours.
const SKEWS: [i64; 4] = [-13, 0, 0, 13];

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    Used(u64),
    Released,
    Expired,
}

/// What the independent count knows about a key.
#[derive(Debug)]
struct Known {
    amount: u64,
    day: i64,
    /// Resets before it was made.
    resets: u64,
    expires: i64,
    fate: Fate,
}

/// An independent count. Times are ticks.
#[derive(Default)]
struct Count {
    now: i64,
    resets: u64,
    keys: BTreeMap<String, Known>,
}

impl Count {
    fn day(&self) -> i64 {
        (self.now + TICKS_A_DAY - TICKS_TO_MIDNIGHT - 1).div_euclid(TICKS_A_DAY)
    }

    /// Used and reserved.
    fn standing(&self) -> [u64; 2] {
        let mut sums = [0, 0];
        for one in self.keys.values().filter(|one| one.day == self.day() && one.resets == self.resets) {
            match one.fate {
                Fate::Used(amount) => sums[0] += amount,
                Fate::Open => sums[1] += one.amount,
                Fate::Released | Fate::Expired => {}
            }
        }
        sums
    }

    fn room(&self) -> u64 {
        LIMIT.saturating_sub(self.standing().iter().sum())
    }

    fn pass(&mut self, ticks: i64) {
        self.now += ticks;
        for one in self.keys.values_mut().filter(|one| one.fate == Fate::Open && one.expires <= self.now) {
            one.fate = Fate::Expired;
        }
    }

    fn add(&mut self, key: &str, amount: u64, ttl: i64, fate: Fate) {
        let one = Known { amount, day: self.day(), resets: self.resets, expires: self.now + ttl, fate };
        self.keys.insert(key.to_owned(), one);
    }

    /// Counts a `reserve`. Returns its exit code.
    fn reserve(&mut self, key: &str, amount: u64, ttl: i64) -> i32 {
        // After a release, or an expiry, the key is free again.
        let is_free = |known: &&Known| matches!(known.fate, Fate::Released | Fate::Expired);
        match self.keys.get(key).filter(|known| !is_free(known)) {
            Some(Known { fate: Fate::Open, amount: reserved, .. }) if *reserved == amount => 0,
            Some(_) => 2,
            None if amount > self.room() => 3,
            None => {
                self.add(key, amount, ttl, Fate::Open);
                0
            }
        }
    }

    /// Counts a `record`. Returns its exit code.
    fn record(&mut self, key: &str, used: u64) -> i32 {
        match self.keys.get_mut(key) {
            Some(Known { fate: Fate::Released, .. }) => 2,
            Some(Known { fate: Fate::Used(before), .. }) => 2 * i32::from(*before != used),
            Some(known) => {
                known.fate = Fate::Used(used);
                0
            }
            // Without a reservation, it counts at once.
            None => {
                self.add(key, used, 0, Fate::Used(used));
                0
            }
        }
    }

    /// Counts a `release`. Returns its exit code.
    fn release(&mut self, key: &str) -> i32 {
        match self.keys.get_mut(key) {
            None | Some(Known { fate: Fate::Used(_), .. }) => 2,
            // It holds nothing any more, and can still be recorded.
            Some(Known { fate: Fate::Expired, .. }) => 0,
            Some(known) => {
                known.fate = Fate::Released;
                0
            }
        }
    }
}

struct Run<'w> {
    world: &'w mut World,
    random: Random,
    count: Count,
    log: Vec<String>,
    killed: usize,
}

impl Run<'_> {
    fn is_shared(&self) -> bool {
        self.world.server.is_some()
    }

    /// `fusebox` with these words, on one of the machines.
    fn command(&mut self, line: &str) -> Command {
        let skew = if self.is_shared() { *self.random.pick(&SKEWS) } else { 0 };
        self.log.push(format!("{line} ({skew} h)"));
        let mut command = self.world.home.command("fusebox");
        command.args(line.split(' ')).env("FUSEBOX_TEST_SKEW", (skew * HOUR_MS).to_string());
        command
    }

    /// Runs a line, sometimes after it was killed on its way. Returns its exit code.
    fn exit_code(&mut self, line: &str) -> i32 {
        if self.random.chance(40) {
            let at = At { stops: self.random.below(STOPS), instructions: self.random.below(2000) };
            let command = self.command(line);
            let was = run_killed_at(command, b"", at);
            self.log.push(format!("  {at:?}: killed {}", was.killed));
            self.killed += usize::from(was.killed);
            if let Some(code) = was.code {
                return code;
            }
        }
        let ran = crate::harness::run(&mut self.command(line), b"");
        self.log.push(format!("  {ran:?}"));
        ran.code
    }

    /// Starts a line, and does not wait for it.
    fn start(&mut self, line: &str) -> Child {
        let mut command = self.command(line);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Several programs reserve one request each, some of them are killed, and so is the server. Those that got no answer
    /// ask again.
    fn reserve_at_once(&mut self, step: usize) {
        let expected = self.count.room().min(6);
        let lines: Vec<_> =
            (0..6).map(|n| format!("quota reserve --platform gemini --key {step}-{n} --ttl 40m")).collect();
        let mut children: Vec<_> = lines.iter().map(|line| self.start(line)).collect();
        for child in &mut children {
            if self.random.chance(30) {
                child.kill().unwrap();
            }
        }
        if let Some(server) = &mut self.world.server
            && self.random.chance(50)
        {
            server.restart();
        }
        let mut granted = 0;
        for (n, mut child) in children.into_iter().enumerate() {
            let code = child.wait().unwrap().code();
            let code = if let Some(code @ (0 | 3)) = code { code } else { self.exit_code(&lines[n]) };
            assert!(matches!(code, 0 | 3), "{code}");
            if code == 0 {
                granted += 1;
                self.count.add(&format!("{step}-{n}"), 1, 2, Fate::Open);
            }
        }
        assert_eq!(granted, expected);
    }

    fn step(&mut self, step: usize) {
        let key = format!("k{}", self.random.below(40));
        let amount = self.random.within(1, 3);
        let ttl = self.random.within(1, 6).cast_signed();
        let named = format!("--platform gemini --key {key}");
        match self.random.weighted(&[(40, 'r'), (30, 'u'), (12, 'f'), (25, 't'), (8, 'm'), (2, '0')]) {
            'r' => {
                let minutes = ttl * TICK_MS / 60_000;
                let code =
                    self.exit_code(&format!("quota reserve {named} --amount {amount} --ttl {minutes}m"));
                assert_eq!(code, self.count.reserve(&key, amount, ttl));
            }
            'u' => {
                let code = self.exit_code(&format!("quota record {named} --amount {amount}"));
                assert_eq!(code, self.count.record(&key, amount));
            }
            'f' => {
                let code = self.exit_code(&format!("quota release {named}"));
                assert_eq!(code, self.count.release(&key));
            }
            't' => {
                let ticks = self.random.within(1, 8).cast_signed();
                self.world.pass(ticks * TICK_MS);
                self.count.pass(ticks);
                self.log.push(format!("{ticks} ticks later"));
            }
            'm' => self.reserve_at_once(step),
            _ => {
                assert_eq!(self.exit_code("quota reset --platform gemini --reason test --yes"), 0);
                self.count.resets += 1;
            }
        }
        assert_eq!(self.world.gemini(), self.count.standing());
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.log.len().saturating_sub(60);
            eprintln!("{}", self.log[from..].join("\n"));
        }
    }
}

fn run_seeds(new_world: impl Fn() -> World) {
    let seeds: Option<u64> = std::env::var("FUSEBOX_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let steps = if seeds.is_some() { 300 } else { 60 };
    for seed in 1..=seeds.unwrap_or(1) {
        let mut world = new_world();
        let random = Random::new(seed);
        let mut run = Run { world: &mut world, random, count: Count::default(), log: Vec::new(), killed: 0 };
        for step in 0..steps {
            run.step(step);
        }
        assert!(run.killed > steps / 20, "only {} of the commands were killed", run.killed);
        eprintln!("seed {seed}: {steps} steps, {} commands killed, drift 0", run.killed);
    }
}

#[test]
fn what_is_used_and_reserved_survives_faults_sqlite() {
    run_seeds(World::embedded);
}

/// With a server that keeps what it has answered when it is killed.
#[test]
fn what_is_used_and_reserved_survives_faults_redis() {
    run_seeds(|| {
        World::shared_by(Options::default().set("appendonly", "yes").set("appendfsync", "always").start())
    });
}
