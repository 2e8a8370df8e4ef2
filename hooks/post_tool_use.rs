//! After tool calls: meter, warn, stop.

use fusebox::hook::run::{Hook, run};

fn main() {
    run(Hook::PostToolUse)
}
