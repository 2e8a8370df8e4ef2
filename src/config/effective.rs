//! The draft, finished: the configuration, and every value of it with its source.

use std::path::Path;

use serde_json::Value;

use super::draft::{Draft, Held, Record, TASK};
use super::field::{BUDGET, Field, HARD_LIMIT, MODES, ON_LIMIT, SETTINGS, STORE_DOWN, of_budget, setting};
use super::source::{Effective, Problem, Source};
use super::value::{Kind, OFF};
use super::{Config, RedisConfig, Show};
use crate::domain::breaker::policy::{Limits, Policy};
use crate::domain::budget::{Budget, Scope, TokenClasses, Unit};
use crate::domain::throttle::ThrottleLimits;
use crate::domain::window::{Period, WindowRule};
use crate::zoneinfo;

impl Draft {
    /// Refuses a declared task type that has no number, unless a budget gives it one.
    pub(super) fn check_task_type(&mut self) {
        let Some(declared) = self.task_type.clone() else { return };
        let task = self.budgets().iter().find(|record| record.name == TASK);
        if task.is_some_and(|record| !self.value_of(record, "limit").is_null()) {
            return;
        }
        let known: Vec<&str> = self.task_types().map(|(key, _)| &key["task_type.".len()..]).collect();
        let name = declared.value.as_str().unwrap_or_default();
        let message =
            format!("must be one of {}, or have a limit in [task_type] (found \"{name}\")", known.join(", "));
        self.problems.push(Problem::at(&declared.source, None, "", message));
    }

    /// Refuses budgets without an end on a shared store, unless they count sessions: what it knows of responses expires, and
    /// with it who could tell that one was counted.
    pub(super) fn check_windows(&mut self) {
        if self.setting("store.redis_url").is_null() {
            return;
        }
        let mut problems = Vec::new();
        for record in self.budgets() {
            let value = |key: &str| self.value_of(record, key);
            let is_meant =
                value("enabled") != false && value("window") == "lifetime" && value("scope") != "session";
            let by = |key: &str| of_budget(key).map(|field| record.get(field).source);
            let source = by("window").filter(|source| *source != Source::Default).or_else(|| by("scope"));
            if let Some(source) = source.filter(|source| is_meant && *source != Source::Default) {
                let key = format!("budget.{}.window", record.name);
                let message =
                    "must be one of 5h, day, week, month with store.redis_url, unless the scope is session";
                problems.push(Problem::at(&source, None, &key, message));
            }
        }
        self.problems.extend(problems);
    }

    /// What is allowed, and does not do what whoever wrote it will have meant.
    pub(super) fn warnings(&self) -> Vec<Problem> {
        let mut all = self.uncounted();
        all.extend(self.without_password());
        all
    }

    /// A password file that nobody reads, or that not everybody finds.
    fn without_password(&self) -> Option<Problem> {
        let key = "store.redis_password_file";
        let held = self.get(setting(key)?);
        let file = held.value.as_str()?;
        let message = if self.setting("store.redis_url").is_null() {
            "is not used without store.redis_url".to_owned()
        } else if !Path::new(file).is_absolute() {
            format!(
                "hooks run in a project's folder, and would not find {file}: give the whole path, from / on"
            )
        } else {
            return None;
        };
        Some(Problem::at(&held.source, None, key, &message))
    }

    /// Budgets over teams where no team is named: nothing is counted for them.
    fn uncounted(&self) -> Vec<Problem> {
        if !self.setting("store.team").is_null() {
            return Vec::new();
        }
        let over_teams = self.budgets().iter().filter(|record| {
            self.is_in_force(record) && self.value_of(record, "scope") == Scope::Team.name()
        });
        let warn = |record: &Record| {
            let source = of_budget("scope").map_or(Source::Default, |field| record.get(field).source);
            let key = format!("budget.{}.scope", record.name);
            let message = "counts nothing without store.team: name your team in your own file ([store] team = \"…\") or in \
                           FUSEBOX_STORE_TEAM (an account that only decides needs none)";
            Problem::at(&source, None, &key, message)
        };
        over_teams.map(warn).collect()
    }

