//! The table of all keys: their types, defaults, which value is stricter, and whether the project may tighten them.

use std::sync::LazyLock;

use serde_json::{Value, json};
use strsim::levenshtein;

use super::PromptLineMode;
use super::status_line::StatusPart;
use super::value::{MAX_NUMBER, ValueKind, ascending};
use crate::domain::breaker::policy::{self, Preset};
use crate::domain::breaker::rules::RULES;
use crate::domain::budget::{Mode, OnLimit, Scope, StoreDown, Unit};
use crate::domain::platform::Platform;
use crate::domain::reservation::OnExcess;

/// Which of two values of a key is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Neither: the choice is free.
    Free,
    /// Neither: the key defines what a budget counts. Another value would change the meaning of the budget's numbers.
    Identity,
    /// The lower number; an unset value counts as the highest.
    Lower,
    /// The later one in the list of [`ValueKind::OneOf`]; true over false.
    Later,
    /// The superset.
    Superset,
}

/// Whether the project may set a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProjectPolicy {
    /// No.
    Never,
    /// Only in a budget that the project adds.
    InNew,
    /// In a budget that it adds; elsewhere only if the value is stricter than the current one.
    Tighten,
}

/// A configuration key.
pub(super) struct Field {
    /// `store.tenant`, or `limit` in a budget.
    pub name: &'static str,
    /// The allowed values.
    pub kind: ValueKind,
    /// Which value is stricter.
    pub strictness: Strictness,
    /// Whether the project may set it.
    pub project: ProjectPolicy,
    /// The default value; null: none.
    pub default: fn() -> Value,
}

impl Field {
    /// The stricter of two values; `bound` if neither is.
    pub fn stricter(&self, value: &Value, bound: &Value) -> Value {
        let value_wins = match self.strictness {
            Strictness::Free | Strictness::Identity => false,
            Strictness::Lower => {
                value.as_f64().unwrap_or(f64::INFINITY) < bound.as_f64().unwrap_or(f64::INFINITY)
            }
            Strictness::Later => self.rank(value) > self.rank(bound),
            Strictness::Superset => return union(value, bound),
        };
        if value_wins { value.clone() } else { bound.clone() }
    }

    /// Whether `new` is at least as strict as `old`. `Err`: which values would be, as text.
    pub fn tightens(&self, old: &Value, new: &Value) -> Result<(), String> {
        if self.stricter(old, new) == *new {
            return Ok(());
        }
        Err(match (self.strictness, self.kind) {
            (Strictness::Lower, _) => format!("may only be lowered by the project, from {old} (found {new})"),
            (Strictness::Superset, _) => {
                format!("may only be added to by the project: must keep {old} (found {new})")
            }
            (_, ValueKind::OneOf(names, _)) => {
                let stricter = names.get(self.rank(old)..).unwrap_or_default().join(" or ");
                format!("may only be made stricter by the project: must be {stricter} (found {new})")
            }
            _ => format!("may only be made stricter by the project, from {old} (found {new})"),
        })
    }

    fn rank(&self, value: &Value) -> usize {
        match (self.kind, value) {
            (ValueKind::OneOf(names, _), _) => names.iter().position(|name| value == name).unwrap_or(0),
            (_, value) => usize::from(*value == true),
        }
    }
}

fn union(one: &Value, other: &Value) -> Value {
    let numbers = [one, other].into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_f64);
    ascending(numbers.collect())
}

