//! How Redis's replies about clients are edited, so that they describe the proxy's clients.

use std::rc::Rc;
use std::time::Duration;

use super::super::guard::Named;
use super::select::{Kill, Listed};
use crate::command::Here;
use crate::resp::reply;
use crate::resp::request::Request;
use crate::status::Wanted;

/// How a reply of Redis's is edited, unless it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Edit {
    /// The proxy answers this request itself.
    Here(Here, Box<[u8]>),
    /// The id in the greeting becomes the client's. If the request logs in as `user`, that is the client's user from
    /// now on.
    Greeting { user: Option<Box<[u8]>> },
    /// From now on, this is the client's user at Redis.
    User(Box<[u8]>),
    /// A line about the client.
    Line,
    /// Lines about clients. `None` if the request is not understood.
    List(Option<Listed>),
    /// The number of closed clients, which the proxy closes itself.
    Kill(Option<Kill>),
    /// The id of the client that invalidations are redirected to.
    Getredir,
    /// The id of the client that invalidations are redirected to, among other fields.
    Trackinginfo,
    /// Invalidations are redirected to the connection with the first id, which belongs to the client with the second.
    Redirected(Option<(i64, i64)>),
    /// Redis reports that the connection that invalidations were redirected to is gone.
    RedirectionBroken,
    /// Redis pauses clients that write for this long.
    Paused(Duration),
    /// Redis no longer pauses clients.
    Unpaused,
    /// The slow log: at most this many entries, without the proxy's own requests.
    SlowlogGet(usize),
    /// The number of those entries, counted in the whole slow log.
    SlowlogLen,
    /// `INFO` with these sections, to which the proxy's fields are added.
    Info(Wanted),
    /// The proxy's counters are reset too.
    CountersReset,
    /// The reply is this, whatever Redis replies.
    Reply(Box<[u8]>),
    /// The prefix is removed from the keys that the reply names.
    WithoutPrefix(Rc<[u8]>, Named),
    /// This prefix is removed from the keys that a message names.
    Message(Rc<[u8]>),
    /// Hooks see the reply first, with the request that it answers; then a prefix is removed from the keys that it
    /// names. `hooks` has a bit for each hook.
    Observed {
        hooks: u32,
        request: Box<[u8]>,
        prefix: Option<(Rc<[u8]>, Named)>,
    },
    /// The request would take more memory than the proxy keeps for requests in flight.
    TooMuch,
}

/// The longest request that is kept to be answered later, in bytes.
const REQUEST_MAX: usize = 4096;

impl Edit {
    /// The proxy's own answer to a request, if it is not too long to be kept.
    pub fn here(here: Here, request: &Request<'_>) -> Option<Self> {
        let length: usize = request
            .arguments()
            .map(|argument| argument.len() + 16)
            .sum();
        if length > REQUEST_MAX {
            return Some(Self::TooMuch);
        }
        let mut bytes = Vec::new();
        reply::request(&mut bytes, request.arguments());
        Some(Self::Here(here, bytes.into()))
    }

    /// About how many bytes it takes besides its own size.
    pub fn bytes(&self) -> usize {
        const KILL: usize = 4096;
        match self {
            Self::Here(_, bytes) => bytes.len(),
            Self::Greeting { user: Some(user) } | Self::User(user) => user.len(),
            Self::List(Some(Listed::Ids(ids))) => size_of_val(&ids[..]),
            Self::Kill(_) => KILL,
            Self::Info(wanted) => wanted.bytes(),
            Self::Reply(bytes) => bytes.len(),
            Self::Observed { request, .. } => request.len(),
            _ => 0,
        }
    }
}
