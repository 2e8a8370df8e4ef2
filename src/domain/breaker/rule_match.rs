//! Matching a history against the rules of a policy.

use super::policy::Policy;
use super::rules::{RULES, Rule, View};

/// A rule that matched.
#[derive(Clone, Copy)]
pub struct RuleMatch {
    /// The rule.
    pub rule: &'static Rule,
    /// The current count.
    pub count: u32,
    /// The count at which it trips.
    pub limit: u32,
}

/// Checks the enabled rules. Returns the first that trips, and those before it that warn.
pub fn match_rules(view: &View, policy: &Policy) -> (Option<RuleMatch>, Vec<RuleMatch>) {
    let mut warned = Vec::new();
    for rule in RULES {
        let Some(limit) = policy.limit(rule) else { continue };
        let limit =
            if rule.counts_repetitions { limit.saturating_add(view.requested_repetitions) } else { limit };
        let count = (rule.count)(view);
        let rule_match = RuleMatch { rule, count, limit };
        if count >= limit {
            return (Some(rule_match), warned);
        }
        if (rule.warning_at)(limit, policy.tell_iterations).is_some_and(|warn| count >= warn) {
            warned.push(rule_match);
        }
    }
    (None, warned)
}
