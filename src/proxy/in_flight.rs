//! The requests that Redis has not answered yet. Replies on each link come in the order of the requests, so the oldest
//! is always next; and a key that is being fetched can be found, to join that fetch.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::ClientId;
use super::clients::Edit;
use super::fetches::{Fetches, Ticket};
use super::replies::Place;
use super::slow_log::Words;
use super::written::{Written, WrittenKeys};
use crate::cache::Key;
use crate::clock::Time;
use crate::resp::Protocol;
use crate::resp::reply::Reply;
use crate::status::Wanted;
use crate::upstream::{LinkId, NodeId, PerLink};

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub client: ClientId,
    /// The client's protocol version and database, which select the link for its requests.
    pub protocol: Protocol,
    pub database: u32,
    /// The node that the request is sent to.
    pub node: NodeId,
    /// The command's number in the table.
    pub command: u16,
    /// When its last byte had arrived.
    pub since: Time,
}

impl Caller {
    /// The link that its requests go over.
    #[inline]
    pub fn link(&self) -> LinkId {
        LinkId::new(self.protocol, self.database).at(self.node)
    }

    /// The key of that name in its database.
    #[inline]
    pub fn key<'a>(&self, name: &'a [u8]) -> Key<'a> {
        Key::new(self.database, name)
    }
}

/// A client that waits for a reply, and the reply's place among those of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub caller: Caller,
    pub place: Place,
    /// The element of an array reply that it fills.
    pub element: Option<u32>,
}

/// A request in flight.
pub(super) enum Asked {
    /// Fetches a key's value, or an answer about it, and how long the key has to live.
    Fetch(Fetch),
    /// The second part of a fetch that reads fields which may expire: their time to live.
    FieldsToLive,
    /// The last part: the time to live of its key.
    TimeToLive,
    /// Whether Redis evicts the keys that are not used.
    Policy,
    /// Touches keys, so that Redis counts them as used.
    Touch,
    /// A client's request.
    Forward(Forward),
    /// The description of the command of that name; without a name, of all commands.
    Describe(Option<Box<[u8]>>),
    /// Only changes how Redis handles the next request.
    Nothing,
}

/// A request shared by all clients that want this key's value, or the answer to this question about it.
pub(super) struct Fetch {
    /// Its name; it is in the database of the link.
    pub key: Rc<[u8]>,
    /// The question about the key; none for GET.
    pub question: Option<Rc<[u8]>>,
    /// The reply may be cached: the key was not written since.
    pub fresh: bool,
    /// None are left if the fetch is late, and a refetch may have none yet.
    pub waiters: Option<Waiters>,
    /// The command of the first client.
    pub command: u16,
    /// When it was sent.
    pub since: Time,
    /// How the slow log would show the request, unless it is a GET.
    pub words: Words,
    /// No client had requested it when it was sent.
    pub is_refetch: bool,
    /// It reads fields that may expire.
    pub reads_fields: bool,
    /// How often it was redirected to another node.
    pub tries: u8,
}

/// A question about a key.
pub(super) struct About<'a> {
    pub question: &'a [u8],
    /// How the slow log would show the request.
    pub words: Words,
    /// It reads fields that may expire.
    pub reads_fields: bool,
}

/// A request that was forwarded unchanged.
#[derive(Default)]
pub(super) struct Forward {
    /// None if it is late.
    pub waiter: Option<Waiter>,
    /// How the slow log would show it.
    pub words: Words,
    /// What it writes.
    pub written: Written,
    /// How its reply is handled.
    pub then: Then,
    /// Its role in a transaction, unless it belongs to none or begins one.
    pub part: Option<Box<Part>>,
    /// It is a script, or makes Redis execute one, and may write keys that it does not declare.
    pub is_script: bool,
    /// None if its reply must come over a link.
    pub asks: Option<Asks>,
    /// Its encoded form, in front of a cluster: it may have to be redirected to another node.
    pub encoded: Option<Box<[u8]>>,
    /// How often it was redirected.
    pub tries: u8,
}

/// What a forwarded request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// Its command and first argument, as [`super::engine::LargeReplies`] hashes them.
    pub hash: u64,
    /// It only reads, and is retried if the connection breaks.
    pub repeatable: bool,
}

/// The role of a request in a transaction on a link.
pub(super) enum Part {
    /// It is queued, and when executed reads this.
    Queued(Reads),
    /// It executes the queued requests, which read these, once it is answered.
    Exec(Vec<Reads>),
}

