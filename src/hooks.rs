//! Hooks: code of an application's own inside the proxy.
//!
//! A [`Hook`] says which requests it [wants](Hook::wants). It sees each of them [before](Hook::before) it is executed and may
//! answer, rewrite or refuse it; it may replace the reply [after](Hook::after) that; and it hears which keys were
//! [invalidated](Hook::on_invalidate). What no hook wants costs nothing more.
//!
//! A hook runs in the event loop and must not block. What takes time is handed to a thread of the hook's own, which answers
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
/// Requests are seen of clients that are authenticated, as Redis would be sent them: with the prefix of the client, and
/// without what rules refuse. In a transaction each is seen when the client sends it. What a script does inside Redis no hook
/// sees.
pub trait Hook {
    /// What it is to see. This is asked once, when the proxy starts.
    fn wants(&self) -> Wants;

    /// A client sent a request. Of several hooks the first that does not pass it decides; what one has rewritten, those
    /// behind it see.
    fn before(&mut self, request: &Request<'_>, client: &Client<'_>) -> Before {
        let _ = (request, client);
        Before::Pass
    }

    /// A request was answered by Redis or from the cache, with that encoded reply, which is no error. What the proxy answers
    /// by itself, such as `PING`, is not seen, nor what is no single reply, such as that of `SUBSCRIBE`.
    fn after(&mut self, request: &Request<'_>, reply: &[u8], client: &Client<'_>) -> After {
        let _ = (request, reply, client);
        After::Pass
    }

    /// A key changed, as Redis reports or a client wrote it; `None` stands for perhaps any.
    fn on_invalidate(&mut self, key: Option<&[u8]>) {
        let _ = key;
    }
}

/// What a hook is to see. Nothing, unless it says so.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub(crate) commands: CommandList,
    keys: Vec<Pattern>,
    pub(crate) replies: bool,
    pub(crate) invalidations: bool,
}

impl Wants {
    /// Requests of these commands: names or patterns with commas between them, `@read`, `@write` or `@all`.
    ///
    /// # Panics
    /// If one of them is none of these.
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

    /// Only those that have a key which matches this pattern, or another that is given so. A request is seen too if Redis
    /// does not say where its keys are.
    #[must_use]
    pub fn keys(mut self, pattern: &str) -> Self {
        self.keys.push(Pattern::new(pattern.as_bytes()));
        self
    }

    /// Their replies too.
    #[must_use]
    pub fn replies(mut self) -> Self {
        self.replies = true;
        self
    }

    /// What is invalidated.
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

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// It is executed.
    Pass,
    /// It is answered with this.
    Reply(Value),
    /// These words are executed in its place. Rules that refuse requests are not asked again.
    Rewrite(Vec<Vec<u8>>),
    /// It is refused with this error, which starts with its code, such as `NOPERM`. A transaction that it belongs to fails.
    Deny(String),
    /// It is decided later. The client's further requests wait for that.
    Later(Later),
}

/// What becomes of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The client gets it.
    Pass,
    /// The client gets this in its place.
    Rewrite(Value),
}

/// Who sent a request.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// Its number, as `CLIENT ID` shows it.
    pub id: u64,
    /// Where it is, if that is known.
    pub peer: Option<&'a Peer>,
    /// The user that it is at Redis.
    pub user: &'a [u8],
    /// What it calls itself; empty if it doesn't say.
    pub name: &'a [u8],
    /// The database that it is in.
    pub database: u32,
    pub(crate) deferrals: &'a Deferrals,
}

impl Client<'_> {
    /// What a request is to be answered with later: give [`Before::Later`] back, and the [`Answer`] to a thread. If that does
    /// not answer within the time that Redis has (`redis_timeout`), the client gets an error.
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
