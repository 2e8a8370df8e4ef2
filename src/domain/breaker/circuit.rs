//! The breaker of one agent, and its transitions between closed, open and half-open.
//!
//! It is one value that a store changes in one atomic step, so parallel hooks get the same result as sequential ones.
//! The epoch counts decisions of people: whatever began before a decision cannot undo it.

use serde::{Deserialize, Serialize};

use super::super::budget::Mode;
use super::super::time::Timestamp;
use super::call::Call;
use super::history::CallHistory;
pub use super::phase::{Phase, Probe, Trip};
use super::policy::Policy;
use super::rule_match::{RuleMatch, match_rules};
use super::rules::View;
pub use super::transition::{CircuitChange, CircuitInput, NamedCall};

/// How long a probe may take before another call may become one, in milliseconds: longer than the client's longest
/// command.
const PROBE_MS: i64 = 15 * 60 * 1000;

/// How many reported warnings are remembered.
const MAX_REPORTED: usize = 16;

/// The breaker of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CircuitBreaker {
    /// The current phase.
    pub phase: Phase,
    /// How often it was restarted.
    pub epoch: u32,
    /// Calls since a person's last prompt.
    pub iterations: u64,
    /// Repetitions that the last prompt asked for.
    #[serde(rename = "asked", skip_serializing_if = "is_zero")]
    requested_repetitions: u32,
    /// Whether the client reports the end of a response.
    #[serde(rename = "batches", skip_serializing_if = "std::ops::Not::not")]
    reports_responses: bool,
    /// Warnings already reported: rule and shape of the call.
    #[serde(rename = "told", skip_serializing_if = "Vec::is_empty")]
    reported: Vec<(String, u32)>,
    /// The most recent calls.
    #[serde(skip)]
    pub history: CallHistory,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl CircuitBreaker {
    /// Applies an observation. `same_texts`: how many times in a row the agent wrote its last text.
    pub fn observe(
        &mut self,
        input: CircuitInput,
        policy: &Policy,
        same_texts: u32,
        now: Timestamp,
    ) -> Vec<CircuitChange> {
        let (named, over) = match input {
            CircuitInput::Nothing => return Vec::new(),
            CircuitInput::CallRequested(call) => {
                return self.on_call_requested(call, policy, now).into_iter().collect();
            }
            CircuitInput::CallsEnded(named) => (named, false),
            CircuitInput::ResponseEnded(named) => (named, true),
        };
        let mut changes = Vec::new();
        for (i, NamedCall { call, .. }) in named.iter().enumerate() {
            let before = named[..i].iter().filter(|earlier| earlier.call.id == call.id).count();
            let added =
                if over { self.history.add_of_response(*call, before) } else { self.history.add(*call) };
            if added {
                self.iterations += 1;
                changes.extend(self.on_probe_ended(call, now));
            }
        }
        self.reports_responses |= over;
        match (over, self.reports_responses) {
            (true, _) => self.history.close(&named.iter().map(|named| named.call.id).collect::<Vec<_>>()),
            // The end of the response is still to come, and says which calls belong together.
            (false, true) => return changes,
            (false, false) => self.history.close_each(),
        }
        if self.phase == Phase::Closed && !named.is_empty() {
            self.apply_rules(named, policy, same_texts, now, &mut changes);
        }
        changes
    }

    /// Attaches the history, which is stored separately.
    #[must_use]
    pub fn with_history(mut self, history: CallHistory) -> Self {
        self.history = history;
        self
    }

    /// Whether the breaker lets this call through.
    pub fn admits(&self, call: Option<u32>) -> bool {
        match &self.phase {
            Phase::Closed => true,
            Phase::Open { .. } => false,
            Phase::HalfOpen { probe, .. } => probe.is_some_and(|probe| Some(probe.call) == call),
        }
    }

    /// A person acknowledged the trip: one call may show whether it works now. Returns the trip, or `None` if not open.
    pub fn acknowledge(&mut self) -> Option<Trip> {
        let Phase::Open { trip } = &self.phase else { return None };
        let trip = trip.clone();
        self.restart(Phase::HalfOpen { trip: trip.clone(), probe: None });
        Some(trip)
    }

    /// A person resets the breaker. Returns why it had tripped, if it had.
    pub fn reset(&mut self) -> Option<Trip> {
        let trip = self.phase.trip().cloned();
        self.restart(Phase::Closed);
        trip
    }

    /// A person sent a prompt that asks for this many repetitions. Returns why the breaker had tripped, if it had.
    pub fn on_prompt(&mut self, requested_repetitions: u32) -> Option<Trip> {
        let trip = self.reset();
        self.requested_repetitions = requested_repetitions;
        trip
    }

    fn restart(&mut self, phase: Phase) {
        let (epoch, reports_responses, requested_repetitions) =
            (self.epoch + 1, self.reports_responses, self.requested_repetitions);
        *self = Self { phase, epoch, reports_responses, requested_repetitions, ..Self::default() };
    }

    /// A call is requested; it may become the probe.
    fn on_call_requested(&mut self, call: u32, policy: &Policy, now: Timestamp) -> Option<CircuitChange> {
        let mut change = None;
        if let (Phase::Open { trip }, Some(seconds)) = (&self.phase, policy.cooldown)
            && now.millis_since(trip.at) >= i64::from(seconds) * 1000
        {
            let trip = trip.clone();
            self.restart(Phase::HalfOpen { trip: trip.clone(), probe: None });
            change = Some(CircuitChange::HalfOpened(trip));
        }
        if let Phase::HalfOpen { probe, .. } = &mut self.phase {
            let until = now.plus_millis(PROBE_MS);
            // A probe that ends later than a new one would was made before the clock was set back.
            let runs =
                probe.is_some_and(|probe| now < probe.until && probe.until <= until && probe.call != call);
            if !runs {
                *probe = Some(Probe { call, until });
            }
        }
        change
    }

    /// A call ended; it may have been the probe.
    fn on_probe_ended(&mut self, call: &Call, now: Timestamp) -> Option<CircuitChange> {
        let mut trip = match &self.phase {
            Phase::HalfOpen { trip, probe: Some(probe) } if call.has_id(probe.call) => trip.clone(),
            _ => return None,
        };
        if !call.outcome.failed && call.signature.hex() != trip.signature {
            self.restart(Phase::Closed);
            return Some(CircuitChange::Closed(trip));
        }
        (trip.at, trip.call) = (now, self.iterations);
        self.phase = Phase::Open { trip: trip.clone() };
        Some(CircuitChange::Opened(trip))
    }

    fn apply_rules(
        &mut self,
        named: &[NamedCall],
        policy: &Policy,
        same_texts: u32,
        now: Timestamp,
        changes: &mut Vec<CircuitChange>,
    ) {
        let rounds = self.history.rounds();
        let Some(last) = rounds.calls().last().copied() else { return };
        let ignore_outcome = policy.ignore_outcome;
        let view = View {
            rounds,
            iterations: self.iterations,
            same_texts,
            ignore_outcome,
            requested_repetitions: self.requested_repetitions,
        };
        let tool = named.iter().find(|named| named.call.signature == last.signature).or(named.last());
        let trip = |rule_match: &RuleMatch| Trip {
            rule: rule_match.rule.name.to_owned(),
            tool: tool.map(|named| named.tool.clone()).unwrap_or_default(),
            count: rule_match.count,
            limit: rule_match.limit,
            signature: last.signature.hex(),
            call: self.iterations,
            at: now,
        };
        let (tripped, warned) = match_rules(&view, policy);
        let once = |rule_match: &RuleMatch| if rule_match.rule.once_per_turn { 0 } else { last.shape };
        let warnings: Vec<(u32, Trip)> = warned.iter().map(|found| (once(found), trip(found))).collect();
        let tripped = tripped.map(|found| (once(&found), trip(&found)));
        match tripped {
            Some((_, trip)) if policy.mode == Mode::Enforce => {
                self.phase = Phase::Open { trip: trip.clone() };
                changes.push(CircuitChange::Opened(trip));
            }
            Some((shape, trip)) => {
                if self.report_once(&format!("{}!", trip.rule), shape) {
                    changes.push(CircuitChange::WouldOpen(trip));
                }
            }
            None => {
                for (shape, warning) in warnings {
                    if policy.mode == Mode::Enforce && self.report_once(&warning.rule, shape) {
                        changes.push(CircuitChange::Warned(warning));
                    }
                }
            }
        }
    }

    /// Records a report. Returns whether it is the first.
    fn report_once(&mut self, what: &str, shape: u32) -> bool {
        if self.reported.iter().any(|(known, of)| known == what && *of == shape) {
            return false;
        }
        self.reported.push((what.to_owned(), shape));
        self.reported.drain(..self.reported.len().saturating_sub(MAX_REPORTED));
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::action::{Action, InputComparison};
    use super::super::outcome::{Outcome, ResultContent};
    use super::super::policy::{Limits, Preset};
    use super::*;

    fn named(id: u32, command: &str, result: &str) -> NamedCall {
        let action = Action {
            relevant_input: json!(command),
            comparison: InputComparison::Command,
            ..Action::default()
        };
        let outcome = Outcome::new(result, ResultContent::Something, result.starts_with("Exit code"), "");
        let call = Call::new(id, "run", &json!({"command": command}), &action, outcome);
        NamedCall { call, tool: "run".into() }
    }

    fn respond(breaker: &mut CircuitBreaker, id: u32, command: &str, result: &str) -> Vec<CircuitChange> {
        let call = named(id, command, result);
        breaker.observe(CircuitInput::ResponseEnded(&[call]), &Policy::default(), 0, Timestamp(i64::from(id)))
    }

    fn tripped() -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        let changes: Vec<Vec<CircuitChange>> =
            (1..=5).map(|id| respond(&mut breaker, id, "make", "no")).collect();
        assert!(matches!(&changes[3][..], [CircuitChange::Warned(trip)] if trip.count == 4), "{changes:?}");
        assert!(
            matches!(&changes[4][..], [CircuitChange::Opened(trip)] if trip.count == 5 && trip.rule == "same_call")
        );
        breaker
    }

    #[test]
    fn closed_open_half_open_closed() {
        let mut breaker = tripped();
        assert!(!breaker.admits(Some(6)));
        let trip = breaker.acknowledge().expect("it was open");
        assert_eq!((trip.tool.as_str(), trip.call), ("run", 5));
        assert_eq!(breaker.acknowledge(), None);
        let policy = Policy::default();
        assert!(breaker.observe(CircuitInput::CallRequested(6), &policy, 0, Timestamp(10)).is_empty());
        assert!(breaker.observe(CircuitInput::CallRequested(7), &policy, 0, Timestamp(11)).is_empty());
        assert!(breaker.admits(Some(6)) && !breaker.admits(Some(7)) && !breaker.admits(None));
        assert!(matches!(&respond(&mut breaker, 6, "ls", "a")[..], [CircuitChange::Closed(_)]));
        assert_eq!(breaker.phase, Phase::Closed);
    }

    #[test]
    fn a_bad_probe_opens_it_again_and_a_late_one_does_nothing() {
        for (command, result) in [("make", "yes"), ("ls", "Exit code 1")] {
            let mut breaker = tripped();
            breaker.acknowledge();
            breaker.observe(CircuitInput::CallRequested(6), &Policy::default(), 0, Timestamp(10));
            assert!(
                matches!(&respond(&mut breaker, 6, command, result)[..], [CircuitChange::Opened(_)]),
                "{command}"
            );
            let mut breaker = tripped();
            breaker.acknowledge();
            breaker.observe(CircuitInput::CallRequested(6), &Policy::default(), 0, Timestamp(10));
            breaker.reset();
            assert!(respond(&mut breaker, 6, command, result).is_empty());
            assert_eq!((breaker.phase.name(), breaker.epoch), ("closed", 2));
        }
    }

    #[test]
    fn a_probe_that_never_ends_gives_way() {
        let mut breaker = tripped();
        breaker.acknowledge();
        let policy = Policy::default();
        breaker.observe(CircuitInput::CallRequested(6), &policy, 0, Timestamp(10));
        breaker.observe(CircuitInput::CallRequested(7), &policy, 0, Timestamp(10 + PROBE_MS));
        assert!(breaker.admits(Some(7)));
        // A clock set back does not extend a lease forever.
        breaker.observe(CircuitInput::CallRequested(8), &policy, 0, Timestamp(-PROBE_MS));
        assert!(breaker.admits(Some(8)));
    }

    #[test]
    fn after_its_cooldown_it_lets_a_probe_through() {
        let policy = Policy { cooldown: Some(60), ..Policy::default() };
        let mut breaker = tripped();
        breaker.observe(CircuitInput::CallRequested(6), &policy, 0, Timestamp(59_000));
        assert!(!breaker.admits(Some(6)));
        let changes = breaker.observe(CircuitInput::CallRequested(6), &policy, 0, Timestamp(60_005));
        assert!(matches!(&changes[..], [CircuitChange::HalfOpened(_)]) && breaker.admits(Some(6)));
    }

    #[test]
    fn a_shadow_says_what_it_would_have_done_once() {
        let policy = Policy { mode: Mode::Shadow, ..Policy::default() };
        let mut breaker = CircuitBreaker::default();
        let mut changes = Vec::new();
        for id in 1..=9 {
            let call = named(id, "make", "no");
            changes.extend(breaker.observe(CircuitInput::ResponseEnded(&[call]), &policy, 0, Timestamp(0)));
        }
        assert!(matches!(&changes[..], [CircuitChange::WouldOpen(trip)] if trip.count == 5), "{changes:?}");
        assert!(breaker.admits(Some(10)));
    }

    #[test]
    fn a_shadow_reports_once_per_turn_what_does_not_depend_on_the_call() {
        let mut policy = Policy { mode: Mode::Shadow, ..Policy::from_preset(Preset::Strict) };
        let mut reported = |name: &str, result: &dyn Fn(u32) -> NamedCall| {
            policy.limits = Limits::from_fn(|rule| (rule.name == name).then_some(6));
            let mut breaker = CircuitBreaker::default();
            let observe =
                |id| breaker.observe(CircuitInput::ResponseEnded(&[result(id)]), &policy, 0, Timestamp(0));
            (1..=20).flat_map(observe).count()
        };
        assert_eq!(reported("iterations", &|id| named(id, &format!("step {id}"), "fine")), 1);
        assert_eq!(
            reported("failing_storm", &|id| named(id, &format!("step {id}"), &format!("Exit code {id}"))),
            1
        );
    }

    #[test]
    fn without_a_word_about_responses_each_call_is_one() {
        let mut breaker = CircuitBreaker::default();
        let calls: Vec<NamedCall> = (1..=5).map(|id| named(id, "make", "no")).collect();
        let last = calls.iter().map(|call| {
            breaker.observe(
                CircuitInput::CallsEnded(std::slice::from_ref(call)),
                &Policy::from_preset(Preset::Standard),
                0,
                Timestamp(0),
            )
        });
        assert!(matches!(last.last().as_deref(), Some([CircuitChange::Opened(_)])));
    }

    #[test]
    fn five_equal_calls_of_one_response_are_no_loop() {
        let mut breaker = CircuitBreaker::default();
        respond(&mut breaker, 99, "ls", "a");
        let calls: Vec<NamedCall> = (1..=9).map(|id| named(id, "make", "no")).collect();
        for call in &calls {
            assert!(
                breaker
                    .observe(
                        CircuitInput::CallsEnded(std::slice::from_ref(call)),
                        &Policy::default(),
                        0,
                        Timestamp(0)
                    )
                    .is_empty()
            );
        }
        assert!(
            breaker
                .observe(CircuitInput::ResponseEnded(&calls), &Policy::default(), 0, Timestamp(0))
                .is_empty()
        );
        assert_eq!(breaker.iterations, 10);
    }
}
