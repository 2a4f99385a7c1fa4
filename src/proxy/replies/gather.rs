//! Arrays that are assembled from the cache and from Redis.

use super::super::slow_log::Words;
use super::join::join;
use super::slot::{Gathering, Slot};
use super::{Cost, Elements, Place, Replies};
use crate::resp::reply::{self, Reply};

impl Replies {
    /// Adds the header of an array whose elements are added next. Must only be called if no reply waits.
    pub fn push_array_header(&mut self, length: usize) {
        debug_assert!(self.none_wait());
        self.output.write(|out| reply::header(out, b'*', length));
    }

    /// Adds an array reply, whose missing elements [`Self::fill_element`] will provide. `cost` is what is held for all
    /// of them, and the expected length of each. `words` is the request as the slow log would show it.
    pub fn gather(
        &mut self,
        elements: Vec<Option<Reply>>,
        which: Elements,
        cost: Cost,
        words: Words,
    ) -> Place {
        let waiting = elements.iter().filter(|element| element.is_none()).count();
        let there: usize = elements
            .iter()
            .flatten()
            .map(|element| element.bytes().len())
            .sum();
        let held = cost.held + there + elements.len() * size_of::<Option<Reply>>();
        let place = self.push_slot(Slot::Gathering(Box::new(Gathering {
            elements,
            which,
            waiting,
            error: None,
            held,
            expected: cost.expected,
            words,
        })));
        self.advance();
        place
    }

    /// Fills an element of the array at a place with the reply that has arrived for it. An error replaces the whole
    /// array. If this was the last missing element, returns the request as the slow log would show it.
    pub fn fill_element(&mut self, place: Place, index: u32, reply: Reply) -> Option<Words> {
        let slot = self.slot(place)?;
        let before = slot.cost();
        let Slot::Gathering(gathering) = slot else {
            return None;
        };
        gathering.waiting -= 1;
        gathering.held += reply.bytes().len();
        if reply.bytes().starts_with(b"-") {
            gathering.error.get_or_insert(reply);
        } else {
            gathering.elements[index as usize] = Some(reply);
        }
        let is_whole = gathering.waiting == 0 && gathering.which != Elements::Some;
        let words = is_whole.then(|| std::mem::take(&mut gathering.words));
        let now = slot.cost();
        self.recount(before, now);
        self.advance();
        words
    }

    pub(super) fn push_gathered(&mut self, gathering: Gathering) {
        if let Some(error) = gathering.error {
            match gathering.which {
                Elements::All | Elements::Joined(_) => self.output.push(error),
                Elements::Some | Elements::Last => self.broken = true,
            }
            return;
        }
        if let Elements::Joined(how) = gathering.which {
            let replies: Vec<Reply> = gathering.elements.into_iter().flatten().collect();
            return self.output.push(join(how, &replies));
        }
        if gathering.which == Elements::All {
            self.output
                .write(|out| reply::header(out, b'*', gathering.elements.len()));
        }
        for element in gathering.elements.into_iter().flatten() {
            self.output.push(element);
        }
    }
}
