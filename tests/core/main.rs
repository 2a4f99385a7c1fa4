//! The core of the proxy through its public methods: what clients and Redis say and the time go in,
//! replies and requests for Redis come out. No sockets, no threads, no clock.

mod admin;
mod away;
mod buffers;
mod cached;
mod cluster;
mod databases;
mod fields;
mod flow;
mod guard;
mod hooks;
mod large;
mod late;
mod long;
mod messages;
mod order;
mod random;
mod refetched;
mod rules;
mod scripts;
mod transactions;
mod unknown;
mod world;
mod written;