pub(super) const fn names<T: Copy, const N: usize>(all: [(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    while i < N {
        names[i] = all[i].0;
        i += 1;
    }
    names
}

/// The scopes as they are written. A member of a team is written `scope = "team"` with `per = "user"`.
const fn scopes() -> [&'static str; Scope::ALL.len() - 1] {
    let mut scopes = [""; Scope::ALL.len() - 1];
    let (mut from, mut to) = (0, 0);
    while from < Scope::ALL.len() {
        if !matches!(Scope::ALL[from].1, Scope::Member) {
            scopes[to] = Scope::ALL[from].0;
            to += 1;
        }
        from += 1;
    }
    scopes
}

/// What happens at the limit, mildest first.
pub(super) const ON_LIMIT: [(&str, OnLimit); 3] =
    [("warn", OnLimit::Warn), ("pause", OnLimit::Pause), ("stop", OnLimit::Stop)];
/// Whether a budget enforces its limit, mildest first.
pub(super) const MODES: [(&str, Mode); 2] = [("shadow", Mode::Shadow), ("enforce", Mode::Enforce)];
/// What happens while the store is unreachable, mildest first.
pub(super) const STORE_DOWN: [(&str, StoreDown); 3] =
    [("allow", StoreDown::Allow), ("local", StoreDown::Local), ("deny", StoreDown::Deny)];

const SCOPES: ValueKind = ValueKind::OneOf(&scopes(), &["task"]);
const PROMPT_LINE_MODES: ValueKind = ValueKind::OneOf(&names(PromptLineMode::ALL), &[]);
const STATUS_PARTS: ValueKind = ValueKind::Selection(&StatusPart::NAMES);
const NAMED_PRESETS: ValueKind = ValueKind::OneOf(&names(PRESETS), &[]);
const ON_LIMITS: ValueKind = ValueKind::OneOf(&names(ON_LIMIT), &["downgrade"]);
const PER: ValueKind = ValueKind::OneOf(&["user"], &[]);
const NAMED_MODES: ValueKind = ValueKind::OneOf(&names(MODES), &[]);
const UNITS: ValueKind = ValueKind::OneOf(&names(Unit::ALL), &[]);
const RATE_UNITS: ValueKind = ValueKind::OneOf(&["tokens", "requests", "usd"], &[]);

const fn field(name: &'static str, kind: ValueKind, strictness: Strictness, default: fn() -> Value) -> Field {
    Field { name, kind, strictness, project: ProjectPolicy::Never, default }
}

const fn in_new(
    name: &'static str,
    kind: ValueKind,
    strictness: Strictness,
    default: fn() -> Value,
) -> Field {
    Field { name, kind, strictness, project: ProjectPolicy::InNew, default }
}

const fn tightenable(
    name: &'static str,
    kind: ValueKind,
    strictness: Strictness,
    default: fn() -> Value,
) -> Field {
    Field { name, kind, strictness, project: ProjectPolicy::Tighten, default }
}

const fn reserved(name: &'static str, advice: &'static str) -> Field {
    field(name, ValueKind::Reserved(advice), Strictness::Free, || Value::Null)
}

/// The tables of a file, except those with names.
pub(super) const TABLES: [&str; 8] =
    ["store", "brief", "alerts", "task_type", "throttle", "breaker", "status_line", PRICES];

/// The table of prices, with a table for each model.
pub(super) const PRICES: &str = "prices";

/// The key of the hard limit that throttling refers to.
pub(super) const HARD_LIMIT: &str = "throttle.hard_limit_tokens";

/// The highest count for the breaker and throttling.
const MAX_CALLS: u64 = 1_000_000;

/// Presets of the breaker, mildest first.
pub(super) const PRESETS: [(&str, Preset); 3] = Preset::ALL;

/// The keys outside budgets, except `task_type.*`. Keys of breaker rules are derived from the rules; without a default
/// here, the preset has one.
pub(super) static SETTINGS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let mut all = vec![
        field("enabled", ValueKind::Flag, Strictness::Later, || json!(true)),
        field("prompt_line", PROMPT_LINE_MODES, Strictness::Free, || json!("always")),
        field("store.tenant", ValueKind::Name, Strictness::Free, || json!(super::DEFAULT_TENANT)),
        field("store.team", ValueKind::Name, Strictness::Free, || Value::Null),
        field("store.redis_url", ValueKind::Redis, Strictness::Free, || Value::Null),
        field("store.redis_password_file", ValueKind::Text, Strictness::Free, || Value::Null),
        field("store.redis_timeout_ms", ValueKind::Whole(1_000), Strictness::Free, || json!(300)),
        field("alerts.command", ValueKind::Words, Strictness::Free, || json!([])),
        tightenable(HARD_LIMIT, ValueKind::Whole(MAX_NUMBER), Strictness::Lower, || Value::Null),
        tightenable("throttle.max_concurrency", ValueKind::Whole(MAX_CALLS), Strictness::Lower, || json!(4)),
        tightenable("throttle.max_depth", ValueKind::Whole(MAX_CALLS), Strictness::Lower, || json!(5)),
        tightenable("throttle.max_total", ValueKind::Whole(MAX_CALLS), Strictness::Lower, || json!(200)),
        tightenable("breaker.enabled", ValueKind::Flag, Strictness::Later, || json!(true)),
        tightenable("breaker.preset", NAMED_PRESETS, Strictness::Later, || json!("standard")),
        tightenable("breaker.mode", NAMED_MODES, Strictness::Later, || json!("enforce")),
    ];
    all.extend(
        RULES.iter().map(|rule| {
            tightenable(rule.key, ValueKind::Count(MAX_CALLS), Strictness::Lower, || Value::Null)
        }),
    );
    all.extend([
        tightenable("breaker.tell_iterations", ValueKind::Count(MAX_CALLS), Strictness::Lower, || {
            Value::Null
        }),
        tightenable("breaker.ignore_outcome", ValueKind::Flag, Strictness::Later, || Value::Null),
        tightenable("breaker.wrap_up", ValueKind::Whole(1000), Strictness::Lower, || json!(policy::WRAP_UP)),
        field("breaker.cooldown_seconds", ValueKind::Count(MAX_CALLS), Strictness::Free, || json!("off")),
        field("status_line.parts", STATUS_PARTS, Strictness::Free, || json!(StatusPart::NAMES)),
        field("status_line.color", ValueKind::Flag, Strictness::Free, || json!(true)),
        // Last, before the prices of models: `config show` writes one table.
        field("prices.discount", ValueKind::Fraction, Strictness::Free, || json!(0.0)),
    ]);
    all
});

