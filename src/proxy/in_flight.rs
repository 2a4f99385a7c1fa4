//! The requests that Redis has not answered yet. On each link replies come in the order of the requests, so the
//! oldest is always the next; and a key that is being fetched is found again, to wait for that fetch.

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
    /// What the client speaks, and the database that it is in: its requests go over the link for these.
    pub protocol: Protocol,
    pub database: u32,
    /// The node that is asked.
    pub node: NodeId,
    /// The command's number in the table.
    pub command: u16,
    /// When its last byte was there.
    pub since: Time,
}

impl Caller {
    /// The link that its requests go over.
    #[inline]
    pub fn link(&self) -> LinkId {
        LinkId::new(self.protocol, self.database).at(self.node)
    }

    /// The key that it means by a name.
    #[inline]
    pub fn key<'a>(&self, name: &'a [u8]) -> Key<'a> {
        Key::new(self.database, name)
    }
}

/// Who waits for a reply, and where among that client's replies it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub caller: Caller,
    pub place: Place,
    /// The element of an array reply that it is.
    pub element: Option<u32>,
}

/// A request in flight.
pub(super) enum Asked {
    /// A key's value or an answer about it, and how long the key has to live.
    Fetch(Fetch),
    /// The second part of the fetch before it, if that reads fields that may expire: how long they have to live.
    FieldsToLive,
    /// The last part: how long its key has to live.
    TimeToLive,
    /// Whether it evicts the keys that are not used.
    Policy,
    /// To take keys for used.
    Touch,
    /// What a client sent.
    Forward(Forward),
    /// What the command of that name is; without a name, what all are.
    Describe(Option<Box<[u8]>>),
    /// What only changes how Redis takes the next.
    Nothing,
}

/// A request for all who want that key's value, or the answer to that question about it.
pub(super) struct Fetch {
    /// Its name; it is in the database of the link.
    pub key: Rc<[u8]>,
    /// What is asked about the key; nothing is asked with GET.
    pub question: Option<Rc<[u8]>>,
    /// Whether the reply may be cached: the key was not written since.
    pub fresh: bool,
    /// None are left if it is late, and none may be there yet of a refetch.
    pub waiters: Option<Waiters>,
    /// The command of who asked first.
    pub command: u16,
    /// When it was sent.
    pub since: Time,
    /// How the slow log would show the request, if it is no GET.
    pub words: Words,
    /// No client had asked for it when it was sent.
    pub is_refetch: bool,
    /// It reads fields that may expire.
    pub reads_fields: bool,
    /// How often it was sent on to another node.
    pub tries: u8,
}

/// What is asked about a key.
pub(super) struct About<'a> {
    pub question: &'a [u8],
    /// How the slow log would show the request.
    pub words: Words,
    /// It reads fields that may expire.
    pub reads_fields: bool,
}

/// A request that was passed on as it came.
#[derive(Default)]
pub(super) struct Forward {
    /// None if it is late.
    pub waiter: Option<Waiter>,
    /// How the slow log would show it.
    pub words: Words,
    /// What it writes.
    pub written: Written,
    /// What is done with its reply.
    pub then: Then,
    /// What it is to a transaction, unless it belongs to none or begins one.
    pub part: Option<Box<Part>>,
    /// It is a script, or has one executed, which may write keys that it does not declare.
    pub is_script: bool,
    /// None if its reply must come over a link.
    pub asks: Option<Asks>,
    /// What was sent, in front of a cluster: it may have to be sent on to another node.
    pub encoded: Option<Box<[u8]>>,
    /// How often it was.
    pub tries: u8,
}

/// What a forwarded request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// Its command and first argument, as [`super::store::LargeReplies`] hashes them.
    pub hash: u64,
    /// It only reads, and is sent again if the connection breaks.
    pub repeatable: bool,
}

/// What a request is to a transaction that goes over a link.
pub(super) enum Part {
    /// It is queued, and then reads that.
    Queued(Reads),
    /// It has all executed that is queued, which reads that, once it is answered.
    Exec(Vec<Reads>),
}

/// What a request that is queued in a transaction reads of what may be cached.
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

