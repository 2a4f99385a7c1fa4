//! The requests that are sent to Redis in place of those whose replies come from the proxy.

use super::super::access::{DEFAULT_USER, Verdict};
use super::super::clients::{Edit, Sent, is_stateless, translate};
use super::super::hello::Hello;
use super::super::waiting::WaitsFor;
use super::{Engine, Flow};
use crate::command::{Here, Row, Way};
use crate::resp::reply;
use crate::resp::request::Request;
use crate::status::{Wanted, greeting_field};

/// A user name that does not exist at Redis.
const NO_USER: &[u8] = b"refused by redis-proxy";

/// The longest name of a user that is kept, in bytes.
const USER_MAX: usize = 1024;

impl Engine {
    /// How a request is sent over a shared connection.
    pub(in crate::proxy) fn translate_for_shared(
        &mut self,
        row: &Row,
        request: &Request<'_>,
    ) -> Result<Sent, Flow> {
        match (row.way, row.clients) {
            (Way::Upstream, _) => Ok(Sent {
                bytes: Some(without_first_word(request)),
                edit: None,
            }),
            (_, Some(clients)) => {
                let lists_ids = self.lists_ids();
                translate(clients, request, &mut self.numbers, lists_ids)
                    .ok_or(Flow::Wait(WaitsFor::Redirection))
            }
            _ => Ok(Sent::default()),
        }
    }

    /// How a request is sent over a dedicated connection. A command that the proxy answers itself is answered by the
    /// proxy here too, but at the point where Redis would reply, unless Redis refuses it.
    pub(in crate::proxy) fn translate_for_dedicated(
        &mut self,
        row: &Row,
        request: &Request<'_>,
    ) -> Result<Sent, Flow> {
        let name = self.table.original_name(request.argument(0));
        let sent = match row.way {
            // Redis does not know the command.
            Way::Upstream if !is_stateless(request) => Sent::default(),
            Way::Here(Here::Info) => {
                let wanted = Wanted::of(request.arguments().skip(1));
                Sent {
                    bytes: None,
                    edit: Some(Edit::Info(wanted)),
                }
            }
            // Redis does not know the command, but its reply to this one determines when the answer is due, and whether
            // the user may run the proxy's.
            Way::Here(Here::ProxySlowlog) => Sent {
                bytes: Some(encode(&[b"SLOWLOG", b"LEN"])),
                edit: Edit::here(Here::ProxySlowlog, request),
            },
            _ if name.eq_ignore_ascii_case(b"hello") => {
                let hello = Hello::parse(request).ok();
                let user = hello.and_then(|hello| hello.user()).and_then(to_keep);
                Sent {
                    bytes: None,
                    edit: Some(Edit::Greeting { user }),
                }
            }
            _ if name.eq_ignore_ascii_case(b"auth") => self.translate_auth(request),
            _ => return self.translate_for_shared(row, request),
        };
        Ok(sent)
    }

    /// `AUTH` on a dedicated connection. If the client gives the password that the proxy requires, the proxy's own
    /// login at Redis is sent in its place.
    fn translate_auth(&self, request: &Request<'_>) -> Sent {
        let (user, password) = match request.len() {
            2 => (None, request.argument(1)),
            3 => (Some(request.argument(1)), request.argument(2)),
            _ => return Sent::default(),
        };
        let proxy_password = self.access.redis_password.as_ref();
        let proxy_password = proxy_password
            .map_or("", |password| password.expose())
            .as_bytes();
        let (instead, user) = match self.access.judge(user, password) {
            Verdict::Accepted => (Some((self.access.proxy_user(), proxy_password)), None),
            Verdict::Refused => (Some((NO_USER, password)), None),
            Verdict::AskRedis { .. } => (None, Some(user.unwrap_or(DEFAULT_USER))),
        };
        let user = user.unwrap_or(self.access.proxy_user());
        Sent {
            bytes: instead.map(|(user, password)| encode(&[request.argument(0), user, password])),
            edit: to_keep(user).map(Edit::User),
        }
    }

    /// Whether Redis can list clients by id, as it can since version 6.2.
    fn lists_ids(&self) -> bool {
        let greeting = self
            .any_server()
            .backend
            .as_ref()
            .map_or(&[][..], |backend| &backend.hello[0]);
        let version = greeting_field(greeting, "version").unwrap_or_default();
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        (parts.next().flatten(), parts.next().flatten()) >= (Some(6), Some(2))
    }
}

fn without_first_word(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply::request(&mut bytes, request.arguments().skip(1));
    bytes
}

fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply::request(&mut bytes, words.iter().copied());
    bytes
}

fn to_keep(user: &[u8]) -> Option<Box<[u8]>> {
    (user.len() <= USER_MAX).then(|| user.into())
}