/// What a queued request of a transaction reads that may be cached.
#[derive(Default)]
pub(super) enum Reads {
    #[default]
    Nothing,
    /// The values of these keys, in an array.
    Values(Box<[Box<[u8]>]>),
    /// A value, or the answer to a question.
    One {
        key: Box<[u8]>,
        question: Option<Box<[u8]>>,
    },
}

/// How the reply to a forwarded request is handled.
#[derive(Debug, Default)]
pub(super) enum Then {
    /// It is passed on.
    #[default]
    Pass,
    /// It describes clients, and is edited.
    Edit(Box<Edit>),
    /// It is `INFO`: the proxy's fields are added, for those sections.
    Merge(Box<Wanted>),
    /// It is a node's reply to `SCAN`: its cursor must encode this node, or the next one.
    Scan { at: usize, next: Option<usize> },
    /// It is replaced by this.
    Say(&'static [u8]),
}

/// A fetched reply that is cached once the time to live of its key is known.
pub(super) struct Fetched {
    pub key: Rc<[u8]>,
    pub question: Option<Rc<[u8]>>,
    pub reply: Reply,
    /// When it was requested: Redis counts the time to live from then or later.
    pub since: Time,
    /// How long it may be cached at most, if its key lives longer.
    pub longest: Duration,
}

/// One or more waiters; a single one needs no allocation.
pub(super) struct Waiters {
    pub first: Waiter,
    pub others: Vec<Waiter>,
}

impl Fetch {
    /// A fetch that no client waits for yet.
    fn new(key: &[u8], about: Option<About<'_>>, command: u16, since: Time) -> Self {
        let reads_fields = about.as_ref().is_some_and(|about| about.reads_fields);
        let (question, words) = match about {
            Some(about) => (Some(Rc::from(about.question)), about.words),
            None => (None, Words::default()),
        };
        Self {
            key: key.into(),
            question,
            fresh: false,
            waiters: None,
            command,
            since,
            words,
            is_refetch: false,
            reads_fields,
            tries: 0,
        }
    }
}

impl Waiters {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Waiter> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Waiter> for Waiters {
    fn from(first: Waiter) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl IntoIterator for Waiters {
    type Item = Waiter;
    type IntoIter = std::iter::Chain<std::iter::Once<Waiter>, std::vec::IntoIter<Waiter>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.others)
    }
}

impl Asked {
    /// The clients that wait for it.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        let (fetched, forwarded) = match self {
            Self::Fetch(fetch) => (fetch.waiters.as_ref(), None),
            Self::Forward(forward) => (None, forward.waiter.as_ref()),
            _ => (None, None),
        };
        fetched.into_iter().flat_map(Waiters::iter).chain(forwarded)
    }

    /// How often it was redirected to another node of a cluster.
    pub fn tries(&self) -> u8 {
        match self {
            Self::Fetch(fetch) => fetch.tries,
            Self::Forward(forward) => forward.tries,
            _ => 0,
        }
    }

    /// The same, to increment; `None` for requests that can't be redirected.
    pub fn tries_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Fetch(fetch) => Some(&mut fetch.tries),
            Self::Forward(forward) => Some(&mut forward.tries),
            _ => None,
        }
    }
}

/// The requests in flight on one link.
#[derive(Default)]
struct Lane {
    /// The oldest first.
    asked: VecDeque<Asked>,
    /// How many were answered, which is the number of the oldest in `asked`.
    answered: u64,
    /// How many of the oldest are late: no client waits for them any more.
    late: usize,
    /// How many were redirected here by another node.
    sent_on: usize,
    /// The value of the fetch whose time to live comes next, if it may be cached.
    fetched: Option<Fetched>,
    /// The keys that unanswered, or unexecuted, requests write.
    written: WrittenKeys,
    /// What the queued requests of a transaction write and read.
    queued: Vec<(Written, Reads)>,
}

impl Lane {
    /// A request was sent.
    fn push(&mut self, asked: Asked) {
        self.sent_on += usize::from(asked.tries() > 0);
        self.asked.push_back(asked);
    }

    /// The oldest request is answered.
    fn pop(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        self.sent_on -= usize::from(asked.tries() > 0);
        self.answered += 1;
        self.late = self.late.saturating_sub(1);
        Some(asked)
    }

