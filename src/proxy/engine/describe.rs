//! Describes clients without a dedicated connection.

use super::super::client_lines::{self, Around};
use super::super::session::Session;
use super::Engine;
use crate::clock::Time;
use crate::command::Here;

impl Engine {
    /// The line of a client without a dedicated connection, or with one that Redis does not list.
    pub(in crate::proxy) fn line(&self, session: &Session, now: Time) -> String {
        let user = String::from_utf8_lossy(self.user(session)).into_owned();
        let command = match session.identity.last_command {
            0 => "NULL".into(),
            number => String::from_utf8_lossy(self.table.name(number)),
        };
        let around = Around {
            database: session.database(),
            user: &user,
            command: &command,
            with_library: self.table.answers(Here::ClientSetinfo),
            now,
        };
        client_lines::shared(session, &around)
    }

    /// A client's user at Redis.
    pub(in crate::proxy) fn user<'a>(&'a self, session: &'a Session) -> &'a [u8] {
        session.identity.user_or(self.access.proxy_user())
    }
}