/// What is done with the reply to a request that was passed on.
#[derive(Debug, Default)]
pub(super) enum Then {
    /// It is passed on too.
    #[default]
    Pass,
    /// It speaks of clients, and is edited.
    Edit(Box<Edit>),
    /// It is `INFO`: the proxy's fields are added, for those sections.
    Merge(Box<Wanted>),
    /// It is a node's to `SCAN`: the cursor is to say of which node it is, or which is next.
    Scan { at: usize, next: Option<usize> },
    /// This is said in its place.
    Say(&'static [u8]),
}

/// A fetched reply that is cached when the time to live of its key is known.
pub(super) struct Fetched {
    pub key: Rc<[u8]>,
    pub question: Option<Rc<[u8]>>,
    pub reply: Reply,
    /// When it was asked for: Redis counts the time to live from then or later.
    pub since: Time,
    /// How long it is good at the most, if its key lives longer.
    pub longest: Duration,
}

/// One or more; one needs no allocation.
pub(super) struct Waiters {
    pub first: Waiter,
    pub others: Vec<Waiter>,
}

impl Fetch {
    /// One that nobody waits for yet.
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
    /// Those who wait for it.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        let (fetched, forwarded) = match self {
            Self::Fetch(fetch) => (fetch.waiters.as_ref(), None),
            Self::Forward(forward) => (None, forward.waiter.as_ref()),
            _ => (None, None),
        };
        fetched.into_iter().flat_map(Waiters::iter).chain(forwarded)
    }

    /// How often it was sent on to another node of a cluster.
    pub fn tries(&self) -> u8 {
        match self {
            Self::Fetch(fetch) => fetch.tries,
            Self::Forward(forward) => forward.tries,
            _ => 0,
        }
    }

    /// The same, to count; none of what can't be sent on.
    pub fn tries_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Fetch(fetch) => Some(&mut fetch.tries),
            Self::Forward(forward) => Some(&mut forward.tries),
            _ => None,
        }
    }
}

/// What Redis was asked on one link.
#[derive(Default)]
struct Lane {
    /// The oldest first.
    asked: VecDeque<Asked>,
    /// How many were answered: the number of the oldest in `asked`.
    answered: u64,
    /// How many of the oldest are late: nobody waits for them any more.
    late: usize,
    /// How many were sent on from another node.
    sent_on: usize,
    /// The value of the fetch whose time to live comes next, if it may be cached.
    fetched: Option<Fetched>,
    /// What those that are not answered write, or not executed.
    written: WrittenKeys,
    /// What was queued in a transaction writes and reads.
    queued: Vec<(Written, Reads)>,
}

impl Lane {
    /// It was sent.
    fn push(&mut self, asked: Asked) {
        self.sent_on += usize::from(asked.tries() > 0);
        self.asked.push_back(asked);
    }

    /// The oldest is answered.
    fn pop(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        self.sent_on -= usize::from(asked.tries() > 0);
        self.answered += 1;
        self.late = self.late.saturating_sub(1);
        Some(asked)
    }

    /// A request that was passed on is answered, and executed unless it is queued.
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

/// What Redis was asked.
#[derive(Default)]
pub(super) struct InFlight {
    lanes: PerLink<Lane>,
    /// Those that a miss may wait for, and whose replies may be cached: none of a key that is being written over another
    /// link.
    fetches: Fetches,
    /// What those write that are to be sent later.
    held: WrittenKeys,
    /// How written keys are hashed.
    hasher: RandomState,
}

impl InFlight {
    /// All requests, with their links.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Asked)> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|(link, lane)| lane.asked.iter().map(move |asked| (link, asked)))
    }

    /// The values that wait for a time to live, likewise.
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

    /// Lets a waiter wait for the fetch of a key, or of the answer to a question about it, that is in flight. Returns
    /// whether there is one.
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

    /// Whether the value of a key, or the answer to a question about it, is being fetched, for whoever asks for it.
    pub fn is_fetched(&self, key: Key<'_>, question: Option<&[u8]>) -> bool {
        self.fetches.get(key, question).is_some()
    }

    /// The link over which a key can be fetched so that nothing in flight on another may write it meanwhile.
    pub fn link_for(&mut self, key: Key<'_>) -> Option<LinkId> {
        let links = [Protocol::Resp2, Protocol::Resp3].map(|it| LinkId::new(it, key.database));
        links
            .into_iter()
            .find(|link| self.lanes.has(*link) && !self.is_written_elsewhere(key.name, *link))
    }

    /// A fetch of a key's value, or of what is asked about it, was sent over the link of that waiter.
    pub fn fetch(&mut self, key: &[u8], about: Option<About<'_>>, first: Waiter) {
        let Caller { command, since, .. } = first.caller;
        let fetch = Fetch {
            waiters: Some(first.into()),
            ..Fetch::new(key, about, command, since)
        };
        self.add_fetch(fetch, first.caller.link());
    }

    /// The same was sent over a link for whoever asks for it next.
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
            // One that could not be joined is overtaken.
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

