//! Where a request comes from, and where its reply goes.

use super::ClientId;
use crate::cache::Key;
use crate::clock::Time;
use crate::resp::Protocol;
use crate::upstream::{LinkId, NodeId};

/// The origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Caller {
    pub client: ClientId,
    /// The client's protocol version and database, which select the link for its requests.
    pub protocol: Protocol,
    pub database: u32,
    /// The node that the request is sent to.
    pub node: NodeId,
    /// The command's number in the table.
    pub command: u16,
    /// When the last byte of the request had arrived.
    pub since: Time,
}

impl Caller {
    /// The link that the request goes over.
    #[inline]
    pub fn link(&self) -> LinkId {
        LinkId::new(self.protocol, self.database).at(self.node)
    }

    /// The key `name` in the client's database.
    #[inline]
    pub fn key<'a>(&self, name: &'a [u8]) -> Key<'a> {
        Key::new(self.database, name)
    }
}
