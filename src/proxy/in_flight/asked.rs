//! The requests that Redis has been sent, and what the proxy does with their replies.

use std::rc::Rc;
use std::time::Duration;

use super::super::clients::Edit;
use super::super::slow_log::Words;
use super::waiter::{Waiter, Waiters};
use super::written::Written;
use crate::clock::Time;
use crate::resp::reply::Reply;
use crate::status::Wanted;

/// A request in flight.
pub(in crate::proxy) enum Asked {
    /// Fetches a key's value, or an answer about it, and how long the key has to live.
    Fetch(Fetch),
    /// The second part of a fetch that reads fields which may expire: the fields' time to live.
    FieldsToLive,
    /// The last part of a fetch: the key's time to live.
    TimeToLive,
    /// Asks whether Redis evicts the keys that are used least.
    Policy,
    /// Touches keys, so that Redis counts them as used.
    Touch,
    /// A client's request.
    Forward(Forward),
    /// Asks for the description of this command; without a name, of all commands.
    Describe(Option<Box<[u8]>>),
    /// A request of the proxy's own whose reply does not matter.
    Nothing,
}

impl Asked {
    /// The clients that wait for the reply.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        let (fetched, forwarded) = match self {
            Self::Fetch(fetch) => (fetch.waiters.as_ref(), None),
            Self::Forward(forward) => (None, forward.waiter.as_ref()),
            _ => (None, None),
        };
        fetched.into_iter().flat_map(Waiters::iter).chain(forwarded)
    }

    /// How often the request was redirected to another node of a cluster.
    pub fn tries(&self) -> u8 {
        match self {
            Self::Fetch(fetch) => fetch.tries,
            Self::Forward(forward) => forward.tries,
            _ => 0,
        }
    }

    /// The number of redirections, to increment; `None` for requests that can't be redirected.
    pub fn tries_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Fetch(fetch) => Some(&mut fetch.tries),
            Self::Forward(forward) => Some(&mut forward.tries),
            _ => None,
        }
    }
}

/// A request shared by all clients that want this key's value, or the answer to this question about it.
pub(in crate::proxy) struct Fetch {
    /// The name of the key. Its database is the link's.
    pub key: Rc<[u8]>,
    /// The question about the key; `None` for GET.
    pub question: Option<Rc<[u8]>>,
    /// The reply may be cached, as the key has not been written since the fetch was sent.
    pub fresh: bool,
    /// The clients that wait; `None` if the fetch is late, or is a refetch that no client has joined.
    pub waiters: Option<Waiters>,
    /// The command of the first client that waited.
    pub command: u16,
    /// When the fetch was sent.
    pub since: Time,
    /// The request as the slow log would show it, unless it is a GET.
    pub words: Words,
    /// No client had requested it when it was sent.
    pub is_refetch: bool,
    /// The request reads fields that may expire.
    pub reads_fields: bool,
    /// How often the fetch was redirected to another node.
    pub tries: u8,
}

/// A question about a key.
pub(in crate::proxy) struct About<'a> {
    pub question: &'a [u8],
    /// The request as the slow log would show it.
    pub words: Words,
    /// The request reads fields that may expire.
    pub reads_fields: bool,
}

impl Fetch {
    /// A fetch that no client waits for yet.
    pub(super) fn new(key: &[u8], about: Option<About<'_>>, command: u16, since: Time) -> Self {
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

/// A fetched reply that is cached once the time to live of its key is known.
pub(in crate::proxy) struct Fetched {
    pub key: Rc<[u8]>,
    pub question: Option<Rc<[u8]>>,
    pub reply: Reply,
    /// When the reply was requested. Redis counts the time to live from then or later.
    pub since: Time,
    /// The longest time that the reply may be cached, if the key lives longer.
    pub longest: Duration,
}

/// A request that was forwarded unchanged.
#[derive(Default)]
pub(in crate::proxy) struct Forward {
    /// The client that waits; `None` if the request is late.
    pub waiter: Option<Waiter>,
    /// The request as the slow log would show it.
    pub words: Words,
    /// What the request writes.
    pub written: Written,
    /// How the reply is handled.
    pub then: Then,
    /// The role of the request in a transaction, unless it belongs to none or begins one.
    pub part: Option<Box<Part>>,
    /// The request is a script, or makes Redis execute one, and may write keys that it does not declare.
    pub is_script: bool,
    /// Identifies the request by what it reads; `None` if the reply must come over a link.
    pub asks: Option<Asks>,
    /// The request's encoded form, in front of a cluster, where it may have to be sent to another node.
    pub encoded: Option<Box<[u8]>>,
    /// How often the request was redirected.
    pub tries: u8,
}

/// Identifies a forwarded request, to remember whether its reply is large.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Asks {
    /// The hash of its command and first argument, as in `engine::large`.
    pub hash: u64,
    /// The request only reads, and is retried if the connection breaks.
    pub repeatable: bool,
}

/// How the reply to a forwarded request is handled.
#[derive(Debug, Default)]
pub(in crate::proxy) enum Then {
    /// It is passed on.
    #[default]
    Pass,
    /// It describes clients, and is edited.
    Edit(Box<Edit>),
    /// It is `INFO`: the proxy's fields are added, for the wanted sections.
    Merge(Box<Wanted>),
    /// It is a node's reply to `SCAN`: the cursor must encode this node, or the next one.
    Scan { at: usize, next: Option<usize> },
    /// This reply replaces it.
    Say(&'static [u8]),
}

/// The role of a request in a transaction on a link.
pub(in crate::proxy) enum Part {
    /// Redis queues it. When executed, it reads this.
    Queued(Reads),
    /// Once it is answered, Redis has executed the queued requests, which read these.
    Exec(Vec<Reads>),
}

/// What a queued request of a transaction reads that the cache may hold.
#[derive(Default)]
pub(in crate::proxy) enum Reads {
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