    /// The configuration that the draft stands for.
    ///
    /// # Errors
    /// A value is not what its key takes: it was checked, so this is an error in Fusebox.
    pub(super) fn config(&self) -> Result<Config, Problem> {
        let budgets = self.budgets().iter().filter(|record| self.is_in_force(record));
        Ok(Config {
            enabled: self.checked("enabled").flag()?,
            tenant: self.checked("store.tenant").text()?,
            team: self.checked("store.team").optional(Checked::text)?,
            redis: self.redis()?,
            budgets: budgets.map(|record| self.budget(record)).collect::<Result<_, _>>()?,
            brief: self.checked("brief.show").named(&Show::ALL)?,
            alert_command: self.checked("alerts.command").texts()?,
            task_type: self.task_type.as_ref().and_then(|held| held.value.as_str()).map(str::to_owned),
            breaker: self.breaker()?,
            throttle: self.throttle()?,
        })
    }

    fn setting(&self, key: &str) -> Value {
        self.checked(key).held.value
    }

    fn checked(&self, key: &str) -> Checked {
        let held = setting(key).map(|field| self.get(field));
        Checked {
            key: key.to_owned(),
            held: held.unwrap_or(Held { value: Value::Null, source: Source::Default }),
        }
    }

    fn redis(&self) -> Result<Option<RedisConfig>, Problem> {
        let Some(url) = self.checked("store.redis_url").optional(Checked::text)? else { return Ok(None) };
        Ok(Some(RedisConfig {
            url,
            password_file: self.checked("store.redis_password_file").optional(Checked::text)?,
            timeout_ms: self.checked("store.redis_timeout_ms").number()?,
        }))
    }

    fn breaker(&self) -> Result<Policy, Problem> {
        let count = |key: &str| self.checked(key).optional(Checked::number);
        let mut refused = None;
        let limits = Limits::from_fn(|rule| {
            count(rule.key).unwrap_or_else(|problem| {
                refused = Some(problem);
                None
            })
        });
        match refused {
            Some(problem) => Err(problem),
            None => Ok(Policy {
                enabled: self.checked("breaker.enabled").flag()?,
                mode: self.checked("breaker.mode").named(&MODES)?,
                ignore_outcome: self.checked("breaker.ignore_outcome").flag()?,
                limits,
                tell_iterations: count("breaker.tell_iterations")?,
                wrap_up: self.checked("breaker.wrap_up").number()?,
                cooldown: count("breaker.cooldown_seconds")?,
            }),
        }
    }

    fn throttle(&self) -> Result<Option<ThrottleLimits>, Problem> {
        let Some(hard_limit_tokens) = self.checked(HARD_LIMIT).optional(Checked::number)? else {
            return Ok(None);
        };
        Ok(Some(ThrottleLimits {
            hard_limit_tokens,
            max_concurrency: self.checked("throttle.max_concurrency").number()?,
            max_depth: self.checked("throttle.max_depth").number()?,
            max_total: self.checked("throttle.max_total").number()?,
        }))
    }

    /// Every value in force, in the order of the keys.
    pub(super) fn values(&self) -> Vec<Effective> {
        let effective = |key: String, value: Value, source: Source| Effective { key, value, source };
        let supported = |field: &&Field| field.kind != Kind::Later;
        let mut all: Vec<Effective> = Vec::new();
        // Numbers for throttling hold only with the one that has no default.
        let throttled = !self.setting(HARD_LIMIT).is_null();
        let holds =
            |field: &&Field| throttled || field.name == HARD_LIMIT || !field.name.starts_with("throttle.");
        for field in SETTINGS.iter().filter(supported).filter(holds) {
            let held = self.get(field);
            all.push(effective(field.name.to_owned(), held.value, held.source));
        }
        for (key, held) in self.task_types() {
            all.push(effective(key.clone(), held.value.clone(), held.source.clone()));
        }
        if let Some(held) = &self.task_type {
            all.push(effective("declared task type".into(), held.value.clone(), held.source.clone()));
        }
        for record in self.budgets() {
            let shown: &[Field] = match self.is_in_force(record) {
                true => &BUDGET,
                false if record.name == TASK => &[],
                // Removed: that is all there is to say.
                false => &BUDGET[..1],
            };
            for field in shown {
                let held = self.budget_value(record, field);
                all.push(effective(
                    format!("budget.{}.{}", record.name, field.name),
                    held.value,
                    held.source,
                ));
            }
        }
        all
    }

