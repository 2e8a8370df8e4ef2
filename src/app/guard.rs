//! One session under guard: its cache, its configuration, its store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wildmatch::WildMatch;

use super::{ancestry, project, rebuild};
use crate::config::{self, Config, Loaded, Stamp};
use crate::domain::budget::{Budget, BudgetState, Scope};
use crate::domain::verdict::Caller;
use crate::env::Env;
use crate::store::counted::Counted;
use crate::store::redis::shared_value;
use crate::store::session_cache::{CacheFile, SessionCache};
use crate::store::{Session, Store, Watch};

/// Milliseconds that a hook waits for a shared store in all: one that answers each request in time, but slowly, would take
/// it over its deadline, and nobody would remember.
const STORE_MS: i64 = 600;

/// Who calls, as the client says.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The session.
    pub session: String,
    /// Its transcript.
    pub transcript: Option<PathBuf>,
    /// The folder that the client works in.
    pub cwd: Option<PathBuf>,
    /// The subagent; `None`: the main agent.
    pub agent: Option<String>,
    /// The subagent's type.
    pub agent_type: Option<String>,
    /// The type of subagent that the call would start, if it would.
    pub spawns: Option<String>,
}

impl Call {
    /// The caller, as the verdict wants it. `models`: the model that answered last, by agent.
    pub fn caller<'c>(&'c self, models: &'c BTreeMap<String, String>) -> Caller<'c> {
        let agent = self.agent.as_deref().unwrap_or_default();
        let agent_type = match self.agent {
            None => "main",
            Some(_) => self.agent_type.as_deref().unwrap_or_default(),
        };
        // An agent that has not answered yet uses, for all that is known, the main agent's model.
        let model = models.get(agent).or_else(|| models.get(""));
        let model = model.map_or("", String::as_str);
        Caller { agent, agent_type, model, spawns: self.spawns.as_deref() }
    }
}

/// A session under guard.
pub struct Guard<'a> {
    /// The process.
    pub env: &'a Env,
    /// Who calls.
    pub call: Call,
    /// The session's cache as it was read, kept up as the guard works.
    pub cache: Box<SessionCache>,
    /// The configuration in force.
    pub config: Config,
    /// Things that went wrong and did not matter: for the journal.
    pub notes: Vec<String>,
    /// Things that a person must hear once.
    pub tell: Vec<String>,
    /// Inputs of calls that this hook was told of, shortened, by the signature of the call: for what is said to the client,
    /// and never kept.
    pub quotes: Vec<(String, String)>,
    /// The store did not let whoever is logged in do what it was asked for last: nothing is wrong with it.
    pub denied: bool,
    /// The session's cache could not be written: what it should remember is forgotten.
    pub(super) cache_lost: bool,
    pub(super) file: CacheFile,
    stamp: Stamp,
    pub(super) store: Option<Box<dyn Store>>,
    /// Milliseconds that a shared store may still take; `None`: somebody waits for it who has time.
    pub(super) store_ms: Option<i64>,
}

impl<'a> Guard<'a> {
    /// The guard of the session that `call` names. Reads the cache, and the configuration where it changed.
    pub fn new(env: &'a Env, call: Call) -> Self {
        let file = CacheFile::of(&env.cache_dir(), &call.session);
        let cache = file.read().unwrap_or_default();
        let project = env.project_dir(call.cwd.as_deref().unwrap_or(&env.cwd));
        let stamp = Stamp::of(env, Some(&project));
        let known = cache.config.clone().filter(|_| cache.stamp.as_ref() == Some(&stamp));
        let loaded = known.is_none().then(|| config::load(env, Some(&project)));
        let config = known.or_else(|| loaded.as_ref().map(|l| l.config.clone())).unwrap_or_default();
        // Commands concern no session.
        let of_hook = !call.session.is_empty() && config.redis.is_some();
        let mut guard = Self::with(env, call, file, cache, config, stamp);
        guard.store_ms = of_hook.then_some(STORE_MS);
        if let Some(loaded) = loaded.filter(|loaded| !loaded.is_usable()) {
            guard.fall_back(&loaded);
        }
        guard
    }

