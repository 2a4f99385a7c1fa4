//! What the log says of Redis, of clients and of floods of them, how it is written, and what it never shows.

#[path = "../common/mod.rs"]
mod common;

mod causes;
mod floods;
mod json;
mod lives;
mod redis;
mod secrets;
mod stuck;

use common::Proxy;

/// Has everything logged that the tests here look for.
pub const DEBUG: &[&str] = &["--log_level", "debug"];

/// The lines from the message on that have this message.
pub fn lines(proxy: &Proxy, message: &str) -> Vec<String> {
    let log = proxy.log();
    let messages = log.iter().filter_map(|line| line.split_once("] "));
    messages
        .map(|(_, rest)| rest.to_owned())
        .filter(|rest| rest.starts_with(message))
        .collect()
}

/// The value of a key that is a number; zero without one.
pub fn number(line: &str, key: &str) -> u64 {
    let (_, value) = line.split_once(&format!(" {key}=")).unwrap_or_default();
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
