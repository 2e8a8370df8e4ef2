//! After tool calls: meter, warn, stop.
#![no_main]

fusebox::hook_main!(Hook::PostToolUse);
