//! The same session straight at Redis and through the proxy.

use crate::common::{Client, Proxy, RedisServer, assert_same};

/// Where a session takes place.
pub struct Place<'a> {
    connect: &'a dyn Fn() -> Client,
    /// The Redis that it is at, or behind.
    pub redis: &'a RedisServer,
}

impl Place<'_> {
    /// A new client.
    #[track_caller]
    pub fn client(&self) -> Client {
        (self.connect)()
    }
}

/// Asserts that a session goes the same way at both places. It returns what is to be compared.
#[track_caller]
pub fn assert_same_at_redis(session: impl Fn(&Place<'_>) -> Vec<Vec<u8>>) {
    let (straight, behind) = (RedisServer::start(), RedisServer::start());
    let proxy = Proxy::start(&behind, &[]);
    let expected = session(&Place {
        connect: &|| straight.client(),
        redis: &straight,
    });
    let actual = session(&Place {
        connect: &|| proxy.client(),
        redis: &behind,
    });
    assert_eq!(actual.len(), expected.len());
    for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        assert_same(actual, expected, &index);
    }
}

/// Sends a command, given as words.
#[track_caller]
pub fn say(client: &mut Client, command: &str) -> Vec<u8> {
    client.command(&command.split(' ').collect::<Vec<_>>())
}

/// The number in an integer reply.
#[track_caller]
pub fn number(reply: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(reply).into_owned();
    let digits = text
        .strip_prefix(':')
        .and_then(|text| text.strip_suffix("\r\n"));
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number: {text}"))
}

/// What `CLIENT ID` says to a client.
#[track_caller]
pub fn id(client: &mut Client) -> i64 {
    number(&say(client, "CLIENT ID"))
}

/// The lines in a reply of text.
#[track_caller]
pub fn lines(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply).into_owned();
    let lines = text.lines().map(|line| line.trim_start_matches("txt:"));
    lines
        .filter(|line| line.starts_with("id="))
        .map(str::to_owned)
        .collect()
}

/// A field of a line.
#[track_caller]
pub fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
    let found = fields.find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no {name} in {line}")).1
}
