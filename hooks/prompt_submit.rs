//! Before a prompt: reports the budget, answers prompt commands, blocks.

use fusebox::agents::hook::Hook;
use fusebox::hook::run::run;

fn main() {
    run(Hook::PromptSubmit)
}
