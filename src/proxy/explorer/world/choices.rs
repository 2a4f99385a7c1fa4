//! What can happen next.

use super::*;

impl World {
    /// All that may happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(32);
        let mut add = |possible: bool, action: Action| {
            if possible {
                actions.push(action);
            }
        };
        let Self { redis, left, .. } = self;
        for client in [READER, WRITER] {
            let asks = self.due(client) < PIPELINE
                && !(client == WRITER && self.left_for_dedicated)
                && self.proxy.wants_input(ClientId(client));
            let writes = asks && client == WRITER;
            for key in 0..KEYS {
                add(asks && left.gets > 0, Action::Get { client, key });
                add(asks && left.asks > 0, Action::Ask { client, key });
                add(writes && left.writes > 0, Action::Write { key });
            }
            add(writes && left.copies > 0, Action::CopyAcross);
            add(asks && left.gets_of_all > 0, Action::GetAll { client });
            add(writes && left.scripts > 0, Action::WriteByScript);
            let transacts = writes && left.whole_transactions > 0;
            add(transacts, Action::WriteInWholeTransaction);
        }
        let transacts = self.owed[WRITER].len() < PIPELINE;
        add(
            transacts && left.transactions > 0,
            Action::WriteInTransaction,
        );
        for key in 0..KEYS {
            add(left.writes_at_redis > 0, Action::WriteAtRedis { key });
            let for_a_while = left.writes_for_a_while > 0;
            add(for_a_while, Action::WriteForAWhile { key });
            let there = redis.stored(key).is_some();
            add(there && left.vanishings > 0, Action::Vanish { key });
        }
        add(left.flushes > 0, Action::Flush);
        add(!self.dedicated_asked.is_empty(), Action::ExecuteDedicated);
        add(!self.dedicated_line.is_empty(), Action::HearDedicated);
        add(left.notices > 0, Action::WriteAndNotify);
        add(!self.messages.is_empty(), Action::HearMessage);
        add(redis.away, Action::Return);
        add(left.waits > 0, Action::Wait);
        let cached = self.cached.iter().any(Option::is_some);
        add(cached && left.waits < u8::MAX, Action::Expire);
        for (link, it) in redis.links.iter().enumerate() {
            add(redis.takes_requests(link), Action::Execute { link });
            let answered = it.line.front().is_some_and(|item| !item.is_unanswered());
            add(answered && !it.broken, Action::Hear { link });
            let may_be_late = left.lates > 0 && redis.may_be_late(link);
            add(may_be_late, Action::BeLate { link });
            add(!redis.away && !it.open, Action::Reopen { link });
            let breaks = it.open && !it.broken && left.breaks > 0;
            add(breaks, Action::Break { link });
            if it.open && it.broken {
                for arrived in 0..=redis.on_the_wire(link) {
                    for were_sent in [true, false] {
                        let differs = were_sent || redis.has_unanswered_write(link);
                        let action = Action::Notice {
                            link,
                            arrived,
                            were_sent,
                        };
                        add(differs, action);
                    }
                }
            }
        }
        let tracker = &redis.tracker;
        add(redis.tracker_may_be_heard(), Action::HearTracker);
        if tracker.open && !tracker.broken && left.breaks > 0 {
            add(true, Action::BreakTracker { arrive: true });
            let some = !tracker.messages.is_empty();
            add(some, Action::BreakTracker { arrive: false });
        }
        let all_arrived = tracker.broken && tracker.messages.is_empty();
        add(tracker.open && all_arrived, Action::NoticeTracker);
        let reopens = left.tracking && !redis.away && !tracker.open;
        add(reopens, Action::ReopenTracker);
        add(
            !redis.away && !redis.is_whole() && left.absences > 0,
            Action::GiveUp,
        );
        let suspends = redis.reports() && !self.suspended && left.suspensions > 0;
        add(suspends, Action::Suspend { suspended: true });
        add(self.suspended, Action::Suspend { suspended: false });
        actions
    }
}
