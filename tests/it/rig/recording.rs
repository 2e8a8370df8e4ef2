//! Recordings of real clients: their hook calls in order, with the transcripts at that time.
//!
//! A test with a real client (`tests/record`) makes a recording, which most runs of that test use instead of the
//! client. Only the client is played back: the hooks, the store and the commands are real.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox::platform::clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::Served;

/// Placeholder for the client's temporary folder.
const ROOT: &str = "@ROOT@";

/// Placeholder for that folder in the name of a transcript folder.
const ENCODED_ROOT: &str = "@ENCODED-ROOT@";

/// Placeholder for the folder of this repository.
const REPOSITORY: &str = "@REPOSITORY@";

/// Bytes above which parts of messages are shortened.
const LONG: usize = 200;

/// Characters that are kept of those.
const BEGINNING: usize = 130;

/// Bytes above which parts of the client's own lines are left out.
const SHORT: usize = 60;

/// One moment of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Moment {
    /// The test started another API, so another client follows.
    Client,
    /// The client called a hook.
    Hook(HookCall),
    /// The test waited for something, which happened.
    Mark(Mark),
}

/// A call of a hook.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct HookCall {
    /// The executable's name.
    pub hook: String,
    /// When it was called, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The client's variables; `None`: the same as for the previous call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// The working directory.
    pub cwd: String,
    /// Standard input.
    pub stdin: String,
    /// Exit code.
    pub code: i32,
    /// Standard output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// Standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Changes of files since the previous moment, which the hook may have seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
}

/// What the test received after waiting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Mark {
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: i64,
    /// What it waited for.
    pub what: String,
    /// The result of a run in print mode: exit code, standard output, standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<(Option<i32>, String, String)>,
    /// The terminal's screen, or its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// The API calls that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Served>,
    /// Changes of files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
}

impl Mark {
    /// A mark for something that happened now.
    pub fn now(what: &str) -> Self {
        Self { at: clock().0, what: what.to_owned(), ..Self::default() }
    }
}

/// A change of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FileChange {
    /// Path relative to the temporary folder.
    pub path: String,
    /// Whether the text is appended; otherwise it replaces the content.
    pub appended: bool,
    /// The text.
    pub text: String,
}

/// Texts by path, relative to the temporary folder.
pub(super) type Files = BTreeMap<String, String>;

/// A client's recorded files: transcripts, the project, and output of other hooks in the home.
pub(super) fn client_files(root: &Path) -> Files {
    let mut files = Files::new();
    for folder in ["home/config/projects", "my project"] {
        read_folder(root, &root.join(folder), &mut files);
    }
    for entry in fs::read_dir(root.join("home")).into_iter().flatten().flatten() {
        read_file(root, &entry.path(), &mut files);
    }
    files
}

/// Reads all files of `folder`, with paths relative to `root`.
pub(super) fn read_folder(root: &Path, folder: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_folder(root, &path, files);
        } else {
            read_file(root, &path, files);
        }
    }
}

fn read_file(root: &Path, path: &Path, files: &mut Files) {
    let name = path.strip_prefix(root).ok().and_then(Path::to_str);
    if let (Some(name), Ok(text)) = (name, fs::read_to_string(path)) {
        let is_transcript = path.extension().is_some_and(|e| e == "jsonl");
        files.insert(name.to_owned(), if is_transcript { shorten_transcript(&text) } else { text });
    }
}

/// A transcript without the client's own prompts, tool descriptions and facts about the machine, which are not ours to keep.
/// In lines of these types, Fusebox reads short fields only.
fn shorten_transcript(text: &str) -> String {
    const TYPES: [&str; 5] = ["attachment", "api-request", "api-request-shape", "api-request-blob", "system"];
    let shortened = |line: &str| match serde_json::from_str::<Value>(line) {
        // A queued prompt is a person's, a task's or an agent's words.
        Ok(value) if value["attachment"]["type"] == "queued_command" => value.to_string(),
        Ok(value) if TYPES.iter().any(|t| value["type"] == *t) => shorten(value, 2, SHORT).to_string(),
        _ => line.to_owned(),
    };
    // The client writes whole lines; an incomplete one is recorded later.
    text.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(|l| shortened(l.trim_end()) + "\n").collect()
}