    fn value_of(&self, record: &Record, key: &str) -> Value {
        of_budget(key).map(|field| self.budget_value(record, field).value).unwrap_or_default()
    }

    /// Whether there is such a budget: it was not removed, and is not that of a task type where none is declared.
    fn is_in_force(&self, record: &Record) -> bool {
        self.value_of(record, "enabled") != false && !self.value_of(record, "limit").is_null()
    }

    fn budget(&self, record: &Record) -> Result<Budget, Problem> {
        let checked = |name: &str| {
            let held = of_budget(name).map(|field| self.budget_value(record, field));
            let held = held.unwrap_or(Held { value: Value::Null, source: Source::Default });
            Checked { key: format!("budget.{}.{name}", record.name), held }
        };
        let zone = checked("timezone");
        Ok(Budget {
            name: record.name.clone(),
            scope: checked("scope").named(&Scope::ALL)?,
            matches: checked("match").text()?,
            unit: checked("unit").named(&Unit::ALL)?,
            count: classes(&checked("count").texts()?),
            limit: checked("limit").number()?,
            hard_limit: checked("hard_limit").optional(Checked::number)?,
            window: WindowRule {
                period: checked("window").named(&Period::ALL)?,
                zone: zoneinfo::zone(&zone.text()?).map_err(|_| zone.misfit())?,
            },
            thresholds: checked("thresholds").fractions()?,
            on_limit: checked("on_limit").named(&ON_LIMIT)?,
            wrap_up: checked("wrap_up").number()?,
            mode: checked("mode").named(&MODES)?,
            store_down: checked("store_down").named(&STORE_DOWN)?,
        })
    }
}

/// The value of a key, which was checked when it was taken. Reading it as what it is not is an error in Fusebox, and is
/// reported as a problem of that key.
struct Checked {
    key: String,
    held: Held,
}

impl Checked {
    fn flag(&self) -> Result<bool, Problem> {
        self.held.value.as_bool().ok_or_else(|| self.misfit())
    }

    fn number<T: TryFrom<u64>>(&self) -> Result<T, Problem> {
        let number = self.held.value.as_u64().and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| self.misfit())
    }

    fn text(&self) -> Result<String, Problem> {
        self.held.value.as_str().map(str::to_owned).ok_or_else(|| self.misfit())
    }

    fn texts(&self) -> Result<Vec<String>, Problem> {
        self.list(|item| item.as_str().map(str::to_owned))
    }

    fn fractions(&self) -> Result<Vec<f64>, Problem> {
        self.list(Value::as_f64)
    }

    fn named<T: Copy>(&self, all: &[(&str, T)]) -> Result<T, Problem> {
        let known = all.iter().find(|(name, _)| self.held.value == *name);
        known.map(|(_, value)| *value).ok_or_else(|| self.misfit())
    }

    /// What `read` says; `None` where there is no value, or it is off.
    fn optional<T>(&self, read: impl Fn(&Self) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
        if self.held.value.is_null() || self.held.value == OFF {
            return Ok(None);
        }
        read(self).map(Some)
    }

    fn list<T>(&self, item: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Problem> {
        let items = self.held.value.as_array().ok_or_else(|| self.misfit())?;
        items.iter().map(|value| item(value).ok_or_else(|| self.misfit())).collect()
    }

    fn misfit(&self) -> Problem {
        let message = format!(
            "passed the checks, and cannot be used: this is a bug in Fusebox (found {})",
            self.held.value
        );
        Problem::at(&self.held.source, None, &self.key, message)
    }
}

fn classes(names: &[String]) -> TokenClasses {
    let has = |name: &str| names.iter().any(|n| n == name);
    TokenClasses {
        input: has("input"),
        output: has("output"),
        cache_write: has("cache_write"),
        cache_read: has("cache_read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_a_configuration() {
        let config = Draft::new(None).config().expect("a configuration");
        assert_eq!(config.budgets.len(), 1, "{config:?}");
    }

    #[test]
    fn a_name_that_is_not_known_is_an_error_and_not_the_first_one() {
        let held = Held { value: "sometimes".into(), source: Source::Default };
        let problem = Checked { key: "breaker.mode".into(), held }.named(&MODES).expect_err("refused");
        assert_eq!(problem.key, "breaker.mode");
        assert!(problem.message.contains("sometimes"), "{problem}");
    }
}
