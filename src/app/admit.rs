//! May this go on? One function for every moment that the client asks at.

use super::attendance::Prompt;
use super::brief;
use super::guard::Guard;
use super::look::{Awaited, Reach};
use super::meter::{HOOK_BYTES, Metered, Metering, Witness};
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::asked::repetitions;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::budget::BudgetState;
use crate::domain::event::{Denial, Event, Reason, What};
use crate::domain::ladder::{Cause, MAIN};
use crate::domain::throttle::SlotEvent;
use crate::domain::verdict::{self, Breaker, Moment, Snapshot, Verdict, Why, judge, near_limit};
use crate::store::session_cache::{CacheFile, SessionCache};
use crate::transcript::Fact;
use crate::transcript::line::tool_hash;

/// How old the cache's answer may be before the store is asked.
pub const FRESH_MS: i64 = 60_000;

/// What to answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The decision.
    pub verdict: Verdict,
    /// For the agent.
    pub context: Vec<String>,
    /// For the person.
    pub message: Vec<String>,
    /// Alerts that the answer shows: to be confirmed once it is written.
    pub shows: Vec<BudgetAlert>,
    /// Events that it tells: likewise.
    pub tells: Vec<Event>,
    /// What a prompt is answered with, in place of the model.
    pub reply: Option<String>,
    /// Whether a person sits at the session's terminal, for all that its variables say.
    pub attended: bool,
}

/// A call that is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'c> {
    /// The client's id of it.
    pub id: Option<&'c str>,
    /// Its tool.
    pub tool: &'c str,
}

impl Answer {
    fn allow() -> Self {
        Self {
            verdict: Verdict::Allow,
            context: vec![],
            message: vec![],
            shows: vec![],
            tells: vec![],
            reply: None,
            attended: false,
        }
    }

    /// A prompt is answered by Fusebox itself.
    pub(super) fn reply(text: String) -> Self {
        Self { reply: Some(text), ..Self::allow() }
    }
}

