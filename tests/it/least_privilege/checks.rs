//! `fusebox doctor` with a shared store.
