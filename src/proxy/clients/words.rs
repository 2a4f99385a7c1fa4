//! Requests about clients, translated for Redis: with the ids of dedicated connections in place of clients', so that
//! Redis never takes a client's id for one of its own.

use std::time::Duration;

use super::select::{Kill, Listed};
use super::{Edit, NOBODY, Numbers, slowlog};
use crate::command::{Clients, Here, is_word};
use crate::resp::integer;
use crate::resp::reply;
use crate::resp::request::Request;

/// How a request is sent.
#[derive(Default)]
pub(in crate::proxy) struct Sent {
    /// What is sent in place of the request's own bytes.
    pub bytes: Option<Vec<u8>>,
    /// How its reply is edited.
    pub edit: Option<Edit>,
}

/// Translates a request; `None` if it must wait until the id of a dedicated connection is known. `lists_ids` is whether
/// Redis can list clients by id.
pub(in crate::proxy) fn translate(
    clients: Clients,
    request: &Request<'_>,
    numbers: &mut Numbers,
    lists_ids: bool,
) -> Option<Sent> {
    let (words, edit) = match clients {
        Clients::Getredir => (None, Some(Edit::Getredir)),
        Clients::Id => (None, Edit::here(Here::ClientId, request)),
        Clients::Info => (None, Some(Edit::Line)),
        Clients::Trackinginfo => (None, Some(Edit::Trackinginfo)),
        Clients::Kill => kill(request),
        Clients::List => list(request, numbers, lists_ids),
        Clients::Pause => (None, pause(request)),
        Clients::Resetstat => (None, Some(Edit::CountersReset)),
        Clients::Unpause => (None, Some(Edit::Unpaused)),
        Clients::Tracking => {
            let (words, edit) = tracking(request, numbers)?;
            (Some(words), Some(edit))
        }
        Clients::Unblock => (unblock(request, numbers), None),
        Clients::SlowlogGet | Clients::SlowlogLen => {
            return Some(slowlog::translate(clients, request));
        }
    };
    Some(Sent {
        bytes: words.map(|words| encode(&words)),
        edit,
    })
}

type Words = Vec<Vec<u8>>;

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply::request(&mut bytes, words.iter().map(|word| &word[..]));
    bytes
}

fn owned(request: &Request<'_>) -> Words {
    request.arguments().map(<[u8]>::to_vec).collect()
}

