//! Redirects: a node replies that it no longer has a slot, or only some of its keys. The proxy sends the request on to
//! the right node, unnoticed by the client that waits for it.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::Arrived;
use super::super::Engine;
use super::super::asks::{push_ask, read_question};
use super::super::get::{GET, ask_for_value};
use super::routes::slots;
use super::{Cluster, NOWHERE};
use crate::clock::Time;
use crate::command::internal;
use crate::metrics::Cause;
use crate::order::sort_by_number;
use crate::proxy::ClientId;
use crate::proxy::in_flight::{Asked, Fetch, Forward, Then};
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};
use crate::resp::request::{Parsed, Parser};
use crate::upstream::{ELSEWHERE, LinkId, NodeId};

/// How often a request is redirected without a pause; after that, it pauses before each redirect.
const AT_ONCE: u8 = 5;

/// How long it pauses then, or while a node does not know yet where the request should go.
const PAUSE: Duration = Duration::from_millis(20);

/// What a node returns in place of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Redirect<'a> {
    /// Another node has the slot.
    Moved { slot: u16, address: &'a str },
    /// The slot is migrating to another node, which has the key already, or is to create it.
    Ask { address: &'a str },
    /// Some of the keys are migrating.
    TryAgain,
    /// No node has the slot, or too few nodes see each other.
    Down,
    /// The node no longer belongs to the cluster.
    Elsewhere,
}

impl<'a> Redirect<'a> {
    fn of(encoded: &'a [u8]) -> Option<Self> {
        let text = encoded.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
        if encoded == ELSEWHERE {
            return Some(Self::Elsewhere);
        }
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        match words.next()? {
            "MOVED" => Some(Self::Moved {
                slot: words.next()?.parse().ok()?,
                address: words.next()?,
            }),
            "ASK" => Some(Self::Ask {
                address: words.nth(1)?,
            }),
            "TRYAGAIN" => Some(Self::TryAgain),
            "CLUSTERDOWN" => Some(Self::Down),
            // A replica that has lost its master.
            "MASTERDOWN" => Some(Self::Elsewhere),
            _ => None,
        }
    }
}

/// A request that waits to be sent, or sent again.
pub(in crate::proxy) struct Parked {
    asked: Asked,
    protocol: Protocol,
    /// The request is not sent before this time.
    pub(super) not_before: Time,
    /// The request may wait until this time.
    until: Time,
}

impl Parked {
    /// The clients that wait for the request.
    fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.asked.waiters().map(|waiter| waiter.caller.client)
    }

    /// The place of its reply in the client's queue.
    fn place(&self) -> u64 {
        let waiter = self.asked.waiters().next();
        waiter.map_or(0, |waiter| waiter.place.number())
    }
}

/// A request that has waited for too long, with the error for the clients that wait for it.
pub(in crate::proxy) type Abandoned = (Arrived, Reply);

/// The reply in place of a redirect of a transaction, which is not sent on. Nothing of the transaction was executed.
const MOVING: &[u8] = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n";

impl Engine {
    /// The reply in place of a redirect, if that is the reply to a request that can't be sent on.
    pub(in crate::proxy::engine) fn say_instead(
        &mut self,
        link: LinkId,
        encoded: &[u8],
    ) -> Option<Then> {
        let redirect = Redirect::of(encoded)?;
        self.follow(redirect, link);
        Some(Then::Say(MOVING))
    }

    /// The reply in place of a redirect on a client's dedicated connection to `node`.
    pub(in crate::proxy) fn reply_for_redirect(&mut self, encoded: &[u8], node: NodeId) -> Reply {
        let is_known = |redirect: &Redirect<'_>| match redirect {
            Redirect::Moved { slot, .. } => {
                let owner = self.cluster.as_ref().map(|cluster| cluster.owner(*slot));
                owner.is_some_and(|owner| owner != node)
            }
            _ => false,
        };
        let redirect = Redirect::of(encoded);
        let is_elsewhere = redirect.as_ref().is_some_and(is_known);
        if let Some(redirect) = redirect {
            self.follow(redirect, LinkId::new(Protocol::Resp2, 0).at(node));
        }
        match is_elsewhere {
            // The connection was opened for keys of another node.
            true => Reply::Static(b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"),
            false => Reply::Static(MOVING),
        }
    }

