//! A session starts, ends or pauses: counts what no later hook would.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: fusebox::HookAllocator = fusebox::hook_allocator();

fn main() {
    run(Hook::SessionEvent)
}