/// A preset's value for a breaker key that was not set.
pub(super) fn preset_default(preset: Preset, key: &str) -> Value {
    match key {
        "breaker.ignore_outcome" => json!(preset == Preset::Strict),
        _ => policy::preset_number(preset, key).map_or_else(|| json!("off"), Value::from),
    }
}

/// The keys of a budget, except `name`, with their defaults.
pub(super) static BUDGET: [Field; 15] = [
    field("enabled", ValueKind::Flag, Strictness::Later, || json!(true)),
    in_new("scope", SCOPES, Strictness::Identity, || json!("session")),
    in_new("per", PER, Strictness::Identity, || Value::Null),
    in_new("match", ValueKind::Text, Strictness::Identity, || json!("*")),
    in_new("unit", UNITS, Strictness::Identity, || json!("tokens")),
    in_new("count", ValueKind::Classes, Strictness::Identity, || json!(["input", "output", "cache_write"])),
    tightenable("limit", ValueKind::Amount(MAX_NUMBER), Strictness::Lower, || Value::Null),
    tightenable("hard_limit", ValueKind::Amount(MAX_NUMBER), Strictness::Lower, || Value::Null),
    in_new("window", ValueKind::Window, Strictness::Identity, || json!("lifetime")),
    in_new("timezone", ValueKind::Zone, Strictness::Identity, || json!("UTC")),
    tightenable("thresholds", ValueKind::Fractions, Strictness::Superset, || json!([0.5, 0.8, 0.9, 1.0])),
    tightenable("on_limit", ON_LIMITS, Strictness::Later, || json!("pause")),
    tightenable("wrap_up", ValueKind::Whole(1000), Strictness::Lower, || json!(1)),
    in_new("store_down", ValueKind::OneOf(&names(STORE_DOWN), &[]), Strictness::Later, || json!("local")),
    tightenable("mode", NAMED_MODES, Strictness::Later, || json!("enforce")),
];

/// The keys of a burn rate, except `name`, with their defaults.
pub(super) static RATE: [Field; 10] = [
    field("enabled", ValueKind::Flag, Strictness::Later, || json!(true)),
    in_new("scope", SCOPES, Strictness::Identity, || json!("session")),
    in_new("per", PER, Strictness::Identity, || Value::Null),
    in_new("match", ValueKind::Text, Strictness::Identity, || json!("*")),
    in_new("unit", RATE_UNITS, Strictness::Identity, || json!("tokens")),
    tightenable("limit", ValueKind::Amount(MAX_NUMBER), Strictness::Lower, || Value::Null),
    in_new("minutes", ValueKind::Between(1, 24 * 60), Strictness::Identity, || Value::Null),
    tightenable("thresholds", ValueKind::Fractions, Strictness::Superset, || json!([1.0])),
    tightenable("on_limit", ON_LIMITS, Strictness::Later, || json!("pause")),
    tightenable("mode", NAMED_MODES, Strictness::Later, || json!("enforce")),
];

