//! May this go on? One function for every moment that the client asks at.

use super::brief;
use super::guard::Guard;
use super::meter::{Awaited, HOOK_BYTES, Metered, Metering, Reach};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::BudgetState;
use crate::domain::ladder::Cause;
use crate::domain::verdict::{self, Moment, Verdict, judge, near_limit};
use crate::store::session_cache::{CacheFile, SessionCache};
use crate::transcript::Fact;

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
    /// What a prompt is answered with, in place of the model.
    pub reply: Option<String>,
    /// Whether a person sits at the session's terminal, for all that its variables say.
    pub attended: bool,
}

impl Answer {
    fn allow() -> Self {
        Self {
            verdict: Verdict::Allow,
            context: vec![],
            message: vec![],
            shows: vec![],
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
    pub fn before_call(&mut self, tool_use_id: Option<&str>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let fresh = self.is_fresh(FRESH_MS);
        let (near, held) = {
            let (caller, states) = (self.caller(), &self.cache.states);
            (near_limit(states, &self.cache.sizes, &caller), verdict::is_held(states, &caller))
        };
        if fresh && !near && !held && self.cache.ladder.is_empty() {
            return Answer::allow();
        }
        let awaited = match tool_use_id {
            Some(id) if near || !fresh => Awaited::tools([id]),
            _ => Awaited::Nothing,
        };
        // An agent that waits for another one calls no hooks: near a limit everybody looks at all files.
        let reach = if near || held { Reach::All } else { Reach::Caller };
        self.decide(&Metering { awaited, reach, ..Metering::of_caller(false) }, Moment::BeforeCall).0
    }

    /// After a tool call.
    pub fn after_call(&mut self) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        self.speak(&Metering::of_caller(true), Moment::AfterCall).0
    }

    /// After a tool call of the seed's protocol, which has no event between two requests: held back here already.
    pub fn after_lone_call(&mut self, charge: Option<Fact>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let extra = charge.into_iter().collect();
        self.speak(&Metering { extra, ..Metering::of_caller(true) }, Moment::BeforeCall).0
    }

    /// After all calls of a response. The last gate before the next request: near a limit it waits for the line.
    pub fn after_batch<'i>(&mut self, tool_use_ids: impl IntoIterator<Item = &'i str>) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let near = near_limit(&self.cache.states, &self.cache.sizes, &self.caller());
        let wait = near || !self.cache.ladder.is_empty() || !self.is_fresh(FRESH_MS);
        let lines = Awaited::tools(tool_use_ids);
        // What the cache knows may be two responses old: calls that the client refuses have no other hook.
        let (awaited, if_near) = if wait { (lines, None) } else { (Awaited::Nothing, Some(lines)) };
        // The main agent's batch may have held subagents.
        let reach = if near || self.call.agent.is_none() { Reach::All } else { Reach::Caller };
        self.speak(&Metering { awaited, if_near, reach, ..Metering::of_caller(true) }, Moment::AfterBatch).0
    }

    /// A prompt came in.
    pub fn prompt(&mut self) -> Answer {
        if !self.config.enabled {
            return Answer::allow();
        }
        let metering = Metering { reach: Reach::All, ..Metering::of_caller(true) };
        let (mut answer, metered) = self.speak(&metering, Moment::Prompt);
        let lines = brief::prompt_lines(&metered.states, &self.call.session, self.config.brief);
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
        let metering = Metering { awaited, reach: Reach::All, ..Metering::of_caller(true) };
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
            let alerts = std::mem::take(&mut metered.alerts);
            (metered, verdict) = self.judged(&again, moment);
            metered.alerts.splice(..0, alerts);
        }
        let verdict = match verdict.unwrap_or(Verdict::Allow) {
            // Nobody would remember that it was told, and it would be told again and again.
            Verdict::Deny { state, .. } | Verdict::WrapUp(state) if self.cache_lost => Verdict::Stop(state),
            verdict => verdict,
        };
        (Answer { verdict, attended: self.is_attended(), ..Answer::allow() }, metered)
    }

    /// One metering and its verdict; `None`: a limit turned out to be near, and there is something to wait for.
    fn judged(&mut self, metering: &Metering, moment: Moment) -> (Metered, Option<Verdict>) {
        let call = self.call.clone();
        self.meter_and(metering, |cache, states| {
            let SessionCache { ladder, models, sizes, .. } = cache;
            let caller = call.caller(models);
            let is_open = metering.if_near.is_some() && near_limit(states, sizes, &caller);
            (!is_open).then(|| judge(states, ladder, &caller, moment))
        })
    }

    fn speak(&mut self, metering: &Metering, moment: Moment) -> (Answer, Metered) {
        let (mut answer, metered) = self.decide(metering, moment);
        self.add_alerts(&metered, &mut answer);
        self.add_notices(&mut answer);
        if let Verdict::WrapUp(state) = &answer.verdict {
            answer.context.push(brief::wrap_up(state));
        }
        (answer, metered)
    }

    fn add_alerts(&self, metered: &Metered, answer: &mut Answer) {
        for line in brief::alert_lines(&metered.alerts) {
            answer.context.push(line.clone());
            answer.message.push(line);
        }
        answer.shows.clone_from(&metered.alerts);
    }

    fn add_notices(&mut self, answer: &mut Answer) {
        answer.message.append(&mut self.tell);
    }

    /// Whether the session is stopped: by a cause that still holds.
    pub fn is_stopped(&self, metered: &Metered) -> bool {
        let Some(cause) = self.cache.ladder.stopped() else { return false };
        let holds = |s: &BudgetState| s.blocks() && Cause::of(s) == *cause;
        metered.states.iter().any(holds)
    }
}
