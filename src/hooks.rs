//! Hooks: an application's own code inside the proxy.
//!
//! A [`Hook`] declares which requests it [wants](Hook::wants). It sees each of them [before](Hook::before) it is
//! executed, and may answer, rewrite or refuse it. It may replace the reply [after](Hook::after) that. And it is
//! notified of [invalidated](Hook::on_invalidate) keys. Requests that no hook wants have no extra cost.
//!
//! A hook runs in the event loop and must not block. It can pass slow work to a thread of its own, which decides the
//! request [later](Client::defer).
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! use redis_proxy::config::Config;
//! use redis_proxy::hooks::{Before, Client, Hook, Value, Wants};
//! use redis_proxy::resp::request::Request;
//! use redis_proxy::server::Server;
//!
//! /// Answers `GET version` itself.
//! struct Version;
//!
//! impl Hook for Version {
//!     fn wants(&self) -> Wants {
//!         Wants::commands("get").keys("version")
//!     }
//!
//!     fn before(&mut self, _: &Request<'_>, _: &Client<'_>) -> Before {
//!         Before::Reply(Value::bulk("17"))
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! # let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
//! let config = Config {
//!     port: Some(port),
//!     ..Config::default()
//! };
//! std::thread::spawn(move || Server::builder().config(config).hook(Version).run());
//!
//! # let mut client = loop {
//! #     match TcpStream::connect(("127.0.0.1", port)) {
//! #         Ok(client) => break client,
//! #         Err(_) => std::thread::sleep(Duration::from_millis(10)),
//! #     }
//! # };
//! client.write_all(b"GET version\r\n")?;
//! let mut reply = [0; 8];
//! client.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"$2\r\n17\r\n");
//! # Ok(())
//! # }
//! ```

mod later;
mod value;

use std::fmt;

pub use later::{Answer, Later};
pub(crate) use later::{Deferrals, Wake};
pub use value::Value;

use crate::command::CommandList;
use crate::proxy::Peer;
use crate::resp::request::Request;
use crate::rules::Pattern;

/// The most hooks that a proxy can have.
pub const HOOKS_MAX: usize = 32;

/// Code that sees requests, replies and invalidations.
///
/// Hooks see the requests of authenticated clients as Redis would receive them: with the client's prefix added, and
/// without the requests that rules refuse. In a transaction, a hook sees each request when the client sends it. Hooks
/// do not see what a script does inside Redis.
pub trait Hook {
    /// What the hook wants to see. Called once, when the proxy starts.
    fn wants(&self) -> Wants;

    /// Called when a client has sent a request. The first hook that replies to it or denies it decides. If a hook
    /// rewrites it, the hooks after that one see the new request.
    fn before(&mut self, request: &Request<'_>, client: &Client<'_>) -> Before {
        let _ = (request, client);
        Before::Pass
    }

    /// Called when a request was answered, by Redis or from the cache, with this encoded reply, which is not an error.
    /// Hooks see neither replies that the proxy makes itself, such as the one to `PING`, nor anything that is not a
    /// single reply, such as the confirmations of `SUBSCRIBE`.
    fn after(&mut self, request: &Request<'_>, reply: &[u8], client: &Client<'_>) -> After {
        let _ = (request, reply, client);
        After::Pass
    }

    /// Called when a key has changed, as Redis reports or because a client wrote it. `None` stands for possibly any
    /// key.
    fn on_invalidate(&mut self, key: Option<&[u8]>) {
        let _ = key;
    }
}

/// What a hook wants to see. By default, nothing.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub(crate) commands: CommandList,
    keys: Vec<Pattern>,
    pub(crate) replies: bool,
    pub(crate) invalidations: bool,
}

impl Wants {
    /// Adds the requests of these commands: names or patterns, separated by commas; `@read`, `@write` or `@all`.
    ///
    /// # Panics
    /// If one of them is invalid.
    #[must_use]
    #[track_caller]
    pub fn commands(list: &str) -> Self {
        let commands = match CommandList::parse(list) {
            Ok(commands) => commands,
            Err(allowed) => panic!("give {allowed}, not {list:?}"),
        };
        Self {
            commands,
            ..Self::default()
        }
    }

    /// Restricts the requests to those with a key that matches this pattern, or one given by another call. A request is
    /// also seen if Redis does not report where its keys are.
    #[must_use]
    pub fn keys(mut self, pattern: &str) -> Self {
        self.keys.push(Pattern::new(pattern.as_bytes()));
        self
    }

    /// Adds the replies to the requests.
    #[must_use]
    pub fn replies(mut self) -> Self {
        self.replies = true;
        self
    }

    /// Adds invalidated keys.
    #[must_use]
    pub fn invalidations(mut self) -> Self {
        self.invalidations = true;
        self
    }

    /// Whether a request of a wanted command is wanted because of its keys.
    pub(crate) fn has_key(&self, request: &Request<'_>, keys: crate::command::Keys) -> bool {
        let mut found = self.keys.is_empty();
        let told = keys.each(request, |at| {
            let key = request.argument(at);
            found = found || self.keys.iter().any(|pattern| pattern.matches(key));
        });
        found || !told
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// The request is executed.
    Pass,
    /// The client gets this reply.
    Reply(Value),
    /// The request is replaced by these arguments. Rules that refuse requests are not checked again.
    Rewrite(Vec<Vec<u8>>),
    /// The request is refused with this error, which starts with its code, such as `NOPERM`. If it belongs to a
    /// transaction, the transaction fails.
    Deny(String),
    /// The request is decided later. The client's further requests wait for the decision.
    Later(Later),
}

/// What happens to a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The client gets the reply.
    Pass,
    /// The client gets this reply instead.
    Rewrite(Value),
}

/// Who sent a request.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// The client's id, as shown by `CLIENT ID`.
    pub id: u64,
    /// The client's address, if it is known.
    pub peer: Option<&'a Peer>,
    /// The client's user at Redis.
    pub user: &'a [u8],
    /// The client's name; empty if it has none.
    pub name: &'a [u8],
    /// The client's current database.
    pub database: u32,
    pub(crate) deferrals: &'a Deferrals,
}

impl Client<'_> {
    /// Defers the decision about a request. The hook returns the [`Before::Later`], and passes the [`Answer`] to a
    /// thread. If that does not decide within the timeout of Redis (`redis_timeout`), the client gets an error.
    #[must_use]
    pub fn defer(&self) -> (Answer, Before) {
        let (answer, later) = self.deferrals.defer();
        (answer, Before::Later(later))
    }
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("user", &self.user.escape_ascii().to_string())
            .field("name", &self.name.escape_ascii().to_string())
            .field("database", &self.database)
            .finish()
    }
}

/// The guide, whose examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../docs/hooks.md")]
struct Guide;
