//! Which clients `CLIENT KILL` and `CLIENT LIST` select.

use super::super::identity::Peer;
use crate::command::is_word;
use crate::resp::integer;
use crate::resp::request::Request;

/// A type of client (`getClientType` in redis-server).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Type {
    Normal,
    PubSub,
    Replica,
    /// The proxy has no such client.
    Master,
}

impl Type {
    fn of(word: &[u8]) -> Option<Self> {
        Some(match () {
            () if is_word(word, b"normal") => Self::Normal,
            () if is_word(word, b"pubsub") => Self::PubSub,
            () if is_word(word, b"replica") || is_word(word, b"slave") => Self::Replica,
            () if is_word(word, b"master") => Self::Master,
            () => return None,
        })
    }
}

/// The properties of a client that a selection compares.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Facts<'a> {
    pub id: u64,
    pub peer: Option<&'a Peer>,
    pub kind: Type,
    pub user: &'a [u8],
    /// How long the client has been connected, in seconds.
    pub age: u64,
}

/// The clients that a `CLIENT KILL` selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Kill {
    /// The request has the old form, with only an address.
    pub is_old_form: bool,
    /// The calling client is excluded.
    pub skip_me: bool,
    ids: Option<Vec<i64>>,
    kind: Option<Option<Type>>,
    address: Option<Box<[u8]>>,
    local_address: Option<Box<[u8]>>,
    user: Option<Box<[u8]>>,
    max_age: Option<i64>,
}

/// The longest argument that is compared with a client's, and the most ids.
const LONGEST: usize = 1024;

impl Kill {
    /// Parses a request that Redis accepts. `None` if it has options that are not known here.
    pub fn parse(request: &Request<'_>) -> Option<Self> {
        let words: Vec<&[u8]> = request.arguments().skip(2).collect();
        let is_short = |word: &[u8]| word.len() <= LONGEST;
        if !words.iter().all(|word| is_short(word)) || words.len() > LONGEST {
            return None;
        }
        if let [address] = words[..] {
            return Some(Self {
                is_old_form: true,
                address: Some(address.into()),
                ..Self::default()
            });
        }
        let mut kill = Self {
            skip_me: true,
            ..Self::default()
        };
        let mut rest = &words[..];
        while let [option, value, more @ ..] = rest {
            rest = more;
            match () {
                () if is_word(option, b"id") => {
                    let mut ids = vec![integer(value)?];
                    // Newer versions take several ids.
                    while let [next, more @ ..] = rest
                        && let Some(id) = integer(next)
                    {
                        ids.push(id);
                        rest = more;
                    }
                    kill.ids = Some(ids);
                }
                () if is_word(option, b"type") => kill.kind = Some(Type::of(value)),
                () if is_word(option, b"addr") => kill.address = Some((*value).into()),
                () if is_word(option, b"laddr") => kill.local_address = Some((*value).into()),
                () if is_word(option, b"user") => kill.user = Some((*value).into()),
                () if is_word(option, b"maxage") => kill.max_age = Some(integer(value)?),
                () if is_word(option, b"skipme") && is_word(value, b"yes") => kill.skip_me = true,
                () if is_word(option, b"skipme") && is_word(value, b"no") => kill.skip_me = false,
                () => return None,
            }
        }
        rest.is_empty().then_some(kill)
    }

    /// Whether it selects this client.
    pub fn selects(&self, client: &Facts<'_>) -> bool {
        let is = |wanted: &Option<Box<[u8]>>, end: usize| {
            wanted.as_ref().is_none_or(|wanted| {
                client
                    .peer
                    .is_some_and(|peer| peer.ends()[end].as_bytes() == &**wanted)
            })
        };
        let has_id = |ids: &Vec<i64>| ids.iter().any(|&id| u64::try_from(id) == Ok(client.id));
        self.ids.as_ref().is_none_or(has_id)
            && self.kind.is_none_or(|kind| kind == Some(client.kind))
            && is(&self.address, 0)
            && is(&self.local_address, 1)
            && self.user.as_ref().is_none_or(|user| **user == *client.user)
            && self
                .max_age
                .is_none_or(|age| i64::try_from(client.age).is_ok_and(|known| known >= age))
    }
}

/// The clients that a `CLIENT LIST` selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Listed {
    All,
    /// The clients with these ids, in this order.
    Ids(Vec<i64>),
    OfType(Type),
}

/// The most ids in a request.
const IDS_MAX: usize = 16 * 1024;

impl Listed {
    /// Parses a request that Redis accepts. `None` if it has options that are not known here.
    pub fn parse(request: &Request<'_>) -> Option<Self> {
        match request.len() {
            2 => Some(Self::All),
            4 if is_word(request.argument(2), b"type") => {
                Some(Self::OfType(Type::of(request.argument(3))?))
            }
            4.. if is_word(request.argument(2), b"id") && request.len() < IDS_MAX => {
                let ids: Option<Vec<i64>> = request.arguments().skip(3).map(integer).collect();
                Some(Self::Ids(ids.unwrap_or_default()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::request::{Parsed, Parser};

    fn parse(line: &str) -> Option<Kill> {
        let line = format!("CLIENT KILL {line}\r\n");
        match Parser::new().parse(line.as_bytes()) {
            Ok(Parsed::Request { request, .. }) => Kill::parse(&request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_filter_must_hold() {
        let address = |text: &str| text.parse().expect("an address");
        let peer = Peer::Tcp {
            address: address("127.0.0.1:1000"),
            local: address("[::1]:2000"),
        };
        let client = Facts {
            id: 7,
            peer: Some(&peer),
            kind: Type::PubSub,
            user: b"app",
            age: 10,
        };
        for (line, selects) in [
            ("127.0.0.1:1000", true),
            ("127.0.0.1:1", false),
            ("ID 7", true),
            ("ID 8", false),
            ("id 8 7", true),
            ("ADDR 127.0.0.1:1000", true),
            ("LADDR [::1]:2000", true),
            ("LADDR 127.0.0.1:1000", false),
            ("TYPE pubsub", true),
            ("TYPE normal", false),
            ("USER app", true),
            ("USER default", false),
            ("MAXAGE 10", true),
            ("MAXAGE 11", false),
            ("ID 7 USER app TYPE PUBSUB SKIPME no", true),
            ("ID 7 USER other TYPE pubsub", false),
            ("SKIPME no ID 1", false),
        ] {
            let kill = parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(kill.selects(&client), selects, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_kills_nobody() {
        for line in [
            "NAME x ID 1",
            "ID x",
            "ID 1 x",
            "SKIPME perhaps",
            "TYPE normal USER",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse(&"x".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn only_the_newer_form_spares_the_client_itself() {
        let skips = |line| parse(line).map(|kill| kill.skip_me);
        assert_eq!(skips("127.0.0.1:1"), Some(false));
        assert_eq!(skips("TYPE normal"), Some(true));
        assert_eq!(skips("TYPE normal SKIPME no"), Some(false));
    }
}