    /// Whether a request in flight on another link may write a key. Some write in more databases than their own (`MOVE`), so
    /// the database of the link says nothing.
    pub fn is_written_elsewhere(&mut self, key: &[u8], link: LinkId) -> bool {
        let hasher = &self.hasher;
        let mut others = self.lanes.iter_mut().filter(|(other, _)| *other != link);
        others.any(|(_, lane)| lane.written.contains(key, hasher))
            || self.held.contains(key, hasher)
    }

    /// How many requests wait for replies of a node.
    pub fn count_of(&self, node: NodeId) -> usize {
        let lanes = self.lanes.iter().filter(|(link, _)| link.node == node);
        lanes.map(|(_, lane)| lane.asked.len()).sum()
    }

    /// The requests that were sent on to nodes other than this one.
    pub fn sent_on_elsewhere(&self, target: Option<NodeId>) -> impl Iterator<Item = &Asked> {
        let lanes = self.lanes.iter();
        let elsewhere =
            lanes.filter(move |(link, lane)| lane.sent_on > 0 && Some(link.node) != target);
        let all = elsewhere.flat_map(|(_, lane)| &lane.asked);
        all.filter(|asked| asked.tries() > 0)
    }

    /// Whether the oldest request of a link can be sent on to another node.
    pub fn is_sent_on(&mut self, link: LinkId) -> bool {
        match self.lanes.of(link).asked.front() {
            Some(Asked::Fetch(_)) => true,
            Some(Asked::Forward(forward)) => forward.encoded.is_some(),
            _ => false,
        }
    }

    /// Something was sent over a link that has a reply of no interest.
    pub fn ask_for_nothing(&mut self, link: LinkId) {
        self.lanes.of(link).push(Asked::Nothing);
    }

    /// A fetch is sent over another link, perhaps to a node whose values are not to be kept.
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

    /// A request is sent over another link.
    pub fn forward_again(&mut self, forward: Forward, link: LinkId) {
        let lane = self.lanes.of(link);
        lane.written.add_again(&forward.written);
        lane.push(Asked::Forward(forward));
    }

    /// A request is to be sent later, and writes its keys then.
    pub fn hold(&mut self, forward: &Forward) {
        self.held.add_again(&forward.written);
    }

    /// It is sent now, or never.
    pub fn release(&mut self, forward: &Forward) {
        self.held.remove(&forward.written);
    }

    /// Another request was sent over a link, which writes these keys; `None` stands for perhaps any.
    pub fn forward(&mut self, request: Forward, link: LinkId, keys: Option<&[&[u8]]>) {
        let lane = self.lanes.of(link);
        let written = lane.written.add(keys, &self.hasher);
        lane.asked
            .push_back(Asked::Forward(Forward { written, ..request }));
    }

    /// The proxy asked Redis something for itself over a link.
    pub fn ask(&mut self, asked: Asked, link: LinkId) {
        self.lanes.of(link).push(asked);
    }

    /// Whether anything was asked over a link.
    pub fn has(&self, link: LinkId) -> bool {
        self.lanes.has(link)
    }

    /// Redis was asked over a link to describe a command, or all.
    pub fn describe(&mut self, name: Option<Box<[u8]>>, link: LinkId) {
        self.lanes.of(link).push(Asked::Describe(name));
    }

    /// The keys of that name were changed, in whatever database: what is being fetched of them is for those who wait, but
    /// not for the cache nor for those who come later.
    pub fn changed(&mut self, name: &[u8]) {
        for ticket in self.fetches.take_name(name) {
            self.spoil(ticket);
        }
        for (_, lane) in self.lanes.iter_mut() {
            lane.fetched.take_if(|fetched| *fetched.key == *name);
        }
    }

    /// A value of a key came over a link that may be newer than what others are fetching over other links.
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

    /// All keys were changed.
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

    /// The oldest of a link is answered.
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

    /// The oldest of a link that are not late yet are late now. Returns who waits for them, with what else is known of
    /// the requests; what they fetch is not cached.
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

/// Whether another link leads to the same keys. Another node is asked for a key only once it is known to have the slot, and
/// then all fetches are spoiled.
fn is_beside(other: LinkId, link: LinkId) -> bool {
    other != link && other.database == link.database && other.node == link.node
}

/// A request that is late.
pub(super) enum Late {
    /// For those who wait for its reply.
    Reply {
        waiters: Waiters,
        /// The key, if it is a GET.
        key: Option<Rc<[u8]>>,
        words: Words,
        then: Then,
        is_script: bool,
    },
    /// For those who wait to know what the command of that name is.
    Description(Box<[u8]>),
}
