//! The reply to `HELLO`.

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

/// The reply for a Redis that was never reached.
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

/// The greeting with another id.
pub(in crate::proxy) fn with_id(greeting: &[u8], id: u64) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let Some(at) = greeting
        .windows(FIELD.len())
        .position(|window| window == FIELD)
    else {
        return greeting.to_vec();
    };
    let (before, after) = greeting.split_at(at + FIELD.len());
    let digits = after
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    [before, id.to_string().as_bytes(), &after[digits..]].concat()
}
