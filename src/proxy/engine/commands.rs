//! Asks Redis to describe commands: a single one that a client sent and that is not in the table, and all of them when
//! they may have changed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::super::replies::Replies;
use super::super::slow_log::Words;
use super::super::waiting::WaitsFor;
use super::forward::refuse;
use super::{Engine, Flow, Redis};
use crate::clock::Time;
use crate::command::{
    NotFound, Row, Spec, UNKNOWN, Way, Writes, internal, read_specs, surely_unknown,
};
use crate::metrics::Outcome;
use crate::resp::reply;
use crate::resp::request::Request;
use crate::status::Right;
use crate::upstream::LinkId;

/// What is known of a name that is not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Redis is being asked.
    Asked,
    /// Redis has no such command.
    NoSuch,
    /// Redis was not asked, or did not answer.
    Nothing,
}

/// How long an answer about a command that is not in the table is remembered: a module may be loaded at any time.
const HOLDS: Duration = Duration::from_secs(1);

/// The most names that are remembered, each for [`HOLDS`]: so Redis is asked about at most so many a second.
const NAMES_MAX: usize = 128;

/// Names that clients sent and that are not in the table, each with Redis's answer and the time when that expires; no
/// time while Redis has not answered.
#[derive(Default)]
pub(in crate::proxy) struct Names {
    names: HashMap<Box<[u8]>, (Known, Option<Time>), RandomState>,
    /// Redis has answered since this flag was last taken.
    news: bool,
}

impl Names {
    fn look_up(&self, name: &[u8], now: Time) -> Option<Known> {
        let &(known, until) = self.names.get(name)?;
        until.is_none_or(|until| now < until).then_some(known)
    }

    /// Makes room for a name to ask about. Returns whether there is room.
    fn ask(&mut self, name: &[u8], now: Time) -> bool {
        if self.names.len() >= NAMES_MAX {
            self.names
                .retain(|_, (_, until)| until.is_none_or(|until| now < until));
        }
        let room = self.names.len() < NAMES_MAX;
        if room {
            self.names.insert(name.into(), (Known::Asked, None));
        }
        room
    }

    fn answered(&mut self, name: &[u8], known: Option<Known>, now: Time) {
        self.news = true;
        match known {
            Some(known) => {
                self.names
                    .insert(name.into(), (known, Some(now.after(HOLDS))));
            }
            None => {
                self.names.remove(name);
            }
        }
    }

    /// Drops all answers, because the commands have changed.
    fn forget_answers(&mut self) {
        self.names.retain(|_, (_, until)| until.is_none());
    }
}

/// Whether Redis is being asked for all its commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Renewal {
    #[default]
    None,
    Asked,
    /// Redis must be asked again, over this link, as its commands may have changed since.
    AskedTooEarly(LinkId),
}

impl Engine {
    /// Makes a request wait until Redis has described its command, or answers it from what Redis said.
    #[cold]
    pub(super) fn execute_unknown(
        &mut self,
        name: &[u8],
        request: &Request<'_>,
        link: LinkId,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        match &self.server(link.node).redis {
            Redis::Unknown => return Flow::Wait(WaitsFor::Redis),
            Redis::Down(outage) => refuse(request, outage, replies),
            Redis::Up => match self.look_up(name, link, now) {
                Known::Asked => return Flow::Wait(WaitsFor::Description),
                Known::Nothing => return Flow::Leave,
                Known::NoSuch => replies.push_error(&self.table.unknown(request)),
            },
        }
        self.count(UNKNOWN.number, Outcome::Refused, replies);
        Flow::Continue
    }

    /// The row of a request for a dedicated connection, and how it is sent there.
    pub(super) fn row_to_pass_on<'a>(
        &mut self,
        request: &Request<'_>,
        bytes: &'a [u8],
        link: LinkId,
        now: Time,
    ) -> Result<(Row, Cow<'a, [u8]>), Flow> {
        let refused = |number| Row {
            number,
            writes: Writes::Nothing,
            lasts: false,
            ..UNKNOWN
        };
        let row = match self.table.find(request) {
            Ok(row) if row.way == Way::Abort => return Err(Flow::Abort),
            Ok(row) => row,
            Err(NotFound::WrongArity(refusal)) => refused(refusal.number),
            Err(NotFound::NoName(refusal)) => {
                return Ok((refused(refusal.number), surely_unknown(request).into()));
            }
            Err(NotFound::Unknown(name)) => match self.look_up(&name, link, now) {
                Known::Asked => return Err(Flow::Wait(WaitsFor::Description)),
                Known::NoSuch => refused(UNKNOWN.number),
                Known::Nothing => UNKNOWN,
            },
        };
        Ok((row, bytes.into()))
    }

    /// Whether Redis has a command that is not in the table, even if Redis does not describe it. `None` while Redis is
    /// being asked.
    pub(in crate::proxy) fn is_known(
        &mut self,
        name: &[u8],
        link: LinkId,
        now: Time,
    ) -> Option<bool> {
        match self.look_up(name, link, now) {
            Known::Asked => None,
            Known::NoSuch => Some(false),
            Known::Nothing => Some(true),
        }
    }

    /// The request as the slow log would show it.
    pub(super) fn words(&self, request: &Request<'_>) -> Words {
        let name = self.table.original_name(request.argument(0));
        self.slow_log.words(request, name)
    }

    /// What is known of a name that is not in the table. If nothing is known, asks Redis over a link, unless too many
    /// names were asked about lately.
    fn look_up(&mut self, name: &[u8], link: LinkId, now: Time) -> Known {
        if let Some(known) = self.names.look_up(name, now) {
            return known;
        }
        if !self.names.ask(name, now) {
            return Known::Nothing;
        }
        self.requests.of(link).push(true, |out| {
            reply::request(
                out,
                [internal::COMMAND.as_bytes(), b"INFO", name].into_iter(),
            );
        });
        self.in_flight.describe(Some(name.into()), link);
        Known::Asked
    }

    /// A request on a link may have changed the commands: has Redis describe all of them again.
    pub(super) fn renew_table(&mut self, link: LinkId) {
        self.names.forget_answers();
        if self.renewal != Renewal::None {
            self.renewal = Renewal::AskedTooEarly(link);
            return;
        }
        self.renewal = Renewal::Asked;
        self.requests.of(link).push(true, |out| {
            reply::request(out, [internal::COMMAND.as_bytes()].into_iter());
        });
        self.in_flight.describe(None, link);
    }

    /// Redis has described all its commands.
    pub(super) fn learn(&mut self, specs: &[Spec]) {
        self.table.learn(specs);
        self.names.forget_answers();
    }

    /// Handles Redis's reply to a request to describe the command `name`, or all commands.
    pub fn described(&mut self, name: Option<&[u8]>, encoded: &[u8], now: Time) {
        let specs = read_specs(encoded);
        let Some(name) = name else {
            self.missing_rights.note_reply(Right::Command, encoded);
            if let Some(specs) = specs.filter(|specs| !specs.is_empty()) {
                self.learn(&specs);
            }
            if let Renewal::AskedTooEarly(link) = std::mem::take(&mut self.renewal) {
                self.renew_table(link);
            }
            return;
        };
        let known = match specs {
            Some(specs) if specs.is_empty() => Some(Known::NoSuch),
            Some(specs) if self.table.learn_one(name, &specs) => None,
            Some(_) | None => Some(Known::Nothing),
        };
        self.names.answered(name, known, now);
    }

    /// Whether Redis has answered about a command since the last call, so that clients that wait for it can continue.
    pub fn take_news_of_commands(&mut self) -> bool {
        std::mem::take(&mut self.names.news)
    }
}
