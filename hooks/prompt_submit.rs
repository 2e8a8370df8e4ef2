//! A prompt came in: say where the budget stands.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::PromptSubmit)
}