/// Replaces the parts of a value that have more than `most` bytes by their beginning, if text, and their size. Down to this
/// depth, the parts of an object are its fields.
fn shorten(value: Value, depth: usize, most: usize) -> Value {
    match value {
        Value::Object(fields) if depth > 0 => {
            fields.into_iter().map(|(name, value)| (name, shorten(value, depth - 1, most))).collect()
        }
        value => match value.to_string().len() {
            size if size > most => {
                let text = value.as_str().filter(|_| most > SHORT).unwrap_or_default();
                // First: of a path that is cut, a part would stay.
                let text = text.replace(env!("CARGO_MANIFEST_DIR"), REPOSITORY);
                format!("{} ({size} bytes)", text.chars().take(BEGINNING).collect::<String>()).into()
            }
            _ => value,
        },
    }
}

/// A message of a request without long parts, such as the client's reminders.
pub(super) fn shorten_message(text: &str) -> String {
    let Ok(mut message) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    match &mut message["content"] {
        Value::Array(blocks) => blocks.iter_mut().for_each(|block| *block = shorten(block.take(), 1, LONG)),
        content => *content = shorten(content.take(), 0, LONG),
    }
    message.to_string()
}

/// The output of a run, without the client's setup and the start of hooks.
pub(super) fn shorten_stdout(text: &str) -> String {
    let is_kept = |line: &&str| {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        value["subtype"] != "init" && value["subtype"] != "hook_started"
    };
    text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// The changes from `before` to `now`; `before` becomes `now`.
pub(super) fn changes(before: &mut Files, now: Files) -> Vec<FileChange> {
    let mut changes = Vec::new();
    for (path, text) in now {
        let old = before.get(&path);
        // A snapshot can be older than that of a parallel hook that ended earlier: transcripts only grow.
        let is_older = old.is_some_and(|old| path.ends_with(".jsonl") && old.starts_with(&text));
        if is_older || old == Some(&text) {
            continue;
        }
        let added = old.and_then(|old| text.strip_prefix(old.as_str()));
        let change = FileChange {
            path: path.clone(),
            appended: added.is_some(),
            text: added.unwrap_or(&text).to_owned(),
        };
        changes.push(change);
        before.insert(path, text);
    }
    changes
}

/// Applies changes below `root`.
pub(super) fn apply(root: &Path, changes: &[FileChange]) {
    for change in changes {
        let path = root.join(&change.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make folder");
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).append(change.appended).truncate(!change.appended);
        let mut file = options.open(&path).expect("open a recorded file");
        std::io::Write::write_all(&mut file, change.text.as_bytes()).expect("write a recorded file");
    }
}

/// The recording of a test, by the test's full path (`paths::retried_errors::v2_1_330`).
pub(super) fn file(test: &str) -> PathBuf {
    let (name, version) = test.rsplit_once("::").expect("the path of a test");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(version);
    folder.join(format!("{}.jsonl", name.replace("::", ".")))
}

/// Reads a recording with one moment per line; `None` if there is none.
pub(super) fn load(test: &str) -> Option<Vec<Moment>> {
    let path = file(test);
    let text = fs::read_to_string(&path).ok()?;
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e} in {line:.200}", path.display()))
    };
    Some(text.lines().map(parse).collect())
}

/// Writes a recording.
pub(super) fn save(test: &str, moments: &[Moment]) {
    let path = file(test);
    fs::create_dir_all(path.parent().expect("a folder")).expect("make folder");
    let line = |moment| serde_json::to_string(moment).expect("JSON") + "\n";
    fs::write(&path, moments.iter().map(line).collect::<String>()).expect("write the recording");
}

/// The moment with placeholders instead of the folder.
pub(super) fn without_root(moment: &Moment, root: &Path) -> Moment {
    replace(
        moment,
        &[(&encoded(root), ENCODED_ROOT), (text(root), ROOT), (env!("CARGO_MANIFEST_DIR"), REPOSITORY)],
    )
}

/// The opposite of [`without_root`].
pub(super) fn with_root(moment: &Moment, root: &Path) -> Moment {
    replace(
        moment,
        &[(ENCODED_ROOT, &encoded(root)), (ROOT, text(root)), (REPOSITORY, env!("CARGO_MANIFEST_DIR"))],
    )
}

fn replace(moment: &Moment, pairs: &[(&str, &str)]) -> Moment {
    // Neither the folder's name nor the placeholders contain characters that JSON escapes.
    let json = serde_json::to_string(moment).expect("JSON");
    let json = pairs.iter().fold(json, |json, (from, to)| json.replace(from, to));
    serde_json::from_str(&json).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the temp folder's name is UTF-8")
}

/// The client's name for a project's transcript folder.
fn encoded(path: &Path) -> String {
    text(path).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
