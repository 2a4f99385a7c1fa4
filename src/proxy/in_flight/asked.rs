//! What was asked of Redis.

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
pub(in crate::proxy) struct About<'a> {
    pub question: &'a [u8],
    /// How the slow log would show the request.
    pub words: Words,
    /// It reads fields that may expire.
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
    /// When it was requested: Redis counts the time to live from then or later.
    pub since: Time,
    /// How long it may be cached at most, if its key lives longer.
    pub longest: Duration,
}

/// A request that was forwarded unchanged.
#[derive(Default)]
pub(in crate::proxy) struct Forward {
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
pub(in crate::proxy) struct Asks {
    /// Its command and first argument, as the engine's large replies are hashed.
    pub hash: u64,
    /// It only reads, and is retried if the connection breaks.
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
    /// It is `INFO`: the proxy's fields are added, for those sections.
    Merge(Box<Wanted>),
    /// It is a node's reply to `SCAN`: its cursor must encode this node, or the next one.
    Scan { at: usize, next: Option<usize> },
    /// It is replaced by this.
    Say(&'static [u8]),
}

/// The role of a request in a transaction on a link.
pub(in crate::proxy) enum Part {
    /// It is queued, and when executed reads this.
    Queued(Reads),
    /// It executes the queued requests, which read these, once it is answered.
    Exec(Vec<Reads>),
}

/// What a queued request of a transaction reads that may be cached.
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
