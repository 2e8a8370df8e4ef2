//! Throttling: how many subagents may work at the same time, how deep they may be nested, and how many a session may
//! start.
//!
//! A slot is a lease: taken when a subagent is requested or is seen at work, bound to the subagent once its id is
//! known, released when the subagent ends (for a teammate, when its turn ends), and otherwise expired. All slots of a
//! session are one value that a store changes in one atomic step.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Percent of the hard limit at which subagents start to work one at a time. Source: the project's seed.
pub const TOKEN_THROTTLE_THRESHOLD_PERCENT: u64 = 90;

/// How long a slot lasts without renewal, in milliseconds: longer than the client's longest command plus a response.
const LEASE_MS: i64 = 30 * 60 * 1000;

/// How often hooks renew their agent's slot, in milliseconds.
const RENEWAL_MS: i64 = 5 * 60 * 1000;

/// The limits on subagents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleLimits {
    /// Fresh tokens per session. Throttling starts at [`TOKEN_THROTTLE_THRESHOLD_PERCENT`] of it.
    pub hard_limit_tokens: u64,
    /// Subagents at the same time.
    pub max_concurrency: u32,
    /// Nesting depth of subagents; 1: started by the main agent.
    pub max_depth: u32,
    /// Subagents per session.
    pub max_total: u32,
}

impl ThrottleLimits {
    /// How many subagents may work at the same time, at `used` fresh tokens.
    pub fn concurrency(&self, used: u64) -> u32 {
        let percent = u128::from(TOKEN_THROTTLE_THRESHOLD_PERCENT);
        let throttled = u128::from(used) * 100 >= u128::from(self.hard_limit_tokens) * percent;
        if throttled { self.max_concurrency.min(1) } else { self.max_concurrency }
    }

    /// Used ÷ hard limit, in percent with two decimals.
    pub fn usage_percent(&self, used: u64) -> f64 {
        if self.hard_limit_tokens == 0 {
            return 100.0;
        }
        (used as f64 / self.hard_limit_tokens as f64 * 10_000.0).round() / 100.0
    }
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Hash of the id of the call that requested it.
    call: u64,
    /// The subagent, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// Whether the call ended while the agent continues.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_background: bool,
    /// When it was taken or renewed.
    at: Timestamp,
}

/// The slots of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slots {
    live: Vec<Slot>,
    /// Subagents started so far.
    pub total: u32,
    /// The last reported concurrency; `None`: nothing was reported yet.
    #[serde(rename = "said")]
    pub reported_concurrency: Option<u32>,
}

/// Why a subagent may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotDenied {
    /// The maximum number of subagents is working.
    Concurrency {
        /// How many are working.
        live: u32,
        /// The maximum.
        max: u32,
        /// Whether the maximum is one because tokens run low.
        throttled: bool,
    },
    /// Nested too deep.
    Depth {
        /// Its depth.
        depth: u32,
        /// The maximum depth.
        max: u32,
    },
    /// Too many in all.
    Total {
        /// The maximum number.
        max: u32,
    },
}

/// An observation about the subagents of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// A call requests a subagent.
    Requested {
        /// The call.
        call: u64,
        /// The subagent's depth.
        depth: u32,
    },
    /// The call continues in the background as this agent.
    MovedToBackground {
        /// The call.
        call: u64,
        /// The agent.
        agent: String,
    },
    /// The call ended.
    CallEnded {
        /// The call.
        call: u64,
    },
    /// All calls of a response ended, except those in the background.
    ResponseEnded {
        /// The calls.
        calls: Vec<u64>,
    },
    /// An agent ended.
    AgentEnded {
        /// The agent.
        agent: String,
    },
    /// An agent is active.
    AgentActive {
        /// The agent.
        agent: String,
        /// The call that started it, if known.
        call: Option<u64>,
    },
}

impl Slots {
    /// How many subagents are working.
    pub fn live(&self) -> u32 {
        u32::try_from(self.live.len()).unwrap_or(u32::MAX)
    }

