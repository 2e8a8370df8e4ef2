//! A session starts, ends or pauses: meter what no later hook would.
#![no_main]

fusebox::hook_main!(Hook::SessionEvent);
