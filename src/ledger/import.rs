//! Imports the history: reads what is new in all transcripts, and records it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::database::{self, FILE, LedgerDatabase};
use super::entry::Place;
use super::key_map::KeyMap;
use super::reading::{Chunk, Job, Read, read_jobs};
use super::rows::ImportRows;
use super::save::{Saved, to_sql};
use crate::agents;
use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::platform::folder::FileLook;
use crate::prices::Prices;
use crate::store::Result;
use crate::transcript::cursor::{LinePlace, Position};
use crate::transcript::{HistoryFile, Transcripts};

/// Bytes of transcripts after which what was read is saved.
const STEP_BYTES: u64 = 128 * 1024 * 1024;

/// A file that changed so shortly before it was read may change again without looking different, in milliseconds.
const UNSETTLED_MS: i64 = 2_000;

/// Chunks that may wait to be recorded.
const MAX_WAITING: usize = 8;

/// What to import, and how.
pub struct Import<'a> {
    /// The folder of the ledger.
    pub dir: &'a Path,
    /// The folders with the history.
    pub folders: &'a [PathBuf],
    /// The prices in force.
    pub prices: &'a Prices,
    /// The project of a working folder.
    pub project_of: &'a dyn Fn(&Path) -> PathBuf,
    /// Whether to count the ledger's records afterwards, which takes a tenth of the time of an import with nothing new.
    pub counts_records: bool,
    /// The current time.
    pub now: Timestamp,
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// The folders that were looked through.
    pub folders: Vec<PathBuf>,
    /// Files of the history.
    pub files: usize,
    /// Those with something new.
    pub files_read: usize,
    /// Bytes read.
    pub bytes_read: u64,
    /// Sessions of the history.
    pub sessions: usize,
    /// Records added.
    pub added: u64,
    /// Records that later lines changed.
    pub changed: u64,
    /// Records in the ledger, if they were to be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Files and folders that could not be read, and why.
    pub unreadable: Vec<Unreadable>,
    /// Where a damaged ledger was kept.
    pub set_aside: Option<PathBuf>,
}

/// A file or folder that could not be read. In JSON, a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a folder to look through that does not exist.
    pub is_missing: bool,
    /// What the system says.
    problem: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

impl Serialize for Unreadable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a file looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    size: i64,
    /// When its inode changed, in nanoseconds: cannot be set back by a program.
    changed_ns: i64,
    inode: i64,
}