    /// If a node has answered the oldest request of a link with a redirect, sends the request on.
    pub(in crate::proxy::engine) fn redirected(
        &mut self,
        link: LinkId,
        encoded: &[u8],
        next: Option<&[u8]>,
        now: Time,
    ) -> Option<Arrived> {
        let redirect = Redirect::of(encoded)?;
        if !self.in_flight.is_sent_on(link) {
            return None;
        }
        let mut asked = self.in_flight.answered(link)?;
        let mut arrived = Arrived::default();
        if let Asked::Fetch(fetch) = &asked {
            // The new node does not yet know the key's time to live.
            if next.is_some() && !fetch.reads_fields {
                self.in_flight.answered(link);
                arrived.with_next = true;
            }
            if fetch.is_refetch {
                self.refetches.answered();
            }
        }
        if let Some(tries) = asked.tries_mut() {
            *tries += 1;
        }
        let leads_to = self.follow(redirect, link);
        if asked.waiters().next().is_none() {
            return Some(arrived);
        }
        let target = match redirect {
            Redirect::Elsewhere => Some(self.owner_of(&asked)),
            _ => leads_to,
        };
        let is_patient = asked.tries() > AT_ONCE
            || self.is_behind_parked(&asked)
            || self.is_behind_sent_on(&asked, target);
        match (redirect, target) {
            (Redirect::Ask { .. }, Some(node)) if !is_patient => {
                self.send_on(asked, link.protocol, node, true, now)
            }
            (Redirect::Moved { .. }, Some(node)) if !is_patient => {
                self.send_on(asked, link.protocol, node, false, now)
            }
            (Redirect::Elsewhere, Some(owner))
                if !is_patient && owner != link.node && owner != NOWHERE =>
            {
                self.send_on(asked, link.protocol, owner, false, now)
            }
            _ => self.park(asked, link.protocol, now.after(PAUSE), now),
        }
        Some(arrived)
    }

    /// Whether a client that waits for `asked` waits for a parked request that it sent before.
    fn is_behind_parked(&self, asked: &Asked) -> bool {
        let parked = self.cluster.iter().flat_map(|cluster| &cluster.parked);
        let mut parked = parked.map(|parked| &parked.asked);
        parked.any(|other| is_behind(asked, other))
    }

    /// Whether a client that waits for `asked` has an earlier request that was redirected and is in flight at another
    /// node, from where it may be redirected once more. Reads may overtake reads: otherwise clients that read the same
    /// keys in different orders could wait for each other.
    fn is_behind_sent_on(&self, asked: &Asked, target: Option<NodeId>) -> bool {
        let mut sent_on = self.in_flight.sent_on_elsewhere(target);
        sent_on.any(|other| (may_write(asked) || may_write(other)) && is_behind(asked, other))
    }

    /// Updates the map from a redirect. Returns the node that the redirect leads to, if it is known.
    fn follow(&mut self, redirect: Redirect<'_>, link: LinkId) -> Option<NodeId> {
        let cluster = self.cluster.as_mut()?;
        cluster.next_turn();
        let address = match redirect {
            Redirect::Moved { address, .. } | Redirect::Ask { address } => {
                cluster.whole_address(address, link.node)
            }
            Redirect::TryAgain => return None,
            Redirect::Down | Redirect::Elsewhere => {
                cluster.wishes.map = true;
                return None;
            }
        };
        let node = cluster.map.node_at(&address);
        if node.is_none() {
            cluster.wishes.map = true;
            if !cluster.wishes.nodes.contains(&address) {
                cluster.wishes.nodes.push(address);
            }
        }
        if let Redirect::Moved { slot, .. } = redirect {
            cluster.wishes.map = true;
            if let Some(node) = node
                && cluster.is_master(link.node)
                && cluster.map.owner(slot) != Some(node)
            {
                Arc::make_mut(&mut cluster.map).assign(slot, node);
                self.invalidate_slots(|moved| moved == slot, Cause::Reconnected);
            }
        }
        node
    }

