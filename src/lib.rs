//! Fusebox: budgets, quotas and a circuit breaker for Claude Code, as small hook executables.
//!
//! Layers, each importing only from those to its left: [`domain`] ← [`prices`] ← [`platform`] ← [`transcript`] ← [`agents`] ←
//! [`config`] ← [`store`] ← [`ledger`] ← [`app`] ← [`hook`] ← [`server`] ← [`cli`]. `store` does not import `agents`. [`zoneinfo`] wraps the
//! system's time zones and is on the level of `platform`. It also parses the text form of a window rule, which needs
//! the zone files.
//!
//! Code that depends on the operating system is in [`platform`]; code that depends on the coding agent is in
//! [`agents`], with a folder for each. `tests/it/structure.rs` checks these rules.
//!
//! # How an event is handled
//!
//! After a tool call, file by file:
//!
//! 1. `hooks/post_tool_use.rs` is one statement: it calls [`hook::run::run`].
//! 2. `hook/run.rs` reads standard input once, under the hook's deadline. It keeps the hook contract: on any failure it
//!    prints nothing, exits with 0 and writes a line to the journal; exit code 2 is for a decision of the plain
//!    protocol.
//! 3. Each of [`agents::ALL`] is asked whether it recognises the input: `agents/claude/payload.rs` parses it into a
//!    [`HookEvent`](agents::event::HookEvent).
//! 4. `app/session.rs` reads the session's cache, and the configuration if it changed. For budgets in percent,
//!    `app/plan.rs` looks up what the client's status line said. All steps share the
//!    [`SessionContext`](app::session::SessionContext).
//! 5. `app/handlers/mod.rs` dispatches the event to `app/handlers/after_tool.rs`, which builds a
//!    [`RecordPlan`](app::record_plan::RecordPlan): what to record, and which files to read.
//! 6. `app/record.rs` reads the new lines of the transcripts. If the plan asks for it, it waits for a line to appear,
//!    with no store open meanwhile. `app/unseen.rs` adds estimates for responses that no file shows. Then it sends the
//!    new data to the store, in one [`Batch`](store::Batch) per megabyte read.
//! 7. `store/sqlite/messages.rs` (or `store/redis/record.rs`) records a batch in one atomic step, and returns the state
//!    of each budget.
//! 8. Back in `app/handlers/mod.rs`, the result goes into the locked session cache, [`domain::verdict::judge`] decides,
//!    and the cache is saved. The verdict becomes an [`Answer`](agents::answer::Answer), with texts from
//!    `app/messages`.
//! 9. `agents/claude/output.rs` encodes the answer as the client's JSON, and `hook/run.rs` writes it once.
//!
//! Then `hook/run.rs` marks the alerts as shown in the store, runs `alerts.command`, writes the journal, does
//! maintenance, and ends the process.
//!
//! Before a tool call the path is shorter: `app/handlers/before_tool.rs` answers from the cache alone if the cache is
//! fresh, no limit is near, no agent is held back, no breaker is open, no subagent slot is requested, and nothing
//! in the transcript shows that the other hooks fail to record.

pub mod agents;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod hook;
pub mod ledger;
pub mod platform;
pub mod prices;
pub mod server;
pub mod store;
pub mod transcript;
pub mod zoneinfo;

/// The global allocator of hooks built with musl. musl's own makes a system call for almost every allocation; this one
/// requests blocks of 1 MiB from it on demand. (The `fusebox` command has threads, for which it is too slow.)
#[cfg(target_env = "musl")]
pub type HookAllocator = talc::TalcLock<spinning_top::RawSpinlock, Blocks>;

/// The source of the blocks for [`HookAllocator`].
#[cfg(target_env = "musl")]
type Blocks = talc::source::GlobalAllocSource<std::alloc::System>;

/// An allocator for a hook.
#[cfg(target_env = "musl")]
pub const fn hook_allocator() -> HookAllocator {
    talc::TalcLock::new(Blocks::with_block_size(std::alloc::System, 1 << 20))
}
