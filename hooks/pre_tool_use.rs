//! Before a tool call: may it run?

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::PreToolUse)
}
