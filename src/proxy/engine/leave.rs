//! Clients that need dedicated connections: how those are set up, and what is passed on to them.

use super::super::dedicated::{Borrowed, Dedicated, Effects, Keys, Mode};
use super::super::hello::Hello;
use super::super::identity::Identity;
use super::super::replies::Replies;
use super::super::waiting::WaitsFor;
use super::observed::observe;
use super::{Engine, Flow, Redis};
use crate::clock::Time;
use crate::command::{Cached, Table, UNKNOWN, Way, Writes, internal};
use crate::metrics::{Outcome, Why};
use crate::resp::reply;
use crate::resp::request::Request;

/// The outcome for a client that needs a dedicated connection.
pub(in crate::proxy) enum Leave {
    /// The client has one.
    With(Box<Dedicated>),
    /// The client has to wait.
    Wait(WaitsFor),
    /// The client can't have one, and gets an error that says why.
    Refused,
    /// The client's current one was set up differently, or leads to another node, and must be closed first.
    Close,
    /// The client does not need one yet: the request is answered.
    Answered,
}

/// Which parts the setup of a dedicated connection has.
pub(in crate::proxy) struct SetUp {
    /// The proxy's own login. Without it, the client's login is the first request.
    pub authenticates: bool,
    /// The selection of the client's database.
    pub selects: bool,
    /// The client's protocol version.
    pub greets: bool,
    /// The client's name.
    pub gives_name: bool,
}

impl SetUp {
    /// All parts of the setup.
    pub const WHOLE: Self = Self {
        authenticates: true,
        selects: true,
        greets: true,
        gives_name: true,
    };
}

impl Engine {
    /// Moves a client to a dedicated connection, once all its earlier requests are answered. It may reuse one that it
    /// has parked.
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
            // This request may be the one that ends the script with which Redis is busy.
            Redis::Down(_) if row.passes && server.endpoint.is_some() => {}
            // The client may have a valid login of its own.
            Redis::Down(outage) if flow == Flow::LeaveToAuthenticate && outage.refuses_login() => {}
            Redis::Down(outage) => {
                replies.push_outage(outage);
                self.count(row.number, Outcome::Refused, replies);
                return Leave::Refused;
            }
            Redis::Up => {}
        }
        // A HELLO that authenticates sets the protocol version itself, and perhaps the client's name.
        let authenticating = flow == Flow::LeaveToAuthenticate;
        let hello = (authenticating && !request.argument(0).eq_ignore_ascii_case(b"auth"))
            .then(|| Hello::parse(request).ok())
            .flatten();
        let set_up = SetUp {
            authenticates: !authenticating,
            // It would fail while Redis is busy with a script.
            selects: !row.passes,
            greets: hello.is_none(),
            gives_name: hello.is_none_or(|hello| !hello.gives_name()),
        };
        let mode = match flow {
            Flow::Borrow(loan) => Mode::Borrowed(Borrowed::new(loan, self.large.is_limited())),
            _ => Mode::Held,
        };
        if let Some(mut dedicated) = parked.take() {
            let is_same = dedicated.made_by().is_some_and(|(made_by, database)| {
                self.write_set_up(identity, &set_up, database).0 == made_by
            });
            if set_up.authenticates && is_same && dedicated.node == node {
                dedicated.set_mode(mode);
                dedicated.note_need(row.number, false);
                dedicated.select(identity.database);
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
        dedicated.set_mode(match flow {
            Flow::LeaveToPass => Mode::OneRequest,
            _ => mode,
        });
        Leave::With(Box::new(dedicated))
    }

    /// Opens a dedicated connection for a client, with this setup.
    pub fn open_dedicated(&mut self, identity: &Identity, set_up: &SetUp) -> Dedicated {
        self.numbers.opening(identity.id);
        let (protocol, database) = (identity.protocol, identity.database);
        let (requests, replies) = self.write_set_up(identity, set_up, database);
        match set_up.authenticates {
            true => Dedicated::new(&requests, replies, protocol, database),
            false => Dedicated::authenticating(requests, replies, protocol, database),
        }
    }

    /// Writes the requests that set up a client's dedicated connection in a database. Returns them with two counts: the
    /// replies that must not be errors, and those that may be.
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
                        [internal::AUTH.as_bytes(), user.as_bytes(), password].into_iter(),
                    );
                }
                None => reply::request(
                    &mut requests,
                    [internal::AUTH.as_bytes(), password].into_iter(),
                ),
            }
            replies.0 += 1;
        }
        if set_up.selects && database != 0 {
            let database = database.to_string();
            reply::request(
                &mut requests,
                [internal::SELECT.as_bytes(), database.as_bytes()].into_iter(),
            );
            replies.0 += 1;
        }
        let (required, optional) =
            identity.write_set_up(&mut requests, set_up.greets, set_up.gives_name);
        reply::request(
            &mut requests,
            [internal::CLIENT.as_bytes(), b"ID"].into_iter(),
        );
        (requests, (replies.0 + required, optional + 1))
    }

    /// Whether a client's next request no longer needs the client's dedicated connection.
    pub fn may_go_back(&self, dedicated: &Dedicated, request: &Request<'_>) -> bool {
        dedicated.is_clean()
            && self.databases.serves(dedicated.database())
            && (self.begins_transaction(request)
                || self
                    .table
                    .find(request)
                    .is_ok_and(|row| row.way(request) != Way::Dedicated))
    }

    /// Passes a request on over its client's dedicated connection. If the command is unknown, asks Redis over a link to
    /// describe it. `after` are the hooks that want to see the reply, a bit for each.
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
        if dedicated.is_to_be_set_up_for(self.table.original_name(request.argument(0))) {
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
            let why = match dedicated.borrowed() {
                Some(_) => Why::Large,
                None => Why::Dedicated(dedicated.needed_by()),
            };
            self.metrics.uncached.add(row.number, why);
        }
        // Undeclared keys that a script writes on this connection are reported before its reply is passed on, unless
        // replies are not held.
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
        if let Some(borrowed) = dedicated.borrowed_mut() {
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
        let name = self.table.original_name(request.argument(0));
        let bytes = sent.bytes.as_deref().unwrap_or(&bytes);
        dedicated.pass(request, name, bytes, effects, row.lasts(request), sent.edit);
        Flow::Continue
    }
}
