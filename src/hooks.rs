//! Hooks: an application's own code inside the proxy.
//!
//! A [`Hook`] declares which requests it [wants](Hook::wants). It sees each of them [before](Hook::before) it is
//! executed and may answer, rewrite or refuse it; it may replace the reply [after](Hook::after) that; and it is
//! notified of [invalidated](Hook::on_invalidate) keys. Requests that no hook wants cost nothing more.
//!
//! A hook runs in the event loop and must not block. It can pass slow work to a thread of its own, which answers
//! [later](Client::defer).
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

/// The most hooks of a proxy.
pub const HOOKS_MAX: usize = 32;

/// Code that sees requests, replies and invalidations.
///
/// Hooks see the requests of authenticated clients as Redis would receive them: with the client's prefix, and without
/// those that rules refuse. In a transaction, a hook sees each request when the client sends it. Hooks do not see what
/// a script does inside Redis.
pub trait Hook {
    /// What it wants to see. Called once, when the proxy starts.
    fn wants(&self) -> Wants;

    /// A client has sent a request. The first hook that replies to it or denies it decides; if a hook rewrites it, the
    /// next hooks see the new request.
    fn before(&mut self, request: &Request<'_>, client: &Client<'_>) -> Before {
        let _ = (request, client);
        Before::Pass
    }

    /// A request was answered by Redis or from the cache, with that encoded reply, which is not an error. Replies that
    /// the proxy makes itself, such as that to `PING`, are not shown, nor is anything but a single reply, such as that
    /// to `SUBSCRIBE`.
    fn after(&mut self, request: &Request<'_>, reply: &[u8], client: &Client<'_>) -> After {
        let _ = (request, reply, client);
        After::Pass
    }

    /// A key has changed, as Redis reports or because a client wrote it; `None` stands for possibly any key.
    fn on_invalidate(&mut self, key: Option<&[u8]>) {
        let _ = key;
    }
}

/// What a hook wants to see: nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub(crate) commands: CommandList,
    keys: Vec<Pattern>,
    pub(crate) replies: bool,
    pub(crate) invalidations: bool,
}

impl Wants {
    /// Requests of these commands: names or patterns, separated by commas, `@read`, `@write` or `@all`.
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

    /// Only requests with a key that matches this pattern, or another one given like this. A request is also seen if
    /// Redis does not say where its keys are.
    #[must_use]
    pub fn keys(mut self, pattern: &str) -> Self {
        self.keys.push(Pattern::new(pattern.as_bytes()));
        self
    }

    /// Their replies as well.
    #[must_use]
    pub fn replies(mut self) -> Self {
        self.replies = true;
        self
    }

    /// Invalidated keys.
    #[must_use]
    pub fn invalidations(mut self) -> Self {
        self.invalidations = true;
        self
    }

    /// Whether a request of one of the commands is wanted, by its keys.
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
    /// It is executed.
    Pass,
    /// It is answered with this.
    Reply(Value),
    /// It is replaced by these arguments. Rules that refuse requests are not checked again.
    Rewrite(Vec<Vec<u8>>),
    /// It is refused with this error, which starts with its code, such as `NOPERM`. The transaction that it belongs to
    /// fails.
    Deny(String),
    /// It is decided later. The client's further requests wait for the decision.
    Later(Later),
}

/// What happens to a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The client gets it.
    Pass,
    /// The client gets this instead.
    Rewrite(Value),
}

/// Who sent a request.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// Its id, as shown by `CLIENT ID`.
    pub id: u64,
    /// Its address, if known.
    pub peer: Option<&'a Peer>,
    /// Its user at Redis.
    pub user: &'a [u8],
    /// Its name; empty if it has none.
    pub name: &'a [u8],
    /// Its database.
    pub database: u32,
    pub(crate) deferrals: &'a Deferrals,
}

impl Client<'_> {
    /// Defers the decision: return the [`Before::Later`], and pass the [`Answer`] to a thread. If it does not answer
    /// within the timeout of Redis (`redis_timeout`), the client gets an error.
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
