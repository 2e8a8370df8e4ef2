//! The line below the client's prompt: what is used and what it costs.

use fusebox::hook::status_line::run;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: fusebox::HookAllocator = fusebox::hook_allocator();

fn main() {
    run()
}
