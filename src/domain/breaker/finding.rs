//! What the rules find under a policy.

use super::policy::Policy;
use super::rules::{RULES, Rule, View};

/// What a rule found.
#[derive(Clone, Copy)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What it counted.
    pub count: u32,
    /// The count at which it trips.
    pub limit: u32,
}

/// What the rules that are on found: the first that trips, else the first that warns.
pub fn find(view: &View, policy: &Policy) -> (Option<Finding>, Vec<Finding>) {
    let mut warned = Vec::new();
    for rule in RULES {
        let Some(limit) = policy.limit(rule) else { continue };
        let limit = if rule.repeats { limit.saturating_add(view.asked) } else { limit };
        let count = (rule.count)(view);
        let finding = Finding { rule, count, limit };
        if count >= limit {
            return (Some(finding), warned);
        }
        if (rule.warns)(limit, policy.tell_iterations).is_some_and(|warn| count >= warn) {
            warned.push(finding);
        }
    }
    (None, warned)
}
