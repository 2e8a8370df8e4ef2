//! Fusebox: budgets, quotas and a circuit breaker for Claude Code, as small hook executables.
//!
//! Layers, each importing only what stands to its left:
//! [`domain`] ← [`transcript`], [`store`] ← [`app`] ← [`hook`], [`cli`]. [`config`], [`mod@env`] and [`zoneinfo`] stand beside `domain`.
//!
//! Start reading at [`hook::run`], which follows one event from standard input to its answer, and at
//! [`domain::verdict`], the one place that decides.

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