    /// The node for a request.
    fn owner_of(&self, asked: &Asked) -> NodeId {
        let Some(cluster) = &self.cluster else {
            return NOWHERE;
        };
        match asked {
            Asked::Fetch(fetch) => cluster.node_of(&fetch.key),
            Asked::Forward(Forward {
                encoded: Some(encoded),
                ..
            }) => {
                let mut parser = Parser::new();
                let Ok(Parsed::Request { request, .. }) = parser.parse(encoded) else {
                    return cluster.any;
                };
                match self.table.find(&request) {
                    Ok(row) => cluster.node_for(slots(&request, &row)),
                    Err(_) => cluster.any,
                }
            }
            _ => cluster.any,
        }
    }

    /// Sends a request on to a node. If `asking`, the node is told to answer even though it does not have the slot yet.
    fn send_on(&mut self, asked: Asked, protocol: Protocol, node: NodeId, asking: bool, now: Time) {
        let link = LinkId::new(protocol, self.databases.home).at(node);
        if asking {
            self.requests.of(link).push(false, |out| {
                reply::request(out, [internal::ASKING.as_bytes()].into_iter());
            });
            self.in_flight.ask_for_nothing(link);
        }
        match asked {
            Asked::Fetch(fetch) => self.fetch_on(fetch, link, asking, now),
            Asked::Forward(mut forward) => {
                if let Some(waiter) = &mut forward.waiter {
                    waiter.caller.node = node;
                }
                let repeatable = forward.asks.is_some_and(|asks| asks.repeatable);
                let encoded = forward.encoded.as_deref().unwrap_or_default();
                self.requests
                    .of(link)
                    .push(repeatable, |out| out.extend_from_slice(encoded));
                self.in_flight.forward_again(forward, link);
            }
            Asked::FieldsToLive
            | Asked::TimeToLive
            | Asked::Nothing
            | Asked::Policy
            | Asked::Touch
            | Asked::Describe(_) => return,
        }
        self.asked += 1;
    }

    fn fetch_on(&mut self, mut fetch: Fetch, link: LinkId, asking: bool, now: Time) {
        fetch.since = now;
        fetch.is_refetch = false;
        for waiter in fetch
            .waiters
            .iter_mut()
            .flat_map(|waiters| std::iter::once(&mut waiters.first).chain(&mut waiters.others))
        {
            waiter.caller.node = link.node;
        }
        let key = Rc::clone(&fetch.key);
        let question = fetch.question.clone();
        let words = std::mem::take(&mut fetch.words);
        let Some(question) = question else {
            self.in_flight.fetch_again(fetch, words, link, !asking);
            return ask_for_value(self.requests.of(link), GET, &key);
        };
        let row = read_question(&question)
            .and_then(|(_, command, rest)| self.table.ask(command, &key, rest));
        let Some((row, request)) = row else {
            return;
        };
        self.in_flight.fetch_again(fetch, words, link, !asking);
        push_ask(self.requests.of(link), &row, &key, &question, |out| {
            out.extend_from_slice(&request);
        });
    }

    /// Parks a request, to be sent later. It may then be redirected several times again without a pause.
    fn park(&mut self, mut asked: Asked, protocol: Protocol, not_before: Time, now: Time) {
        if let Asked::Forward(forward) = &asked {
            self.in_flight.hold(forward);
        }
        if let Some(tries) = asked.tries_mut() {
            *tries = (*tries).min(1);
        }
        if let Some(cluster) = &mut self.cluster {
            let since = match &asked {
                Asked::Forward(forward) => {
                    forward.waiter.as_ref().map(|waiter| waiter.caller.since)
                }
                Asked::Fetch(fetch) => fetch
                    .waiters
                    .as_ref()
                    .map(|waiters| waiters.first.caller.since),
                _ => None,
            };
            cluster.parked.push(Parked {
                asked,
                protocol,
                not_before,
                until: since.unwrap_or(now).after(cluster.wait),
            });
        }
    }

    fn park_nowhere(&mut self, link: LinkId, now: Time) {
        // The requests in flight on the link to nowhere are parked in order.
        while let Some(asked) = self.in_flight.answered(link) {
            match asked {
                Asked::Fetch(_) | Asked::Forward(_) => self.park(asked, link.protocol, now, now),
                Asked::Describe(name) => self.described(name.as_deref(), ELSEWHERE, now),
                Asked::FieldsToLive
                | Asked::TimeToLive
                | Asked::Nothing
                | Asked::Policy
                | Asked::Touch => {}
            }
        }
        self.requests.of(link).clear();
        if let Some(cluster) = &mut self.cluster {
            cluster.next_turn();
            cluster.wishes.map = true;
        }
    }

