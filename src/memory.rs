//! A program's memory on musl, whose own allocator asks the kernel anew for almost every size: a hook needs a few of each once.

use std::alloc::System;

use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::GlobalAllocSource;

/// Bytes that the kernel is asked for at a time: what most hooks need in all. Only what is touched is taken.
const BLOCK: usize = 256 * 1024;

/// An allocator that takes blocks from the one of the C library.
pub type Memory = TalcLock<RawSpinlock, GlobalAllocSource<System>>;

/// A program's memory.
pub const fn memory() -> Memory {
    TalcLock::new(GlobalAllocSource::with_block_size(System, BLOCK))
}
