//! A fictitious agent, as different from Claude Code as possible: events are lines of `name=value`, answers are words,
//! a transcript is a table, and the shell is called `sh`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox::agents::answer::{Answer, Decision, Reply};
use fusebox::agents::capability::Capabilities;
use fusebox::agents::event::{EventKind, EventSource, FinishedCall, HookEvent, ToolRequest, call_id};
use fusebox::agents::hook::Hook;
use fusebox::agents::tool::ToolTarget;
use fusebox::agents::{Agent, InvalidPayload, ParsedEvent};
use fusebox::domain::breaker::action::{Action, InputComparison};
use fusebox::domain::breaker::call::Call;
use fusebox::domain::breaker::circuit::NamedCall;
use fusebox::domain::breaker::effect::CallEffect;
use fusebox::domain::breaker::outcome::{Outcome, ResultContent};
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::protection::Client;
use fusebox::domain::time::Timestamp;
use fusebox::platform::Env;
use fusebox::platform::process::Process;
use fusebox::transcript::cursor::Position;
use fusebox::transcript::{AgentNote, Fact, FoundCall, Speaker, TranscriptFile, Transcripts, tool_hash};
use serde_json::json;

/// The agent.
pub struct Otto;

static CLIENT: Client = Client {
    program: "otto",
    package_paths: &["@otto/otto"],
    version_paths: &[],
    harmless_variables: "OTTO_MODEL",
    variable_prefixes: &["FUSEBOX_", "OTTO_"],
    harmless_options: "model",
    harmless_letters: "p",
    commands: "list",
    sources_option: ("--from", "home"),
    settings_option: "--with",
    hooks_off_setting: "no_hooks",
    settings_folder: ".otto",
    settings_file: "otto.ini",
    managed_file: "managed.ini",
    variable_prefix: "OTTO",
};

impl Agent for Otto {
    fn name(&self) -> &'static str {
        "Otto"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { transcripts: true, asks_before_tools: true, ..Capabilities::default() }
    }

    fn registered_hooks(&self) -> &'static [(&'static str, Hook)] {
        &[("asks", Hook::PreToolUse), ("did", Hook::PostToolUse)]
    }

    fn parse_event<'p>(
        &self,
        hook: Hook,
        input: &'p str,
        _now: Timestamp,
    ) -> Result<Option<ParsedEvent<'p>>, InvalidPayload> {
        let fields: BTreeMap<&str, &str> = input.lines().filter_map(|line| line.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied();
        let (name, session) = field("otto").zip(field("session")).ok_or(InvalidPayload)?;
        let source = EventSource {
            client: &Otto,
            session: session.to_owned(),
            transcript: field("table").map(PathBuf::from),
            cwd: field("in").map(PathBuf::from),
            ..EventSource::default()
        };
        let tool = field("tool").unwrap_or_default();
        let line = field("line").unwrap_or_default();
        let kind = match name {
            "asks" => EventKind::BeforeTool(ToolRequest {
                id: field("call").map(str::to_owned),
                tool: tool.to_owned(),
                input: Some(line.into()),
                ..ToolRequest::default()
            }),
            "did" => {
                let result = field("result").unwrap_or_default();
                let action = Action {
                    effect: CallEffect::from_command(line),
                    relevant_input: json!(line),
                    comparison: InputComparison::Command,
                };
                let outcome = Outcome::new(result, ResultContent::Something, field("code") != Some("0"), "");
                let id = call_id(field("call").unwrap_or_default());
                let call = Call::new(id, tool, &json!(line), &action, outcome);
                let named = NamedCall { call, tool: tool.to_owned() };
                EventKind::AfterTool {
                    call: Some(FinishedCall { named, excerpt: line.to_owned() }),
                    slot: None,
                }
            }
            _ => return Ok(None),
        };
        let event = HookEvent { source, kind };
        Ok(hook.handles(&event.kind).then(|| ParsedEvent { name: name.to_owned(), event }))
    }

    fn reply(&self, _event: &str, answer: Answer) -> Reply {
        let word = match answer.decision {
            Decision::Allow => String::new(),
            Decision::Deny { reason } => format!("NO {reason}\n"),
            Decision::Stop { for_agent, .. } => format!("STOP {for_agent}\n"),
            Decision::Block { reason } | Decision::Reply { text: reason } => format!("WAIT {reason}\n"),
        };
        let hints: String = answer.context.iter().map(|line| format!("HINT {line}\n")).collect();
        Reply { stdout: (word + &hints).into_bytes(), ..Reply::default() }
    }

    fn tool_target(&self, tool: &str, input: &str) -> ToolTarget {
        if tool == "sh" { ToolTarget::Command(input.to_owned()) } else { ToolTarget::Unknown }
    }

    fn transcripts(&self) -> Option<&'static dyn Transcripts> {
        Some(&Table)
    }

    fn protected_client(&self) -> &'static Client {
        &CLIENT
    }

    fn settings_paths(&self, env: &Env, _projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>) {
        (Vec::new(), env.home().map(|home| home.join(".otto/otto.ini")).into_iter().collect())
    }

    fn project_dir(&self, env: &Env) -> Option<PathBuf> {
        env.path_var("OTTO_PROJECT")
    }

    fn calling_process<'a>(&self, _env: &Env, ancestors: &'a [Process]) -> Option<&'a Process> {
        ancestors.first()
    }
}

/// A table with one response per row: number, model, call, and tokens in and out.
struct Table;

impl Transcripts for Table {
    fn all(&self, _env: &Env) -> Vec<(String, PathBuf)> {
        Vec::new()
    }

    fn owns(&self, transcript: &Path) -> bool {
        transcript.extension().is_some_and(|extension| extension == "tsv")
    }

    fn find(&self, _env: &Env, _session: &str) -> Option<PathBuf> {
        None
    }

    fn facts(&self, line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>) {
        let text = String::from_utf8_lossy(line);
        let cells: Vec<&str> = text.split('\t').collect();
        let [number, model, call, input, output] = cells[..] else { return };
        let mut message = Message::new(MessageKey::from_parts(&["otto", number]), UsageSource::Response, now);
        message.agent_type = "main".into();
        message.model = model.to_owned();
        message.recorded.input = input.parse().unwrap_or(0);
        message.recorded.output = output.parse().unwrap_or(0);
        message.stopped = true;
        message.tools.insert(tool_hash(call));
        position.note_tools([tool_hash(call)]);
        out.push(Fact::Message(message));
    }

    fn files(&self, transcript: &Path) -> Vec<TranscriptFile> {
        vec![TranscriptFile { path: transcript.to_owned(), agent: None }]
    }

    fn agent_file(&self, _transcript: &Path, _agent: &str) -> Option<TranscriptFile> {
        None
    }

    fn agent_note(&self, _file: &TranscriptFile) -> Option<AgentNote> {
        None
    }

    fn working_folder(&self, _transcript: &Path) -> Option<PathBuf> {
        None
    }

    fn find_call(&self, _file: &Path, _id: &str) -> Option<FoundCall> {
        None
    }

    fn speaker(&self, _line: &[u8]) -> Option<Speaker> {
        None
    }
}