    /// Frees slots that were not renewed, and those from before `client_since`, whose client is gone.
    pub fn expire(&mut self, now: Timestamp, client_since: Option<Timestamp>) {
        let is_kept = |slot: &Slot| {
            // A slot from the future was taken before the clock was set back.
            let age = now.0.saturating_sub(slot.at.0).abs();
            age < LEASE_MS && client_since.is_none_or(|since| slot.at >= since)
        };
        self.live.retain(is_kept);
    }

    /// Applies an observation.
    ///
    /// # Errors
    /// The subagent may not start; says why.
    pub fn observe(
        &mut self,
        event: &SlotEvent,
        limits: &ThrottleLimits,
        used: u64,
        now: Timestamp,
    ) -> Result<(), SlotDenied> {
        match event {
            SlotEvent::Requested { call, depth } => return self.request(*call, *depth, limits, used, now),
            SlotEvent::MovedToBackground { call, agent } => {
                if let Some(slot) = self.live.iter_mut().find(|slot| slot.call == *call) {
                    (slot.agent, slot.in_background, slot.at) = (Some(agent.clone()), true, now);
                    // It may have been seen at work before.
                    self.live.retain(|slot| slot.call == *call || slot.agent.as_ref() != Some(agent));
                }
            }
            SlotEvent::CallEnded { call } => self.live.retain(|slot| slot.call != *call),
            SlotEvent::ResponseEnded { calls } => {
                self.live.retain(|slot| slot.in_background || !calls.contains(&slot.call));
            }
            SlotEvent::AgentEnded { agent } => self.live.retain(|slot| slot.agent.as_ref() != Some(agent)),
            SlotEvent::AgentActive { agent, call } => {
                let is_its =
                    |slot: &Slot| slot.agent.as_ref() == Some(agent) || call.is_some_and(|c| slot.call == c);
                let has_open = self.live.iter().any(|slot| slot.agent.is_none());
                match self.live.iter_mut().find(|slot| is_its(slot)) {
                    Some(slot) => {
                        if now.millis_since(slot.at) >= RENEWAL_MS {
                            slot.at = now;
                        }
                        if slot.agent.is_none() {
                            slot.agent = Some(agent.clone());
                        }
                    }
                    // If the agent's call is unknown, one of these may be its slot.
                    None if call.is_none() && has_open => {}
                    // The agent was resumed, or its slot expired too early: it is working, so it counts.
                    None => self.live.push(Slot {
                        call: call.unwrap_or(0),
                        agent: Some(agent.clone()),
                        in_background: true,
                        at: now,
                    }),
                }
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        call: u64,
        depth: u32,
        limits: &ThrottleLimits,
        used: u64,
        now: Timestamp,
    ) -> Result<(), SlotDenied> {
        if self.live.iter().any(|slot| slot.call == call) {
            return Ok(());
        }
        if depth > limits.max_depth {
            return Err(SlotDenied::Depth { depth, max: limits.max_depth });
        }
        if self.total >= limits.max_total {
            return Err(SlotDenied::Total { max: limits.max_total });
        }
        let max = limits.concurrency(used);
        if self.live() >= max {
            return Err(SlotDenied::Concurrency {
                live: self.live(),
                max,
                throttled: max < limits.max_concurrency,
            });
        }
        self.total += 1;
        self.live.push(Slot { call, agent: None, in_background: false, at: now });
        Ok(())
    }

    /// The change in how many subagents may work, since the last report: from, to.
    pub fn update_concurrency(&mut self, limits: &ThrottleLimits, used: u64) -> Option<(u32, u32)> {
        let to = limits.concurrency(used);
        let from = self.reported_concurrency.unwrap_or(limits.max_concurrency);
        self.reported_concurrency = Some(to);
        (from != to).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: ThrottleLimits =
        ThrottleLimits { hard_limit_tokens: 1000, max_concurrency: 3, max_depth: 2, max_total: 6 };

    fn ask(slots: &mut Slots, call: u64, used: u64) -> Result<(), SlotDenied> {
        slots.observe(&SlotEvent::Requested { call, depth: 1 }, &LIMITS, used, Timestamp(0))
    }

    #[test]
    fn one_at_a_time_from_ninety_percent_on() {
        assert_eq!([0, 899, 900, 2000].map(|used| LIMITS.concurrency(used)), [3, 3, 1, 1]);
        assert_eq!(LIMITS.usage_percent(912), 91.2);
        let mut slots = Slots::default();
        assert_eq!(slots.update_concurrency(&LIMITS, 100), None);
        assert_eq!(slots.update_concurrency(&LIMITS, 950), Some((3, 1)));
        assert_eq!(slots.update_concurrency(&LIMITS, 960), None);
        ask(&mut slots, 1, 950).unwrap();
        let denied = SlotDenied::Concurrency { live: 1, max: 1, throttled: true };
        assert_eq!(ask(&mut slots, 2, 950), Err(denied));
        assert_eq!(slots.update_concurrency(&LIMITS, 10), Some((1, 3)));
        ask(&mut slots, 2, 10).unwrap();
    }

    #[test]
    fn depth_and_total() {
        let mut slots = Slots::default();
        let deep = SlotEvent::Requested { call: 1, depth: 3 };
        assert_eq!(
            slots.observe(&deep, &LIMITS, 0, Timestamp(0)),
            Err(SlotDenied::Depth { depth: 3, max: 2 })
        );
        for call in 0..6 {
            ask(&mut slots, call, 0).unwrap();
            slots.observe(&SlotEvent::CallEnded { call }, &LIMITS, 0, Timestamp(0)).unwrap();
        }
        assert_eq!(ask(&mut slots, 7, 0), Err(SlotDenied::Total { max: 6 }));
    }

    #[test]
    fn background_agents_keep_theirs_until_they_stop() {
        let mut slots = Slots::default();
        ask(&mut slots, 1, 0).unwrap();
        let observe =
            |slots: &mut Slots, event: SlotEvent| slots.observe(&event, &LIMITS, 0, Timestamp(1)).unwrap();
        observe(&mut slots, SlotEvent::MovedToBackground { call: 1, agent: "a".into() });
        observe(&mut slots, SlotEvent::ResponseEnded { calls: vec![1] });
        assert_eq!(slots.live(), 1);
        observe(&mut slots, SlotEvent::AgentEnded { agent: "b".into() });
        observe(&mut slots, SlotEvent::AgentEnded { agent: "a".into() });
        observe(&mut slots, SlotEvent::AgentEnded { agent: "a".into() });
        assert_eq!(slots.live(), 0);
        // A resumed agent takes a slot again.
        observe(&mut slots, SlotEvent::AgentActive { agent: "a".into(), call: None });
        assert_eq!((slots.live(), slots.total), (1, 1));
        slots.expire(Timestamp(2), None);
        assert_eq!(slots.live(), 1);
        slots.expire(Timestamp(2), Some(Timestamp(2)));
        assert_eq!(slots.live(), 0);
    }

    #[test]
    fn forgotten_ones_are_freed() {
        let mut slots = Slots::default();
        ask(&mut slots, 1, 0).unwrap();
        slots.expire(Timestamp(LEASE_MS - 1), None);
        assert_eq!(slots.live(), 1);
        slots.expire(Timestamp(LEASE_MS), None);
        assert_eq!(slots.live(), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_may(steps in proptest::collection::vec((0u64..8, 0u8..4, 0u64..1200), 0..60)) {
            let mut slots = Slots::default();
            for (call, what, used) in steps {
                let event = match what {
                    0 | 1 => SlotEvent::Requested { call, depth: 1 },
                    2 => SlotEvent::MovedToBackground { call, agent: format!("a{call}") },
                    _ => SlotEvent::ResponseEnded { calls: vec![call] },
                };
                let before = slots.live();
                let done = slots.observe(&event, &LIMITS, used, Timestamp(0));
                prop_assert!(slots.live() <= before.max(LIMITS.concurrency(used)));
                prop_assert!(done.is_ok() || slots.live() == before);
            }
        }
    }
}
