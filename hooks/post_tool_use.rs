//! After tool calls: meter, warn, stop.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::PostToolUse)
}
