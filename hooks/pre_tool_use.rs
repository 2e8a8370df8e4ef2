//! Before a tool call: may it run?

use fusebox::hook::run::{Hook, run};

fn main() {
    run(Hook::PreToolUse)
}
