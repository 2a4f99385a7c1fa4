//! `PROXY CONFIG`, `PROXY RULES`, `PROXY CACHE` and `PROXY INVALIDATE`: inspect and change the proxy while it runs.
//!
//! Every client that the proxy serves may inspect, and may invalidate, which costs no more than extra fetches. Who may
//! change settings is itself a setting, which cannot be changed at run time.

use super::engine::{Engine, Flow, question_command};
use super::engine::{Job, KEYS_MAX, Walked};
use super::identity::{Identity, Peer};
use super::replies::Replies;
use super::waiting::WaitsFor;
use crate::cache::{Key, Limits, Look, Value};
use crate::clock::Time;
use crate::command::is_word;
use crate::config::{Config, ConfigSet, Unchanged};
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::resp::{Protocol, integer};
use crate::rules::Pattern;

const OK: &[u8] = b"+OK\r\n";
/// How many keys are listed by default.
const KEYS_SHOWN: usize = 1000;

/// Replies to `HELP`, in the form of Redis's.
const PROXY_HELP: &str = "\
PROXY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
CACHE GET <key>
    Show what is cached of a key.
CACHE KEYS <pattern> [<count>]
    List the cached keys of this database.
CONFIG GET <pattern> [<pattern> ...]
    Show settings.
CONFIG SET <name> <value> [<name> <value> ...]
    Change settings.
INVALIDATE <pattern>
    Remove the matching entries of all databases.
RULES
    List the rules.
SLOWLOG GET [<count>] | LEN | RESET
    Show, count or drop the requests that waited long for Redis.
HELP
    Print this help.";
const UPSTREAM_HELP: &str = "\
UPSTREAM <command> [<arg> ...]. Redis answers, not the proxy. Commands are:
CLIENT <subcommand> [<arg> ...]
INFO [<section> ...]
SLOWLOG <subcommand> [<arg> ...]
HELP
    Print this help.";

impl Engine {
    /// Applies the settings that affect the core.
    pub fn configure(&mut self, config: &Config) {
        let before = std::mem::replace(&mut self.config, Box::new(config.clone()));
        self.cache.set_limits(Limits::from(config));
        if before.rules != config.rules {
            self.set_rules(config.rules.clone());
            self.guards.set_rules(&config.rules);
        }
        if before.denied_commands != config.denied_commands {
            self.guards.deny(config.denied_commands.clone());
        }
        if before.rules != config.rules || before.touch != config.touch {
            self.touches.set(config.touch, self.cache.rules());
        }
        self.missing_ttl = config.missing_ttl;
        self.refetches.enable(config.refetch);
        self.buffers.set_limit(config.max_buffers);
        self.slow_log.set_slower_than(config.slowlog_slower_than);
    }