    /// The guard of a session that somebody else looks at: a command, or another session's hook. The configuration is
    /// the one that the session's own hooks had; the variables and the project of this process are not theirs.
    pub fn of_other(env: &'a Env, session: &Session) -> Self {
        let file = CacheFile::of(&env.cache_dir(), &session.id);
        let mut cache = file.read().unwrap_or_default();
        if cache.session.id != session.id {
            cache.session = session.clone();
        }
        if cache.session.transcript.is_none() {
            // A shared store is not told where files lie.
            cache.session = rebuild::on_this_machine(env, &cache.session);
        }
        let (config, stamp) = cache.config.clone().zip(cache.stamp).unwrap_or_else(|| {
            let project = Path::new(&cache.session.project);
            (config::load(env, Some(project)).config, Stamp::of(env, Some(project)))
        });
        let (id, transcript) = (session.id.clone(), cache.session.transcript.clone());
        let call = Call { session: id, transcript, ..Call::default() };
        Self::with(env, call, file, cache, config, stamp)
    }

    fn with(
        env: &'a Env,
        call: Call,
        file: CacheFile,
        cache: Box<SessionCache>,
        config: Config,
        stamp: Stamp,
    ) -> Self {
        let (notes, tell) = (vec![], vec![]);
        let (quotes, store, store_ms) = (vec![], None, None);
        let (denied, cache_lost) = (false, false);
        Self {
            env,
            call,
            cache,
            config,
            notes,
            tell,
            quotes,
            denied,
            cache_lost,
            file,
            stamp,
            store,
            store_ms,
        }
    }

    /// A configuration that cannot be used leaves the last good one in force (where there is none, what is valid of it,
    /// within the bounds of a managed file); the person hears of it once for every change of the files.
    fn fall_back(&mut self, loaded: &Loaded) {
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        self.notes.push(format!("configuration not usable: {}", problems.join("; ")));
        let kept = match self.cache.config.clone() {
            Some(last) => {
                self.config = last;
                "the last good one stays in force"
            }
            None => "the rest of it is in force",
        };
        if self.cache.told.as_ref() != Some(&self.stamp) {
            self.cache.told = Some(self.stamp);
            let first = problems.first().map_or("", String::as_str);
            self.tell.push(format!("Fusebox: the configuration cannot be used, {kept}. {first}"));
        }
    }

    /// The budgets as they are known without asking: as the store last answered, or as the session's hooks counted on
    /// while it is out of reach.
    pub fn known(&self) -> &[BudgetState] {
        self.counted().map_or(&self.cache.states, |counted| &counted.states)
    }

    /// What hooks counted by themselves, as long as the store is not asked.
    fn counted(&self) -> Option<&Counted> {
        self.cache.counted.as_ref().filter(|_| self.is_asleep())
    }

    /// Whether the budgets that are known can be trusted without asking: written by a hook of this session at most
    /// `max_age_ms` ago, under this configuration, and in the windows of now; and the store has answered since, or is not
    /// to be asked now.
    pub fn is_fresh(&self, max_age_ms: i64) -> bool {
        let written = match self.counted() {
            Some(counted) => counted.at,
            None if self.cache.store_asleep_until.is_some() => return false,
            None => self.cache.written,
        };
        let now = self.env.now;
        self.cache.stamp.as_ref() == Some(&self.stamp)
            && written <= now
            && now.millis_since(written) <= max_age_ms
            && self.known().iter().all(|s| s.window.contains(now))
    }