impl Import<'_> {
    /// Imports what is new. The caller holds the [`LedgerLock`](super::LedgerLock). `progress` receives the bytes read
    /// and those to read.
    ///
    /// # Errors
    /// The ledger cannot be written. What was saved before stays, and the next import continues there.
    pub fn run(&self, mut progress: impl FnMut(u64, u64)) -> Result<Imported> {
        let opened = LedgerDatabase::open(self.dir, self.now)?;
        let mut database = opened.database;
        let imported = match self.into(&mut database, &mut progress) {
            Err(error) if error.is_corrupt() => {
                drop(database);
                let aside = database::set_aside(&self.dir.join(FILE), self.now)?;
                database = LedgerDatabase::open(self.dir, self.now)?.database;
                self.into(&mut database, &mut progress)
                    .map(|done| Imported { set_aside: Some(aside), ..done })
            }
            done => done.map(|done| Imported { set_aside: opened.set_aside, ..done }),
        };
        imported.map_err(|error| database.explain(error))
    }

    fn into(&self, database: &mut LedgerDatabase, progress: &mut dyn FnMut(u64, u64)) -> Result<Imported> {
        let mut unreadable = Vec::new();
        let mut found: Vec<(HistoryFile, &'static dyn Transcripts)> = Vec::new();
        for folder in self.folders {
            if let Err(error) = std::fs::metadata(folder) {
                unreadable.push((folder.clone(), error));
                continue;
            }
            let (files, transcripts) = agents::history(folder, &mut unreadable);
            found.extend(files.into_iter().map(|file| (file, transcripts)));
        }
        let sessions: BTreeSet<&str> = found.iter().map(|(file, _)| file.session.as_str()).collect();
        let mut done = Imported {
            ledger: database.path().to_owned(),
            folders: self.folders.to_vec(),
            files: found.len(),
            sessions: sessions.len(),
            ..Imported::default()
        };
        let db = &database.connection;
        let mut files = FileTable::load(db)?;
        let mut jobs = Vec::new();
        let mut targets = Vec::new();
        for (file, transcripts) in found {
            let stamp = Stamp::from(file.look);
            let key = path_key(&file.file.path);
            let known = files.known.get(&key).copied();
            if known.is_some_and(|(_, known)| known == stamp) {
                continue;
            }
            // Otherwise it is gone in the meantime.
            let Ok(meta) = std::fs::metadata(&file.file.path) else { continue };
            let position = known.map(|(number, _)| position(db, number)).transpose()?.flatten();
            let number = known.map_or_else(|| files.next_number(), |(number, _)| number);
            targets.push(Target { number, key, stamp, born: born(&meta) });
            jobs.push(Job { size: file.look.size, file, transcripts, position });
        }
        // Long files first, so that no thread is left alone with one.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(jobs[*index].size));
        let mut sorted: Vec<Option<(Job, Target)>> = jobs.into_iter().zip(targets).map(Some).collect();
        let (jobs, targets): (Vec<Job>, Vec<Target>) =
            order.into_iter().filter_map(|index| sorted[index].take()).unzip();
        let saved = self.record_all(db, &jobs, &targets, (&mut done, &mut unreadable), progress)?;
        (done.added, done.changed) = (saved.added, saved.changed);
        if self.counts_records {
            let count = db.query_row("SELECT COUNT(*) FROM cost_records", (), |r| r.get::<_, i64>(0))?;
            done.records = Some(count.cast_unsigned());
        }
        let named = |(path, error): (PathBuf, std::io::Error)| Unreadable {
            is_missing: self.folders.contains(&path) && error.kind() == std::io::ErrorKind::NotFound,
            problem: error.to_string(),
            path,
        };
        done.unreadable = unreadable.into_iter().map(named).collect();
        Ok(done)
    }

    /// Reads the jobs in as many threads as there are cores, and records what they read.
    fn record_all(
        &self,
        db: &Connection,
        jobs: &[Job],
        targets: &[Target],
        (done, unreadable): (&mut Imported, &mut Vec<(PathBuf, std::io::Error)>),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Saved> {
        if jobs.is_empty() {
            return Ok(Saved::default());
        }
        let old = |job: &Job| job.position.as_ref().map_or(0, |position| position.offset);
        let all: u64 = jobs.iter().map(|job| job.size.saturating_sub(old(job))).sum();
        let mut recorder = Recorder {
            rows: ImportRows::load(db, self.prices)?,
            places: PlaceTable { known: HashMap::new(), project_of: self.project_of },
            pending: HashMap::new(),
            now: self.now,
            saved: Saved::default(),
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
        let (next, now) = (AtomicUsize::new(0), self.now);
        let (sender, chunks) = sync_channel::<Read>(MAX_WAITING);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || read_jobs(jobs, next, now, &sender));
            }
            drop(sender);
            let mut unsaved = 0;
            let mut grown = BTreeSet::new();
            // On an error the receiver is dropped, which ends the threads.
            for read in chunks {
                match read {
                    Ok(chunk) => {
                        unsaved += chunk.bytes;
                        // A file that changed just before the last import is looked into again.
                        if chunk.bytes > 0 && grown.insert(chunk.job) {
                            done.files_read += 1;
                        }
                        done.bytes_read += chunk.bytes;
                        recorder.record(&jobs[chunk.job], targets[chunk.job], chunk)?;
                    }
                    Err(failure) => unreadable.push(failure),
                }
                if unsaved >= STEP_BYTES {
                    recorder.save()?;
                    unsaved = 0;
                }
                progress(done.bytes_read, all.max(done.bytes_read));
            }
            recorder.save()?;
            Ok(recorder.saved)
        })
    }
}

/// Where a job is recorded.
#[derive(Clone, Copy)]
struct Target {
    number: i64,
    key: MessageKey,
    stamp: Stamp,
    born: Timestamp,
}

/// Records chunks.
struct Recorder<'a> {
    rows: ImportRows<'a>,
    places: PlaceTable<'a>,
    /// How far each job's file was read, since the last step.
    pending: HashMap<usize, (Target, String, bool)>,
    now: Timestamp,
    saved: Saved,
}

