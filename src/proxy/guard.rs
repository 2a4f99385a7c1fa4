//! What clients may do: rules that refuse commands or keys, and the prefix of a client's keys.
//!
//! A client's [`Guard`] depends on its listener and its user at Redis; most clients have none. Every request of a
//! client with a guard is checked by it, whichever connection it takes to Redis.

mod names;
mod prefix;

use std::rc::Rc;

pub(super) use names::{Named, without_prefix};
pub(super) use prefix::{message_without_prefix, with_prefix};

use crate::command::{CommandList, Row, Writes, is_word, written};
use crate::resp::request::Request;
use crate::rules::{Listener, Pattern, Rule, Rules};

/// Redis's error (`ACL` of 7.0).
const NO_KEY: &[u8] =
    b"NOPERM this user has no permissions to access one of the keys used as arguments";

/// Commands that show other clients' data, or after which a connection no longer carries requests.
const STREAMS: [&[u8]; 3] = [b"psync", b"script|debug", b"sync"];

/// Commands that show or change keys that they do not name.
const BEYOND_KEYS: [&[u8]; 6] = [
    b"debug",
    b"monitor",
    b"proxy|cache",
    b"proxy|config",
    b"proxy|invalidate",
    b"proxy|rules",
];

/// The source of all guards.
#[derive(Default)]
pub(super) struct Guards {
    denied: CommandList,
    rules: Vec<Rule>,
    /// The guards made so far: one for each listener and each user that a rule names, or any other user.
    made: Vec<Made>,
}

/// The guard of a listener's clients that are `user`, or that no rule names.
struct Made {
    listener: Listener,
    user: Option<Box<str>>,
    guard: Option<Rc<Guard>>,
}

/// What one client may do.
pub(super) struct Guard {
    denied: CommandList,
    /// The prefix of all its keys.
    pub prefix: Option<Rc<[u8]>>,
    /// Which keys it may use. The first pattern that matches a key decides.
    keys: Vec<(Pattern, Access)>,
}

/// What a client may do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Any,
    Read,
    None,
}

impl Guards {
    /// Sets the commands that all clients are refused.
    pub fn deny(&mut self, commands: CommandList) {
        self.denied = commands;
        self.made.clear();
    }

    /// Sets the rules.
    pub fn set_rules(&mut self, rules: &Rules) {
        self.rules = rules.of_requests().cloned().collect();
        self.made.clear();
    }

    /// The guard of a client.
    pub fn of(&mut self, listener: Listener, user: &[u8]) -> Option<Rc<Guard>> {
        if self.rules.is_empty() && self.denied.is_empty() {
            return None;
        }
        let mut named = self
            .rules
            .iter()
            .filter_map(|rule| rule.clients.user.as_deref());
        let user: Option<Box<str>> = named.find(|name| name.as_bytes() == user).map(Box::from);
        let mut made = self.made.iter();
        if let Some(made) = made.find(|made| made.listener == listener && made.user == user) {
            return made.guard.clone();
        }
        let guard = self.make(listener, user.as_deref().unwrap_or_default());
        self.made.push(Made {
            listener,
            user,
            guard: guard.clone(),
        });
        guard
    }

    fn make(&self, listener: Listener, user: &str) -> Option<Rc<Guard>> {
        let is_for = |rule: &&Rule| rule.clients.contains(listener, user.as_bytes());
        let rules = || self.rules.iter().filter(is_for);
        let prefix = rules().find_map(|rule| rule.prefix.as_deref());
        let keys = rules().filter(|rule| rule.limits_keys()).map(|rule| {
            let access = match () {
                () if rule.deny => Access::None,
                () if rule.readonly => Access::Read,
                () => Access::Any,
            };
            (rule.pattern.clone(), access)
        });
        let guard = Guard {
            denied: self.denied.clone(),
            prefix: prefix.map(|prefix| prefix.as_bytes().into()),
            keys: keys.collect(),
        };
        let is_needed =
            !guard.denied.is_empty() || guard.prefix.is_some() || !guard.keys.is_empty();
        is_needed.then(|| Rc::new(guard))
    }
}

impl Guard {
    /// Checks a request by its command `name`.
    ///
    /// # Errors
    /// The error that it is refused with.
    pub fn judge_command(
        &self,
        request: &Request<'_>,
        row: &Row,
        name: &[u8],
    ) -> Result<(), Vec<u8>> {
        let hidden = behind_first_word(request, name);
        let is_denied = |name: &[u8]| self.denied.contains(name, row);
        let limits_keys = self.prefix.is_some() || !self.keys.is_empty();
        match () {
            () if is_denied(name) || hidden.as_deref().is_some_and(is_denied) => {
                Err(no_command(name))
            }
            () if limits_keys && BEYOND_KEYS.contains(&name) => Err(no_command(name)),
            () => Ok(()),
        }
    }

