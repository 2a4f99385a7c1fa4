//! redis-proxy: a read-through LRU cache for Redis that any Redis client can use.
//!
//! # The life of a request
//!
//! 1. **Receive.** [`server`] is the event loop: one poll over all client sockets. A readable socket is read once
//!    ([`transport`], with [`tls`] where it is encrypted), and the bytes go to the core.
//! 2. **Parse and dispatch.** [`proxy`] is the core, a state machine without sockets, threads or a clock. It parses the
//!    bytes ([`resp::request`]), finds the command ([`command`]), and answers it from the [`cache`], on its own, or by
//!    asking Redis. Its documentation lists its files in the order in which a request passes them.
//! 3. **Ask Redis.** At the end of the turn, requests for Redis go to [`upstream`]: they are written to the [`link`] for
//!    their protocol version and database, and a helper thread returns replies and invalidations to the loop.
//! 4. **Deliver and write.** Replies collect in order in the client's output ([`resp::reply`]). The loop writes the
//!    output when the turn ends, or earlier if it is large.
//!
//! ```text
//!  client ─► server ─► proxy ─► command ─┬─► cache ─── hit ───► output ─► server ─► client
//!                                        └─► upstream ─► link ─► Redis
//!                                              │ replies, invalidations
//!                                              └──────────► proxy: cache, output
//! ```
//!
//! # Threads
//!
//! The event loop owns the core, the cache and all client sockets. The helper thread owns the connections to Redis,
//! except for dedicated ones, which the loop polls too; where it has nothing to write, it lets the loop write. The two
//! exchange messages through two mailboxes and wake each other with a [`mio::Waker`]. A third thread copies the log to standard error, so that logging never blocks the loop.
//! Host names are looked up on threads of their own.
//!
//! # The other modules
//!
//! [`config`] is read and [`logging`] started once, at startup. [`clock`] tells the core the time. [`metrics`] are
//! counted in the core; [`status`] reports them through `INFO`, and [`http`] as metrics, health checks and a page.
//! [`systemd`] is notified of startup and shutdown. [`keepalive`] detects dead peers. [`json`] writes objects for the
//! log and HTTP. [`rules`] are options for the keys that match a pattern, and [`hooks`] are code of your own that sees
//! requests and replies.
//!
//! `docs/design.md` explains the decisions, and `docs/consistency.md` the guarantees.

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
pub mod order;
pub mod proxy;
pub mod resp;
pub mod rules;
pub mod server;
pub mod status;
pub mod systemd;
pub mod tls;
pub mod transport;
pub mod upstream;
