//! Values of keys, read as what they were checked to be.

use serde_json::Value;

use super::draft::SourcedValue;
use super::source::Problem;
use super::value::OFF;
use crate::domain::budget::{TokenClasses, Unit};
use crate::domain::money::nanos_from_usd;
use crate::domain::plan::UNITS_PER_PERCENT;

/// The value of a key, checked when it was set. Reading it as another type is a bug in Fusebox, and is reported as a
/// problem with that key.
pub(super) struct CheckedValue {
    /// The full key, such as `budget.session.limit`.
    pub key: String,
    /// Its value and source.
    pub sourced: SourcedValue,
}

impl CheckedValue {
    pub fn flag(&self) -> Result<bool, Problem> {
        self.sourced.value.as_bool().ok_or_else(|| self.type_error())
    }

    pub fn number<T: TryFrom<u64>>(&self) -> Result<T, Problem> {
        let number = self.sourced.value.as_u64().and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| self.type_error())
    }

    /// A count of units; dollars are counted in nano-dollars, percent in hundredths.
    pub fn amount(&self, unit: Unit) -> Result<u64, Problem> {
        match (unit, self.sourced.value.as_f64()) {
            (Unit::Usd, Some(dollars)) => Ok(nanos_from_usd(dollars)),
            (Unit::Percent, Some(percent)) => Ok((percent * UNITS_PER_PERCENT as f64).round() as u64),
            _ => self.number(),
        }
    }

    pub fn text(&self) -> Result<String, Problem> {
        self.sourced.value.as_str().map(str::to_owned).ok_or_else(|| self.type_error())
    }

    pub fn texts(&self) -> Result<Vec<String>, Problem> {
        self.list(|item| item.as_str().map(str::to_owned))
    }

    pub fn fractions(&self) -> Result<Vec<f64>, Problem> {
        self.list(Value::as_f64)
    }

    pub fn one_of<T: Copy>(&self, all: &[(&str, T)]) -> Result<T, Problem> {
        let known = all.iter().find(|(name, _)| self.sourced.value == *name);
        known.map(|(_, value)| *value).ok_or_else(|| self.type_error())
    }

    pub fn some_of<T: Copy>(&self, all: &[(&str, T)]) -> Result<Vec<T>, Problem> {
        self.list(|item| all.iter().find(|(name, _)| item == *name).map(|(_, value)| *value))
    }

    /// The value converted by `read`; `None` if it is not set or off.
    pub fn optional<T>(&self, read: impl Fn(&Self) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
        if self.sourced.value.is_null() || self.sourced.value == OFF {
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// The value as `read` reads it.
    pub fn parsed<T>(&self, read: impl Fn(&Value) -> Option<T>) -> Result<T, Problem> {
        read(&self.sourced.value).ok_or_else(|| self.type_error())
    }

    fn list<T>(&self, item: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Problem> {
        let items = self.sourced.value.as_array().ok_or_else(|| self.type_error())?;
        items.iter().map(|value| item(value).ok_or_else(|| self.type_error())).collect()
    }

    pub fn type_error(&self) -> Problem {
        let message = format!(
            "passed the checks but cannot be used: this is a bug in Fusebox (found {})",
            self.sourced.value
        );
        Problem::at(&self.sourced.source, None, &self.key, message)
    }
}

/// The token classes with these names.
pub(super) fn classes(names: &[String]) -> TokenClasses {
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
    use super::super::field::MODES;
    use super::super::source::Source;
    use super::*;

    #[test]
    fn a_name_that_is_not_known_is_an_error_and_not_the_first_one() {
        let sourced = SourcedValue { value: "sometimes".into(), source: Source::Default };
        let problem =
            CheckedValue { key: "breaker.mode".into(), sourced }.one_of(&MODES).expect_err("refused");
        assert_eq!(problem.key, "breaker.mode");
        assert!(problem.message.contains("sometimes"), "{problem}");
    }
}
