//! Requests that are sent to Redis unchanged, over a shared connection.

use super::super::clients::{Edit, Sent};
use super::super::identity::Identity;
use super::super::in_flight::{Asks, Caller, Forward, Then, Waiter};
use super::super::outage::Outage;
use super::super::replies::Replies;
use super::{Engine, Flow, cost};
use crate::command::{Row, Way, Writes};
use crate::metrics::{Outcome, Why};
use crate::resp::request::Request;

impl Engine {
    /// Sends a request to Redis over a shared connection, in the form that it must have there.
    pub(super) fn forward_shared(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        caller: Caller,
        identity: &Identity,
        replies: &mut Replies,
    ) -> Result<(Outcome, Flow), Flow> {
        let mut sent = self.translate_for_shared(row, request)?;
        if identity.guard.is_some() {
            sent.edit = self.take_prefix(sent.edit, request, identity);
        }
        let flow = match sent.edit {
            // The request may kill the client that sent it.
            Some(Edit::Kill(_)) => Flow::Alone,
            _ => Flow::Continue,
        };
        if let Way::Cached(_) = row.way {
            self.metrics.uncached.add(row.number, Why::Keys);
        }
        Ok((self.forward(request, sent, row, caller, replies), flow))
    }

    /// Sends a request to Redis.
    pub(super) fn forward(
        &mut self,
        request: &Request<'_>,
        sent: Sent,
        row: &Row,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        if let Some(outage) = self.server(caller.node).outage() {
            refuse(request, outage, replies);
            return Outcome::Refused;
        }
        if self.cluster.is_some() && matches!(row.writes, Writes::Declared(_)) {
            self.spread_script(request, caller);
        }
        let written = self.invalidate_written(request, row.writes);
        let batch = self.requests.of(caller.link());
        let before = batch.bytes.len();
        batch.push(row.reads_only, |out| match &sent.bytes {
            Some(bytes) => out.extend_from_slice(bytes),
            None => request.encode(out),
        });
        let encoded = &batch.bytes[before..];
        let place = replies.wait(cost(encoded.len(), replies));
        let kept = self.cluster.is_some().then(|| encoded.into());
        let name = self.table.original_name(request.argument(0));
        let words = match sent.bytes {
            Some(_) => self.slow_log.words(request, name),
            None => self.slow_log.words_of(request, name, encoded),
        };
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        let then = match sent.edit {
            Some(edit) => Then::Edit(Box::new(edit)),
            None => Then::Pass,
        };
        let is_script = self.reports_scripts(row.writes);
        if is_script {
            replies.scripts.sent();
        }
        let asks = Some(Asks {
            hash: self.large.hash(row.number, request, 1),
            repeatable: row.reads_only,
        });
        let forward = Forward {
            waiter: Some(waiter),
            words,
            then,
            is_script,
            asks,
            encoded: kept,
            ..Forward::default()
        };
        self.in_flight
            .forward(forward, caller.link(), written.as_deref());
        self.asked += 1;
        if row.changes_commands {
            self.checks.forget();
            self.renew_table(caller.link());
        }
        Outcome::Forwarded
    }
}

/// Redis can't be asked: the client is closed, as Redis would close it, or gets Redis's error. But the commands with
/// which client libraries introduce themselves (`CLIENT SETINFO` and future subcommands) must not cost a client its
/// hits.
pub(super) fn refuse(request: &Request<'_>, outage: &Outage, replies: &mut Replies) {
    match request.argument(0).eq_ignore_ascii_case(b"client") {
        true => replies.push_error_of(outage),
        false => replies.push_outage(outage),
    }
}
