//! redis-proxy: a read-through LRU cache in front of a Redis.
pub mod cache;
pub mod clock;
pub mod command;
pub mod config;
pub mod connection;
pub mod proxy;
pub mod resp;
pub mod server;
pub mod upstream;
