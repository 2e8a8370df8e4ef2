//! A session as seen by one hook: the caller, the configuration, the session's cache and its store.

use std::collections::BTreeMap;
use std::path::Path;

use wildmatch::WildMatch;

use super::store_access::{StoreAccess, Unavailable};
use super::transcript_reader::{Awaited, Positions, ReadScope, TranscriptDelta, TranscriptReader};
use super::{plan, project, session_files};
use crate::agents;
use crate::agents::event::EventSource;
use crate::config::{self, Config, LoadedConfig, Stamp};
use crate::domain::budget::{Budget, BudgetState, Scope};
use crate::domain::verdict::Caller;
use crate::platform::Env;
use crate::store::cache_file::{CacheFile, LockedCache};
use crate::store::offline_counts::OfflineCounts;
use crate::store::session_cache::SessionCache;
use crate::store::shared_names::shared_value;
use crate::store::{BudgetKey, Session};
use crate::transcript::{AgentNote, Fact};

/// What to report besides the answer.
#[derive(Debug, Default)]
pub struct Notices {
    /// Harmless failures, for the journal.
    pub journal: Vec<String>,
    /// Warnings for the person.
    pub person: Vec<String>,
}

impl Notices {
    /// Turns a failure of the store into notices: the hook continues without the answer.
    pub fn log_failure<T>(&mut self, answer: Result<T, Unavailable>) -> Option<T> {
        answer
            .map_err(|error| {
                self.log(&error);
                self.warn_person(&error);
            })
            .ok()
    }

    /// Adds a failure of the store to the journal. A back-off is not logged, since its cause was.
    pub fn log(&mut self, error: &Unavailable) {
        if !matches!(error, Unavailable::BackingOff(_)) {
            self.journal.push(error.to_string());
        }
    }

    /// Tells the person about a damaged store.
    pub fn warn_person(&mut self, error: &Unavailable) {
        if let Unavailable::Damaged { outcome, .. } = error {
            self.person.push(outcome.clone());
        }
    }

    /// Moves the notices of another session, which this hook caught up on.
    pub fn append_from(&mut self, other: &mut SessionContext) {
        self.journal.extend(other.take_journal());
        self.person.extend(other.take_warnings());
    }
}

/// A session as seen by one hook.
pub struct SessionContext<'a> {
    /// The environment of the process.
    pub env: &'a Env,
    /// The source of the event.
    pub source: EventSource,
    /// The configuration in force.
    pub config: Config,
    /// The fingerprint of the configuration.
    pub stamp: Stamp,
    /// The session's cache as last read or written, and what this hook has learned since.
    pub cache: Box<SessionCache>,
    /// The file of the cache.
    pub cache_file: CacheFile,
    /// The store.
    pub store: StoreAccess<'a>,
    /// What to report besides the answer.
    pub notices: Notices,
}

impl<'a> SessionContext<'a> {
    /// The session of an event. Reads the cache, and the configuration if it changed.
    pub fn for_event(env: &'a Env, source: EventSource) -> Self {
        let file = CacheFile::for_session(&env.cache_dir(), &source.session);
        let mut cache = file.read().unwrap_or_default();
        let project = agents::project_dir(env, source.cwd.as_deref().unwrap_or(&env.cwd));
        let stamp = Stamp::current(env, Some(&project));
        let mut notices = Notices::default();
        let known = cache.config.clone().filter(|_| cache.stamp.as_ref() == Some(&stamp));
        let mut config = known.unwrap_or_else(|| {
            let loaded = config::load(env, Some(&project));
            usable_config(loaded, &stamp, &mut cache, &mut notices)
        });
        plan::look_up_for_session(&mut config, &cache, env);
        plan::update_states(&config, &mut cache, env.now);
        let store = StoreAccess::for_hook(env, &config, &file, cache.store_asleep_until);
        let mut ctx = Self { env, source, config, stamp, cache, cache_file: file, store, notices };
        // For a teammate, the event says its name.
        let noted = ctx.caller_note().and_then(|note| note.agent_type);
        ctx.source.agent_type = noted.or(ctx.source.agent_type);
        ctx
    }

