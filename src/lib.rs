//! Fusebox: budgets, quotas and a circuit breaker for Claude Code, as small hook executables.
//!
//! Layers, each importing only what stands to its left:
//! [`domain`] ← [`config`], [`transcript`] ← [`agents`], [`store`] ← [`app`] ← [`hook`], [`cli`]. [`mod@env`] and [`zoneinfo`] (the
//! process and the system, seen once) stand beside `domain`. One impl reaches across: a window rule is read from its text in
//! `zoneinfo`, because that needs the system's zone files.
//!
//! # The way of one event
//!
//! What happens after a tool call, file by file:
//!
//! 1. `hooks/post_tool_use.rs` is one statement: [`hook::run::run`].
//! 2. `hook/run.rs` reads standard input once, under the hook's deadline, and keeps the hook contract: whatever fails ends in
//!    silence, exit code 0 and a line in the journal.
//! 3. `agents/claude/payload.rs` parses it into a [`HookEvent`](agents::event::HookEvent).
//! 4. `app/handlers/mod.rs` hands the event to the handler of its kind,
//! 5. `app/handlers/after_tool.rs`, which says what to record, and in which files to look.
//! 6. `app/record.rs` first reads what is new, by `app/transcript_reader.rs`, which waits for a line where that is worth it
//!    while no store is open. Then it sends one [`Batch`](store::Batch) to the store, and is answered where the budgets stand.
//! 7. `store/sqlite/messages.rs` (or `store/redis/apply.rs`) records the batch in one atomic step.
//! 8. `app/handlers/mod.rs` locks the session's cache, takes the answer over, lets [`domain::verdict::judge`] decide, and
//!    saves the cache.
//! 9. It puts the verdict into words: an [`Answer`](agents::answer::Answer).
//! 10. `agents/claude/output.rs` turns that into the client's JSON, which `hook/run.rs` writes once.
//!
//! The answer is out then. `hook/run.rs` has the store confirm that alerts were shown, tells the person's own program, writes
//! the journal, does upkeep, and ends the process.
//!
//! Before a tool call the way is shorter: while the session's cache is fresh, nothing is near a limit, no breaker is open, and
//! nobody is held back, `app/handlers/before_tool.rs` answers from the cache alone.

pub mod agents;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod env;
pub mod hook;
pub mod store;
pub mod transcript;
pub mod zoneinfo;

/// The allocator of all programs on musl, whose own asks the kernel for memory at almost every size. It takes memory from
/// musl's in blocks, on demand.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: talc::TalcLock<spinning_top::RawSpinlock, Blocks> =
    talc::TalcLock::new(Blocks::with_block_size(std::alloc::System, 1 << 20));

/// Where [`ALLOCATOR`] takes its blocks from.
#[cfg(target_env = "musl")]
type Blocks = talc::source::GlobalAllocSource<std::alloc::System>;
