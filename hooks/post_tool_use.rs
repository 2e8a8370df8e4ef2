//! After tool calls: counts usage, warns, stops.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::PostToolUse)
}