    /// A session processed by another process: a command, or another session's hook. Uses the configuration of the
    /// session's own hooks, because this process has other variables and another project.
    pub fn for_session(env: &'a Env, session: &Session) -> Self {
        let file = CacheFile::for_session(&env.cache_dir(), &session.id);
        let mut cache = file.read().unwrap_or_default();
        if cache.session.id != session.id {
            cache.session = session.clone();
        }
        if cache.session.transcript.is_none() {
            // A shared store has no local paths.
            cache.session = session_files::with_local_paths(env, &cache.session);
        }
        let counted_with = cache.offline_counts.as_ref().and_then(|counted| counted.stamp);
        let (mut config, stamp) =
            cache.config.clone().zip(cache.stamp.or(counted_with)).unwrap_or_else(|| {
                let project = Path::new(&cache.session.project);
                (config::load(env, Some(project)).config, Stamp::current(env, Some(project)))
            });
        // The windows of another user's account are not known here.
        if session.user == env.user() {
            plan::look_up_for_session(&mut config, &cache, env);
        }
        let (id, transcript) = (session.id.clone(), cache.session.transcript.clone());
        let client = transcript.as_deref().map(agents::agent_of_transcript).unwrap_or_default();
        let source = EventSource { client, session: id, transcript, ..EventSource::default() };
        let store = StoreAccess::for_session(env, &config, &file, cache.store_asleep_until);
        let notices = Notices::default();
        Self { env, source, config, stamp, cache, cache_file: file, store, notices }
    }

    /// Uses another configuration from now on.
    pub fn with_config(mut self, config: Config) -> Self {
        self.store.switch_to(&config);
        self.config = config;
        self
    }

    /// Reads the session's transcripts.
    pub fn transcript_reader(&self) -> TranscriptReader<'_> {
        let known = self.cache.session.transcript.as_deref();
        let named = self.source.transcript.as_deref();
        let transcripts = [named, known.filter(|known| named != Some(known))];
        TranscriptReader { source: &self.source, transcripts, now: self.env.now }
    }

    /// Reads what is new in the session's transcripts, and logs unreadable files.
    pub fn read_new(
        &mut self,
        positions: Positions,
        scope: ReadScope,
        awaited: &Awaited,
        max_bytes: u64,
    ) -> TranscriptDelta {
        let mut delta = self.transcript_reader().read_new(positions, scope, awaited, max_bytes);
        self.notices.journal.append(&mut delta.problems);
        for fact in &mut delta.facts {
            if let Fact::Message(message) = fact {
                self.config.prices.price(message, None);
            }
        }
        delta
    }

    /// Locks the session's cache, to change what its hooks share.
    pub fn lock_cache(&self) -> LockedCache {
        self.cache_file.lock()
    }

    /// Writes a changed cache, and keeps a copy. Returns whether it was written. A failure is logged, and the changes
    /// are lost.
    pub fn save_cache(&mut self, mut locked: LockedCache) -> bool {
        locked.store_asleep_until = self.store.back_off_until();
        let (cache, written) = locked.save();
        self.cache = cache;
        plan::update_states(&self.config, &mut self.cache, self.env.now);
        match written {
            Ok(()) => true,
            Err(error) => {
                self.notices.journal.push(format!("session cache: {error}"));
                false
            }
        }
    }

    /// The budgets known without asking the store: from its last answer, or as counted locally while it is unreachable.
    pub fn known_states(&self) -> &[BudgetState] {
        self.counted_offline().map_or(&self.cache.states, |counted| &counted.states)
    }

    /// Local counts, while the store is in back-off.
    fn counted_offline(&self) -> Option<&OfflineCounts> {
        self.cache.offline_counts.as_ref().filter(|_| self.store.is_backing_off())
    }

    /// Whether the known budgets can be trusted without asking the store. They must be at most `max_age_ms` old, and
    /// match the current configuration and windows; and the store must have answered since, or be in back-off.
    pub fn is_fresh(&self, max_age_ms: i64) -> bool {
        let written = match self.counted_offline() {
            Some(counted) => counted.at,
            None if self.store.back_off_until().is_some() => return false,
            None => self.cache.written,
        };
        let now = self.env.now;
        self.cache.stamp.as_ref() == Some(&self.stamp)
            && written <= now
            && now.millis_since(written) <= max_age_ms
            && self.known_states().iter().all(|s| s.window.contains(now))
    }

    /// The caller, for the verdict.
    pub fn caller(&self) -> Caller<'_> {
        caller(&self.source, &self.cache.models, None)
    }

    /// The calling subagent; empty for the main agent.
    pub fn agent(&self) -> &str {
        self.source.agent.as_deref().unwrap_or_default()
    }

    /// What the client recorded about the calling subagent; empty if nothing. `None`: the main agent calls.
    pub fn caller_note(&self) -> Option<AgentNote> {
        let agent = self.source.agent.as_ref()?;
        let note = |transcript: &Path| {
            let transcripts = agents::transcript_format(transcript, self.source.client)?;
            transcripts.agent_note(&transcripts.agent_file(transcript, agent)?)
        };
        Some(self.transcript().and_then(note).unwrap_or_default())
    }

    /// The session's transcript, from this or an earlier event.
    pub fn transcript(&self) -> Option<&Path> {
        self.source.transcript.as_deref().or(self.cache.session.transcript.as_deref())
    }

    /// The session as reported to the store.
    pub fn session(&self) -> Session {
        let known = &self.cache.session;
        let project_of = |dir: &Path| {
            project::project_root(&agents::project_dir(self.env, dir)).to_string_lossy().into_owned()
        };
        if known.id == self.source.session {
            let mut session = known.clone();
            if known.transcript.is_none() || known.project.is_empty() {
                session.transcript = known.transcript.clone().or_else(|| self.source.transcript.clone());
                let here = self.source.cwd.as_deref().map(project_of);
                // The project is unknown if only the session's files were found, and no line has a folder. A shared
                // store has hashed projects.
                let is_it =
                    |p: &String| known.project.is_empty() || shared_value(Scope::Project, p) == known.project;
                session.project = here.filter(is_it).unwrap_or(session.project);
            }
            return session;
        }
        Session {
            id: self.source.session.clone(),
            // If the cache was lost, this hook may have found another file.
            transcript: known.transcript.clone().or_else(|| self.source.transcript.clone()),
            project: project_of(self.source.cwd.as_deref().unwrap_or(&self.env.cwd)),
            user: self.env.user(),
            team: self.config.team.clone().unwrap_or_default(),
            task_type: self.config.task_type.clone().unwrap_or_default(),
            chain: self.env.chain().unwrap_or_else(|| self.source.session.clone()),
            parent: None,
            client: None,
        }
    }

    /// The budgets that concern this session, with its values. Budgets that nothing is known about are left out.
    pub fn budget_keys(&self, session: &Session) -> Vec<BudgetKey> {
        let of = |budget: &Budget| -> Vec<BudgetKey> {
            let glob = WildMatch::new(&budget.matches);
            let fits = self
                .scope_values(session, budget.scope)
                .into_iter()
                .filter(|v| !v.is_empty() && glob.matches(v));
            fits.map(|value| BudgetKey { budget: budget.clone(), value }).collect()
        };
        self.config.budgets.iter().filter(|budget| budget.is_known(self.env.now)).flat_map(of).collect()
    }

    /// The values of this session in a scope.
    pub fn scope_values(&self, session: &Session, scope: Scope) -> Vec<String> {
        match scope {
            Scope::Session => std::iter::once(&session.id).chain(&self.cache.ancestors).cloned().collect(),
            Scope::Project | Scope::User | Scope::Team | Scope::TaskType | Scope::Member | Scope::Chain => {
                session.attribution().value(scope).map(str::to_owned).into_iter().collect()
            }
            Scope::Model => self.cache.models_seen.iter().cloned().collect(),
            Scope::AgentType => self.cache.agent_types.iter().cloned().collect(),
            Scope::Platform => self.cache.platforms.iter().cloned().collect(),
            Scope::History => Vec::new(),
        }
    }

    /// All journal entries, without duplicates.
    pub fn take_journal(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notices.journal);
        notes.extend(self.store.take_notes());
        notes
    }

    /// All warnings for the person, without duplicates.
    pub fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.notices.person);
        warnings.extend(self.store.take_warnings());
        warnings
    }
}

