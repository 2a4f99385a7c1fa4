//! The databases besides the one that every client starts in. Each cached database has links of its own, which stay in
//! it: a link is not set up unless Redis accepts its `SELECT`. So a request for a database is executed in that database
//! or not at all. The first client that selects a database finds out, on a dedicated connection, whether Redis has it,
//! and returns from that connection at once; all later clients are served by the links from the start.
//!
//! Redis reports changes by key name, without a database, and a few commands write to other databases than their own
//! (`MOVE`, `COPY`, `SWAPDB`, scripts). So a changed key is removed from the cache in all databases at once.

use super::super::replies::Replies;
use super::super::waiting::WaitsFor;
use super::{Engine, Flow};
use crate::config::DatabaseList;
use crate::metrics::Outcome;
use crate::resp::request::Request;
use crate::resp::{Protocol, integer};
use crate::upstream::LinkId;

/// How many databases besides the first have links. A client that selects any further one stays on a dedicated
/// connection.
const MOST: usize = 31;

const OK: &[u8] = b"+OK\r\n";

/// The databases that clients use.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Databases {
    /// The database that every client starts in.
    pub home: u32,
    /// Which other databases are cached.
    pub cached: DatabaseList,
    /// The other databases that have links.
    linked: Vec<Linked>,
}

#[derive(Debug)]
struct Linked {
    database: u32,
    /// The current Redis server has the database.
    exists: bool,
}

impl Databases {
    pub fn new(home: u32) -> Self {
        Self {
            home,
            ..Self::default()
        }
    }

    /// Whether links may serve clients in a database: it is cached, and not too many others have links already.
    pub fn serves(&self, database: u32) -> bool {
        let is_linked = || self.linked.iter().any(|it| it.database == database);
        database == self.home
            || self.cached.has(database) && (self.linked.len() < MOST || is_linked())
    }

    /// Whether the current Redis server has a database, as far as that is known.
    fn exists(&self, database: u32) -> bool {
        let mut linked = self.linked.iter();
        database == self.home || linked.any(|it| it.database == database && it.exists)
    }

    /// Records that the current Redis server has a database, which may have links from now on.
    fn link(&mut self, database: u32) {
        let mut linked = self.linked.iter_mut();
        match linked.find(|it| it.database == database) {
            Some(it) => it.exists = true,
            None if database == self.home => {}
            None => self.linked.push(Linked {
                database,
                exists: true,
            }),
        }
    }

    /// Redis has been replaced by another server, which may have fewer databases.
    pub fn forget_which_exist(&mut self) {
        for linked in &mut self.linked {
            linked.exists = false;
        }
    }
}

impl Engine {
    /// The first link.
    pub(in crate::proxy) fn home(&self) -> LinkId {
        LinkId::new(Protocol::Resp2, self.databases.home)
    }

    /// A client has selected a database on a dedicated connection, and is served by links from now on.
    pub(in crate::proxy) fn selected(&mut self, database: u32) {
        self.databases.link(database);
    }

    /// `SELECT index`. The client's later requests use another link, on which they must not overtake its earlier ones.
    pub(super) fn select(
        &self,
        request: &Request<'_>,
        database: &mut u32,
        replies: &mut Replies,
    ) -> Result<Outcome, Flow> {
        let wanted = integer(request.argument(1)).and_then(|index| u32::try_from(index).ok());
        let is_known =
            |wanted: &u32| self.databases.serves(*wanted) && self.databases.exists(*wanted);
        // Any other database is selected on a dedicated connection. If Redis has it and it may be cached, the client
        // returns from there.
        let wanted = wanted.filter(is_known).ok_or(Flow::Leave)?;
        if wanted == *database {
            replies.push_static(OK);
            return Ok(Outcome::Here);
        }
        if !replies.none_wait() {
            return Err(Flow::Wait(WaitsFor::Replies));
        }
        *database = wanted;
        replies.push_static(OK);
        Ok(Outcome::Here)
    }
}
