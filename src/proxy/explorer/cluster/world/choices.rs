//! What can happen next.

use super::*;

impl World {
    /// All that may happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(64);
        let Self { left, nodes, .. } = self;
        let mut add = |possible: bool, action: Action| {
            if possible {
                actions.push(action);
            }
        };
        for client in 0..CLIENTS {
            let asks =
                self.owed[client].len() < PIPELINE && self.proxy.wants_input(ClientId(client));
            for key in 0..KEYS {
                add(asks && left.gets > 0, Action::Get { client, key });
                add(asks && left.asks > 0, Action::Ask { client, key });
                add(asks && left.writes > 0, Action::Write { client, key });
            }
            add(asks && left.gets_of_all > 0, Action::GetAll { client });
        }
        for key in 0..KEYS {
            let is_there = !nodes.nodes[nodes.owner(SLOT_OF[key])].is_dead;
            let writes = is_there && left.writes_at_redis > 0;
            add(writes, Action::WriteAtRedis { key });
            let vanishes = is_there && nodes.stored(key).is_some() && left.vanishings > 0;
            add(vanishes, Action::Vanish { key });
            add(nodes.may_be_handed_over(key), Action::HandOver { key });
        }
        for slot in 0..SLOTS {
            add(nodes.may_go_on(slot), Action::GoOn { slot });
            // A slot that comes back overtakes what it redirected.
            if let Some(from) = nodes.may_leave(slot)
                && left.moves > 0
                && !self.has_moved[slot]
            {
                for to in (0..NODES).filter(|to| *to != from) {
                    let is_there = nodes.nodes[to].is_master && !nodes.nodes[to].is_dead;
                    add(is_there, Action::Leave { slot, to });
                }
            }
        }
        if let Some(next) = &self.next_map {
            for leaves in [Leaves::Answering, Leaves::Sent, Leaves::Unsent] {
                let differs = leaves == Leaves::Answering || self.retires(next);
                add(differs, Action::HearMap { leaves });
            }
        }
        let is_news = self.next_map.is_none() && left.maps > 0;
        add(is_news, Action::TakeMap);
        add(left.waits > 0, Action::Wait);
        add(self.proxy.parked_until().is_some(), Action::WaitForParked);
        for node in 0..NODES {
            self.add_of_node(node, &mut add);
        }
        actions
    }

    /// Whether a map lacks a node that the helper knows.
    fn retires(&self, next: &Map) -> bool {
        (0..NODES).any(|node| self.nodes.nodes[node].is_known && !next.masters[node])
    }

    fn add_of_node(&self, node: NodeNumber, add: &mut impl FnMut(bool, Action)) {
        let Self { left, nodes, .. } = self;
        let it = &nodes.nodes[node];
        let may_be_succeeded = nodes.may_be_succeeded(node);
        for arrive in [false, true] {
            let differs = arrive || !it.reports.is_empty();
            let fails = may_be_succeeded && it.is_known && !it.is_dead && left.fails > 0 && differs;
            for is_down in [false, true] {
                let action = Action::Fail {
                    node,
                    is_down,
                    arrive,
                };
                add(fails, action);
            }
            let is_there = it.is_known && it.is_open && !it.is_broken;
            let breaks = is_there && left.breaks > 0 && differs;
            add(breaks, Action::Break { node, arrive });
            let breaks = breaks && it.has_tracker && !it.is_tracker_broken;
            add(breaks, Action::BreakTracker { node, arrive });
        }
        let may_switch = it.is_dead || left.switches > 0;
        // A failover takes longer than a round trip: requests in flight before it are refused.
        let is_settled = !nodes.is_down || nodes.are_idle();
        add(
            may_be_succeeded && may_switch && is_settled,
            Action::Succeed { node },
        );
        for link in 0..LINKS {
            add(
                nodes.takes_requests(node, link),
                Action::Execute { node, link },
            );
            let line = it.links[link].iter();
            let answered = line.take_while(|item| item.reply.is_some()).count();
            for count in 1..=answered.min(2) {
                add(!it.is_broken, Action::Hear { node, link, count });
            }
        }
        add(!it.reports.is_empty(), Action::HearTracker { node });
        if it.is_open && it.is_broken && it.reports.is_empty() {
            for arrived in [true, false] {
                for were_sent in [true, false] {
                    let action = Action::Notice {
                        node,
                        arrived,
                        were_sent,
                    };
                    let differs = arrived || it.has_answers();
                    add(differs, action);
                }
            }
        }
        let is_tracker_lost =
            it.has_tracker && it.is_tracker_broken && !it.is_broken && it.reports.is_empty();
        add(is_tracker_lost, Action::NoticeTracker { node });
        let is_closed = it.is_known && !it.is_open;
        add(is_closed && !it.is_dead, Action::Open { node });
        let is_there = it.is_known && it.is_open && !it.is_broken;
        let may_track = is_there && !it.has_tracker && !it.has_answers();
        add(may_track, Action::OpenTracker { node });
        let gives_up = is_closed && !it.is_given_up && left.absences > 0;
        add(gives_up, Action::GiveUp { node });
    }
}