/// The caller, for the verdict. `models`: the model of the last response, by agent; `spawns`: the type of subagent that
/// the call would start.
pub fn caller<'c>(
    source: &'c EventSource,
    models: &'c BTreeMap<String, String>,
    spawns: Option<&'c str>,
) -> Caller<'c> {
    let agent = source.agent.as_deref().unwrap_or_default();
    let agent_type = match source.agent {
        None => "main",
        Some(_) => source.agent_type.as_deref().unwrap_or_default(),
    };
    // An agent without a response is assumed to use the main agent's model.
    let model = models.get(agent).or_else(|| models.get(""));
    Caller { agent, agent_type, model: model.map_or("", String::as_str), spawns }
}

/// The configuration to use. If the new one is unusable, the last valid one stays in force (if there is none, the valid
/// parts of the new one, within the bounds of the managed file). The person is told once per change of the files.
fn usable_config(
    loaded: LoadedConfig,
    stamp: &Stamp,
    cache: &mut SessionCache,
    notices: &mut Notices,
) -> Config {
    if loaded.is_usable() {
        return loaded.config;
    }
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    notices.journal.push(format!("configuration not usable: {}", problems.join("; ")));
    let (config, kept) = match cache.config.clone() {
        Some(last) => (last, "the last good one stays in force"),
        None => (loaded.config, "its invalid settings are ignored"),
    };
    if cache.reported_config.as_ref() != Some(stamp) {
        cache.reported_config = Some(*stamp);
        let first = problems.first().map_or("", String::as_str);
        notices.person.push(format!("Fusebox: the configuration cannot be used; {kept}. {first}"));
    }
    config
}
