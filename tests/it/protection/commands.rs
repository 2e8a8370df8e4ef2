//! Commands that decide something: the tripwire knows all of them, and they refuse by themselves.
