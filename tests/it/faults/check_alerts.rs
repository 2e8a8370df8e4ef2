//! Alerts at checkpoints: each is stored once and shown once, and none is missing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::check::Window;
use super::client::Session;
use super::count::Count;
use super::world::World;

/// A stored alert.
#[derive(Debug)]
pub struct Alert {
    pub json: Value,
    /// Where counting starts: later after a reset.
    pub since: i64,
    pub shown: bool,
    /// A hook has claimed it but not shown it, and the claim has not expired.
    pub claimed: bool,
}

impl Alert {
    fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap()
    }

    fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap()
    }

    /// How its text starts when shown.
    fn shown_text(&self) -> String {
        let (used, limit) = (self.number("used"), self.number("limit"));
        let percent = if limit == 0 { 100.0 } else { used as f64 / limit as f64 * 100.0 };
        let unit = self.text("unit").replace('_', " ");
        let label = match self.text("budget") {
            "session" => "session budget".to_owned(),
            name => format!("budget {name}"),
        };
        format!("{label} is {percent:.2}% used: {} of {} {unit}.", grouped(used), grouped(limit))
    }
}

/// `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap()).collect();
    parts.join(",")
}

impl World {
    fn alerts(&self) -> Vec<Alert> {
        if let Some(shared) = &self.shared {
            return shared.alerts();
        }
        self.rows("SELECT alert, since, shown FROM alerts ORDER BY id", |row| Alert {
            json: serde_json::from_str(&row.get::<_, String>(0).unwrap()).unwrap(),
            since: row.get(1).unwrap(),
            shown: row.get(2).unwrap(),
            claimed: false,
        })
    }

    pub fn check_alerts(&mut self, count: &Count) {
        let alerts = self.alerts();
        let mut stored = BTreeSet::new();
        let mut sayable: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for alert in &alerts {
            let units =
                (alert.json["threshold"].as_f64().unwrap() * alert.number("limit") as f64 - 1e-6).ceil();
            assert!(alert.number("used") as f64 >= units, "too early: {alert:?}");
            let what = |with: &str| {
                let parts = ["budget", "value", "window_start", "limit", with]
                    .map(|name| alert.json[name].to_string());
                format!("{parts:?} {}", alert.since)
            };
            assert!(stored.insert(what("threshold")), "stored twice: {alert:?}");
            sayable.entry(alert.shown_text()).or_default().insert(what("used"));
        }
        for (line, (sure, _)) in &self.shown_alerts {
            // Advice follows the numbers.
            let known = sayable.iter().find(|(said, _)| line.starts_with(said.as_str()));
            let most = known.map_or(0, |(_, of)| of.len());
            assert!(*sure <= most, "said {sure} times, stored {most} times: {line}");
        }
        self.check_shown(&alerts);
        // Repaired counts were not used just now, so they raise nothing.
        if self.shared.as_ref().is_none_or(|shared| !shared.faults.may_spoil) {
            self.check_stored(&alerts, count);
        }
    }

    /// Every alert marked as shown was shown, or a higher one of the same budget and value; and no alert remains that a
    /// live session can show.
    fn check_shown(&self, alerts: &[Alert]) {
        let of = |operation: &Value, name: &str| operation[name].as_str().unwrap().to_owned();
        let decided = self.operations();
        let decided: BTreeSet<(String, String, i64)> = decided
            .iter()
            .map(|o| (of(o, "budget"), of(o, "value"), o["window_start"].as_i64().unwrap()))
            .collect();
        let live = || self.sessions.iter().filter(|s| s.is_live());
        for alert in alerts {
            let start = alert.json["window_start"].as_i64().unwrap();
            // A decision marks unseen alerts as shown, because they refer to the old limit.
            let key = (alert.text("budget").to_owned(), alert.text("value").to_owned(), start);
            if decided.contains(&key) {
                continue;
            }
            let higher = |a: &&Alert| {
                let same = ["budget", "value"].iter().all(|name| a.json[name] == alert.json[name]);
                same && a.number("used") >= alert.number("used")
            };
            let was_said = |a: &Alert| self.shown_alerts.keys().any(|line| line.starts_with(&a.shown_text()));
            assert!(!alert.shown || alerts.iter().filter(higher).any(was_said), "never said: {alert:?}");
            let budget = self.budget(alert.text("budget"));
            let speaks = |session: &Session| match budget.scope {
                "session" => session.id == alert.text("value"),
                "user" => true,
                _ => false,
            };
            let open = live().any(|s| speaks(s) && start == budget.start(self.now(s.machine)));
            assert!(!open || alert.shown || alert.claimed, "nobody says: {alert:?}");
        }
    }

    /// The total usage of a session or user, under the configured limit, raised every alert up to it.
    fn check_stored(&self, alerts: &[Alert], count: &Count) {
        let of = |operation: &Value, name: &str| operation[name].as_str().unwrap().to_owned();
        let decided: BTreeSet<String> =
            self.operations().iter().map(|o| format!("{} {}", of(o, "budget"), of(o, "value"))).collect();
        for budget in self
            .budgets()
            .iter()
            .filter(|b| b.window == Window::Lifetime && matches!(b.scope, "session" | "user"))
        {
            let values: Vec<String> = match budget.scope {
                "session" => self.sessions.iter().map(|s| s.id.clone()).collect(),
                _ => vec!["tester".into()],
            };
            for value in values.iter().filter(|v| !decided.contains(&format!("{} {v}", budget.name))) {
                let of = || count.messages.values().filter(|m| budget.counts(m, value));
                // History raises the limit while it is read; and messages shared by a fork and its origin may grow in a
                // batch of the other one.
                if budget.scope == "session" && of().any(|m| m.at < self.installed || m.sessions.len() > 1) {
                    continue;
                }
                let used: u64 = of().map(|m| budget.measure(m)).sum();
                for threshold in budget.thresholds {
                    if used as f64 >= threshold * budget.limit as f64 {
                        let is = |a: &Alert| {
                            a.text("budget") == budget.name
                                && a.text("value") == value
                                && a.json["threshold"].as_f64() == Some(*threshold)
                        };
                        assert!(
                            alerts.iter().any(is),
                            "no alert at {threshold} of {} of {value}: {used}",
                            budget.name
                        );
                    }
                }
            }
        }
    }
}
