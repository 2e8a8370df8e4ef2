//! Every key: what it takes, its default, what "stricter" means for it, and whether the project may tighten it.

use std::sync::LazyLock;

use serde_json::{Value, json};
use strsim::levenshtein;

use super::Show;
use super::value::{Kind, MOST, ascending};
use crate::domain::breaker::policy::{self, Preset};
use crate::domain::breaker::rules::RULES;
use crate::domain::budget::{Mode, OnLimit, Scope, StoreDown, Unit};
use crate::domain::window::Period;

/// What makes one value of a key stricter than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing: a free choice.
    Free,
    /// Nothing: it says what a budget is about. With another value the budget's numbers would mean something else.
    Identity,
    /// The lower number; none is the highest.
    Lower,
    /// The later one in the list of [`Kind::OneOf`], and true.
    Later,
    /// The one that holds all of the other.
    Superset,
}

/// What the project's word is worth for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByProject {
    /// Nothing.
    Never,
    /// It counts in a budget that the project adds.
    InNew,
    /// It counts there, and where it is stricter than what holds.
    Tighten,
}

/// A key.
pub(super) struct Field {
    /// `store.tenant`, or in a budget `limit`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What is stricter.
    pub rule: Rule,
    /// What the project may do with it.
    pub project: ByProject,
    /// The built-in value; null: none.
    pub default: fn() -> Value,
}

impl Field {
    /// The stricter of two values; where there is no such thing, `bound`.
    pub fn stricter(&self, value: &Value, bound: &Value) -> Value {
        let value_wins = match self.rule {
            Rule::Free | Rule::Identity => false,
            Rule::Lower => value.as_u64().unwrap_or(u64::MAX) < bound.as_u64().unwrap_or(u64::MAX),
            Rule::Later => self.rank(value) > self.rank(bound),
            Rule::Superset => return union(value, bound),
        };
        if value_wins { value.clone() } else { bound.clone() }
    }

    /// Whether `new` is at least as strict as `old`; else what would be, for people.
    pub fn tightens(&self, old: &Value, new: &Value) -> Result<(), String> {
        if self.stricter(old, new) == *new {
            return Ok(());
        }
        Err(match (self.rule, self.kind) {
            (Rule::Lower, _) => format!("may only be lowered by the project, from {old} (found {new})"),
            (Rule::Superset, _) => {
                format!("may only be added to by the project: must keep {old} (found {new})")
            }
            (_, Kind::OneOf(names, _)) => {
                let stricter = names.get(self.rank(old)..).unwrap_or_default().join(" or ");
                format!("may only be made stricter by the project: must be {stricter} (found {new})")
            }
            _ => format!("may only be made stricter by the project, from {old} (found {new})"),
        })
    }

    fn rank(&self, value: &Value) -> usize {
        match (self.kind, value) {
            (Kind::OneOf(names, _), _) => names.iter().position(|name| value == name).unwrap_or(0),
            (_, value) => usize::from(*value == true),
        }
    }
}

fn union(one: &Value, other: &Value) -> Value {
    let numbers = [one, other].into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_f64);
    ascending(numbers.collect())
}

