//! redis-proxy: a read-through LRU cache in front of a Redis, for any Redis client.
//!
//! The life of a request, from room to room:
//!
//! 1. [`server`] is the event loop. It finds a client's socket readable ([`transport`]), reads once, and
//!    hands the bytes to the core. [`tls`] lies between them where they are encrypted.
//! 2. [`proxy`] is the core, a state machine without sockets. It has the bytes parsed
//!    ([`resp::request`]), looks the command up ([`command`]), and answers: by itself, from the
//!    [`cache`], or by asking Redis.
//! 3. What Redis is asked goes to [`upstream`] at the end of the turn: a helper thread writes it to the connection
//!    for that version of the protocol and that database, a [`link`], and hands back the replies, and what Redis reports has
//!    changed.
//! 4. Replies collect in order in the client's output ([`resp::reply`]), and the loop writes them when the
//!    turn ends, or earlier if they are large.
//!
//! What happens is counted in [`metrics`], which [`status`] tells to whoever asks: by `INFO`, and over
//! [`http`].
//!
//! [`config`] is read once and [`logging`] starts, before all this; [`clock`] is how the core is told the time.
//! [`keepalive`] finds connections whose other side has vanished; [`json`] writes objects for the log and for HTTP.

pub mod cache;
pub mod clock;
pub mod command;
pub mod config;
pub mod hooks;
pub mod http;
pub mod json;
pub mod keepalive;
pub mod link;
pub mod logging;
pub mod metrics;
pub mod proxy;
pub mod resp;
pub mod rules;
pub mod server;
pub mod status;
pub mod systemd;
pub mod tls;
pub mod transport;
pub mod upstream;
