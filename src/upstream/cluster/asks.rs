//! Asks a node for its view of the cluster, by two questions in a row, on the connection that carries no clients'
//! replies.

use std::time::Duration;

use super::super::node::{Loss, Node, Phase, Role};
use super::super::setup::{self, Question};
use super::view::{Asked, View};
use crate::clock::Time;
use crate::config::RedisAddress;

/// A node that has not answered for this long may have been given up by other nodes.
const SILENT: Duration = Duration::from_secs(2);

/// What a node was asked about its cluster, and its answers.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Asks {
    /// The connection on which questions are in flight.
    in_flight: Option<Role>,
    /// The questions must be asked again once they are answered, as the answers may be older than the reason to ask.
    again: bool,
    /// The node does not support `CLUSTER SHARDS`, or refuses it.
    shards_refused: bool,
    /// The error with which the node now refuses both questions, which it answered before.
    refused: Option<String>,
    /// The node has answered before.
    has_answered: bool,
    /// Its answer to the first question.
    partial: Option<View>,
    /// Its complete view, for the helper.
    view: Option<View>,
    /// The map may have changed.
    is_doubted: bool,
}

impl Asks {
    /// A connection is lost, and with it any questions on it: the map must be checked again.
    pub fn lost(&mut self, role: Role) {
        self.in_flight.take_if(|asked| *asked == role);
        self.is_doubted = true;
    }

    /// A reply to a client suggests that the map has changed.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }
}

impl Node {
    /// Whether this is a node of a cluster that the proxy is in front of.
    pub(in crate::upstream) fn is_of_cluster(&self) -> bool {
        self.settings.cluster.is_some()
    }

    /// Asks the node for its view of the cluster. Returns whether there is a connection to ask on.
    pub fn ask_for_view(&mut self, now: Time) -> bool {
        if self.asks.in_flight.is_some() {
            self.asks.again = true;
            return true;
        }
        let is_open = |role: &Role| self.connection(*role).phase == Phase::Open;
        let Some(role) = [Role::Tracker, Role::Resp2].into_iter().find(is_open) else {
            return false;
        };
        self.ask_view_on(role, now);
        true
    }

    /// Asks the node for its view on the connection `role`, if there is a cluster.
    pub(in crate::upstream) fn ask_view_on(&mut self, role: Role, now: Time) {
        if !self.is_of_cluster() {
            return;
        }
        self.asks.again = false;
        self.asks.in_flight = Some(role);
        let first = match self.asks.shards_refused {
            false => (Question::Shards, setup::cluster("SHARDS")),
            true => (Question::ClusterSlots, setup::cluster("SLOTS")),
        };
        for (question, command) in [first, (Question::Nodes, setup::cluster("NODES"))] {
            let link = &mut self.connection(role).link;
            link.ask(question, &command.get_packed_command(), now);
        }
    }

    /// The node has answered which node serves which slot.
    ///
    /// # Errors
    /// If the node refuses to answer, and has never answered.
    pub(in crate::upstream) fn slot_map_answered(
        &mut self,
        question: Question,
        answer: &[u8],
        refusal: Option<&str>,
    ) -> Result<(), Loss> {
        let host = match &self.settings.address {
            RedisAddress::Tcp { host, .. } => host.as_str(),
            _ => "",
        };
        let asked = Asked {
            host,
            by_tls: self.settings.dialer.tls.is_some(),
        };
        self.asks.partial = match question {
            Question::Shards => View::of_shards(answer, asked),
            _ => View::of_slots(answer, asked),
        };
        if self.asks.partial.is_some() {
            self.asks.refused = None;
            return Ok(());
        }
        let words = refusal.unwrap_or("with an unreadable reply");
        if setup::is_temporary(words) {
            return Ok(());
        }
        if setup::refuses_login(words) {
            return Err(Loss::Refused(words.to_owned()));
        }
        if question == Question::Shards {
            self.asks.shards_refused = true;
            self.asks.again = true;
            return Ok(());
        }
        if !self.asks.has_answered {
            return Err(Loss::NoCluster(words.to_owned()));
        }
        if self.asks.refused.as_deref() != Some(words) {
            let address = &self.settings.address;
            log::warn!(address:%, reason = words; "redis no longer reports which node has which slot");
            self.asks.refused = Some(words.to_owned());
        }
        Ok(())
    }

    /// Handles the answer that completes the node's view.
    pub(in crate::upstream) fn nodes_answered(&mut self, role: Role, answer: &[u8], now: Time) {
        self.asks.in_flight = None;
        if let Some(mut view) = self.asks.partial.take() {
            view.add_nodes(answer);
            self.asks.has_answered = true;
            self.asks.view = Some(view);
        }
        if self.asks.again {
            self.ask_view_on(role, now);
        }
    }

    /// Whether the node has left a question unanswered for so long that other nodes may know more about it.
    pub fn is_silent(&self, now: Time) -> bool {
        let tracker = &self.connections[Role::Tracker.place()];
        let silence = tracker.silence();
        silence.is_some_and(|oldest| oldest.since.after(SILENT) <= now)
    }

    /// Takes the node's view, if it is new since the last call.
    pub fn takes_view(&mut self) -> Option<View> {
        self.asks.view.take()
    }

    /// Whether the map may have changed. Reports it once.
    pub fn takes_doubt(&mut self) -> bool {
        std::mem::take(&mut self.asks.is_doubted)
    }
}
