//! A session starts, ends or pauses: counts what no later hook would.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::SessionEvent)
}
