//! The databases beside the one that every client starts in. Each that is cached has links of its own, which never
//! leave it: they are not set up unless Redis accepts the `SELECT` there. So a request for a database is executed in
//! that database or not at all. Whether Redis has a database is found out when the first client selects it, on a
//! dedicated connection, which that client leaves at once; all other clients are served by the links from the start.
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

/// How many databases have links, beside the first. A client that selects another has a dedicated connection there.
const MOST: usize = 31;

const OK: &[u8] = b"+OK\r\n";

/// The databases that clients use.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Databases {
    /// The one in which every client starts.
    pub home: u32,
    /// Which others are cached.
    pub cached: DatabaseList,
    /// The other databases that have links.
    linked: Vec<Linked>,
}

#[derive(Debug)]
struct Linked {
    database: u32,
    /// The current Redis has it.
    exists: bool,
}

impl Databases {
    pub fn new(home: u32) -> Self {
        Self {
            home,
            ..Self::default()
        }
    }

    /// Whether links may serve clients there: it is cached, and not too many others are.
    pub fn serves(&self, database: u32) -> bool {
        let is_linked = || self.linked.iter().any(|it| it.database == database);
        database == self.home
            || self.cached.has(database) && (self.linked.len() < MOST || is_linked())
    }

    /// Whether the current Redis has it, as far as that is known.
    fn exists(&self, database: u32) -> bool {
        let mut linked = self.linked.iter();
        database == self.home || linked.any(|it| it.database == database && it.exists)
    }

    /// The current Redis has it, and there may be links to it from now on.
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

    /// Redis has been replaced by another server, which may have fewer.
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

    /// A client has selected this database on a dedicated connection, and is served by links from now on.
    pub(in crate::proxy) fn selected(&mut self, database: u32) {
        self.databases.link(database);
    }

    /// `SELECT index`. Later requests go over another link, where they must not overtake earlier ones.
    pub(super) fn select(
        &self,
        request: &Request<'_>,
        database: &mut u32,
        replies: &mut Replies,
    ) -> Result<Outcome, Flow> {
        let wanted = integer(request.argument(1)).and_then(|index| u32::try_from(index).ok());
        let is_known =
            |wanted: &u32| self.databases.serves(*wanted) && self.databases.exists(*wanted);
        // Any other is selected on a dedicated connection. If Redis has it and it may be cached, the client returns.
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
