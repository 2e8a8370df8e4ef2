//! Before a prompt: reports the budget, answers prompt commands, blocks.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: fusebox::HookAllocator = fusebox::hook_allocator();

fn main() {
    run(Hook::PromptSubmit)
}
