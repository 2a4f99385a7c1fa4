//! What the proxy tells over HTTP, by its sockets: each route, each limit, each counter, and that clients of
//! Redis notice nothing of it.

#[path = "../common/mod.rs"]
mod common;

mod counters;
mod deploy;
mod entries;
mod health;
mod limits;
mod routes;
mod same_as_info;
mod scrape;
mod watched;