    /// The caller, as the verdict wants it.
    pub fn caller(&self) -> Caller<'_> {
        self.call.caller(&self.cache.models)
    }

    /// The subagent that calls; empty: the main agent.
    pub fn agent(&self) -> &str {
        self.call.agent.as_deref().unwrap_or_default()
    }

    /// The session as the store is told of it.
    pub fn session(&self) -> Session {
        let known = &self.cache.session;
        let project_of = |dir: &Path| project::of(&self.env.project_dir(dir)).to_string_lossy().into_owned();
        if known.id == self.call.session {
            let mut session = known.clone();
            if known.transcript.is_none() || known.project.is_empty() {
                session.transcript = known.transcript.clone().or_else(|| self.call.transcript.clone());
                let here = self.call.cwd.as_deref().map(project_of);
                // Who found its files alone, without any line that names a folder, left the project open; who asked a
                // shared store for its numbers, before it was here, knows what that one calls its project.
                let is_it =
                    |p: &String| known.project.is_empty() || shared_value(Scope::Project, p) == known.project;
                session.project = here.filter(is_it).unwrap_or(session.project);
            }
            return session;
        }
        Session {
            id: self.call.session.clone(),
            transcript: self.call.transcript.clone(),
            project: project_of(self.call.cwd.as_deref().unwrap_or(&self.env.cwd)),
            user: self.env.user(),
            team: self.config.team.clone().unwrap_or_default(),
            task_type: self.config.task_type.clone().unwrap_or_default(),
            parent: None,
            client: None,
        }
    }

    /// Notes the client that calls, where it is not the one that is known: the session was resumed, and its SessionStart
    /// did not get that far, or found no store. Told by `CLAUDE_PID` where that is the parent, which costs nothing.
    pub(super) fn see_client(&mut self) {
        let calls = self.env.var("CLAUDE_PID").and_then(|pid| pid.parse().ok());
        let known = self.cache.session.client.map(|client| client.pid);
        if calls.is_some_and(|pid: u32| known != Some(pid) && pid == std::os::unix::process::parent_id()) {
            self.see(false);
        }
    }

    /// Notes that the session is there: its client, and the session that it was started in. `ended`: that it ends.
    pub fn see(&mut self, ended: bool) {
        let mut session = self.session();
        session.transcript = self.call.transcript.clone().or(session.transcript);
        let now = self.env.now;
        if !ended && let Some(client) = ancestry::client(self.env) {
            session.client = Some(client);
            let known = session.parent.clone();
            let parent = self.with_store(|store| Ok(ancestry::parent(client, &session.id, store)));
            session.parent = parent.flatten().or(known);
        }
        let seen = session.clone();
        let ancestors = self.with_store(|store| {
            store.see(&seen, now, ended)?;
            let mut line: Vec<String> = Vec::new();
            let mut next = store.session(&seen.id)?.and_then(|row| row.session.parent);
            while let Some(id) = next.filter(|id| line.len() < 16 && *id != seen.id && !line.contains(id)) {
                next = store.session(&id)?.and_then(|row| row.session.parent);
                line.push(id);
            }
            Ok(line)
        });
        // Who is not noted is not known either: the next hook tries again.
        let Some(ancestors) = ancestors else { return };
        self.cache.ancestors = ancestors;
        self.cache.session = session;
        let (session, ancestors) = (self.cache.session.clone(), self.cache.ancestors.clone());
        self.update(|cache| (cache.session, cache.ancestors) = (session, ancestors));
    }

    /// The budgets that concern this session, for every value that they count it under.
    pub fn watches(&self, session: &Session) -> Vec<Watch> {
        let home = session.home();
        let values = |scope: Scope| -> Vec<String> {
            match scope {
                Scope::Session => {
                    std::iter::once(&session.id).chain(&self.cache.ancestors).cloned().collect()
                }
                Scope::Project | Scope::User | Scope::Team | Scope::TaskType => {
                    home.value(scope).map(str::to_owned).into_iter().collect()
                }
                Scope::Model => self.cache.models_seen.iter().cloned().collect(),
                Scope::AgentType => self.cache.agent_types.iter().cloned().collect(),
                Scope::History => Vec::new(),
            }
        };
        let of = |budget: &Budget| -> Vec<Watch> {
            let glob = WildMatch::new(&budget.matches);
            let fits = values(budget.scope).into_iter().filter(|v| !v.is_empty() && glob.matches(v));
            fits.map(|value| Watch { budget: budget.clone(), value }).collect()
        };
        self.config.budgets.iter().flat_map(of).collect()
    }

    /// Changes the cache file, and this guard's copy with it.
    pub fn update<T>(&mut self, change: impl FnOnce(&mut SessionCache) -> T) -> T {
        let asleep = self.cache.store_asleep_until;
        let (done, cache, written) = self.file.update(|cache| {
            let done = change(cache);
            cache.store_asleep_until = asleep;
            done
        });
        if let Err(error) = written {
            self.notes.push(format!("session cache: {error}"));
            self.cache_lost = true;
        }
        self.cache = cache;
        done
    }

    /// What the cache keeps of the configuration in force: its fingerprint, and itself.
    pub(super) fn stamp(&self) -> (Stamp, Config) {
        (self.stamp, self.config.clone())
    }
}
