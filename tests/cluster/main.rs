//! The proxy in front of a Redis Cluster: a real one, of three masters and three replicas.

#[path = "../common/mod.rs"]
mod common;

mod direct;
mod replicas;
