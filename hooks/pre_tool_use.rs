//! Before a tool call: allows or denies it.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::PreToolUse)
}
