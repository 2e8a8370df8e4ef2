//! The exact text of every refusal: file, line, key, what is allowed, what was found.

use super::{Case, USER};
use crate::config::Source;

/// The refusals for a budget `b` with `limit = 10` in line 3 and `line` in line 4.
fn of_budget(line: &str) -> Vec<String> {
    Case::user(&format!("[[budget]]\nname = \"b\"\nlimit = 10\n{line}\n")).refusals()
}

fn at(line: usize, rest: &str) -> Vec<String> {
    vec![format!("{USER}:{line}: {rest}")]
}

#[test]
fn addresses_of_redis() {
    let of = |url: &str| Case::user(&format!("store.redis_url = \"{url}\"")).refusals();
    assert_eq!(of("rediss://fusebox@redis.example.com:6380/0"), [""; 0]);
    let [secret] = &of("redis://u:hush@h")[..] else { panic!("refused") };
    assert!(secret.contains("store.redis_password_file") && !secret.contains("hush"), "{secret}");
    assert_eq!(of("http://h").len(), 1);
}

#[test]
fn budgets_without_an_end_on_a_shared_store() {
    let store = "[store]\nredis_url = \"redis://localhost\"\n";
    let budget = |more: &str| format!("{store}[[budget]]\nname = \"b\"\nlimit = 10\n{more}\n");
    let refused = "budget.b.window: must be one of day, week, month, or minutes or hours such as 10m or 5h, with \
                   store.redis_url, unless the scope is session";
    for more in ["scope = \"user\"", "scope = \"user\"\nwindow = \"lifetime\""] {
        assert_eq!(Case::user(&budget(more)).refusals(), [format!("{USER}: {refused}")], "{more}");
    }
    for more in ["", "window = \"day\"", "scope = \"user\"\nwindow = \"month\""] {
        assert_eq!(Case::user(&budget(more)).refusals(), [""; 0], "{more}");
    }
}

#[test]
fn values_of_a_budget() {
    const UNITS: &str = "must be a whole number from 0 to 9007199254740991";
    const AMOUNTS: &str =
        "must be a whole number from 0 to 9007199254740991, or have decimals if the unit is usd or percent";
    const FRACTIONS: &str = "must be a list of at most 32 numbers from 0 to 1";
    const CLASSES: &str = "must be a list of one or more of input, output, cache_write, cache_read";
    let cases = [
        ("hard_limit = -5", format!("hard_limit: {UNITS} (found -5)")),
        (
            "hard_limit = 1.5",
            "hard_limit: must be a whole number, because the unit is not usd or percent (found 1.5)".into(),
        ),
        ("hard_limit = \"many\"", format!("hard_limit: {AMOUNTS} (found \"many\")")),
        ("hard_limit = 9007199254740992", format!("hard_limit: {UNITS} (found 9007199254740992)")),
        ("hard_limit = 2026-01-01", format!("hard_limit: {AMOUNTS} (found 2026-01-01)")),
        ("hard_limit = 9", "hard_limit: must be at least the limit, 10 (found 9)".into()),
        ("thresholds = [0.5, 1.5]", format!("thresholds: {FRACTIONS} (found 1.5)")),
        ("thresholds = [-0.1]", format!("thresholds: {FRACTIONS} (found -0.1)")),
        ("thresholds = [nan]", format!("thresholds: {FRACTIONS} (found NaN)")),
        ("thresholds = [\"half\"]", format!("thresholds: {FRACTIONS} (found \"half\")")),
        ("thresholds = 0.5", format!("thresholds: {FRACTIONS} (found 0.5)")),
        ("timezone = \"Mars/Base\"", zone("\"Mars/Base\"")),
        ("timezone = 2", zone("2")),
        (
            "window = \"year\"",
            "window: must be one of lifetime, 5h, day, week, month, plan_5h, plan_week, or minutes or hours from 1m to 24h, \
             such as 10m (found \"year\")"
                .into(),
        ),
        ("on_limit = \"Stop\"", "on_limit: must be one of warn, pause, stop (found \"Stop\")".into()),
        ("mode = true", "mode: must be one of shadow, enforce (found true)".into()),
        ("store_down = \"x\"", "store_down: must be one of allow, local, deny (found \"x\")".into()),
        ("wrap_up = 1001", "wrap_up: must be a whole number from 0 to 1000 (found 1001)".into()),
        ("enabled = 1", "enabled: must be true or false (found 1)".into()),
        ("match = \"\"", "match: must be a string of 1 to 200 characters on one line (found \"\")".into()),
        ("match = {}", "match: must be a string of 1 to 200 characters on one line (found a table)".into()),
        ("count = []", format!("count: {CLASSES} (found an empty list)")),
        ("count = [\"input\", \"thought\"]", format!("count: {CLASSES} (found \"thought\")")),
        (
            "scope = \"task\"",
            "scope: \"task\" is not supported yet; must be one of session, project, user, team, \
             model, agent_type, task_type, platform, chain"
                .into(),
        ),
        ("unit = \"percents\"", "unit: must be one of tokens, requests, tool_calls, usd, percent (found \"percents\")".into()),
        (
            "unit = \"percent\"",
            "unit: \"percent\" needs window = \"plan_5h\" or window = \"plan_week\"".into(),
        ),
        ("window = \"plan_week\"", "window: \"plan_week\" needs unit = \"percent\"".into()),
        (
            "anchor = \"plan\"",
            "anchor: is not a key: for the windows of a subscription, write window = \"plan_5h\" or \"plan_week\", with \
             unit = \"percent\""
                .into(),
        ),
    ];
    for (line, message) in cases {
        assert_eq!(of_budget(line), at(4, &format!("budget.b.{message}")), "{line}");
    }
}

