//! Clients that need dedicated connections: how those are set up, and what is passed on there.

use super::super::answer::Hello;
use super::super::dedicated::{Borrowed, Dedicated, Effects, Keys};
use super::super::identity::Identity;
use super::super::replies::Replies;
use super::super::session::WaitsFor;
use super::observed::observe;
use super::{Flow, Redis, Store};
use crate::clock::Time;
use crate::command::{Cached, Table, UNKNOWN, Way, Writes, own};
use crate::metrics::{Outcome, Why};
use crate::resp::reply;
use crate::resp::request::Request;

/// What becomes of a client that needs a dedicated connection.
pub(in crate::proxy) enum Leave {
    /// It has it.
    With(Box<Dedicated>),
    /// It has to wait.
    Wait(WaitsFor),
    /// It can't have one, and gets an error that says why.
    Refused,
    /// The one that it has was set up in another way, or leads elsewhere: that is to be closed first.
    Close,
    /// It needs none yet: the request is answered.
    Answered,
}

/// What sets up a dedicated connection.
pub(in crate::proxy) struct SetUp {
    /// The proxy's own login; else the client's is its first request.
    pub authenticates: bool,
    /// The database that the client is in.
    pub selects: bool,
    /// What the client speaks.
    pub greets: bool,
    /// What the client is called.
    pub gives_name: bool,
}

impl SetUp {
    /// All of it.
    pub const WHOLE: Self = Self {
        authenticates: true,
        selects: true,
        greets: true,
        gives_name: true,
    };
}

impl Store {
    /// Sees off a client to a dedicated connection, as soon as all that it asked for before is answered. It may have one
    /// that it did not need lately.
    pub fn leave(
        &mut self,
        flow: Flow,
        request: &Request<'_>,
        identity: &mut Identity,
        replies: &mut Replies,
        parked: &mut Option<Box<Dedicated>>,
    ) -> Leave {
        if !replies.none_wait() {
            return Leave::Wait(WaitsFor::Replies);
        }
        let row = self.table.find(request).unwrap_or(UNKNOWN);
        if self.begins_transaction(request) && !identity.multi {
            return self.begin_transaction(row.number, identity, replies);
        }
        let node = self.node_for(request, &row);
        let server = self.server(node);
        match &server.redis {
            Redis::Unknown => return Leave::Wait(WaitsFor::Redis),
            // It may be that which holds up Redis.
            Redis::Down(_) if row.passes && server.endpoint.is_some() => {}
            // It has a login of its own.
            Redis::Down(outage) if flow == Flow::LeaveToAuthenticate && outage.refuses_login() => {}
            Redis::Down(outage) => {
                replies.push_outage(outage);
                self.count(row.number, Outcome::Refused, replies);
                return Leave::Refused;
            }
            Redis::Up => {}
        }
        // A HELLO that authenticates says itself what is spoken, and perhaps what the client is called.
        let authenticating = flow == Flow::LeaveToAuthenticate;
        let hello = (authenticating && !request.argument(0).eq_ignore_ascii_case(b"auth"))
            .then(|| Hello::parse(request).ok())
            .flatten();
        let set_up = SetUp {
            authenticates: !authenticating,
            // It is of no use where Redis answers nothing else.
            selects: !row.passes,
            greets: hello.is_none(),
            gives_name: hello.is_none_or(|hello| !hello.gives_name()),
        };
        let borrowed = match flow {
            Flow::Borrow(loan) => Some(Borrowed::new(loan, self.large.is_limited())),
            _ => None,
        };
        if let Some(mut dedicated) = parked.take() {
            let (requests, _) = self.write_set_up(identity, &set_up, dedicated.made_in);
            if set_up.authenticates && dedicated.is_set_up_by(&requests) && dedicated.node == node {
                dedicated.unpark();
                dedicated.note_need(row.number, false);
                dedicated.select(identity.database);
                dedicated.borrowed = borrowed;
                if std::mem::take(&mut identity.multi) {
                    dedicated.begin_transaction();
                }
                return Leave::With(dedicated);
            }
            return Leave::Close;
        }
        let mut dedicated = self.open_dedicated(identity, &set_up);
        dedicated.lead_to(node, self.cluster().is_some());
        if std::mem::take(&mut identity.multi) {
            dedicated.begin_transaction();
        }
        dedicated.note_need(row.number, authenticating);
        dedicated.borrowed = borrowed;
        Leave::With(Box::new(match flow {
            Flow::LeaveToPass => dedicated.for_one_request(),
            _ => dedicated,
        }))
    }

    /// A dedicated connection for a client, which is set up like that.
    pub fn open_dedicated(&mut self, identity: &Identity, set_up: &SetUp) -> Dedicated {
        self.numbers.opening(identity.id);
        let (protocol, database) = (identity.protocol, identity.database);
        let (requests, replies) = self.write_set_up(identity, set_up, database);
        match set_up.authenticates {
            true => Dedicated::new(&requests, replies, protocol, database),
            false => Dedicated::authenticating(requests, replies, protocol, database),
        }
    }

