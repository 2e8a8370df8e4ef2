//! Turns the finished draft into the configuration and the list of values with their sources.

use std::path::Path;

use serde_json::Value;

use super::checked::{CheckedValue, classes};
use super::draft::{Draft, SourcedValue, TASK};
use super::field::{Field, HARD_LIMIT, MODES, ON_LIMIT, SETTINGS, STORE_DOWN, budget_field, setting};
use super::source::{EffectiveValue, Problem, Source};
use super::table::{TableDraft, TableKind};
use super::{Config, PromptLineMode, RedisConfig, StatusLineConfig, StatusPart};
use crate::domain::breaker::policy::{Limits, Policy};
use crate::domain::budget::{Budget, Scope, Unit};
use crate::domain::throttle::ThrottleLimits;
use crate::domain::window::{Period, WindowRule};
use crate::zoneinfo;

impl Draft {
    /// Refuses a declared task type without a limit, unless a budget sets one.
    pub(super) fn check_task_type(&mut self) {
        let Some(declared) = self.task_type.clone() else { return };
        let task = self.budgets().find(|budget| budget.name == TASK);
        if task.is_some_and(|budget| !self.value_of(budget, "limit").is_null()) {
            return;
        }
        let known: Vec<&str> = self.task_types().map(|(key, _)| &key["task_type.".len()..]).collect();
        let name = declared.value.as_str().unwrap_or_default();
        let message =
            format!("must be one of {}, or have a limit in [task_type] (found \"{name}\")", known.join(", "));
        self.problems.push(Problem::at(&declared.source, None, "", message));
    }

    /// Refuses budgets with a lifetime window on a shared store, unless they count sessions: the store forgets old
    /// responses, and could no longer tell which were already counted.
    pub(super) fn check_windows(&mut self) {
        if self.setting("store.redis_url").is_null() {
            return;
        }
        let mut problems = Vec::new();
        for budget in self.budgets() {
            let value = |key: &str| self.value_of(budget, key);
            let is_meant =
                value("enabled") != false && value("window") == "lifetime" && value("scope") != "session";
            let by = |key: &str| budget.kind.field(key).map(|field| budget.get(field).source);
            let source = by("window").filter(|source| *source != Source::Default).or_else(|| by("scope"));
            if let Some(source) = source.filter(|source| is_meant && *source != Source::Default) {
                let key = budget.path("window");
                let message = "must be one of day, week, month, or minutes or hours such as 10m or 5h, with \
                               store.redis_url, unless the scope is session";
                problems.push(Problem::at(&source, None, &key, message));
            }
        }
        self.problems.extend(problems);
    }

    /// Settings that are allowed, but have no effect or an unintended one.
    pub(super) fn warnings(&self) -> Vec<Problem> {
        let mut all = self.budgets_without_team();
        all.extend(self.password_file_warning());
        all
    }

    /// Warns of a password file that is not used, or that hooks would not find.
    fn password_file_warning(&self) -> Option<Problem> {
        let key = "store.redis_password_file";
        let sourced = self.get(setting(key)?);
        let file = sourced.value.as_str()?;
        let message = if self.setting("store.redis_url").is_null() {
            "has no effect without store.redis_url".to_owned()
        } else if !Path::new(file).is_absolute() {
            format!("should be an absolute path: hooks run in the project's folder and would not find {file}")
        } else {
            return None;
        };
        Some(Problem::at(&sourced.source, None, key, &message))
    }