fn zone(found: &str) -> String {
    format!("timezone: must be an IANA time zone such as UTC or Europe/Berlin (found {found})")
}

#[test]
fn values_outside_of_budgets() {
    let name = "must be a name of 1 to 64 letters, digits, \"-\", \"_\" and \".\"";
    let words = "must be a list of strings: a command and its arguments, or empty for none";
    let cases = [
        ("\nenabled = \"yes\"", 2, "enabled: must be true or false (found \"yes\")".into()),
        ("[store]\ntenant = \"{a}\"", 2, format!("store.tenant: {name} (found \"{{a}}\")")),
        ("store.team = \"\"", 1, format!("store.team: {name} (found \"\")")),
        ("store = 1", 1, "store: must be a table, [store] (found 1)".into()),
        ("[[store]]", 1, "store: must be a table, [store] (found a list)".into()),
        ("prompt_line = 1", 1, "prompt_line: must be one of always, past_threshold, never (found 1)".into()),
        ("[alerts]\ncommand = \"say\"", 2, format!("alerts.command: {words} (found \"say\")")),
        ("[alerts]\ncommand = [1]", 2, format!("alerts.command: {words} (found 1)")),
        ("[alerts]\ncommand = [\"\"]", 2, format!("alerts.command: {words} (found \"\")")),
        (
            "[task_type]\n\nplanning = -1",
            3,
            "task_type.planning: must be a whole number from 0 to 9007199254740991 (found -1)".into(),
        ),
        (
            "[breaker]\nmax_repeats = 0",
            2,
            "breaker.max_repeats: must be a whole number from 1 to 1000000, or \"off\" (found 0)".into(),
        ),
        ("breaker.preset = \"lax\"", 1, "breaker.preset: must be one of relaxed, standard, strict (found \"lax\")".into()),
        (
            "[throttle]\nmax_concurrency = 4",
            2,
            "throttle.max_concurrency: needs throttle.hard_limit_tokens, which has no default: without it nothing is throttled"
                .into(),
        ),
    ];
    for (text, line, message) in cases {
        assert_eq!(Case::user(text).refusals(), at(line, &message), "{text}");
    }
}

#[test]
fn numbers_of_the_breaker() {
    let off = Case::user("[breaker]\nmax_cycles = \"off\"\nmax_repeats = 7\ncooldown_seconds = 60\n")
        .good()
        .config
        .breaker;
    assert_eq!(
        (off.limits.get("cycle"), off.limits.get("same_call"), off.cooldown),
        (None, Some(7), Some(60))
    );
    assert_eq!(Case::new().good().config.breaker, crate::domain::breaker::policy::Policy::default());
    let strict = Case::new().var("FUSEBOX_BREAKER_PRESET", "strict").good();
    assert_eq!(strict.value("breaker.max_iterations").0, serde_json::json!(50));
}

