//! The reply to `HELLO`.

use super::super::hello::with_id;
use super::Engine;
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};

impl Engine {
    /// The reply to `HELLO`: Redis's own, with the id of this client.
    pub fn greeting(&self, protocol: Protocol, id: u64) -> Reply {
        let told = self
            .any_server()
            .backend
            .as_ref()
            .map(|backend| match protocol {
                Protocol::Resp2 => &backend.hello[0],
                Protocol::Resp3 => &backend.hello[1],
            });
        let greeting = told
            .filter(|told| told.len() > 1)
            .map_or_else(|| unmet(protocol), |told| told.clone());
        Reply::copy(&with_id(&greeting, id))
    }
}

/// The reply in place of a Redis that was never reached.
fn unmet(protocol: Protocol) -> Vec<u8> {
    let header: &[u8] = match protocol {
        Protocol::Resp2 => b"*14\r\n",
        Protocol::Resp3 => b"%7\r\n",
    };
    let mut greeting = header.to_vec();
    for text in ["server", "redis", "version", "7.0.0", "proto"] {
        reply::bulk(&mut greeting, text.as_bytes());
    }
    greeting.extend_from_slice(format!(":{}\r\n", protocol.number()).as_bytes());
    reply::bulk(&mut greeting, b"id");
    greeting.extend_from_slice(b":0\r\n");
    for text in ["mode", "standalone", "role", "master", "modules"] {
        reply::bulk(&mut greeting, text.as_bytes());
    }
    greeting.extend_from_slice(b"*0\r\n");
    greeting
}