    /// Parks the requests that were sent while the node of their slot was unknown.
    pub fn park_lost(&mut self, now: Time) {
        if self.cluster.is_some() {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                let link = LinkId::new(protocol, self.databases.home).at(NOWHERE);
                if !self.requests.of(link).is_empty() {
                    self.park_nowhere(link, now);
                }
            }
        }
    }

    /// When to check the parked requests again.
    pub fn parked_until(&self) -> Option<Time> {
        let cluster = self.cluster.as_ref()?;
        let parked = cluster.parked.iter();
        parked
            .map(|parked| parked.not_before.min(parked.until))
            .min()
    }

    /// Sends the parked requests that have waited long enough. A client's requests are sent together, to keep their
    /// order, and only when no other of its requests is in flight that might have to be sent again.
    pub fn send_parked(&mut self, now: Time) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_due = |parked: &&Parked| parked.not_before <= now && now < parked.until;
        let due = cluster.parked.iter().filter(is_due);
        let due: HashSet<ClientId> = due.flat_map(Parked::clients).collect();
        if due.is_empty() {
            return;
        }
        let waiting = self.in_flight.clients();
        let is_sent = |parked: &Parked| {
            now < parked.until
                && parked.clients().any(|client| due.contains(&client))
                && !parked.clients().any(|client| waiting.contains(&client))
        };
        let (mut due, mut rest): (Vec<Parked>, Vec<Parked>) = std::mem::take(&mut cluster.parked)
            .into_iter()
            .partition(is_sent);
        for parked in &mut rest {
            if parked.not_before <= now {
                parked.not_before = now.after(PAUSE);
            }
        }
        cluster.parked = rest;
        if !due.is_empty() {
            cluster.next_turn();
        }
        sort_by_number(&mut due, Parked::place);
        for parked in due {
            if let Asked::Forward(forward) = &parked.asked {
                self.in_flight.release(forward);
            }
            match self.owner_of(&parked.asked) {
                NOWHERE => self.park(parked.asked, parked.protocol, now.after(PAUSE), now),
                node => self.send_on(parked.asked, parked.protocol, node, false, now),
            }
        }
    }

    /// Takes the requests that have waited too long.
    pub fn take_abandoned(&mut self, now: Time) -> Vec<Abandoned> {
        let Some(cluster) = &mut self.cluster else {
            return Vec::new();
        };
        let is_late = |parked: &Parked| parked.until <= now;
        let (late, rest): (Vec<Parked>, Vec<Parked>) = std::mem::take(&mut cluster.parked)
            .into_iter()
            .partition(is_late);
        cluster.parked = rest;
        let abandoned = late.into_iter().map(|parked| {
            let arrived = match parked.asked {
                Asked::Forward(forward) => {
                    self.in_flight.release(&forward);
                    Arrived::of_forward(forward)
                }
                Asked::Fetch(fetch) => Arrived::of_fetch(fetch),
                _ => Arrived::default(),
            };
            (arrived, Self::unserved())
        });
        abandoned.collect()
    }
}

/// Whether a client waits for both requests, and sent `other` first.
fn is_behind(asked: &Asked, other: &Asked) -> bool {
    let first = |asked: &Asked, client| {
        let waiters = asked.waiters();
        let mut of_client = waiters.filter(|waiter| waiter.caller.client == client);
        of_client.next().map(|waiter| waiter.place)
    };
    let mut clients = asked.waiters().map(|waiter| waiter.caller.client);
    clients.any(|client| {
        let earlier = first(other, client);
        earlier.is_some() && earlier < first(asked, client)
    })
}

fn may_write(asked: &Asked) -> bool {
    match asked {
        Asked::Forward(forward) => !forward.asks.is_some_and(|asks| asks.repeatable),
        _ => false,
    }
}

impl Cluster {
    /// The address in a redirect, in the form of the map. Without a host, the host is that of the node that answered.
    fn whole_address(&self, address: &str, answered: NodeId) -> Box<str> {
        if !address.starts_with(':') {
            return address.into();
        }
        let mut nodes = self.map.nodes().iter();
        let node = nodes.find(|node| node.id == answered);
        let host = node
            .and_then(|node| node.address.rsplit_once(':'))
            .map_or("", |(host, _)| host);
        format!("{host}{address}").into()
    }
}
