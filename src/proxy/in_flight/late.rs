//! Requests that Redis has not answered in time.

use std::rc::Rc;

use super::super::slow_log::Words;
use super::InFlight;
use super::asked::{Asked, Then};
use super::fetches::Ticket;
use super::waiter::Waiters;
use crate::upstream::LinkId;

/// A request that is late.
pub(in crate::proxy) enum Late {
    /// A reply that clients wait for.
    Reply {
        waiters: Waiters,
        /// The key, for a GET.
        key: Option<Rc<[u8]>>,
        words: Words,
        then: Then,
        is_script: bool,
    },
    /// The description of this command, for which clients wait.
    Description(Box<[u8]>),
}

impl InFlight {
    /// Marks the oldest `count` requests of a link that are not late yet as late, so that what they fetch is not
    /// cached. Returns who waits for them, and what else is known of them.
    pub fn late(&mut self, link: LinkId, count: usize) -> Vec<Late> {
        let lane = self.lanes.of(link);
        let first = lane.late;
        lane.late = (first + count).min(lane.asked.len());
        let mut late = Vec::new();
        for index in first..lane.late {
            match &mut lane.asked[index] {
                Asked::FieldsToLive
                | Asked::TimeToLive
                | Asked::Nothing
                | Asked::Policy
                | Asked::Touch => {}
                Asked::Describe(name) => late.extend(name.clone().map(Late::Description)),
                Asked::Fetch(fetch) => {
                    fetch.fresh = false;
                    let number = lane.answered + index as u64;
                    let question = fetch.question.as_deref();
                    self.fetches
                        .remove(&fetch.key, question, Ticket { link, number });
                    let is_value = question.is_none();
                    late.extend(fetch.waiters.take().map(|waiters| Late::Reply {
                        waiters,
                        key: is_value.then(|| Rc::clone(&fetch.key)),
                        words: std::mem::take(&mut fetch.words),
                        then: Then::Pass,
                        is_script: false,
                    }));
                }
                Asked::Forward(forward) => {
                    late.extend(forward.waiter.take().map(|waiter| Late::Reply {
                        waiters: waiter.into(),
                        key: None,
                        words: std::mem::take(&mut forward.words),
                        then: std::mem::take(&mut forward.then),
                        is_script: forward.is_script,
                    }))
                }
            }
        }
        late
    }
}
