//! Fills a store and the ledger with sessions that have ended, and a few live ones.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use fusebox::agents::claude::tools;
use fusebox::app::open_store::StoreLocation;
use fusebox::config;
use fusebox::domain::breaker::circuit::{CircuitInput, NamedCall};
use fusebox::domain::breaker::policy::Policy;
use fusebox::domain::budget::{Budget, Scope};
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::platform::Env;
use fusebox::prices::Prices;
use fusebox::store::{AgentObservation, Batch, BudgetKey, Session, Store};
use fusebox::transcript::Fact;
use serde_json::json;

use crate::home::Home;

const MODELS: [&str; 4] = [
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-1-20250805",
];

/// One session in this many is live.
const LIVE: usize = 100;

/// The days over which sessions are spread.
const DAYS: i64 = 90;

/// What is in the store.
pub struct Filled {
    /// The ids of the sessions.
    pub sessions: Vec<String>,
}

/// Fills the store of a home, and its ledger.
pub fn fill(home: &Home, bin: &Path, sessions: usize, messages: usize) -> Filled {
    let env = environment(home);
    let config = config::load(&env, None).config;
    let mut store = StoreLocation::new(&config).open(&env, None).unwrap().0;
    store.connect().unwrap();
    let budgets: Vec<Budget> =
        config.budgets.iter().map(|budget| Budget { limit: 2_000, ..budget.clone() }).collect();
    let mut ids = Vec::new();
    for number in 0..sessions {
        let id = format!("5e551000-0000-4000-8000-{number:012}");
        let each = messages / sessions;
        let began = env.now.plus_millis(-(number as i64) * DAYS * 86_400_000 / sessions as i64);
        record(&mut *store, &budgets, &id, number, each, began);
        write_transcript(home, &id, number, each, began);
        ids.push(id);
    }
    let mut import = Command::new(bin.join("fusebox"));
    import.env_clear().envs(home.variables()).current_dir(&home.project).arg("import");
    let done = import.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(done.success(), "fusebox import: {done}");
    Filled { sessions: ids }
}

fn environment(home: &Home) -> Env {
    let variables = home.variables().into_iter().filter(|(name, _)| !name.starts_with("CLAUDE"));
    let vars = variables.map(|(name, value)| (name.to_owned(), value.to_string_lossy().into_owned()));
    // Many messages in one step take longer than one.
    let vars = vars.chain([("FUSEBOX_STORE_REDIS_TIMEOUT_MS".to_owned(), "1000".to_owned())]);
    Env { vars: vars.collect(), cwd: home.project.clone(), ..Env::from_process() }
}

/// Records a session: its messages in one step, then a few calls of its agent.
fn record(
    store: &mut dyn Store,
    budgets: &[Budget],
    id: &str,
    number: usize,
    messages: usize,
    began: Timestamp,
) {
    let user = format!("user{}", number % 40);
    let session = Session {
        id: id.to_owned(),
        project: format!("/home/{user}/project{}", number % 200),
        user: user.clone(),
        ..Session::default()
    };
    let facts: Vec<Fact> = (0..messages).map(|n| Fact::Message(message(id, number, n, began))).collect();
    let value = |budget: &Budget| if budget.scope == Scope::Session { id.to_owned() } else { user.clone() };
    let keys: Vec<BudgetKey> =
        budgets.iter().map(|budget| BudgetKey { budget: budget.clone(), value: value(budget) }).collect();
    let policy = Policy { enabled: true, ..Policy::default() };
    let calls: Vec<NamedCall> = (0..3)
        .map(|n| {
            let input = json!({"command": format!("step {} of {id}", n / 2)});
            let call = tools::finished_call(n, "Bash", &input, "the same", Some(false), "");
            NamedCall { call, tool: "Bash".into() }
        })
        .collect();
    let prices = Prices::default();
    let batch = Batch {
        session: &session,
        facts: &facts,
        budgets: &keys,
        alert: number.is_multiple_of(4),
        claim: false,
        seen: began,
        observation: Some(AgentObservation {
            agent: "",
            calls: Some((&policy, CircuitInput::CallsEnded(&calls), 0)),
            prompt: None,
            slots: None,
        }),
        now: began,
        prices: &prices,
    };
    store.apply(&batch).unwrap();
    if !number.is_multiple_of(LIVE) {
        store.touch_session(&session, began, true).unwrap();
    }
}

fn message(id: &str, number: usize, n: usize, began: Timestamp) -> Message {
    let key = MessageKey::from_parts(&["message", id, &n.to_string()]);
    let recorded = Usage { input: 10, output: 20, cache_read: 20_000, ..Usage::default() };
    Message {
        model: MODELS[(number + n) % MODELS.len()].into(),
        recorded,
        stopped: true,
        ..Message::new(key, UsageSource::Response, began.plus_millis(n as i64 * 1000))
    }
}

/// The same messages as the client would have written them.
fn write_transcript(home: &Home, id: &str, number: usize, messages: usize, began: Timestamp) {
    let folder = home.path(&format!(".claude/projects/-project{}", number % 200));
    fs::create_dir_all(&folder).unwrap();
    let mut file = BufWriter::new(File::create(folder.join(format!("{id}.jsonl"))).unwrap());
    for n in 0..messages {
        let line = json!({"type": "assistant", "sessionId": id, "requestId": format!("req_{number}_{n}"),
            "timestamp": began.plus_millis(n as i64 * 1000).to_rfc3339(), "cwd": "/home/user/project",
            "uuid": format!("{number:08x}-0000-4000-8000-{n:012x}"), "version": "2.1.330", "gitBranch": "main",
            "message": {"id": format!("msg_{number}_{n}"), "type": "message", "role": "assistant",
                "model": MODELS[(number + n) % MODELS.len()], "content": [], "stop_reason": "end_turn",
                "usage": {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 20_000,
                    "cache_creation_input_tokens": 0}}});
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}