    /// Warns of budgets for teams if no team is set: they count nothing.
    fn budgets_without_team(&self) -> Vec<Problem> {
        if !self.setting("store.team").is_null() {
            return Vec::new();
        }
        let over_teams = self.budgets().filter(|budget| {
            self.is_in_force(budget) && self.value_of(budget, "scope") == Scope::Team.name()
        });
        let warn = |budget: &TableDraft| {
            let source = budget_field("scope").map_or(Source::Default, |field| budget.get(field).source);
            let key = budget.path("scope");
            let message = "counts nothing without store.team: set your team in your own file ([store] team = \"…\") or in \
                           FUSEBOX_STORE_TEAM (an account that only decides needs none)";
            Problem::at(&source, None, &key, message)
        };
        over_teams.map(warn).collect()
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// A value has the wrong type. Values were checked before, so this is a bug in Fusebox.
    pub(super) fn config(&self) -> Result<Config, Problem> {
        let budgets = self.budgets().filter(|budget| self.is_in_force(budget));
        Ok(Config {
            enabled: self.checked("enabled").flag()?,
            tenant: self.checked("store.tenant").text()?,
            platforms: self.platforms()?,
            team: self.checked("store.team").optional(CheckedValue::text)?,
            redis: self.redis()?,
            budgets: budgets.map(|budget| self.budget(budget)).collect::<Result<_, _>>()?,
            prompt_line: self.checked("prompt_line").one_of(&PromptLineMode::ALL)?,
            alert_command: self.checked("alerts.command").texts()?,
            task_type: self.task_type.as_ref().and_then(|sourced| sourced.value.as_str()).map(str::to_owned),
            breaker: self.breaker()?,
            throttle: self.throttle()?,
            prices: self.prices(),
            status_line: StatusLineConfig {
                parts: self.checked("status_line.parts").some_of(&StatusPart::ALL)?,
                color: self.checked("status_line.color").flag()?,
            },
        })
    }

    fn setting(&self, key: &str) -> Value {
        self.checked(key).sourced.value
    }

    fn checked(&self, key: &str) -> CheckedValue {
        let sourced = setting(key).map(|field| self.get(field));
        CheckedValue {
            key: key.to_owned(),
            sourced: sourced.unwrap_or(SourcedValue { value: Value::Null, source: Source::Default }),
        }
    }

    fn redis(&self) -> Result<Option<RedisConfig>, Problem> {
        let Some(url) = self.checked("store.redis_url").optional(CheckedValue::text)? else {
            return Ok(None);
        };
        Ok(Some(RedisConfig {
            url,
            password_file: self.checked("store.redis_password_file").optional(CheckedValue::text)?,
            timeout_ms: self.checked("store.redis_timeout_ms").number()?,
        }))
    }

    fn breaker(&self) -> Result<Policy, Problem> {
        let count = |key: &str| self.checked(key).optional(CheckedValue::number);
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
                mode: self.checked("breaker.mode").one_of(&MODES)?,
                ignore_outcome: self.checked("breaker.ignore_outcome").flag()?,
                limits,
                tell_iterations: count("breaker.tell_iterations")?,
                wrap_up: self.checked("breaker.wrap_up").number()?,
                cooldown: count("breaker.cooldown_seconds")?,
            }),
        }
    }

    fn throttle(&self) -> Result<Option<ThrottleLimits>, Problem> {
        let Some(hard_limit_tokens) = self.checked(HARD_LIMIT).optional(CheckedValue::number)? else {
            return Ok(None);
        };
        Ok(Some(ThrottleLimits {
            hard_limit_tokens,
            max_concurrency: self.checked("throttle.max_concurrency").number()?,
            max_depth: self.checked("throttle.max_depth").number()?,
            max_total: self.checked("throttle.max_total").number()?,
        }))
    }

    /// Every value in force, in key order.
    pub(super) fn values(&self) -> Vec<EffectiveValue> {
        let effective = |key: String, value: Value, source: Source| EffectiveValue { key, value, source };
        let supported = |field: &&Field| !field.kind.is_reserved();
        let mut all: Vec<EffectiveValue> = Vec::new();
        // Throttling limits apply only with the hard limit, which has no default.
        let throttled = !self.setting(HARD_LIMIT).is_null();
        let holds =
            |field: &&Field| throttled || field.name == HARD_LIMIT || !field.name.starts_with("throttle.");
        for field in SETTINGS.iter().filter(supported).filter(holds) {
            let sourced = self.get(field);
            all.push(effective(field.name.to_owned(), sourced.value, sourced.source));
        }
        for (key, sourced) in self.model_prices().chain(self.task_types()) {
            all.push(effective(key.clone(), sourced.value.clone(), sourced.source.clone()));
        }
        if let Some(sourced) = &self.task_type {
            all.push(effective("declared task type".into(), sourced.value.clone(), sourced.source.clone()));
        }
        for table in &self.tables {
            let fields = table.kind.fields();
            let shown = match table.kind == TableKind::Platform || self.is_in_force(table) {
                true => fields,
                false if table.name == TASK => &[],
                // A removed budget lists nothing else.
                false => &fields[..1],
            };
            for field in shown {
                let sourced = self.budget_value(table, field);
                all.push(effective(table.path(field.name), sourced.value, sourced.source));
            }
        }
        all
    }

    fn value_of(&self, budget: &TableDraft, key: &str) -> Value {
        budget.kind.field(key).map(|field| self.budget_value(budget, field).value).unwrap_or_default()
    }

    /// Whether the budget exists: it was not removed, and is not for a task type when none is declared.
    fn is_in_force(&self, budget: &TableDraft) -> bool {
        self.value_of(budget, "enabled") != false && !self.value_of(budget, "limit").is_null()
    }

    fn budget(&self, budget: &TableDraft) -> Result<Budget, Problem> {
        let checked = |name: &str| {
            // What a rate cannot set has the default of a budget.
            let field = budget.kind.field(name).or_else(|| budget_field(name));
            let sourced = field.map(|field| self.budget_value(budget, field));
            let sourced = sourced.unwrap_or(SourcedValue { value: Value::Null, source: Source::Default });
            CheckedValue { key: budget.path(name), sourced }
        };
        let (zone, unit) = (checked("timezone"), checked("unit").one_of(&Unit::ALL)?);
        let period = match budget.kind {
            TableKind::Rate => checked("minutes").parsed(|value| Period::minutes(value.as_u64()?)),
            _ => checked("window").parsed(|value| Period::parse(value.as_str()?)),
        };
        let scope = checked("scope").one_of(&Scope::ALL)?;
        let is_per_user = checked("per").optional(CheckedValue::text)?.is_some();
        Ok(Budget {
            name: budget.name.clone(),
            scope: if is_per_user { Scope::Member } else { scope },
            matches: checked("match").text()?,
            unit,
            count: classes(&checked("count").texts()?),
            limit: checked("limit").amount(unit)?,
            hard_limit: checked("hard_limit").optional(|value| value.amount(unit))?,
            window: WindowRule {
                period: period?,
                zone: zoneinfo::zone(&zone.text()?).map_err(|_| zone.type_error())?,
            },
            thresholds: checked("thresholds").fractions()?,
            on_limit: checked("on_limit").one_of(&ON_LIMIT)?,
            wrap_up: checked("wrap_up").number()?,
            mode: checked("mode").one_of(&MODES)?,
            store_down: checked("store_down").one_of(&STORE_DOWN)?,
            plan: None,
        })
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
}
