//! A session starts, ends or pauses: meter what no later hook would.

use fusebox::hook::run::{Hook, run};

fn main() {
    run(Hook::SessionEvent)
}