    /// Checks a request by its keys, in the form in which Redis gets them.
    ///
    /// # Errors
    /// The error that it is refused with.
    pub fn judge_keys(&self, request: &Request<'_>, row: &Row, name: &[u8]) -> Result<(), Vec<u8>> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let allows = |key: &[u8], least: Access| {
            let access = self.keys.iter().find(|(pattern, _)| pattern.matches(key));
            match access.map_or(Access::Any, |(_, access)| *access) {
                Access::Any => true,
                Access::Read => least == Access::Read,
                Access::None => false,
            }
        };
        let least = match row.writes {
            // The command is flagged as a write, but writes nothing that the cache may hold.
            Writes::Nothing if row.may_write => Access::Any,
            _ => Access::Read,
        };
        let mut is_allowed = true;
        let told = row.keys.each(request, |at| {
            is_allowed = is_allowed && allows(request.argument(at), least);
        });
        if !told {
            return Err(no_command(name));
        }
        if row.may_write {
            match written(request, row.writes) {
                Some(keys) => is_allowed &= keys.iter().all(|key| allows(key, Access::Any)),
                None => return Err(no_command(name)),
            }
        }
        if !is_allowed {
            return Err(NO_KEY.to_vec());
        }
        match names_by_pattern(request, name) {
            Some(option) => Err([
                b"ERR ",
                option,
                b" option of SORT denied due to insufficient ACL permissions",
            ]
            .concat()),
            None => Ok(()),
        }
    }
}

/// Whether this command turns the connection into a stream that carries no further requests.
pub(super) fn starts_stream(name: &[u8]) -> bool {
    STREAMS.contains(&name)
}

/// The error reply to a command that a client may not run.
pub(super) fn no_command(name: &[u8]) -> Vec<u8> {
    [
        b"NOPERM this user has no permissions to run the '",
        name,
        b"' command",
    ]
    .concat()
}

/// The name of the command that Redis executes for an `UPSTREAM` request.
fn behind_first_word(request: &Request<'_>, name: &[u8]) -> Option<Vec<u8>> {
    let command = name.strip_prefix(b"upstream|")?;
    let subcommand = (request.len() > 2).then(|| request.argument(2).to_ascii_lowercase());
    Some(match subcommand {
        Some(subcommand) => [command, b"|", &subcommand].concat(),
        None => command.to_vec(),
    })
}

