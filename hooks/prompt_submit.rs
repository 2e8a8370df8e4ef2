//! A prompt came in: say where the budget stands.

use fusebox::hook::run::{Hook, run};

fn main() {
    run(Hook::PromptSubmit)
}