impl Recorder<'_> {
    fn record(&mut self, job: &Job, target: Target, chunk: Chunk) -> Result<()> {
        let places: Vec<Option<Rc<Place>>> =
            chunk.places.into_iter().map(|place| place.map(|place| self.places.place(place))).collect();
        let mut facts = chunk.facts;
        facts.extend(self.rows.record_copies(&chunk.copies)?);
        self.rows.record(&job.file.session, target.born, &facts, &places, self.now)?;
        self.pending.insert(chunk.job, (target, chunk.position, chunk.is_complete));
        Ok(())
    }

    /// Saves the messages and the positions in one step.
    fn save(&mut self) -> Result<()> {
        let db = self.rows.db;
        let tx = rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
        let saved = self.rows.save()?;
        for (_, (target, position, is_complete)) in self.pending.drain() {
            // Otherwise the next import looks into the file again.
            let is_settled =
                is_complete && target.stamp.changed_ns / 1_000_000 < self.now.0.saturating_sub(UNSETTLED_MS);
            let stamp = if is_settled { target.stamp } else { Stamp::default() };
            db.prepare_cached(
                "INSERT INTO files (id, path, size, changed_ns, inode) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) \
                 DO UPDATE SET size = excluded.size, changed_ns = excluded.changed_ns, inode = excluded.inode",
            )?
            .execute(params![target.number, &target.key.0[..], stamp.size, stamp.changed_ns, stamp.inode])?;
            db.prepare_cached("INSERT OR REPLACE INTO positions (file, position) VALUES (?, ?)")?
                .execute(params![target.number, position])?;
        }
        tx.commit()?;
        self.rows.note_saved()?;
        self.saved.added += saved.added;
        self.saved.changed += saved.changed;
        Ok(())
    }
}

/// Places, each resolved once.
struct PlaceTable<'a> {
    known: HashMap<LinePlace, Rc<Place>>,
    project_of: &'a dyn Fn(&Path) -> PathBuf,
}

impl PlaceTable<'_> {
    fn place(&mut self, written: LinePlace) -> Rc<Place> {
        if let Some(place) = self.known.get(&written) {
            return Rc::clone(place);
        }
        let text = |json: &str| serde_json::from_str::<String>(json).unwrap_or_default();
        let folder = text(&written.folder);
        let project = (self.project_of)(Path::new(&folder)).to_string_lossy().into_owned();
        let place = Rc::new(Place { project, branch: text(&written.branch) });
        self.known.insert(written, Rc::clone(&place));
        place
    }
}

/// The files that were read before.
struct FileTable {
    known: KeyMap<(i64, Stamp)>,
    last: i64,
}

impl FileTable {
    fn load(db: &Connection) -> Result<Self> {
        let mut query = db.prepare("SELECT path, id, size, changed_ns, inode FROM files")?;
        let mut rows = query.query(())?;
        let (mut known, mut last) = (KeyMap::default(), 0);
        while let Some(row) = rows.next()? {
            let key = MessageKey(row.get(0)?);
            let number: i64 = row.get(1)?;
            let stamp = Stamp { size: row.get(2)?, changed_ns: row.get(3)?, inode: row.get(4)? };
            known.insert(key, (number, stamp));
            last = last.max(number);
        }
        Ok(Self { known, last })
    }

    fn next_number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }
}

/// Identifies a file without naming its project.
fn path_key(path: &Path) -> MessageKey {
    MessageKey::from_parts(&["file", &path.to_string_lossy()])
}

/// How far a file was read; `None` (from the start) if that cannot be read.
fn position(db: &Connection, number: i64) -> Result<Option<Position>> {
    let mut query = db.prepare_cached("SELECT position FROM positions WHERE file = ?")?;
    let text: Option<String> = query.query_row([number], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

impl From<FileLook> for Stamp {
    fn from(look: FileLook) -> Self {
        Self { size: to_sql(look.size), changed_ns: look.changed_ns, inode: look.inode.cast_signed() }
    }
}

/// When a file was made, as far as the file system knows.
fn born(meta: &std::fs::Metadata) -> Timestamp {
    let made = meta.created().or_else(|_| meta.modified()).ok();
    let since = made.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    Timestamp(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}
