//! Hooks in a running proxy: the examples, with a real client and a real Redis; and what rules and `deny_command` refuse.

#[path = "../common/mod.rs"]
mod common;

mod examples;
mod requests;