/// An id as an argument.
fn word(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`
fn unblock(request: &Request<'_>, numbers: &Numbers) -> Option<Words> {
    let mut words = owned(request);
    let id = words.get_mut(2)?;
    *id = word(numbers.at_redis(integer(id)?));
    Some(words)
}

/// `CLIENT KILL`. Redis only checks permission and syntax, as it is sent an id that no connection has.
fn kill(request: &Request<'_>) -> (Option<Words>, Option<Edit>) {
    if request.len() < 3 {
        return (None, None);
    }
    let all: Vec<&[u8]> = request.arguments().collect();
    let (start, options) = all.split_at(2);
    let nobody = word(NOBODY);
    let mut words: Words = start.iter().map(|word| word.to_vec()).collect();
    words.extend([b"ID".to_vec(), nobody.clone()]);
    if options.len() > 1 {
        let mut numbers = false;
        for option in options {
            let is_number = numbers && integer(option).is_some_and(|id| id > 0);
            numbers = is_number || is_word(option, b"id");
            words.push(match is_number {
                true => nobody.clone(),
                false => option.to_vec(),
            });
        }
    }
    (Some(words), Some(Edit::Kill(Kill::parse(request))))
}

/// `CLIENT LIST [TYPE type] [ID id …]`. Redis lists the dedicated connections, and the proxy the other clients.
fn list(
    request: &Request<'_>,
    numbers: &Numbers,
    lists_ids: bool,
) -> (Option<Words>, Option<Edit>) {
    let edit = Some(Edit::List(Listed::parse(request)));
    let mut words = owned(request);
    match request.len() {
        2 if lists_ids && numbers.all_at_redis().len() > 0 => {
            words.push(b"ID".to_vec());
            words.extend(numbers.all_at_redis().map(word));
        }
        // The reply to this is short.
        2 => words.extend([b"TYPE".to_vec(), b"master".to_vec()]),
        4.. if is_word(request.argument(2), b"id") => {
            for id in &mut words[3..] {
                if let Some(number) = integer(id) {
                    *id = word(numbers.at_redis(number));
                }
            }
        }
        _ => return (None, edit),
    }
    (Some(words), edit)
}

/// `CLIENT TRACKING ON | OFF [REDIRECT id] …`; `None` if the id is not known yet.
fn tracking(request: &Request<'_>, numbers: &mut Numbers) -> Option<(Words, Edit)> {
    let mut words = owned(request);
    let switches_on = words.get(2).is_some_and(|word| is_word(word, b"on"));
    let mut redirection = None;
    let mut index = 3;
    while index < words.len() {
        let has_value = index + 1 < words.len();
        let option = &words[index];
        if has_value && is_word(option, b"redirect") {
            index += 1;
            if let Some(id) = integer(&words[index]) {
                let number = match switches_on {
                    true => numbers.redirect_target(id)?,
                    false => NOBODY,
                };
                redirection = Some((number, id));
                words[index] = word(number);
            }
        } else if has_value && is_word(option, b"prefix") {
            index += 1;
        }
        index += 1;
    }
    Some((words, Edit::Redirected(redirection)))
}

/// `CLIENT PAUSE milliseconds [WRITE | ALL]`
fn pause(request: &Request<'_>) -> Option<Edit> {
    let milliseconds = request.arguments().nth(2).and_then(integer)?;
    let milliseconds = u64::try_from(milliseconds).ok()?;
    Some(Edit::Paused(Duration::from_millis(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::super::super::ClientId;
    use super::*;
    use crate::resp::request::{Parsed, Parser};

    /// How a line is sent to Redis, where client 1 has the dedicated connection 90, 2 has one without an id, and 3
    /// none.
    fn sent(clients: Clients, line: &str) -> Option<String> {
        let mut numbers = Numbers::default();
        for id in 1..=3 {
            numbers.connected(id, ClientId(0));
        }
        numbers.opened(1, Some(90));
        numbers.opened(2, None);
        let bytes = format!("CLIENT {line}\r\n").into_bytes();
        let mut parser = Parser::new();
        let Ok(Parsed::Request { request, .. }) = parser.parse(&bytes) else {
            panic!("{line}");
        };
        match translate(clients, &request, &mut numbers, true)?.bytes {
            None => Some(line.to_owned()),
            Some(bytes) => {
                let mut parser = Parser::new();
                let Ok(Parsed::Request { request, .. }) = parser.parse(&bytes) else {
                    panic!("{line}");
                };
                let words = request.arguments().skip(1).map(String::from_utf8_lossy);
                let line = words.collect::<Vec<_>>().join(" ");
                Some(line.replace(&NOBODY.to_string(), "nobody"))
            }
        }
    }

    #[test]
    fn redis_gets_its_own_numbers_or_such_that_nobody_has() {
        use Clients::{Kill, List, Tracking, Unblock};
        for (clients, line, expected) in [
            (Unblock, "UNBLOCK 1", "UNBLOCK 90"),
            (Unblock, "UNBLOCK 90 ERROR", "UNBLOCK nobody ERROR"),
            (Unblock, "UNBLOCK 2", "UNBLOCK nobody"),
            (Unblock, "UNBLOCK x", "UNBLOCK x"),
            (Unblock, "UNBLOCK", "UNBLOCK"),
            (Kill, "KILL", "KILL"),
            (Kill, "KILL 127.0.0.1:1", "KILL ID nobody"),
            (Kill, "KILL ID 90", "KILL ID nobody ID nobody"),
            (
                Kill,
                "KILL ID 1 90 2",
                "KILL ID nobody ID nobody nobody nobody",
            ),
            (Kill, "KILL id 0", "KILL ID nobody id 0"),
            (
                Kill,
                "KILL TYPE normal USER",
                "KILL ID nobody TYPE normal USER",
            ),
            (Kill, "KILL MAXAGE 5", "KILL ID nobody MAXAGE 5"),
            (List, "LIST", "LIST ID 90"),
            (List, "LIST ID 1 3 90 x", "LIST ID 90 nobody nobody x"),
            (List, "LIST ID", "LIST ID"),
            (List, "LIST TYPE pubsub", "LIST TYPE pubsub"),
            (
                Tracking,
                "TRACKING ON REDIRECT 1 BCAST",
                "TRACKING ON REDIRECT 90 BCAST",
            ),
            (
                Tracking,
                "TRACKING ON PREFIX REDIRECT REDIRECT 90",
                "TRACKING ON PREFIX REDIRECT REDIRECT nobody",
            ),
            (
                Tracking,
                "TRACKING OFF REDIRECT 3",
                "TRACKING OFF REDIRECT nobody",
            ),
            (Tracking, "TRACKING ON REDIRECT", "TRACKING ON REDIRECT"),
        ] {
            assert_eq!(sent(clients, line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(sent(Tracking, "TRACKING ON REDIRECT 3"), None);
    }
}
