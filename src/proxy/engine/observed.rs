//! Requests whose replies hooks want to see, and replies that name keys with a client's prefix.

use std::rc::Rc;

use super::super::admission::Sender;
use super::super::clients::Edit;
use super::super::guard::{Named, without_prefix};
use super::super::hooks::Hooks;
use super::super::identity::Identity;
use super::super::in_flight::Caller;
use super::super::replies::{Observed, Replies, to_reply};
use super::super::{ClientId, Proxy};
use super::{Engine, Flow};
use crate::clock::Time;
use crate::command::{Cached, UNKNOWN, Way};
use crate::metrics::Outcome;
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;

fn encode(request: &Request<'_>) -> Box<[u8]> {
    let mut encoded = Vec::new();
    reply::request(&mut encoded, request.arguments());
    encoded.into()
}

/// How to edit a reply that hooks also want to see, given as a bit for each. Hooks do not see replies that the proxy
/// edits itself.
pub(super) fn observe(edit: Option<Edit>, hooks: u32, request: &Request<'_>) -> Option<Edit> {
    let prefix = match edit {
        _ if hooks == 0 => return edit,
        None => None,
        Some(Edit::WithoutPrefix(prefix, named)) => Some((prefix, named)),
        edit => return edit,
    };
    Some(Edit::Observed {
        hooks,
        request: encode(request),
        prefix,
    })
}

impl Engine {
    pub(in crate::proxy) fn set_hooks(&mut self, hooks: Hooks) {
        let wanted = hooks.wants().map(|wants| wants.commands.clone());
        self.table.set_wanted(wanted.collect());
        self.hooks = hooks;
    }

    /// How the reply to a request is edited, if its client's keys have a prefix and the reply names keys.
    pub(super) fn take_prefix(
        &self,
        edit: Option<Edit>,
        request: &Request<'_>,
        identity: &Identity,
    ) -> Option<Edit> {
        let guard = identity.guard.as_ref();
        match guard.and_then(|guard| guard.prefix.as_ref()) {
            Some(prefix) if edit.is_none() => {
                let named = Named::by(&self.table.full_name(request))?;
                Some(Edit::WithoutPrefix(Rc::clone(prefix), named))
            }
            _ => edit,
        }
    }

    /// Executes a request whose reply hooks want to see, given as a bit for each.
    pub(in crate::proxy) fn execute_observed(
        &mut self,
        request: &Request<'_>,
        client: ClientId,
        identity: &mut Identity,
        replies: &mut Replies,
        (hooks, now): (u32, Time),
    ) -> Flow {
        if identity.multi {
            return self.execute(request, client, identity, replies, now);
        }
        let row = self.table.find(request).unwrap_or(UNKNOWN);
        let caller = Caller {
            client,
            protocol: identity.protocol,
            database: identity.database,
            node: self.node_for(request, &row),
            command: row.number,
            since: now,
        };
        let place = replies.next_place();
        let flow = match row.way(request) {
            // An MGET is gathered key by key, but hooks need the reply as a whole.
            Way::Cached(Cached::Mget) => {
                let sent = Default::default();
                let outcome = self.forward(request, sent, &row, caller, replies);
                self.count(row.number, outcome, replies);
                Flow::Continue
            }
            way => {
                let cached = match way {
                    Way::Cached(Cached::Get) => {
                        let key = caller.key(request.argument(1));
                        let value = self.cached_for(replies, key, now);
                        value.map(|value| to_reply(&value, caller.protocol))
                    }
                    Way::Cached(Cached::Answer { key, .. }) => {
                        self.answer_from_cache(request, key.into(), caller, replies)
                    }
                    _ => None,
                };
                if let Some(reply) = cached {
                    identity.last_command = row.number;
                    let sender = sender_of(caller, identity);
                    let replaced = self.observe(hooks, &encode(request), reply.bytes(), sender);
                    replies.push(replaced.unwrap_or(reply));
                    self.metrics.keys.hits += 1;
                    self.count(row.number, Outcome::Hit, replies);
                    return Flow::Continue;
                }
                self.execute(request, client, identity, replies, now)
            }
        };
        let request = encode(request);
        replies.observe(place, Observed { hooks, request });
        flow
    }

    /// Answers a request that was decided not to be executed, with an encoded reply or an error.
    pub(in crate::proxy) fn answer_decided(
        &mut self,
        request: &Request<'_>,
        reply: &[u8],
        is_refusal: bool,
        replies: &mut Replies,
    ) {
        match is_refusal {
            true => replies.push_error(reply),
            false => replies.push(Reply::copy(reply)),
        }
        let number = self.table.find(request).unwrap_or(UNKNOWN).number;
        self.count(number, Outcome::Here, replies);
    }

    /// Counts a request that was decided not to be executed, of a client with a dedicated connection.
    pub(in crate::proxy) fn count_decided(&mut self, request: &Request<'_>, is_refusal: bool) {
        let number = self.table.find(request).unwrap_or(UNKNOWN).number;
        let outcome = match is_refusal {
            true => Outcome::Refused,
            false => Outcome::Here,
        };
        self.metrics.commands.add(number, outcome, 1);
    }
}

fn sender_of(caller: Caller, identity: &Identity) -> Sender<'_> {
    Sender {
        client: caller.client,
        identity,
        database: caller.database,
        protocol: caller.protocol,
        is_shared: true,
        now: caller.since,
    }
}

impl Proxy {
    /// Shows hooks a reply that came over a shared connection.
    pub(in crate::proxy) fn observe_shared(
        &mut self,
        caller: Caller,
        observed: &Observed,
        encoded: &[u8],
        now: Time,
    ) -> Option<Reply> {
        let identity = &self.sessions[caller.client.0].identity;
        let caller = Caller {
            since: now,
            ..caller
        };
        let sender = sender_of(caller, identity);
        self.engine
            .observe(observed.hooks, &observed.request, encoded, sender)
    }

    /// Passes a reply on a client's dedicated connection to the hooks, and removes the prefix from the keys that it names.
    pub(in crate::proxy) fn observed(
        &mut self,
        client: ClientId,
        (hooks, request): (u32, &[u8]),
        encoded: &[u8],
        prefix: Option<&(Rc<[u8]>, Named)>,
        (protocol, now): (Protocol, Time),
    ) -> Reply {
        let session = &self.sessions[client.0];
        let dedicated = session.dedicated.as_ref();
        let sender = Sender {
            client,
            identity: &session.identity,
            database: dedicated.map_or(session.identity.database, |it| it.database()),
            protocol,
            is_shared: false,
            now,
        };
        let replaced = self.engine.observe(hooks, request, encoded, sender);
        let reply = replaced.unwrap_or_else(|| Reply::copy(encoded));
        match prefix {
            Some((prefix, named)) => Reply::copy(&without_prefix(reply.bytes(), *named, prefix)),
            None => reply,
        }
    }
}