const fn names<T: Copy, const N: usize>(all: [(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    while i < N {
        names[i] = all[i].0;
        i += 1;
    }
    names
}

/// What happens at the limit, mildest first.
pub(super) const ON_LIMIT: [(&str, OnLimit); 3] =
    [("warn", OnLimit::Warn), ("pause", OnLimit::Pause), ("stop", OnLimit::Stop)];
/// Whether a budget acts, mildest first.
pub(super) const MODES: [(&str, Mode); 2] = [("shadow", Mode::Shadow), ("enforce", Mode::Enforce)];
/// What happens without the store, mildest first.
pub(super) const STORE_DOWN: [(&str, StoreDown); 3] =
    [("allow", StoreDown::Allow), ("local", StoreDown::Local), ("deny", StoreDown::Deny)];

const SCOPES: Kind = Kind::OneOf(&names(Scope::ALL), &["platform", "chain", "task"]);
const SHOWS: Kind = Kind::OneOf(&names(Show::ALL), &[]);
const NAMED_PRESETS: Kind = Kind::OneOf(&names(PRESETS), &[]);
const NAMED_MODES: Kind = Kind::OneOf(&names(MODES), &[]);
const UNITS: Kind = Kind::OneOf(&names(Unit::ALL), &["usd", "percent"]);

const fn field(name: &'static str, kind: Kind, rule: Rule, default: fn() -> Value) -> Field {
    Field { name, kind, rule, project: ByProject::Never, default }
}

const fn in_new(name: &'static str, kind: Kind, rule: Rule, default: fn() -> Value) -> Field {
    Field { name, kind, rule, project: ByProject::InNew, default }
}

const fn tightened(name: &'static str, kind: Kind, rule: Rule, default: fn() -> Value) -> Field {
    Field { name, kind, rule, project: ByProject::Tighten, default }
}

const fn later(name: &'static str) -> Field {
    field(name, Kind::Later, Rule::Free, || Value::Null)
}

/// The tables of a file, apart from `[[budget]]`.
pub(super) const TABLES: [&str; 6] = ["store", "brief", "alerts", "task_type", "throttle", "breaker"];

/// What throttling is measured against.
pub(super) const HARD_LIMIT: &str = "throttle.hard_limit_tokens";

/// The highest count of the breaker and of throttling.
const MOST_CALLS: u64 = 1_000_000;

/// Presets of the breaker, mildest first.
pub(super) const PRESETS: [(&str, Preset); 3] = Preset::ALL;

/// The keys outside of budgets, apart from `task_type.*`. Those of the breaker's rules follow from the rules; where their
/// default is none, the preset has one.
pub(super) static SETTINGS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let mut all = vec![
        field("enabled", Kind::Flag, Rule::Later, || json!(true)),
        field("store.tenant", Kind::Name, Rule::Free, || json!(super::DEFAULT_TENANT)),
        field("store.team", Kind::Name, Rule::Free, || Value::Null),
        field("store.redis_url", Kind::Redis, Rule::Free, || Value::Null),
        field("store.redis_password_file", Kind::Text, Rule::Free, || Value::Null),
        field("store.redis_timeout_ms", Kind::Whole(1_000), Rule::Free, || json!(300)),
        field("brief.show", SHOWS, Rule::Free, || json!("always")),
        field("alerts.command", Kind::Words, Rule::Free, || json!([])),
        tightened(HARD_LIMIT, Kind::Whole(MOST), Rule::Lower, || Value::Null),
        tightened("throttle.max_concurrency", Kind::Whole(MOST_CALLS), Rule::Lower, || json!(4)),
        tightened("throttle.max_depth", Kind::Whole(MOST_CALLS), Rule::Lower, || json!(5)),
        tightened("throttle.max_total", Kind::Whole(MOST_CALLS), Rule::Lower, || json!(200)),
        tightened("breaker.enabled", Kind::Flag, Rule::Later, || json!(true)),
        tightened("breaker.preset", NAMED_PRESETS, Rule::Later, || json!("standard")),
        tightened("breaker.mode", NAMED_MODES, Rule::Later, || json!("enforce")),
    ];
    all.extend(
        RULES.iter().map(|rule| tightened(rule.key, Kind::Count(MOST_CALLS), Rule::Lower, || Value::Null)),
    );
    all.extend([
        tightened("breaker.tell_iterations", Kind::Count(MOST_CALLS), Rule::Lower, || Value::Null),
        tightened("breaker.ignore_outcome", Kind::Flag, Rule::Later, || Value::Null),
        tightened("breaker.wrap_up", Kind::Whole(1000), Rule::Lower, || json!(policy::WRAP_UP)),
        field("breaker.cooldown_seconds", Kind::Count(MOST_CALLS), Rule::Free, || json!("off")),
        later("platform"),
    ]);
    all
});

