//! What Redis answered to further questions about a key, beside its value.

use std::rc::Rc;

use super::Value;

/// What an answer costs beyond its question and reply, in bytes: its place in the list, and two allocations.
const ANSWER_OVERHEAD: usize = 80;

/// The answers about one key, in the order of their questions' hashes.
#[derive(Default)]
pub(super) struct Answers {
    list: Vec<Answer>,
    cost: usize,
}

struct Answer {
    hash: u32,
    question: Box<[u8]>,
    reply: Kept,
}

enum Kept {
    Own(Box<[u8]>),
    Shared(Rc<[u8]>),
}

impl Answer {
    fn reply(&self) -> Value<'_> {
        match &self.reply {
            Kept::Own(bytes) => Value::Bytes(bytes),
            Kept::Shared(bytes) => Value::Shared(bytes),
        }
    }

    fn cost(&self) -> usize {
        cost(&self.question, &self.reply())
    }
}

/// What an answer counts for in [`super::Limits::memory`].
pub(super) fn cost(question: &[u8], reply: &Value<'_>) -> usize {
    question.len() + reply.len() + ANSWER_OVERHEAD
}

impl Answers {
    /// What they count for.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// The reply to a question with that hash.
    pub fn get(&self, hash: u32, question: &[u8]) -> Option<Value<'_>> {
        let at = self.find(hash, question).ok()?;
        self.list.get(at).map(Answer::reply)
    }

    /// Keeps a reply, in place of an earlier one.
    pub fn insert(&mut self, hash: u32, question: &[u8], reply: &Value<'_>) {
        let answer = Answer {
            hash,
            question: question.into(),
            reply: match reply {
                Value::Shared(bytes) => Kept::Shared(Rc::clone(bytes)),
                Value::Bytes(bytes) => Kept::Own((*bytes).into()),
                Value::Missing => Kept::Own(Box::default()),
            },
        };
        self.cost += answer.cost();
        match self.find(hash, question) {
            Ok(at) => {
                let earlier = std::mem::replace(&mut self.list[at], answer);
                self.cost -= earlier.cost();
            }
            Err(at) => self.list.insert(at, answer),
        }
    }

    /// Forgets the reply to a question.
    pub fn remove(&mut self, hash: u32, question: &[u8]) {
        if let Ok(at) = self.find(hash, question) {
            self.cost -= self.list.remove(at).cost();
        }
    }

    #[cfg(test)]
    pub fn replies(&self) -> Vec<Vec<u8>> {
        let replies = self.list.iter().map(Answer::reply);
        replies
            .map(|reply| match reply {
                Value::Bytes(bytes) => bytes.to_vec(),
                Value::Shared(bytes) => bytes.to_vec(),
                Value::Missing => Vec::new(),
            })
            .collect()
    }

    /// Where the answer to a question is, or belongs.
    fn find(&self, hash: u32, question: &[u8]) -> Result<usize, usize> {
        let first = self.list.partition_point(|answer| answer.hash < hash);
        let same = self.list[first..]
            .iter()
            .take_while(|answer| answer.hash == hash);
        let mut places = first..;
        for (answer, at) in same.zip(&mut places) {
            if *answer.question == *question {
                return Ok(at);
            }
        }
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_the_same_hash_are_told_apart() {
        let mut answers = Answers::default();
        for (hash, question, reply) in [
            (2, &b"a"[..], &b"1"[..]),
            (2, b"b", b"22"),
            (1, b"c", b"333"),
            (2, b"d", b"4444"),
        ] {
            answers.insert(hash, question, &Value::Bytes(reply));
        }
        assert_eq!(answers.get(2, b"a"), Some(Value::Bytes(b"1")));
        assert_eq!(answers.get(2, b"b"), Some(Value::Bytes(b"22")));
        assert_eq!(answers.get(1, b"c"), Some(Value::Bytes(b"333")));
        assert_eq!(answers.get(2, b"d"), Some(Value::Bytes(b"4444")));
        assert_eq!(answers.get(1, b"a"), None);
        assert_eq!(answers.get(3, b"a"), None);
    }

    #[test]
    fn an_answer_takes_the_place_of_an_earlier_one() {
        let mut answers = Answers::default();
        answers.insert(7, b"question", &Value::Bytes(b"long ago"));
        answers.insert(7, b"question", &Value::Bytes(b"now"));
        assert_eq!(answers.get(7, b"question"), Some(Value::Bytes(b"now")));
        assert_eq!(answers.cost(), cost(b"question", &Value::Bytes(b"now")));
    }
}