    /// `PROXY HELP`, or `UPSTREAM HELP`.
    pub(super) fn proxy_help(&self, request: &Request<'_>, replies: &mut Replies) {
        let lines = match is_word(request.argument(0), b"upstream") {
            true => UPSTREAM_HELP,
            false => PROXY_HELP,
        };
        let mut out = Vec::new();
        reply::header(&mut out, b'*', lines.lines().count());
        for line in lines.lines() {
            out.extend_from_slice(b"+");
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        replies.push(Reply::copy(&out));
    }

    /// `PROXY RULES`
    pub(super) fn proxy_rules(&self, replies: &mut Replies) {
        let rules = self.cache.rules();
        let mut out = Vec::new();
        reply::header(&mut out, b'*', rules.iter().len());
        for rule in rules.iter() {
            reply::bulk(&mut out, rule.to_string().as_bytes());
        }
        replies.push(Reply::copy(&out));
    }

    /// `PROXY CONFIG GET pattern [pattern …] | SET name value [name value …]`
    pub(super) fn proxy_config(
        &mut self,
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
    ) {
        let is = |name: &[u8]| is_word(request.argument(2), name);
        if is(b"get") && request.len() > 3 {
            self.config_get(request, identity.protocol, replies);
        } else if is(b"set") && request.len() > 4 && request.len() % 2 == 1 {
            match self.config_set(request, identity) {
                Ok(()) => replies.push_static(OK),
                Err(message) => replies.push_error(message.as_bytes()),
            }
        } else {
            replies.push_error(
                b"ERR try PROXY CONFIG GET pattern [pattern ...] or SET name value [name value ...]",
            );
        }
    }

    fn config_get(&self, request: &Request<'_>, protocol: Protocol, replies: &mut Replies) {
        let patterns = request.arguments().skip(3);
        let patterns: Vec<Pattern> = patterns
            .map(|pattern| Pattern::new(&pattern.to_ascii_lowercase()))
            .collect();
        let is_asked = |name: &str| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(name.as_bytes()))
        };
        let values = self.config.values();
        let values: Vec<_> = values.filter(|(name, _)| is_asked(name)).collect();
        let mut out = Vec::new();
        push_map_header(&mut out, values.len(), protocol);
        for (name, value) in values {
            reply::bulk(&mut out, name.as_bytes());
            reply::bulk(&mut out, value.as_bytes());
        }
        replies.push(Reply::copy(&out));
    }

    /// Changes settings, all or none. The error is a message in Redis's form.
    fn config_set(&mut self, request: &Request<'_>, identity: &Identity) -> Result<(), String> {
        let may_set = match self.config.config_set {
            ConfigSet::Yes => true,
            ConfigSet::Local => identity.peer.as_ref().is_some_and(Peer::is_local),
            ConfigSet::No => false,
        };
        if !may_set {
            return Err(
                "ERR PROXY CONFIG SET not allowed. If the config_set option is set to \"local\", you can run it \
                 from a local connection, otherwise you need to set this option when the proxy is started."
                    .to_owned(),
            );
        }
        let mut config = (*self.config).clone();
        let shown = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let arguments: Vec<String> = request.arguments().skip(3).map(shown).collect();
        for pair in arguments.chunks_exact(2) {
            let change = config.change(&pair[0], &pair[1]);
            change.map_err(|error| refusal(&pair[0], &error))?;
        }
        let checked = config.check();
        checked.map_err(|error| refusal(&arguments[0], &error))?;
        for difference in self.config.differences(&config) {
            log::info!(
                setting = difference.name,
                before = difference.before,
                after = difference.after,
                client = identity.id;
                "setting changed"
            );
        }
        self.configure(&config);
        self.is_reconfigured = true;
        Ok(())
    }

    /// `PROXY INVALIDATE pattern`, in all databases. Returns how many entries were removed.
    pub(super) fn proxy_invalidate(
        &mut self,
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
    ) -> Flow {
        let pattern = request.argument(2);
        match self.walk_for(identity.id, || Job::invalidate(pattern)) {
            Some(Walked::Invalidated(count)) => replies.push(Reply::integer(count)),
            Some(Walked::Keys { .. }) | None => return Flow::Wait(WaitsFor::Walk),
        }
        Flow::Continue
    }

    /// `PROXY CACHE KEYS pattern [count] | GET key`
    pub(super) fn proxy_cache(
        &mut self,
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        let is = |name: &[u8], most| {
            is_word(request.argument(2), name) && (4..=most).contains(&request.len())
        };
        if is(b"keys", 5) {
            return self.cache_keys(request, identity, replies);
        }
        if is(b"get", 4) {
            let key = Key::new(identity.database, request.argument(3));
            match self.cache.look(key, now) {
                Some(look) => {
                    let shown = self.show(&look, identity.protocol, now);
                    replies.push(shown);
                }
                None => replies.push_static(identity.protocol.null()),
            }
        } else {
            replies.push_error(b"ERR try PROXY CACHE KEYS pattern [count] or GET key");
        }
        Flow::Continue
    }

    fn cache_keys(
        &mut self,
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
    ) -> Flow {
        let most = match request.len() {
            4 => Some(KEYS_SHOWN),
            _ => integer(request.argument(4)).and_then(|count| usize::try_from(count).ok()),
        };
        let Some(most) = most.filter(|most| (1..=KEYS_MAX).contains(most)) else {
            let message = format!("ERR count should be from 1 to {KEYS_MAX}");
            replies.push_error(message.as_bytes());
            return Flow::Continue;
        };
        let pattern = request.argument(3);
        let job = || Job::keys(pattern, identity.database, most);
        match self.walk_for(identity.id, job) {
            Some(Walked::Keys { count, names }) => {
                let mut out = Vec::with_capacity(names.len() + 16);
                reply::header(&mut out, b'*', count);
                out.extend_from_slice(&names);
                replies.push(Reply::copy(&out));
                Flow::Continue
            }
            Some(Walked::Invalidated(_)) | None => Flow::Wait(WaitsFor::Walk),
        }
    }

    /// Shows what the proxy knows of a key, as names and values.
    fn show(&self, look: &Look<'_>, protocol: Protocol, now: Time) -> Reply {
        let (kind, length) = match &look.value {
            None => ("unknown", 0),
            Some(Value::Missing) => ("missing", 0),
            Some(Value::Bytes(bytes)) => ("string", bytes.len()),
            Some(Value::Shared(encoded)) => (
                "string",
                reply::bulk_value(encoded).unwrap_or(encoded).len(),
            ),
        };
        let rule = look.rule.map(ToString::to_string).unwrap_or_default();
        let left = now.until(look.end).as_millis() as usize;
        let mut out = Vec::new();
        push_map_header(&mut out, 9, protocol);
        let text = |out: &mut Vec<u8>, name: &str, value: &str| {
            reply::bulk(out, name.as_bytes());
            reply::bulk(out, value.as_bytes());
        };
        let number = |out: &mut Vec<u8>, name: &str, value| {
            reply::bulk(out, name.as_bytes());
            reply::header(out, b':', value);
        };
        let yes_no = |is| if is { "yes" } else { "no" };
        text(&mut out, "value", kind);
        number(&mut out, "value-bytes", length);
        reply::bulk(&mut out, b"answers");
        reply::header(&mut out, b'*', look.answers.len());
        for (question, length) in &look.answers {
            let command = self.table.name(question_command(*question));
            reply::header(&mut out, b'*', 2);
            reply::bulk(&mut out, &command.to_ascii_uppercase());
            reply::header(&mut out, b':', *length);
        }
        number(&mut out, "ttl-ms", left);
        number(&mut out, "age-ms", look.age.as_millis() as usize);
        number(&mut out, "hits", look.reads as usize);
        text(&mut out, "pinned", yes_no(look.is_pinned));
        number(&mut out, "cost-bytes", look.cost);
        text(&mut out, "rule", &rule);
        Reply::copy(&out)
    }
}

fn push_map_header(out: &mut Vec<u8>, pairs: usize, protocol: Protocol) {
    match protocol {
        Protocol::Resp2 => reply::header(out, b'*', 2 * pairs),
        Protocol::Resp3 => reply::header(out, b'%', pairs),
    }
}

/// Why a setting was not changed, in Redis's wording.
fn refusal(name: &str, error: &Unchanged) -> String {
    let reason = match error {
        Unchanged::Unknown => {
            return format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
        }
        Unchanged::AtStart => "can't set immutable config",
        Unchanged::NotAllowed(allowed) => allowed,
    };
    let expected = match error {
        Unchanged::NotAllowed(_) => "expected ",
        _ => "",
    };
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {expected}{reason}")
}
