//! A Redis that sentinels say where it is: real ones, and in the end false ones that say what real ones rarely do.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "tls")]
#[path = "../tls/certificates.rs"]
mod certificates;
mod failover;
mod setup;
mod trouble;