/// The longest time that a call of a platform may take, in seconds: a week.
const MAX_TTL_S: u64 = 7 * 24 * 3600;

/// The keys of a platform, except `name`, with their defaults.
pub(super) static PLATFORM: [Field; 4] = [
    in_new("commands", ValueKind::Commands, Strictness::Free, || json!([])),
    in_new("tools", ValueKind::Tools, Strictness::Free, || json!([])),
    in_new("ttl", ValueKind::Between(1, MAX_TTL_S), Strictness::Free, || json!(Platform::DEFAULT_TTL_S)),
    in_new("on_excess", ValueKind::OneOf(&names(OnExcess::ALL), &[]), Strictness::Free, || json!("charge")),
];

/// The keys of a model in `[prices]`: dollars per million tokens, and a discount.
pub(super) static MODEL_PRICE: [Field; 6] = [
    field("input", ValueKind::Dollars, Strictness::Free, || Value::Null),
    field("output", ValueKind::Dollars, Strictness::Free, || Value::Null),
    field("cache_write_5m", ValueKind::Dollars, Strictness::Free, || Value::Null),
    field("cache_write_1h", ValueKind::Dollars, Strictness::Free, || Value::Null),
    field("cache_read", ValueKind::Dollars, Strictness::Free, || Value::Null),
    field("discount", ValueKind::Fraction, Strictness::Free, || Value::Null),
];

static ANCHOR: Field = reserved(
    "anchor",
    "is not a key: for the windows of a subscription, write window = \"plan_5h\" or \"plan_week\", with unit = \"percent\"",
);

/// Any key of `[task_type]`: the name of a task type and its limit in tokens.
static TASK_TYPE: Field = field("task_type", ValueKind::Whole(MAX_NUMBER), Strictness::Lower, || Value::Null);

/// The limit of the default budget.
pub(super) const SESSION_LIMIT: u64 = 1_000_000;

/// Default limits of task types, in tokens.
pub(super) const TASK_TYPES: [(&str, u64); 6] = [
    ("planning", 50_000),
    ("implement", 100_000),
    ("review", 60_000),
    ("test", 80_000),
    ("debug", 100_000),
    ("docs", 40_000),
];

/// Renamed keys: old and new name. The old names still work in this version, with a note.
pub(super) const RENAMED: [(&str, &str); 1] = [("brief.show", "prompt_line")];

/// The new name of a renamed key.
pub(super) fn new_name(key: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == key).map(|(_, new)| *new)
}

/// The path of a model's key in `[prices]`.
pub(super) fn model_price_path(model: &str, key: &str) -> String {
    format!("{PRICES}.\"{model}\".{key}")
}

/// The model and the key in such a path.
pub(super) fn model_price(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix(PRICES)?.strip_prefix(".\"")?.rsplit_once("\".")
}

/// Whether a text can be the name of a model in the configuration.
pub(super) fn is_model(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    (1..=200).contains(&name.len()) && name.chars().all(plain)
}

/// The key with this path, outside budgets.
pub(super) fn setting(path: &str) -> Option<&'static Field> {
    if let Some((model, key)) = model_price(path) {
        return MODEL_PRICE.iter().find(|field| field.name == key && is_model(model));
    }
    match path.strip_prefix("task_type.") {
        Some(name) => {
            ValueKind::Name.parse(&super::value::RawValue::Text(name.into())).ok().map(|_| &TASK_TYPE)
        }
        None => SETTINGS.iter().find(|field| field.name == path),
    }
}

/// The key with this name, in a budget.
pub(super) fn budget_field(name: &str) -> Option<&'static Field> {
    BUDGET.iter().chain([&ANCHOR]).find(|field| field.name == name)
}

/// The names of the keys that this version supports.
pub(super) fn supported(fields: &[Field]) -> impl Iterator<Item = &'static str> + '_ {
    fields.iter().filter(|field| !field.kind.is_reserved()).map(|field| field.name)
}

/// The message for an unknown name: the nearest known name, if one is near, and all known names.
pub(super) fn unknown_name(what: &str, key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|name| (levenshtein(key, name), name)).filter(|(d, _)| *d <= 2).min();
    let hint = near.map(|(_, name)| format!("did you mean {name}? ")).unwrap_or_default();
    format!("{what}; {hint}allowed: {}", known.join(", "))
}