/// The option of a `SORT` that reads keys which the request does not name.
fn names_by_pattern(request: &Request<'_>, name: &[u8]) -> Option<&'static [u8]> {
    if name != b"sort" && name != b"sort_ro" {
        return None;
    }
    (2..request.len().saturating_sub(1)).find_map(|at| {
        let pattern = request.argument(at + 1);
        let is = |word: &[u8]| is_word(request.argument(at), word);
        match () {
            () if is(b"by") && pattern.contains(&b'*') => Some(&b"BY"[..]),
            () if is(b"get") && pattern != b"#" => Some(b"GET"),
            () => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::resp::request::{Parsed, Parser};

    fn rule(pattern: &str) -> Rule {
        Rule::new(Pattern::new(pattern.as_bytes()))
    }

    fn guards(rules: &[Rule]) -> Guards {
        let mut guards = Guards::default();
        let mut all = Rules::default();
        rules.iter().for_each(|rule| all.push(rule.clone()));
        guards.set_rules(&all);
        guards
    }

    /// A guard's decision about a request, given inline.
    fn judge(guard: &Guard, inline: &str) -> Result<(), String> {
        let line = format!("{inline}\r\n");
        let mut parser = Parser::new();
        let Ok(Parsed::Request { request, .. }) = parser.parse(line.as_bytes()) else {
            panic!("{inline} is a request");
        };
        let table = Table::default();
        let row = table.find(&request).expect("a row");
        let name = table.full_name(&request);
        let judged = guard.judge_command(&request, &row, &name);
        let judged = judged.and_then(|()| guard.judge_keys(&request, &row, &name));
        judged.map_err(|message| String::from_utf8_lossy(&message).into_owned())
    }

    #[track_caller]
    fn check(guard: &Guard, allowed: &[&str], no_key: &[&str], no_command: &[&str]) {
        for line in allowed {
            assert_eq!(judge(guard, line), Ok(()), "{line}");
        }
        for line in no_key {
            let no_key = String::from_utf8_lossy(NO_KEY).into_owned();
            assert_eq!(judge(guard, line), Err(no_key), "{line}");
        }
        for line in no_command {
            let judged = judge(guard, line).expect_err(line);
            assert!(
                judged.starts_with("NOPERM") && judged.contains("to run the"),
                "{judged}"
            );
        }
    }

    #[test]
    fn a_key_that_is_denied_is_refused_to_every_command() {
        let deny = Rule {
            deny: true,
            ..rule("secret:*")
        };
        let guard = guards(&[deny]).of(Listener::Port, b"").expect("a guard");
        check(
            &guard,
            &[
                "GET a",
                "MSET a 1 b 2",
                "EVAL s 1 a secret:a",
                "PUBLISH secret:a m",
                "SORT a BY nosort GET #",
                "PING",
                "MULTI",
            ],
            &[
                "GET secret:a",
                "mget a secret:a",
                "MSET a 1 secret:a 2",
                "EVAL s 1 secret:a",
                "BLPOP a secret:b 0",
                "XREAD STREAMS a secret:s 0 0",
                "ZUNIONSTORE d 1 secret:z",
                "SORT a STORE secret:d",
                "OBJECT ENCODING secret:a",
                "WATCH secret:a",
            ],
            &[
                "FLUSHALL",
                "flushdb",
                "SWAPDB 0 1",
                "MIGRATE h 1 a 0 5",
                "MONITOR",
                "DEBUG OBJECT a",
            ],
        );
        for option in ["BY", "GET"] {
            let line = format!("SORT a {option} secret:*");
            let message =
                format!("ERR {option} option of SORT denied due to insufficient ACL permissions");
            assert_eq!(judge(&guard, &line), Err(message));
        }
    }

    #[test]
    fn a_key_that_is_readonly_is_read_and_not_written() {
        let readonly = Rule {
            readonly: true,
            ..rule("config:*")
        };
        let guard = guards(&[readonly])
            .of(Listener::Port, b"")
            .expect("a guard");
        check(
            &guard,
            &[
                "GET config:a",
                "SET a 1",
                "COPY config:a b",
                "SORT config:a STORE d",
                "XREAD STREAMS config:s 0",
            ],
            &[
                "SET config:a 1",
                "COPY a config:a",
                "DEL a config:a",
                "SORT a STORE config:a",
                "XREADGROUP GROUP g c STREAMS config:s >",
                "XGROUP CREATE config:s g 0",
                "GETDEL config:a",
                "EVAL s 1 config:a",
            ],
            &["FLUSHALL"],
        );
    }

    #[test]
    fn the_first_rule_that_matches_a_key_counts() {
        let deny = Rule {
            deny: true,
            ..rule("*")
        };
        let allow = Rule {
            allow: true,
            ..rule("public:*")
        };
        let guard = guards(&[allow, deny])
            .of(Listener::Port, b"")
            .expect("a guard");
        check(&guard, &["SET public:a 1"], &["GET a"], &[]);
    }

    #[test]
    fn commands_are_denied_by_name_and_pattern_and_behind_upstream() {
        let mut guards = Guards::default();
        guards.deny(CommandList::parse("FLUSHALL,config*,client|kill").expect("a list"));
        let guard = guards.of(Listener::Port, b"").expect("a guard");
        check(
            &guard,
            &[
                "GET a",
                "CLIENT LIST",
                "FLUSHDB",
                "UPSTREAM CLIENT LIST",
                "MONITOR",
            ],
            &[],
            &[
                "FLUSHALL",
                "CONFIG GET *",
                "config set a b",
                "CLIENT KILL a",
                "UPSTREAM CLIENT KILL a",
            ],
        );
        let judged = judge(&guard, "CONFIG GET *");
        let message = "NOPERM this user has no permissions to run the 'config|get' command";
        assert_eq!(judged, Err(message.into()));
    }

    #[test]
    fn a_rule_is_for_the_clients_that_it_names() {
        let for_clients = |listener, user: Option<&str>| Rule {
            readonly: true,
            clients: crate::rules::Clients {
                listener,
                user: user.map(Box::from),
            },
            ..rule("*")
        };
        let mut tls = guards(&[for_clients(Some(Listener::TlsPort), None)]);
        assert!(tls.of(Listener::Port, b"app").is_none());
        assert!(tls.of(Listener::TlsPort, b"app").is_some());
        let mut app = guards(&[for_clients(None, Some("app"))]);
        assert!(app.of(Listener::Port, b"app").is_some());
        assert!(app.of(Listener::Port, b"other").is_none());
        assert!(app.of(Listener::Port, b"").is_none());
        assert!(app.made.len() <= 2);
    }
}