    /// A forwarded request is answered, and so executed, unless it is queued.
    fn executed(&mut self, forward: &mut Forward) {
        match forward.part.as_deref_mut() {
            None => self.written.remove(&forward.written),
            Some(Part::Queued(reads)) => {
                let written = std::mem::take(&mut forward.written);
                self.queued.push((written, std::mem::take(reads)));
            }
            Some(Part::Exec(all)) => {
                for (written, reads) in self.queued.drain(..) {
                    self.written.remove(&written);
                    all.push(reads);
                }
            }
        }
    }
}

/// All requests in flight.
#[derive(Default)]
pub(super) struct InFlight {
    lanes: PerLink<Lane>,
    /// The fetches that a miss may join and whose replies may be cached: none of a key that is being written over
    /// another link.
    fetches: Fetches,
    /// The keys of requests that are held to be sent later.
    held: WrittenKeys,
    /// The hash function for written keys.
    hasher: RandomState,
}

impl InFlight {
    /// All requests, with their links.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Asked)> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|(link, lane)| lane.asked.iter().map(move |asked| (link, asked)))
    }

    /// The values that wait for a time to live, with their links.
    #[cfg(test)]
    pub fn fetched(&self) -> impl Iterator<Item = (LinkId, &Fetched)> {
        let lanes = self.lanes.iter();
        lanes.filter_map(|(link, lane)| Some((link, lane.fetched.as_ref()?)))
    }

    /// The clients that wait for a reply.
    pub fn clients(&self) -> HashSet<ClientId> {
        self.iter()
            .flat_map(|(_, asked)| asked.waiters())
            .map(|waiter| waiter.caller.client)
            .collect()
    }

    /// Adds a waiter to the fetch in flight of a key, or of the answer to a question about it. Returns whether there is
    /// one.
    pub fn join(&mut self, name: &[u8], question: Option<&[u8]>, waiter: Waiter) -> bool {
        let key = waiter.caller.key(name);
        let Some(ticket) = self.fetches.get(key, question) else {
            return false;
        };
        match self.fetch_of(ticket) {
            Some(fetch) => {
                match &mut fetch.waiters {
                    Some(waiters) => waiters.others.push(waiter),
                    none => *none = Some(waiter.into()),
                }
                true
            }
            None => false,
        }
    }

    /// Whether the value of a key, or the answer to a question about it, is being fetched in a way that others may
    /// join.
    pub fn is_fetched(&self, key: Key<'_>, question: Option<&[u8]>) -> bool {
        self.fetches.get(key, question).is_some()
    }

    /// A link over which a key can be fetched so that nothing in flight on another may write it meanwhile.
    pub fn link_for(&mut self, key: Key<'_>) -> Option<LinkId> {
        let links = [Protocol::Resp2, Protocol::Resp3].map(|it| LinkId::new(it, key.database));
        links
            .into_iter()
            .find(|link| self.lanes.has(*link) && !self.is_written_elsewhere(key.name, *link))
    }

    /// A fetch of a key's value, or of the answer to a question about it, was sent over the link of that waiter.
    pub fn fetch(&mut self, key: &[u8], about: Option<About<'_>>, first: Waiter) {
        let Caller { command, since, .. } = first.caller;
        let fetch = Fetch {
            waiters: Some(first.into()),
            ..Fetch::new(key, about, command, since)
        };
        self.add_fetch(fetch, first.caller.link());
    }

    /// The same was sent over a link, for the next client that requests it.
    pub fn refetch(
        &mut self,
        key: &[u8],
        about: Option<About<'_>>,
        command: u16,
        link: LinkId,
        since: Time,
    ) {
        let fetch = Fetch {
            is_refetch: true,
            ..Fetch::new(key, about, command, since)
        };
        self.add_fetch(fetch, link);
    }

    fn add_fetch(&mut self, mut fetch: Fetch, link: LinkId) {
        fetch.fresh = !self.is_written_elsewhere(&fetch.key, link);
        if fetch.fresh {
            let lane = self.lanes.of(link);
            let number = lane.answered + lane.asked.len() as u64;
            let ticket = Ticket { link, number };
            let (key, question) = (&fetch.key, fetch.question.as_ref());
            // A fetch that could not be joined is overtaken.
            if let Some(earlier) = self.fetches.insert(key, question, ticket) {
                self.spoil(earlier);
            }
        }
        let lane = self.lanes.of(link);
        let reads_fields = fetch.reads_fields;
        lane.push(Asked::Fetch(fetch));
        if reads_fields {
            lane.push(Asked::FieldsToLive);
        }
        lane.push(Asked::TimeToLive);
    }

    /// Whether a request in flight on another link may write a key. Some write to other databases than their own
    /// (`MOVE`), so the database of the link does not matter.
    pub fn is_written_elsewhere(&mut self, key: &[u8], link: LinkId) -> bool {
        let hasher = &self.hasher;
        let mut others = self.lanes.iter_mut().filter(|(other, _)| *other != link);
        others.any(|(_, lane)| lane.written.contains(key, hasher))
            || self.held.contains(key, hasher)
    }

    /// How many requests are in flight to a node.
    pub fn count_of(&self, node: NodeId) -> usize {
        let lanes = self.lanes.iter().filter(|(link, _)| link.node == node);
        lanes.map(|(_, lane)| lane.asked.len()).sum()
    }

    /// The requests that were redirected to nodes other than this one.
    pub fn sent_on_elsewhere(&self, target: Option<NodeId>) -> impl Iterator<Item = &Asked> {
        let lanes = self.lanes.iter();
        let elsewhere =
            lanes.filter(move |(link, lane)| lane.sent_on > 0 && Some(link.node) != target);
        let all = elsewhere.flat_map(|(_, lane)| &lane.asked);
        all.filter(|asked| asked.tries() > 0)
    }

    /// Whether the oldest request of a link can be redirected to another node.
    pub fn is_sent_on(&mut self, link: LinkId) -> bool {
        match self.lanes.of(link).asked.front() {
            Some(Asked::Fetch(_)) => true,
            Some(Asked::Forward(forward)) => forward.encoded.is_some(),
            _ => false,
        }
    }

    /// A request was sent over a link whose reply is ignored.
    pub fn ask_for_nothing(&mut self, link: LinkId) {
        self.lanes.of(link).push(Asked::Nothing);
    }

    /// A fetch is sent again over another link, possibly to a node whose values must not be cached.
    pub fn fetch_again(&mut self, fetch: Fetch, words: Words, link: LinkId, may_be_kept: bool) {
        let fetch = Fetch { words, ..fetch };
        if may_be_kept {
            return self.add_fetch(fetch, link);
        }
        let reads_fields = fetch.reads_fields;
        let lane = self.lanes.of(link);
        lane.push(Asked::Fetch(Fetch {
            fresh: false,
            ..fetch
        }));
        if reads_fields {
            lane.push(Asked::FieldsToLive);
        }
        lane.push(Asked::TimeToLive);
    }

    /// A request is sent again over another link.
    pub fn forward_again(&mut self, forward: Forward, link: LinkId) {
        let lane = self.lanes.of(link);
        lane.written.add_again(&forward.written);
        lane.push(Asked::Forward(forward));
    }

    /// A request is held to be sent later, and writes its keys then.
    pub fn hold(&mut self, forward: &Forward) {
        self.held.add_again(&forward.written);
    }

    /// A held request is sent now, or dropped.
    pub fn release(&mut self, forward: &Forward) {
        self.held.remove(&forward.written);
    }

    /// A request that writes these keys was sent over a link; `None` stands for possibly any.
    pub fn forward(&mut self, request: Forward, link: LinkId, keys: Option<&[&[u8]]>) {
        let lane = self.lanes.of(link);
        let written = lane.written.add(keys, &self.hasher);
        lane.push(Asked::Forward(Forward { written, ..request }));
    }

    /// The proxy sent a request of its own over a link.
    pub fn ask(&mut self, asked: Asked, link: LinkId) {
        self.lanes.of(link).push(asked);
    }

    /// Whether anything is in flight on a link.
    pub fn has(&self, link: LinkId) -> bool {
        self.lanes.has(link)
    }

    /// Redis was asked over a link to describe a command, or all commands.
    pub fn describe(&mut self, name: Option<Box<[u8]>>, link: LinkId) {
        self.lanes.of(link).push(Asked::Describe(name));
    }

    /// The keys of that name have changed, in whatever database: fetches of them in flight are for the clients that
    /// wait already, but not for the cache or for later clients.
    pub fn changed(&mut self, name: &[u8]) {
        for ticket in self.fetches.take_name(name) {
            self.spoil(ticket);
        }
        for (_, lane) in self.lanes.iter_mut() {
            lane.fetched.take_if(|fetched| *fetched.key == *name);
        }
    }

    /// A value of a key arrived over a link that may be newer than those being fetched over other links.
    pub fn overtaken(&mut self, name: &[u8], link: LinkId) {
        if !self.is_other_busy(link) {
            return;
        }
        for ticket in self.fetches.take_key_elsewhere(name, link) {
            self.spoil(ticket);
        }
        let lanes = self.lanes.iter_mut();
        for (_, lane) in lanes.filter(|(other, _)| is_beside(*other, link)) {
            lane.fetched.take_if(|fetched| *fetched.key == *name);
        }
    }

    /// Whether another link to the same keys has anything in flight.
    fn is_other_busy(&self, link: LinkId) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.any(|(other, lane)| {
            is_beside(other, link) && (!lane.asked.is_empty() || lane.fetched.is_some())
        })
    }

    /// All keys have changed.
    pub fn all_changed(&mut self) {
        for ticket in self.fetches.take_all() {
            self.spoil(ticket);
        }
        for (_, lane) in self.lanes.iter_mut() {
            lane.fetched = None;
        }
    }

    fn spoil(&mut self, ticket: Ticket) {
        if let Some(fetch) = self.fetch_of(ticket) {
            fetch.fresh = false;
        }
    }

    fn fetch_of(&mut self, ticket: Ticket) -> Option<&mut Fetch> {
        let lane = self.lanes.of(ticket.link);
        let index = ticket.number.checked_sub(lane.answered)?;
        match lane.asked.get_mut(usize::try_from(index).ok()?) {
            Some(Asked::Fetch(fetch)) => Some(fetch),
            _ => None,
        }
    }

    /// The oldest request of a link is answered.
    pub fn answered(&mut self, link: LinkId) -> Option<Asked> {
        let lane = self.lanes.of(link);
        let number = lane.answered;
        let mut asked = lane.pop()?;
        if let Asked::Forward(forward) = &mut asked {
            lane.executed(forward);
        }
        if let Asked::Fetch(fetch) = &asked {
            let question = fetch.question.as_deref();
            self.fetches
                .remove(&fetch.key, question, Ticket { link, number });
        }
        Some(asked)
    }

    /// The value of the fetch that was just answered may be cached once the time to live of its key is known.
    pub fn keep(&mut self, link: LinkId, fetched: Fetched) {
        self.lanes.of(link).fetched = Some(fetched);
    }

    /// The value whose time to live was just answered, if it may be cached.
    pub fn take_fetched(&mut self, link: LinkId) -> Option<Fetched> {
        self.lanes.of(link).fetched.take()
    }

    /// Marks the oldest requests of a link that are not late yet as late. Returns who waits for them, with what else is
    /// known of the requests; what they fetch is not cached.
    pub fn late(&mut self, link: LinkId, count: usize) -> Vec<Late> {
        let lane = self.lanes.of(link);
        let first = lane.late;
        lane.late = (first + count).min(lane.asked.len());
        let mut late = Vec::new();
        for index in first..lane.late {
            match &mut lane.asked[index] {
                Asked::FieldsToLive
                | Asked::TimeToLive
                | Asked::Nothing
                | Asked::Policy
                | Asked::Touch => {}
                Asked::Describe(name) => late.extend(name.clone().map(Late::Description)),
                Asked::Fetch(fetch) => {
                    fetch.fresh = false;
                    let number = lane.answered + index as u64;
                    let question = fetch.question.as_deref();
                    self.fetches
                        .remove(&fetch.key, question, Ticket { link, number });
                    let is_value = question.is_none();
                    late.extend(fetch.waiters.take().map(|waiters| Late::Reply {
                        waiters,
                        key: is_value.then(|| Rc::clone(&fetch.key)),
                        words: std::mem::take(&mut fetch.words),
                        then: Then::Pass,
                        is_script: false,
                    }));
                }
                Asked::Forward(forward) => {
                    late.extend(forward.waiter.take().map(|waiter| Late::Reply {
                        waiters: waiter.into(),
                        key: None,
                        words: std::mem::take(&mut forward.words),
                        then: std::mem::take(&mut forward.then),
                        is_script: forward.is_script,
                    }))
                }
            }
        }
        late
    }
}

/// Whether another link leads to the same keys. Another node is asked for a key only once the map says that it owns the slot,
/// and a change of the map spoils all fetches.
fn is_beside(other: LinkId, link: LinkId) -> bool {
    other != link && other.database == link.database && other.node == link.node
}

/// A request that is late.
pub(super) enum Late {
    /// A reply that clients wait for.
    Reply {
        waiters: Waiters,
        /// The key, if it is a GET.
        key: Option<Rc<[u8]>>,
        words: Words,
        then: Then,
        is_script: bool,
    },
    /// A description of this command that clients wait for.
    Description(Box<[u8]>),
}