#[test]
fn unknown_keys_name_the_known_ones() {
    const KEYS: &str = "enabled, prompt_line, store.tenant, store.team, store.redis_url, store.redis_password_file, \
        store.redis_timeout_ms, alerts.command, throttle.hard_limit_tokens, \
         throttle.max_concurrency, throttle.max_depth, throttle.max_total, breaker.enabled, \
         breaker.preset, breaker.mode, breaker.max_repeats, breaker.max_cycles, \
         breaker.max_failures, breaker.max_recurrences, breaker.max_same_outcomes, \
         breaker.max_stuck, breaker.max_failing_storm, breaker.max_texts, breaker.max_polls, \
         breaker.max_iterations, breaker.tell_iterations, breaker.ignore_outcome, \
         breaker.wrap_up, breaker.cooldown_seconds, status_line.parts, status_line.color, prices.discount, \
         budget, rate, platform, task_type.<type>, \
         prices.<model>.<key>";
    let cases = [
        ("enabeld = true", format!("enabeld: unknown key; did you mean enabled? allowed: {KEYS}")),
        ("[stores]\ntenant = \"a\"", format!("stores: unknown key; allowed: {KEYS}")),
        ("prompt_lime = 1", format!("prompt_lime: unknown key; did you mean prompt_line? allowed: {KEYS}")),
        ("task_type.\"a b\" = 1", format!("task_type.a b: unknown key; allowed: {KEYS}")),
        ("\"a\\nb\" = 1", format!("a\\nb: unknown key; allowed: {KEYS}")),
    ];
    for (text, message) in cases {
        assert_eq!(Case::user(text).refusals(), at(1, &message));
    }
    let known = "name, enabled, scope, per, match, unit, count, limit, hard_limit, window, timezone, thresholds, \
                 on_limit, wrap_up, store_down, mode";
    let message = format!("budget.b.hardlimit: unknown key; did you mean hard_limit? allowed: {known}");
    assert_eq!(of_budget("hardlimit = 20"), at(4, &message));
}

#[test]
fn budgets_without_what_they_need() {
    let name = "must be a name of 1 to 64 letters, digits, \"-\", \"_\" and \".\"";
    let cases = [
        ("\n[[budget]]\nlimit = 5", 2, "budget.name: is required: each [[budget]] must have a name".into()),
        ("[[budget]]\nlimit = 5\nname = \"\"", 3, format!("budget.name: {name} (found \"\")")),
        ("[[budget]]\nname = \"a b\"", 2, format!("budget.name: {name} (found \"a b\")")),
        ("[[budget]]\nname = 3", 2, format!("budget.name: {name} (found 3)")),
        (
            "[[budget]]\nname = \"a\"\nlimit = 1\n[[budget]]\nname = \"a\"\nlimit = 2",
            5,
            "budget.name: must be unique in a file (found \"a\" again)".into(),
        ),
        (
            "[[budget]]\nname = \"a\"\nwrap_up = 2",
            2,
            "budget.a.limit: is required for a new budget: must be a whole number from 0 to 9007199254740991"
                .into(),
        ),
        ("\n[budget.session]\nlimit = 1", 2, "budget: must be written as [[budget]], with a name".into()),
        ("budget = [1]", 1, "budget: must be a table with a name".into()),
    ];
    for (text, line, message) in cases {
        assert_eq!(Case::user(text).refusals(), at(line, &message), "{text}");
    }
    let bad = Case::user("[[budget]]\nname = \"a\"\nlimit = -1").refusals();
    assert_eq!(bad, at(3, "budget.a.limit: must be a whole number from 0 to 9007199254740991 (found -1)"));
}

/// The default limits are numbers of tokens.
#[test]
fn units_without_a_limit() {
    const DOLLARS: &str = "must be dollars from 0 to 9,000,000, such as 5.00";
    for (unit, allowed) in [
        ("usd", DOLLARS),
        ("requests", "must be a whole number from 0 to 9007199254740991"),
        ("tool_calls", "must be a whole number from 0 to 9007199254740991"),
    ] {
        let case = Case::user(&format!("[[budget]]\nname = \"session\"\nunit = \"{unit}\"\n"));
        let message = format!("budget.session.limit: is required, because the unit is {unit}: {allowed}");
        assert_eq!(case.refusals(), [format!("{USER}: {message}")]);
        assert_eq!(case.load().config, Case::new().good().config);
        // Another layer may set it.
        let limited = case.var("FUSEBOX_BUDGET_SESSION_LIMIT", "5").good();
        assert_ne!(limited.config, Case::new().good().config);
    }
    let task = "[[budget]]\nname = \"task\"\nunit = \"usd\"\n";
    Case::user(task).good();
    let declared = Case::user(task).var("FUSEBOX_TASK_TYPE", "planning");
    let message = format!("{USER}: budget.task.limit: is required, because the unit is usd: {DOLLARS}");
    assert_eq!(declared.refusals(), [message]);
    assert_eq!(declared.load().budget("task").limit, 50_000);
    for (line, found) in
        [("limit = -5", "-5"), ("hard_limit = \"x\"", "\"x\""), ("limit = 9000001", "9000001")]
    {
        let key = line.split(' ').next().unwrap();
        let text = format!("[[budget]]\nname = \"session\"\nunit = \"usd\"\n{line}\n");
        let message = format!("budget.session.{key}: {DOLLARS} (found {found})");
        assert_eq!(Case::user(&text).refusals()[..1], at(4, &message));
    }
}

