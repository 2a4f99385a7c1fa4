//! Redis's replies to questions about a key other than its value, which are kept beside the value.

use std::rc::Rc;

use super::Value;

/// What an answer costs beyond its question and reply, in bytes: its place in the list, and two allocations.
const ANSWER_OVERHEAD: usize = 80;

/// With this many answers or fewer, the right one is found by comparing questions; with more, by their hashes.
const FEW: usize = 8;

/// The most questions about a key that [`Answers::read`] returns, and the longest such question, in bytes.
const READ_MAX: usize = 4;
const READ_WORDS_MAX: usize = 256;

/// What is asked about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question<'a> {
    /// A number for the kind of question.
    pub kind: u32,
    /// The rest of the question.
    pub words: &'a [u8],
}

impl Question<'static> {
    /// A question that consists only of its kind, which these bytes identify.
    #[must_use]
    #[inline]
    pub fn of_kind(kind: [u8; 3]) -> Self {
        let [first, second, third] = kind;
        Self {
            // The last byte distinguishes this kind from any kind of a question with words.
            kind: u32::from_le_bytes([first, second, third, 1]),
            words: b"",
        }
    }
}

/// Splits the kind off the words that follow it.
impl<'a> From<&'a [u8]> for Question<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        match bytes.split_first_chunk() {
            Some((kind, words)) => Self {
                words,
                ..Question::of_kind(*kind)
            },
            None => Self {
                kind: 0,
                words: bytes,
            },
        }
    }
}

/// The answers about one key, in the order of their questions' hashes.
#[derive(Default)]
pub(super) struct Answers {
    list: Vec<Answer>,
    cost: usize,
}

struct Answer {
    hash: u32,
    /// The kind of the question, and [`READ`].
    kind: u32,
    words: Box<[u8]>,
    reply: Kept,
}

/// The answer was read from the cache. No kind has this bit set.
const READ: u32 = 1 << 31;

enum Kept {
    Own(Box<[u8]>),
    Shared(Rc<[u8]>),
}

impl Answer {
    fn question(&self) -> Question<'_> {
        Question {
            kind: self.kind & !READ,
            words: &self.words,
        }
    }

    fn reply(&self) -> Value<'_> {
        match &self.reply {
            Kept::Own(bytes) => Value::Bytes(bytes),
            Kept::Shared(bytes) => Value::Shared(bytes),
        }
    }

    fn cost(&self) -> usize {
        cost(self.question(), &self.reply())
    }
}

/// The cost of an answer, as in [`super::Limits::memory`].
pub(super) fn cost(question: Question<'_>, reply: &Value<'_>) -> usize {
    question.words.len() + reply.len() + ANSWER_OVERHEAD
}

impl Answers {
    /// The cost of all answers.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Whether there are no answers.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The questions, with the lengths of the replies.
    pub fn lengths(&self) -> impl Iterator<Item = (Question<'_>, usize)> {
        let answers = self.list.iter();
        answers.map(|answer| (answer.question(), answer.reply().len()))
    }

    /// The reply to a question, whose hash is computed only if needed.
    #[inline]
    pub fn get(&mut self, question: Question<'_>, hash: impl FnOnce() -> u32) -> Option<Value<'_>> {
        let answer = if self.list.len() <= FEW {
            let mut answers = self.list.iter_mut();
            answers.find(|answer| answer.question() == question)?
        } else {
            let at = self.find(hash(), question).ok()?;
            &mut self.list[at]
        };
        answer.kind |= READ;
        Some(answer.reply())
    }

    /// Some of the questions whose answers were read from the cache, each with its kind before its words.
    pub fn read(&self) -> Vec<Box<[u8]>> {
        let read = self.list.iter().filter(|answer| {
            let was_read = answer.kind & READ != 0;
            was_read && answer.question().kind != 0 && answer.words.len() <= READ_WORDS_MAX
        });
        read.take(READ_MAX)
            .map(|answer| {
                let [first, second, third, _] = answer.kind.to_le_bytes();
                [&[first, second, third][..], &answer.words].concat().into()
            })
            .collect()
    }

    /// Keeps the reply to a question, in place of an earlier one.
    pub fn insert(&mut self, hash: u32, question: Question<'_>, reply: &Value<'_>) {
        let answer = Answer {
            hash,
            kind: question.kind,
            words: question.words.into(),
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

    /// Removes the reply to a question.
    pub fn remove(&mut self, hash: u32, question: Question<'_>) {
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

    /// Where the answer to a question is, or would be inserted.
    fn find(&self, hash: u32, question: Question<'_>) -> Result<usize, usize> {
        let first = self.list.partition_point(|answer| answer.hash < hash);
        let same = self.list[first..]
            .iter()
            .take_while(|answer| answer.hash == hash);
        let mut places = first..;
        for (answer, at) in same.zip(&mut places) {
            if answer.question() == question {
                return Ok(at);
            }
        }
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(answers: &mut Answers, hash: u32, question: &'static [u8]) -> Option<Vec<u8>> {
        match answers.get(question.into(), || hash)? {
            Value::Bytes(reply) => Some(reply.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn questions_of_the_same_hash_are_told_apart() {
        let mut answers = Answers::default();
        let all = [
            (2, &b"a"[..], &b"1"[..]),
            (2, b"b", b"22"),
            (1, b"c", b"333"),
            (2, b"d", b"4444"),
            (1, b"kin", b"5"),
            (2, b"kind", b"6"),
            (1, b"kindness", b"7"),
        ];
        for (hash, question, reply) in all {
            answers.insert(hash, question.into(), &Value::Bytes(reply));
        }
        for _ in 0..2 {
            for (hash, question, reply) in all {
                assert_eq!(get(&mut answers, hash, question).as_deref(), Some(reply));
            }
            assert_eq!(get(&mut answers, 2, b"kinds"), None);
            assert_eq!(get(&mut answers, 3, b"e"), None);
            // Many answers are found by their hashes.
            for number in 0..FEW as u32 {
                let question: &[u8] = &[b'0' + number as u8];
                answers.insert(3, question.into(), &Value::Bytes(b""));
            }
        }
    }

    #[test]
    fn an_answer_takes_the_place_of_an_earlier_one() {
        let mut answers = Answers::default();
        let question: &[u8] = b"a question";
        answers.insert(7, question.into(), &Value::Bytes(b"long ago"));
        answers.insert(7, question.into(), &Value::Bytes(b"now"));
        assert_eq!(
            get(&mut answers, 7, b"a question").as_deref(),
            Some(&b"now"[..])
        );
        let cost = cost(question.into(), &Value::Bytes(b"now"));
        assert_eq!(answers.cost(), cost);
    }
}
