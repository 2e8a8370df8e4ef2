//! Tests the breaker with the labelled corpus: real loops trip it, nothing else does.

mod corpus;
mod recorded;

use std::collections::BTreeMap;

use fusebox::agents::claude::tools;
use fusebox::domain::breaker::circuit::{CircuitBreaker, CircuitChange, CircuitInput, NamedCall, Trip};
use fusebox::domain::breaker::policy::{Limits, Policy, Preset};
use fusebox::domain::breaker::repeated_text::RepeatedText;
use fusebox::domain::breaker::repetitions::requested_repetitions;
use fusebox::domain::breaker::rules::{RULES, Rule};
use fusebox::domain::time::Timestamp;

use corpus::{Called, Event, Sequence};

/// A sequence with its calls precomputed.
struct Prepared {
    sequence: Sequence,
    steps: Vec<Step>,
}

enum Step {
    /// A person's prompt that asks for this many repetitions.
    Prompt(u32),
    /// A response: its agent, how many times in a row its text was written, its calls, and which of them ran.
    Response(String, u32, Vec<NamedCall>, Vec<bool>),
}

impl Prepared {
    fn of(sequence: Sequence) -> Self {
        let mut said: BTreeMap<String, RepeatedText> = BTreeMap::new();
        let (mut id, mut steps) = (0, Vec::new());
        for event in &sequence.events {
            match event {
                Event::Prompt(text) => steps.push(Step::Prompt(requested_repetitions(text))),
                Event::Response { agent, say, calls } => {
                    let said = said.entry(agent.clone()).or_default();
                    say.iter().for_each(|text| said.observe(text));
                    let named = calls.iter().map(|called| named(called, &mut id)).collect();
                    let ran = calls.iter().map(|called| !called.refused).collect();
                    steps.push(Step::Response(agent.clone(), said.times, named, ran));
                }
                Event::Notification | Event::Nothing => {}
            }
        }
        Self { sequence, steps }
    }

    /// The first trip, if any.
    fn judge(&self, policy: &Policy) -> Option<Trip> {
        let mut agents: BTreeMap<&str, CircuitBreaker> = BTreeMap::from([("", CircuitBreaker::default())]);
        for step in &self.steps {
            match step {
                Step::Prompt(asked) => {
                    agents.values_mut().for_each(|breaker| drop(breaker.on_prompt(*asked)))
                }
                Step::Response(agent, times, named, ran) => {
                    let breaker = agents.entry(agent).or_default();
                    let mut changes = Vec::new();
                    for (call, _) in named.iter().zip(ran).filter(|(_, ran)| **ran) {
                        let seen = CircuitInput::CallsEnded(std::slice::from_ref(call));
                        changes.extend(breaker.observe(seen, policy, *times, Timestamp(0)));
                    }
                    changes.extend(breaker.observe(
                        CircuitInput::ResponseEnded(named),
                        policy,
                        *times,
                        Timestamp(0),
                    ));
                    let opened = |change| match change {
                        CircuitChange::Opened(trip) => Some(trip),
                        _ => None,
                    };
                    if let Some(trip) = changes.into_iter().find_map(opened) {
                        return Some(trip);
                    }
                }
            }
        }
        None
    }

    fn line(&self) -> String {
        let Sequence { name, file, why, .. } = &self.sequence;
        format!("{name} ({file}): {why}")
    }
}

fn named(called: &Called, id: &mut u32) -> NamedCall {
    *id += 1;
    let failed = called.failed || called.refused;
    let call =
        tools::finished_call(*id, &called.tool, &called.input, &called.result, Some(failed), &called.cwd);
    NamedCall { call, tool: called.tool.clone() }
}

/// A policy with only this rule.
fn alone(rule: &Rule, preset: Preset) -> Policy {
    let only = |other: &Rule| preset.pick(other.presets).filter(|_| other.name == rule.name);
    Policy { limits: Limits::from_fn(only), ..Policy::from_preset(preset) }
}

/// Runs the sequences of a folder with every rule and preset, and prints the table. Returns the number of loops, those
/// that `standard` missed, and what else it stopped.
fn confusion(folder: &str) -> (usize, Vec<String>, Vec<String>) {
    let all: Vec<Prepared> = corpus::all(folder).into_iter().map(Prepared::of).collect();
    let (loops, harmless): (Vec<&Prepared>, Vec<&Prepared>) = all.iter().partition(|s| s.sequence.is_loop);
    let count = |of: &[&Prepared], policy: &Policy| of.iter().filter(|s| s.judge(policy).is_some()).count();
    println!("{:>16} {:>17} {:>17} {:>17}", "loops / harmless", "relaxed", "standard", "strict");
    let row = |name: &str, policy: &dyn Fn(Preset) -> Policy| {
        let cells = Preset::ALL.map(|(_, preset)| {
            let policy = policy(preset);
            format!("{} / {}", count(&loops, &policy), count(&harmless, &policy))
        });
        println!("{name:>16} {:>17} {:>17} {:>17}", cells[0], cells[1], cells[2]);
    };
    for rule in RULES {
        row(rule.name, &|preset| alone(rule, preset));
    }
    row("all", &Policy::from_preset);
    println!("of {} loops and {} harmless sequences", loops.len(), harmless.len());

    let standard = Policy::default();
    let missed: Vec<String> =
        loops.iter().filter(|s| s.judge(&standard).is_none()).map(|s| s.line()).collect();
    let stopped = |s: &&Prepared| s.judge(&standard).map(|trip| format!("{}: {trip:?}", s.line()));
    let stopped: Vec<String> = harmless.iter().filter_map(stopped).collect();
    println!("missed:\n  {}\nstopped:\n  {}", missed.join("\n  "), stopped.join("\n  "));
    (loops.len(), missed, stopped)
}

#[test]
fn standard_misses_at_most_one_loop_in_twenty_and_stops_nothing_else() {
    let (loops, missed, stopped) = confusion("");
    assert!(loops >= 50);
    assert!(stopped.is_empty(), "harmless and stopped:\n  {}", stopped.join("\n  "));
    assert!(missed.len() * 20 <= loops, "{} of {loops} loops missed", missed.len());
}

/// Written by somebody who knew neither the rules nor the other set. At first 6 of 40 were missed and 3 of 50 stopped;
/// the rules were changed after that, so the set is no longer unseen. It only guards against regressions.
#[test]
fn a_second_set_comes_out_no_worse_than_it_did() {
    let (loops, missed, stopped) = confusion("holdout");
    assert_eq!((loops, missed.len()), (40, 5), "{}", missed.join("\n"));
    // 1,280 calls after one prompt, which is what `max_iterations` is for.
    assert!(stopped.len() == 1 && stopped[0].contains("iterations"), "{}", stopped.join("\n"));
}
