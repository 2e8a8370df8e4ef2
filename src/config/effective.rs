//! The draft, finished: the configuration, and every value of it with its source.

use std::path::Path;

use serde_json::Value;

use super::draft::{Draft, Record, TASK};
use super::field::{BUDGET, Field, MODES, ON_LIMIT, SETTINGS, STORE_DOWN, of_budget, setting};
use super::source::{Effective, Problem, Source};
use super::value::Kind;
use super::{Config, RedisConfig, Show};
use crate::domain::breaker::policy::{Limits, Policy};
use crate::domain::budget::{Budget, Classes, Scope, Unit};
use crate::domain::throttle::Throttling;
use crate::domain::window::{Period, WindowRule};
use crate::zoneinfo;

/// What throttling is measured against.
pub(super) const HARD_LIMIT: &str = "throttle.hard_limit_tokens";

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
        let over_teams = self
            .budgets()
            .iter()
            .filter(|record| self.budget(record).is_some_and(|budget| budget.scope == Scope::Team));
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
    pub(super) fn config(&self) -> Config {
        let value = |key: &str| setting(key).map(|field| self.get(field).value).unwrap_or_default();
        let text = |key: &str| value(key).as_str().map(str::to_owned);
        Config {
            enabled: value("enabled").as_bool().unwrap_or(true),
            tenant: text("store.tenant").unwrap_or_default(),
            team: text("store.team"),
            redis: text("store.redis_url").map(|url| RedisConfig {
                url,
                password_file: text("store.redis_password_file"),
                timeout_ms: value("store.redis_timeout_ms").as_u64().unwrap_or(300),
            }),
            budgets: self.budgets().iter().filter_map(|record| self.budget(record)).collect(),
            brief: named(&Show::ALL, &value("brief.show")),
            alert_command: texts(&value("alerts.command")),
            task_type: self.task_type.as_ref().and_then(|held| held.value.as_str()).map(str::to_owned),
            breaker: self.breaker(),
            throttle: self.throttle(),
        }
    }

    fn setting(&self, key: &str) -> Value {
        setting(key).map(|field| self.get(field).value).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.setting(key).as_u64().and_then(|n| u32::try_from(n).ok())
    }

    fn breaker(&self) -> Policy {
        Policy {
            enabled: self.setting("breaker.enabled") == true,
            mode: named(&MODES, &self.setting("breaker.mode")),
            ignore_outcome: self.setting("breaker.ignore_outcome") == true,
            limits: Limits::of(|rule| self.number(rule.key)),
            tell_iterations: self.number("breaker.tell_iterations"),
            wrap_up: self.number("breaker.wrap_up").unwrap_or(1),
            cooldown: self.number("breaker.cooldown_seconds"),
        }
    }

    fn throttle(&self) -> Option<Throttling> {
        Some(Throttling {
            hard_limit_tokens: self.setting(HARD_LIMIT).as_u64()?,
            max_concurrency: self.number("throttle.max_concurrency")?,
            max_depth: self.number("throttle.max_depth")?,
            max_total: self.number("throttle.max_total")?,
        })
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
            let shown: &[Field] = match self.budget(record) {
                Some(_) => &BUDGET,
                None if record.name == TASK => &[],
                // Removed: that is all there is to say.
                None => &BUDGET[..1],
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

    /// A budget, unless it was removed, or is that of a task type where none is declared.
    fn budget(&self, record: &Record) -> Option<Budget> {
        let value = |key: &str| self.value_of(record, key);
        if value("enabled") == false {
            return None;
        }
        let numbers = value("thresholds");
        let zone = zoneinfo::zone(value("timezone").as_str()?).ok()?;
        Some(Budget {
            name: record.name.clone(),
            scope: named(&Scope::ALL, &value("scope")),
            matches: value("match").as_str().unwrap_or("*").to_owned(),
            unit: named(&Unit::ALL, &value("unit")),
            count: classes(&texts(&value("count"))),
            limit: value("limit").as_u64()?,
            hard_limit: value("hard_limit").as_u64(),
            window: WindowRule { period: named(&Period::ALL, &value("window")), zone },
            thresholds: numbers.as_array().into_iter().flatten().filter_map(Value::as_f64).collect(),
            on_limit: named(&ON_LIMIT, &value("on_limit")),
            wrap_up: value("wrap_up").as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            mode: named(&MODES, &value("mode")),
            store_down: named(&STORE_DOWN, &value("store_down")),
        })
    }
}

/// The value of a name. All names in a draft were checked: the first is never needed.
fn named<T: Copy>(all: &[(&str, T)], name: &Value) -> T {
    all.iter().find(|(known, _)| name == known).unwrap_or(&all[0]).1
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn classes(names: &[String]) -> Classes {
    let has = |name: &str| names.iter().any(|n| n == name);
    Classes {
        input: has("input"),
        output: has("output"),
        cache_write: has("cache_write"),
        cache_read: has("cache_read"),
    }
}
