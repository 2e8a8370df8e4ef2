//! A program's memory on musl. What musl brings is made to be small: its allocator asks the kernel anew for almost every size,
//! and it copies and compares so that a hook spent a sixth of its own time in it.

#[cfg(target_arch = "x86_64")]
mod copying;
mod pool;

pub use pool::Memory;