#[test]
fn a_limit_above_the_hard_limit_of_an_earlier_layer() {
    let case = Case::user("[[budget]]\nname = \"session\"\nhard_limit = 2_000_000\n")
        .var("FUSEBOX_BUDGET_SESSION_LIMIT", "3000000");
    let message = "FUSEBOX_BUDGET_SESSION_LIMIT: budget.session.limit: must be at most the hard_limit, 2000000 \
                   (found 3000000)";
    assert_eq!(case.refusals(), [message]);
    assert_eq!(case.load().budget("session").limit, 1_000_000);
    let both = Case::user("[[budget]]\nname = \"session\"\nlimit = 3_000_000\nhard_limit = -1\n")
        .managed("[[budget]]\nname = \"session\"\nhard_limit = 2_000_000\n");
    let refusals = both.refusals();
    assert!(refusals[0].ends_with("(found -1)"), "{refusals:?}");
    assert_eq!(
        refusals[1..],
        at(3, "budget.session.limit: must be at most the hard_limit, 2000000 (found 3000000)")
    );
    let lower = Case::user("\n\n[[budget]]\nname = \"session\"\nhard_limit = 5\n");
    let message = "budget.session.hard_limit: must be at least the limit, 1000000 (found 5)";
    assert_eq!(lower.refusals(), at(5, message));
}

#[test]
fn too_many_budgets() {
    let one = |i| format!("[[budget]]\nname = \"b{i}\"\nlimit = 1\n");
    let text: String = (0..63).map(one).collect();
    let message = "budget.name: must not add to 64 budgets, the maximum";
    assert_eq!(Case::user(&text).refusals(), at(62 * 3 + 2, message));
}

