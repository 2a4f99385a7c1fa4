//! The proxy in front of a Redis Cluster: a real one, of three masters and three replicas.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "tls")]
#[path = "../tls/certificates.rs"]
mod certificates;
mod clients;
mod coherence;
mod commands;
mod direct;
mod failover;
mod hooks;
mod messages;
mod moved_slots;
mod replicas;
mod rules;
mod settings;
mod shown;
mod straight;
#[cfg(feature = "tls")]
mod tls;
mod traffic;
mod whole;