/// What a preset has for a key of the breaker that nobody set.
pub(super) fn by_preset(preset: Preset, key: &str) -> Value {
    match key {
        "breaker.ignore_outcome" => json!(preset == Preset::Strict),
        _ => policy::preset_number(preset, key).map_or_else(|| json!("off"), Value::from),
    }
}

/// The keys of a budget, apart from `name`, with what a new budget has.
pub(super) static BUDGET: [Field; 14] = [
    field("enabled", Kind::Flag, Rule::Later, || json!(true)),
    in_new("scope", SCOPES, Rule::Identity, || json!("session")),
    in_new("match", Kind::Text, Rule::Identity, || json!("*")),
    in_new("unit", UNITS, Rule::Identity, || json!("tokens")),
    in_new("count", Kind::Classes, Rule::Identity, || json!(["input", "output", "cache_write"])),
    tightened("limit", Kind::Whole(MOST), Rule::Lower, || Value::Null),
    tightened("hard_limit", Kind::Whole(MOST), Rule::Lower, || Value::Null),
    in_new("window", Kind::OneOf(&names(Period::ALL), &["plan_5h", "plan_week"]), Rule::Identity, || {
        json!("lifetime")
    }),
    in_new("timezone", Kind::Zone, Rule::Identity, || json!("UTC")),
    tightened("thresholds", Kind::Fractions, Rule::Superset, || json!([0.5, 0.8, 0.9, 1.0])),
    tightened("on_limit", Kind::OneOf(&names(ON_LIMIT), &["downgrade"]), Rule::Later, || json!("pause")),
    tightened("wrap_up", Kind::Whole(1000), Rule::Lower, || json!(1)),
    in_new("store_down", Kind::OneOf(&names(STORE_DOWN), &[]), Rule::Later, || json!("local")),
    tightened("mode", Kind::OneOf(&names(MODES), &[]), Rule::Later, || json!("enforce")),
];

static ANCHOR: Field = later("anchor");

/// Any key of `[task_type]`: a type of task and its limit in tokens.
static TASK_TYPE: Field = field("task_type", Kind::Whole(MOST), Rule::Lower, || Value::Null);

/// The limit of the budget that is there without any configuration.
pub(super) const SESSION_LIMIT: u64 = 1_000_000;

/// Limits in tokens of declared task types.
pub(super) const TASK_TYPES: [(&str, u64); 6] = [
    ("planning", 50_000),
    ("implement", 100_000),
    ("review", 60_000),
    ("test", 80_000),
    ("debug", 100_000),
    ("docs", 40_000),
];

/// The key of this path, outside of budgets.
pub(super) fn setting(path: &str) -> Option<&'static Field> {
    match path.strip_prefix("task_type.") {
        Some(name) => Kind::Name.parse(&super::value::Raw::Text(name.into())).ok().map(|_| &TASK_TYPE),
        None => SETTINGS.iter().find(|field| field.name == path),
    }
}

/// The key of a budget of this name.
pub(super) fn of_budget(name: &str) -> Option<&'static Field> {
    BUDGET.iter().chain([&ANCHOR]).find(|field| field.name == name)
}

/// The names of keys that this version takes.
pub(super) fn supported(fields: &[Field]) -> impl Iterator<Item = &'static str> + '_ {
    fields.iter().filter(|field| field.kind != Kind::Later).map(|field| field.name)
}

/// What a message about an unknown key says: the nearest known one, if near, and all that there are.
pub(super) fn unknown(what: &str, key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|name| (levenshtein(key, name), name)).filter(|(d, _)| *d <= 2).min();
    let hint = near.map(|(_, name)| format!("did you mean {name}? ")).unwrap_or_default();
    format!("{what}; {hint}allowed: {}", known.join(", "))
}