impl Guard<'_> {
    /// Before a tool call. Answers from the cache while nothing is near a limit; asks the store before any denial.
    pub fn before_call(&mut self, asked: &Asked) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let fresh = self.is_fresh(FRESH_MS);
        let (near, held) = {
            let (caller, states) = (self.caller(), self.known());
            (near_limit(states, &self.cache.sizes, &caller), verdict::is_held(states, &caller))
        };
        let circuit = self.config.breaker.enabled && self.cache.circuit(self.agent()).is_some();
        let slots = self.asked_slot(asked.id);
        if fresh && !near && !held && !circuit && slots.is_empty() && self.cache.ladder.is_empty() {
            return Answer::allow();
        }
        let awaited = match asked.id {
            Some(id) if near || !fresh => Awaited::tools([id]),
            _ => Awaited::Nothing,
        };
        // An agent that waits for another one calls no hooks: near a limit everybody looks at all files.
        let reach = if near || held { Reach::All } else { Reach::Caller };
        let witness = match asked.id {
            // A cache that is gone knows of no breaker.
            Some(id) if circuit || !fresh => Witness::Asks(call_id(id)),
            _ => Witness::Nothing,
        };
        let metering = Metering { awaited, reach, witness, slots, ..Metering::of_caller(false) };
        let answer = self.decide(&metering, Moment::BeforeCall).0;
        self.note_denial(&answer.verdict, asked);
        answer
    }

    /// After a tool call: `call`, and what it says of subagents.
    pub fn after_call(&mut self, call: Option<NamedCall>, slots: Vec<SlotEvent>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let slots = [self.alive(), slots].concat();
        let witness = Witness::Calls(call.into_iter().collect());
        self.speak(&Metering { witness, slots, ..Metering::of_caller(true) }, Moment::AfterCall).0
    }

    /// After a tool call of the seed's protocol, which has no event between two requests: held back here already.
    pub fn after_lone_call(&mut self, charge: Option<Fact>, call: Option<NamedCall>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let extra = charge.into_iter().collect();
        let witness = Witness::Calls(call.into_iter().collect());
        self.speak(&Metering { extra, witness, ..Metering::of_caller(true) }, Moment::BeforeCall).0
    }

    /// After all calls of a response. The last gate before the next request: near a limit it waits for the line.
    pub fn after_batch<'i>(
        &mut self,
        tool_use_ids: impl IntoIterator<Item = &'i str>,
        calls: Vec<NamedCall>,
        slots: Vec<SlotEvent>,
    ) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let near = near_limit(self.known(), &self.cache.sizes, &self.caller());
        let wait = near || !self.cache.ladder.is_empty() || !self.is_fresh(FRESH_MS);
        let lines = Awaited::tools(tool_use_ids);
        // What the cache knows may be two responses old: calls that the client refuses have no other hook.
        let (awaited, if_near) = if wait { (lines, None) } else { (Awaited::Nothing, Some(lines)) };
        // The main agent's batch may have held subagents.
        let reach = if near || self.call.agent.is_none() { Reach::All } else { Reach::Caller };
        let slots = [self.alive(), slots].concat();
        let metering = Metering {
            awaited,
            if_near,
            reach,
            witness: Witness::Response(calls),
            slots,
            ..Metering::of_caller(true)
        };
        self.speak(&metering, Moment::AfterBatch).0
    }

    /// A prompt came in. One that the client made itself is no beginning.
    pub fn prompt(&mut self, prompt: &Prompt) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let witness = match prompt.is_client_made() {
            true => Witness::Nothing,
            false => Witness::Prompt(repetitions(&prompt.text)),
        };
        let metering = Metering { reach: Reach::All, witness, ..Metering::of_caller(true) };
        let (mut answer, metered) = self.speak(&metering, Moment::Prompt);
        let mut lines = brief::prompt_lines(&metered.states, &self.call.session, self.config.brief);
        if let Some(breaker) = &metered.circuit {
            lines.extend(brief::circuit_line(breaker, &self.config.breaker, self.config.brief));
        }
        if answer.verdict == Verdict::Allow && !lines.is_empty() {
            answer.context.insert(0, lines.join("\n"));
        }
        answer
    }

    /// The main agent ended its turn, or a subagent ended (`text`: what it said last). There may be no later hook,
    /// so it waits for the line.
    pub fn turn_end(&mut self, text: Option<&str>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let awaited = Awaited::text(text);
        let stopped = self.call.agent.clone().filter(|_| self.config.throttle.is_some());
        let slots = stopped.map(|agent| SlotEvent::Stopped { agent }).into_iter().collect();
        let metering = Metering { awaited, reach: Reach::All, slots, ..Metering::of_caller(true) };
        let mut answer = self.speak(&metering, Moment::TurnEnd).0;
        // Context from these events would make the model go on.
        answer.context.clear();
        answer
    }

    /// The person chose another model: what held the old one back does not hold the new one.
    pub fn model_switched(&mut self, model: Option<String>) -> Answer {
        if let Some(model) = model.filter(|m| self.config.enabled && !m.is_empty()) {
            self.update(|cache| {
                cache.models_seen.insert(model.clone());
                cache.models.insert(String::new(), model);
            });
        }
        Answer::allow()
    }

    /// A session started, was resumed, forked, cleared or compacted.
    pub fn session_start(&mut self, model: Option<String>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        self.model_switched(model);
        self.see(false);
        let metered = self.meter(&Metering { reach: Reach::All, ..Metering::of_caller(true) });
        self.read_on_others();
        CacheFile::sweep(&self.env.cache_dir(), self.env.now);
        let mut answer = Answer::allow();
        self.add_alerts(&metered, &mut answer);
        self.add_events(&metered, &mut answer);
        self.add_notices(&mut answer);
        answer
    }

    /// A session ended, or was compacted: read what is there.
    pub fn read_all(&mut self, ended: bool) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let metering = Metering { reach: Reach::All, max_bytes: HOOK_BYTES, ..Metering::of_caller(false) };
        self.meter(&metering);
        if ended {
            self.see(true);
        }
        Answer::allow()
    }

    /// Meters, and decides under the cache's lock: the ladder is shared with the session's other hooks.
    fn decide(&mut self, metering: &Metering, moment: Moment) -> (Answer, Metered) {
        let (mut metered, mut verdict) = self.judged(metering, moment);
        if verdict.is_none() {
            let awaited = metering.if_near.clone().unwrap_or(Awaited::Nothing);
            let again =
                Metering { awaited, if_near: None, reach: Reach::All, extra: vec![], ..metering.clone() };
            let (alerts, events) = (std::mem::take(&mut metered.alerts), std::mem::take(&mut metered.events));
            (metered, verdict) = self.judged(&again, moment);
            metered.alerts.splice(..0, alerts);
            metered.events.splice(..0, events);
        }
        let verdict = match verdict.unwrap_or(Verdict::Allow) {
            // Nobody would remember that it was told, and it would be told again and again.
            Verdict::Deny { why, .. } | Verdict::WrapUp(why) if self.cache_lost => Verdict::Stop(why),
            verdict => verdict,
        };
        (Answer { verdict, attended: self.is_attended(), ..Answer::allow() }, metered)
    }

    /// One metering and its verdict; `None`: a limit turned out to be near, and there is something to wait for.
    fn judged(&mut self, metering: &Metering, moment: Moment) -> (Metered, Option<Verdict>) {
        let (call, policy) = (self.call.clone(), self.config.breaker);
        let asks = match metering.witness {
            Witness::Asks(call) => Some(call),
            _ => None,
        };
        let by_person = matches!(metering.witness, Witness::Prompt(_));
        self.meter_and(metering, |cache, states, crowded| {
            let SessionCache { ladder, models, sizes, circuits, .. } = cache;
            let caller = call.caller(models);
            let is_open = metering.if_near.is_some() && near_limit(states, sizes, &caller);
            if is_open {
                return None;
            }
            let breaker = circuits.get(caller.agent).filter(|_| policy.enabled).map(|known| Breaker {
                phase: &known.breaker.phase,
                epoch: known.breaker.epoch,
                admits: known.breaker.admits(asks),
                wrap_up: policy.wrap_up,
            });
            let known = Snapshot { states, breaker, crowded, by_person };
            Some(judge(&known, ladder, &caller, moment))
        })
    }

    fn speak(&mut self, metering: &Metering, moment: Moment) -> (Answer, Metered) {
        let (mut answer, metered) = self.decide(metering, moment);
        self.add_alerts(&metered, &mut answer);
        self.add_notices(&mut answer);
        self.add_events(&metered, &mut answer);
        if let Verdict::WrapUp(why) = &answer.verdict {
            answer.context.push(brief::wrap_up(why, &self.quotes));
        }
        (answer, metered)
    }

    /// Keeps why a call is denied, with the numbers of the moment, for who asks later.
    pub fn note_denial(&mut self, verdict: &Verdict, asked: &Asked) {
        let (why, stopped) = match verdict {
            Verdict::Deny { why, .. } | Verdict::DenyCall(why) => (why, false),
            Verdict::Stop(why) => (why, true),
            Verdict::Allow | Verdict::WrapUp(_) | Verdict::Block(_) => return,
        };
        let reason = match why {
            Why::Budget(state) => Reason::budget(state),
            Why::Circuit(trip) | Why::Probing(trip) => Reason::Circuit(trip.clone()),
            Why::Crowded(crowded) => Reason::Throttle(*crowded),
            Why::Protected(reason) => Reason::Protection { protected: brief::reaches_for(reason) },
        };
        let Some(id) = asked.id else { return };
        let denial = Denial { call: tool_hash(id), tool: asked.tool.to_owned(), stopped, reason };
        let event = Event {
            id: 0,
            session: self.call.session.clone(),
            agent: self.agent().to_owned(),
            at: self.env.now,
            what: What::CallDenied(denial),
        };
        self.with_store(|store| store.note(&event));
    }

    fn add_alerts(&self, metered: &Metered, answer: &mut Answer) {
        for line in brief::alert_lines(&metered.alerts) {
            answer.context.push(line.clone());
            answer.message.push(line);
        }
        answer.shows.clone_from(&metered.alerts);
    }

    fn add_events(&self, metered: &Metered, answer: &mut Answer) {
        for event in &metered.events {
            let Some(line) = brief::event_line(event, &self.quotes) else { continue };
            // Who is told to close the work is told why.
            let is_said = matches!(
                (&answer.verdict, &event.what),
                (Verdict::WrapUp(Why::Circuit(_)), What::CircuitOpened(_))
            );
            if !is_said {
                answer.context.push(line.clone());
            }
            answer.message.push(line);
        }
        answer.tells.clone_from(&metered.events);
    }

    fn add_notices(&mut self, answer: &mut Answer) {
        answer.message.append(&mut self.tell);
    }

    /// Whether the session is stopped: by a cause that still holds.
    pub fn is_stopped(&self, metered: &Metered) -> bool {
        let Some(cause) = self.cache.ladder.stopped() else { return false };
        let holds = |s: &BudgetState| s.blocks() && Cause::of(s) == *cause;
        let circuit = self.cache.circuit(MAIN).map(|breaker| Cause::Breaker { epoch: breaker.epoch });
        metered.states.iter().any(holds) || circuit.as_ref() == Some(cause)
    }
}

/// What a call is known by in a breaker's history.
pub fn call_id(id: &str) -> u32 {
    tool_hash(id) as u32
}
