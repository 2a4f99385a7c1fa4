//! Replies that are ready: hits, errors, and what the proxy answers itself.

use super::super::outage::Outage;
use super::Replies;
use super::slot::Slot;
use crate::cache::Value;
use crate::metrics::ErrorKind;
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};
use crate::upstream::is_unreachable;

impl Replies {
    /// Adds a reply.
    pub fn push(&mut self, reply: Reply) {
        if self.queue.is_empty() {
            self.output.push(reply);
        } else {
            self.push_slot(Slot::Ready(reply));
        }
    }

    /// Adds an encoded reply.
    pub fn push_static(&mut self, encoded: &'static [u8]) {
        self.push(Reply::Static(encoded));
    }

    /// Adds a bulk string reply.
    #[inline]
    pub fn push_bulk(&mut self, value: &[u8]) {
        if self.queue.is_empty() {
            self.output.write(|out| reply::bulk(out, value));
        } else {
            self.queue_bulk(value);
        }
    }

    #[inline(never)]
    fn queue_bulk(&mut self, value: &[u8]) {
        self.push_slot(Slot::Ready(Reply::bulk(value)));
    }

    /// Adds a cached value, for a client with this protocol version.
    #[inline]
    pub fn push_value(&mut self, value: &Value<'_>, protocol: Protocol) {
        match value {
            Value::Bytes(bytes) => self.push_bulk(bytes),
            Value::Shared(_) | Value::Missing => self.push(to_reply(value, protocol)),
        }
    }

    /// Adds a cached reply.
    #[inline]
    pub fn push_answer(&mut self, answer: &Value<'_>) {
        match answer {
            Value::Bytes(encoded) if self.queue.is_empty() => self.output.copy(encoded),
            Value::Bytes(encoded) => self.push(Reply::copy(encoded)),
            Value::Shared(encoded) => self.push(Reply::Shared((*encoded).clone())),
            // The answer to a question is never `Missing`.
            Value::Missing => {}
        }
    }

    /// Adds an error reply; `message` starts with its code.
    pub fn push_error(&mut self, message: &[u8]) {
        let denied = [&b"NOAUTH "[..], b"WRONGPASS ", b"EXECABORT ", b"NOPERM "];
        self.refusal = Some(if denied.iter().any(|code| message.starts_with(code)) {
            ErrorKind::Denied
        } else {
            ErrorKind::Usage
        });
        self.push(Reply::error(message));
    }

    /// Adds the error reply that Redis gave to the proxy itself. If Redis is unreachable, or was lost while the client
    /// was connected, the client is closed instead.
    pub fn push_outage(&mut self, outage: &Outage) {
        if outage.refused && !self.outlived {
            return self.push_error_of(outage);
        }
        self.refusal = Some(ErrorKind::Unreachable);
        self.push_slot(Slot::End);
    }

    /// Adds the error reply that says why Redis can't be asked.
    pub fn push_error_of(&mut self, outage: &Outage) {
        self.refusal = Some(match is_unreachable(outage.error.bytes()) {
            true => ErrorKind::Unreachable,
            false => ErrorKind::Redis,
        });
        self.push(outage.error.clone());
    }

    /// Adds the error reply to a login that Redis has refused or could not check.
    pub fn push_refusal(&mut self, error: &Reply) {
        let encoded = error.bytes();
        let denied = [&b"-NOAUTH "[..], b"-WRONGPASS "];
        self.refusal = Some(if is_unreachable(encoded) {
            ErrorKind::Unreachable
        } else if denied.iter().any(|code| encoded.starts_with(code)) {
            ErrorKind::Denied
        } else {
            ErrorKind::Usage
        });
        self.push(error.clone());
    }

    /// Takes the kind of the error reply to the latest request, to count it.
    pub fn take_refusal(&mut self) -> Option<ErrorKind> {
        self.refusal.take()
    }

    /// Sets whether the client was connected when Redis was lost, which has since come back and refuses the proxy. With
    /// Redis itself, the client would have lost its connection; and client libraries check only on connecting whether
    /// Redis is loading.
    pub fn set_outlived(&mut self, outlived: bool) {
        self.outlived = outlived;
    }
}

/// A cached value as a reply, to be kept.
pub(in crate::proxy) fn to_reply(value: &Value<'_>, protocol: Protocol) -> Reply {
    match value {
        Value::Bytes(bytes) => Reply::bulk(bytes),
        Value::Shared(encoded) => Reply::Shared((*encoded).clone()),
        Value::Missing => Reply::Static(protocol.null()),
    }
}