    /// The requests that set up a client's dedicated connection in a database, and how many of their replies must be no
    /// errors and how many may.
    fn write_set_up(
        &self,
        identity: &Identity,
        set_up: &SetUp,
        database: u32,
    ) -> (Vec<u8>, (usize, usize)) {
        let mut requests = Vec::new();
        let mut replies = (0, 0);
        if set_up.authenticates
            && let Some(password) = &self.access.redis_password
        {
            let password = password.expose().as_bytes();
            match &self.access.redis_username {
                Some(user) => {
                    reply::request(
                        &mut requests,
                        [own::AUTH.as_bytes(), user.as_bytes(), password].into_iter(),
                    );
                }
                None => reply::request(&mut requests, [own::AUTH.as_bytes(), password].into_iter()),
            }
            replies.0 += 1;
        }
        if set_up.selects && database != 0 {
            let database = database.to_string();
            reply::request(
                &mut requests,
                [own::SELECT.as_bytes(), database.as_bytes()].into_iter(),
            );
            replies.0 += 1;
        }
        let (required, optional) =
            identity.write_set_up(&mut requests, set_up.greets, set_up.gives_name);
        reply::request(&mut requests, [own::CLIENT.as_bytes(), b"ID"].into_iter());
        (requests, (replies.0 + required, optional + 1))
    }

    /// Whether a client's next request needs its dedicated connection no more.
    pub fn may_go_back(&self, dedicated: &Dedicated, request: &Request<'_>) -> bool {
        dedicated.is_clean()
            && self.databases.serves(dedicated.database())
            && (self.begins_transaction(request)
                || self
                    .table
                    .find(request)
                    .is_ok_and(|row| row.way(request) != Way::Dedicated))
    }

    /// Passes a request on over its client's dedicated connection. What its command is, if that is not known, is asked
    /// over a link. The hooks of a mask are to see its reply.
    pub fn pass_on(
        &mut self,
        dedicated: &mut Dedicated,
        request: &Request<'_>,
        bytes: &[u8],
        identity: &mut Identity,
        (after, now): (u32, Time),
    ) -> Flow {
        let (row, bytes) = match self.row_to_pass_on(request, bytes, identity.link(), now) {
            Ok(found) => found,
            Err(flow) => return flow,
        };
        if dedicated.is_to_be_set_up_for(self.table.own_name(request.argument(0))) {
            return Flow::Wait(WaitsFor::SetUp);
        }
        let mut sent = match self.translate_for_dedicated(&row, request) {
            Ok(sent) => sent,
            Err(flow) => return flow,
        };
        if identity.is_checked {
            let edit = self.take_prefix(sent.edit, request, identity);
            sent.edit = observe(edit, after, request);
            dedicated.prefix = identity
                .guard
                .as_ref()
                .and_then(|guard| guard.prefix.clone());
        }
        identity.last_command = row.number;
        self.metrics.commands.add(row.number, Outcome::Dedicated, 1);
        if row.needs_dedicated(request) {
            dedicated.note_need(row.number, row.lasts(request));
        }
        if let Way::Cached(_) = row.way {
            let why = match dedicated.borrowed {
                Some(_) => Why::Large,
                None => Why::Dedicated(dedicated.needed_by()),
            };
            self.metrics.uncached.add(row.number, why);
        }
        // What a script on it does not declare is reported before its reply is passed on, unless none is held.
        let writes = match row.writes {
            Writes::Declared(_) if !self.barriers.is_enabled() => Writes::Anything,
            writes => writes,
        };
        let waits_for_pause = now < self.paused_until && row.waits_for_pause();
        let blocks = waits_for_pause || row.blocks && row.way(request) == Way::Dedicated;
        let effects = Effects {
            command: row.number,
            failed: false,
            keys: Keys::of(self.invalidate_written(request, writes)),
            blocks,
            changes_commands: row.changes_commands,
            is_script: self.reports_scripts(writes),
            since: (!blocks).then_some(now),
        };
        if effects.blocks {
            self.awaited.add(&effects.keys);
        }
        if let Some(borrowed) = &mut dedicated.borrowed {
            let large = &self.large;
            let of_value = |key| large.hash_of(Table::GET, key);
            let keys = || request.arguments().skip(1);
            match row.way(request) {
                Way::Cached(Cached::Get | Cached::Mget) => borrowed.add(keys().map(of_value)),
                Way::Cached(Cached::Answer { key, .. }) => {
                    borrowed.add([large.hash(row.number, request, key.into())].into_iter());
                }
                _ if large.is_limited() => borrowed.add(std::iter::empty()),
                _ => borrowed.add([large.hash(row.number, request, 1)].into_iter()),
            }
        }
        let name = self.table.own_name(request.argument(0));
        let bytes = sent.bytes.as_deref().unwrap_or(&bytes);
        dedicated.pass(request, name, bytes, effects, row.lasts(request), sent.edit);
        Flow::Continue
    }
}
