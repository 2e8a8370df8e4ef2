//! Before a tool call: may it run?
#![no_main]

fusebox::hook_main!(Hook::PreToolUse);
