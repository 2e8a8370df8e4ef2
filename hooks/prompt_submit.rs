//! A prompt came in: say where the budget stands.
#![no_main]

fusebox::hook_main!(Hook::PromptSubmit);