#[test]
fn text_that_is_no_toml() {
    let cases = [
        ("a = [1,\nb = 2", 2, "unexpected `=` in array"),
        ("enabled = true\nenabled = true", 2, "duplicate key"),
        ("\n\n= 3", 3, "unquoted keys cannot be empty"),
    ];
    for (text, line, message) in cases {
        let refusals = Case::user(text).refusals();
        let start = format!("{USER}:{line}: is not valid TOML: {message}");
        assert!(refusals.len() == 1 && refusals[0].starts_with(&start), "{refusals:?}");
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert_eq!(Case::user(&deep).refusals().len(), 1);
}

#[test]
fn files_that_cannot_be_read() {
    let case = Case::new();
    case.write(USER, b"enabled = \"\xff\"");
    assert_eq!(case.refusals(), [format!("{USER}: is not UTF-8")]);
    let large = Case::user(&"# comment\n".repeat(20_000));
    assert_eq!(large.refusals(), [format!("{USER}: is too large: must be at most 131072 bytes")]);
    let folder = Case::new().with(&format!("{USER}/file"), "");
    assert_eq!(folder.refusals(), [format!("{USER}: cannot be read: must be a regular file")]);
    assert!(!folder.load().is_usable());
    let named = Case::new().var("FUSEBOX_CONFIG", "gone.toml");
    assert_eq!(named.refusals(), ["FUSEBOX_CONFIG: must name an existing file (found \"~/gone.toml\")"]);
    Case::new().var("FUSEBOX_CONFIG", "/dev/null").good();
}

#[test]
fn variables() {
    let refused = |name: &str, value: &str| Case::new().var(name, value).refusals().join("\n");
    assert_eq!(
        refused("FUSEBOX_ENABLED", "yes"),
        "FUSEBOX_ENABLED: enabled: must be true or false (found \"yes\")"
    );
    assert_eq!(
        refused("FUSEBOX_BUDGET_SESSION_LIMIT", "-5"),
        "FUSEBOX_BUDGET_SESSION_LIMIT: budget.session.limit: must be a whole number from 0 to 9007199254740991 \
         (found \"-5\")"
    );
    assert_eq!(
        refused("FUSEBOX_BUDGET_SESSION_THRESHOLDS", "0.5,,1"),
        "FUSEBOX_BUDGET_SESSION_THRESHOLDS: budget.session.thresholds: must be a list of at most 32 numbers from 0 \
         to 1 (found \"\")"
    );
    assert_eq!(
        refused("FUSEBOX_ENABLE", "1"),
        "FUSEBOX_ENABLE: unknown variable; did you mean FUSEBOX_ENABLED? allowed: FUSEBOX_ENABLED, \
         FUSEBOX_PROMPT_LINE, FUSEBOX_STORE_TENANT, FUSEBOX_STORE_TEAM, FUSEBOX_STORE_REDIS_URL, \
         FUSEBOX_STORE_REDIS_PASSWORD_FILE, FUSEBOX_STORE_REDIS_TIMEOUT_MS, FUSEBOX_ALERTS_COMMAND, \
         FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS, FUSEBOX_THROTTLE_MAX_CONCURRENCY, \
         FUSEBOX_THROTTLE_MAX_DEPTH, FUSEBOX_THROTTLE_MAX_TOTAL, FUSEBOX_BREAKER_ENABLED, \
         FUSEBOX_BREAKER_PRESET, FUSEBOX_BREAKER_MODE, FUSEBOX_BREAKER_MAX_REPEATS, \
         FUSEBOX_BREAKER_MAX_CYCLES, FUSEBOX_BREAKER_MAX_FAILURES, FUSEBOX_BREAKER_MAX_RECURRENCES, \
         FUSEBOX_BREAKER_MAX_SAME_OUTCOMES, FUSEBOX_BREAKER_MAX_STUCK, \
         FUSEBOX_BREAKER_MAX_FAILING_STORM, FUSEBOX_BREAKER_MAX_TEXTS, FUSEBOX_BREAKER_MAX_POLLS, \
         FUSEBOX_BREAKER_MAX_ITERATIONS, FUSEBOX_BREAKER_TELL_ITERATIONS, \
         FUSEBOX_BREAKER_IGNORE_OUTCOME, FUSEBOX_BREAKER_WRAP_UP, FUSEBOX_BREAKER_COOLDOWN_SECONDS, FUSEBOX_STATUS_LINE_PARTS, \
         FUSEBOX_STATUS_LINE_COLOR, FUSEBOX_PRICES_DISCOUNT, \
         FUSEBOX_BUDGET_<NAME>_<KEY>, FUSEBOX_RATE_<NAME>_<KEY>, FUSEBOX_PLATFORM_<NAME>_<KEY>, FUSEBOX_TASK_TYPE_<TYPE>, FUSEBOX_CONFIG, FUSEBOX_STATE_DIR, \
         FUSEBOX_CACHE_DIR, FUSEBOX_USER, FUSEBOX_TASK_TYPE, FUSEBOX_TASK, FUSEBOX_CHAIN"
    );
    let keys = "ENABLED, SCOPE, PER, MATCH, UNIT, COUNT, LIMIT, HARD_LIMIT, WINDOW, TIMEZONE, THRESHOLDS, ON_LIMIT, \
                WRAP_UP, STORE_DOWN, MODE";
    for name in ["FUSEBOX_BUDGET_REPO_LIMIT", "FUSEBOX_BUDGET_SESSION_MOST", "FUSEBOX_BUDGET_SESSION_NAME"] {
        assert_eq!(
            refused(name, "1"),
            format!(
                "{name}: is not a key of a budget: must be FUSEBOX_BUDGET_<NAME>_<KEY> with one of the names SESSION, \
                 TASK and one of the keys {keys}"
            )
        );
    }
}

#[test]
fn unknown_task_types() {
    let case = Case::user("[task_type]\nspike = 1\n").var("FUSEBOX_TASK_TYPE", "party");
    let message = "FUSEBOX_TASK_TYPE: must be one of debug, docs, implement, planning, review, spike, test, or have \
                   a limit in [task_type] (found \"party\")";
    assert_eq!(case.refusals(), [message]);
    assert_eq!(case.load().names(), ["session"]);
    assert_eq!(case.load().config.task_type.as_deref(), Some("party"));
    assert_eq!(Case::new().var("FUSEBOX_TASK_TYPE", "a b").refusals().len(), 1);
}

#[test]
fn what_is_right_holds_although_something_is_wrong() {
    let case = Case::user("enabled = 3\n[[budget]]\nname = \"session\"\nlimit = 7\nwrap_up = -1\n");
    let loaded = case.load();
    assert!(!loaded.is_usable());
    assert_eq!((loaded.config.enabled, loaded.budget("session").limit), (true, 7));
    assert_eq!(loaded.problems.len(), 2);
    assert_eq!((loaded.problems[0].line, loaded.problems[1].line), (Some(1), Some(5)));
    assert_eq!(loaded.problems[1].source, Source::User(USER.into()));
}

#[test]
fn found_text_is_quoted_on_one_line_and_cut() {
    let refusals = of_budget(&format!("mode = \"a\\u001b[31m\\n{}\"", "x".repeat(500)));
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].contains("(found \"a\\u{1b}[31m\\nxxx"), "{refusals:?}");
    assert!(refusals[0].len() < 200);
}
