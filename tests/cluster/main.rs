//! The proxy in front of a Redis Cluster: a real one, of three masters and three replicas.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod coherence;
mod commands;
mod direct;
mod failover;
mod messages;
mod moved_slots;
mod settings;
mod straight;
mod traffic;
mod whole;
