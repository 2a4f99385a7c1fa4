//! The fetches that a miss may join, and whose values may be cached: the newest of each key, and of each question
//! about a key.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use crate::resp::Protocol;

/// A request of a link, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub link: Protocol,
    pub number: u64,
}

/// By question.
type Questions = HashMap<Rc<[u8]>, Ticket, RandomState>;

/// The fetches by key; those of its value and those of answers about it.
#[derive(Default)]
pub(super) struct Fetches {
    values: HashMap<Rc<[u8]>, Ticket, RandomState>,
    answers: HashMap<Rc<[u8]>, Questions, RandomState>,
}

impl Fetches {
    /// The fetch of a key's value, or of the answer to a question.
    pub fn get(&self, key: &[u8], question: Option<&[u8]>) -> Option<Ticket> {
        match question {
            None => self.values.get(key).copied(),
            Some(question) => self.answers.get(key)?.get(question).copied(),
        }
    }

    /// Takes one in; returns the one whose place it takes.
    pub fn insert(
        &mut self,
        key: &Rc<[u8]>,
        question: Option<&Rc<[u8]>>,
        ticket: Ticket,
    ) -> Option<Ticket> {
        let key = Rc::clone(key);
        match question {
            None => self.values.insert(key, ticket),
            Some(question) => {
                let questions = self.answers.entry(key).or_default();
                questions.insert(Rc::clone(question), ticket)
            }
        }
    }

    /// Takes this one out, if it is there: a newer one may have its place.
    pub fn remove(&mut self, key: &[u8], question: Option<&[u8]>, ticket: Ticket) {
        let Some(question) = question else {
            if self.values.get(key) == Some(&ticket) {
                self.values.remove(key);
            }
            return;
        };
        let Some(questions) = self.answers.get_mut(key) else {
            return;
        };
        if questions.get(question) == Some(&ticket) {
            questions.remove(question);
        }
        if questions.is_empty() {
            self.answers.remove(key);
        }
    }

    /// Takes out all of a key.
    pub fn take_key(&mut self, key: &[u8]) -> impl Iterator<Item = Ticket> + use<> {
        let value = self.values.remove(key);
        let answers = match self.answers.is_empty() {
            true => None,
            false => self.answers.remove(key),
        };
        let answers = answers.into_iter().flat_map(Questions::into_values);
        value.into_iter().chain(answers)
    }

    /// Takes out all of a key that are on other links than this one.
    pub fn take_key_elsewhere(&mut self, key: &[u8], link: Protocol) -> Vec<Ticket> {
        let mut taken = Vec::new();
        if let Some(ticket) = self.values.get(key).filter(|ticket| ticket.link != link) {
            taken.push(*ticket);
            self.values.remove(key);
        }
        if let Some(questions) = self.answers.get_mut(key) {
            questions.retain(|_, ticket| {
                if ticket.link != link {
                    taken.push(*ticket);
                }
                ticket.link == link
            });
            if questions.is_empty() {
                self.answers.remove(key);
            }
        }
        taken
    }

    /// Takes out all.
    pub fn take_all(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let values = std::mem::take(&mut self.values).into_values();
        let answers = std::mem::take(&mut self.answers).into_values();
        values.chain(answers.flat_map(Questions::into_values))
    }
}
