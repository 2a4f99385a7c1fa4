//! The commands that the proxy answers itself, in Redis's words.

use super::super::access::Verdict;
use super::super::checks::Checked;
use super::super::hello::Hello;
use super::super::identity::{BAD_NAME, Identity, is_valid_name};
use super::super::replies::Replies;
use super::super::waiting::WaitsFor;
use super::{Engine, Flow, Redis};
use crate::clock::Time;
use crate::command::{Here, is_word};
use crate::resp::integer;
use crate::resp::reply::Reply;
use crate::resp::request::Request;
use crate::upstream::is_unreachable;

const OK: &[u8] = b"+OK\r\n";
/// How many entries of the slow log are shown by default.
const SLOW_LOG_SHOWN: i64 = 10;
const SYNTAX_ERROR: &[u8] = b"ERR syntax error";
const WRONGPASS: &[u8] = b"WRONGPASS invalid username-password pair or user is disabled.";

impl Engine {
    /// Answers a command that the proxy answers itself.
    ///
    /// Kept off the fast path of all other requests.
    #[inline(never)]
    pub fn answer(
        &mut self,
        command: Here,
        request: &Request<'_>,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        match command {
            Here::Ping => self.ping(request, replies),
            Here::Echo => replies.push_bulk(request.argument(1)),
            Here::Quit => {
                replies.push_static(OK);
                return Flow::End;
            }
            Here::Reset => {
                identity.reset(!self.access.is_restricted(), self.databases.home);
                self.assign_guard(identity);
                identity.log("client reset");
                replies.push_static(b"+RESET\r\n");
            }
            Here::Hello => return self.hello(request, identity, replies, now),
            Here::Auth => return self.auth(request, identity, replies, now),
            Here::ClientReply if is_word(request.argument(2), b"on") => replies.push_static(OK),
            Here::ClientReply => return Flow::Leave,
            Here::ClientGetname if identity.name.is_empty() => {
                replies.push_static(identity.protocol.null());
            }
            Here::ClientGetname => replies.push_bulk(&identity.name),
            Here::ClientId => replies.push(Reply::integer(identity.id as usize)),
            Here::ClientInfo => return Flow::Describe,
            // In front of a cluster, a client has no connection of its own that a node could close.
            Here::ClientNoEvict
                if self.cluster().is_some() && is_word(request.argument(2), b"on") =>
            {
                replies.push_static(OK);
            }
            // This concerns a connection at Redis, so the client needs a dedicated one.
            Here::ClientNoEvict | Here::ClientNoTouch if is_word(request.argument(2), b"on") => {
                return Flow::Leave;
            }
            Here::ClientNoEvict | Here::ClientNoTouch if is_word(request.argument(2), b"off") => {
                replies.push_static(OK);
            }
            Here::ClientNoEvict | Here::ClientNoTouch => replies.push_error(SYNTAX_ERROR),
            Here::ClientSetname if is_valid_name(request.argument(2)) => {
                identity.name = request.argument(2).into();
                identity.log_introduction();
                replies.push_static(OK);
            }
            Here::ClientSetname => replies.push_error(BAD_NAME),
            Here::ClientSetinfo => set_info(request, identity, replies),
            // These are handled elsewhere: Redis must answer first, or the client's database must be known.
            Here::Info | Here::Select => {}
            Here::ProxyCache => return self.proxy_cache(request, identity, replies, now),
            Here::ProxyConfig => self.proxy_config(request, identity, replies),
            Here::ProxyHelp => self.proxy_help(request, replies),
            Here::ProxyInvalidate => return self.proxy_invalidate(request, identity, replies),
            Here::ProxyRules => self.proxy_rules(replies),
            Here::ProxySlowlog => self.proxy_slowlog(request, replies),
        }
        Flow::Continue
    }

    /// `PING [message]`. While Redis is busy with a script, the reply is Redis's.
    fn ping(&self, request: &Request<'_>, replies: &mut Replies) {
        match &self.busy {
            Some(busy) => replies.push_refusal(busy),
            None if request.len() == 1 => replies.push_static(b"+PONG\r\n"),
            None => replies.push_bulk(request.argument(1)),
        }
    }

    /// `PROXY SLOWLOG GET [count] | LEN | RESET`
    fn proxy_slowlog(&mut self, request: &Request<'_>, replies: &mut Replies) {
        let subcommand = request.argument(2);
        let is = |name: &[u8], most| is_word(subcommand, name) && request.len() <= most;
        if is(b"get", 4) {
            self.slow_log_get(request, replies);
        } else if is(b"len", 3) {
            replies.push(Reply::integer(self.slow_log.len()));
        } else if is(b"reset", 3) {
            self.slow_log.reset();
            replies.push_static(OK);
        } else {
            replies.push_error(b"ERR try PROXY SLOWLOG GET [count], LEN or RESET");
        }
    }

    /// `PROXY SLOWLOG GET [count]`, where -1 stands for all.
    fn slow_log_get(&self, request: &Request<'_>, replies: &mut Replies) {
        let count = match request.len() {
            3 => Some(SLOW_LOG_SHOWN),
            _ => integer(request.argument(3)),
        };
        match count {
            Some(-1) => replies.push(self.slow_log.newest(usize::MAX)),
            Some(count @ 0..) => replies.push(self.slow_log.newest(count as usize)),
            Some(_) => {
                replies.push_error(b"ERR count should be greater than or equal to -1");
            }
            None => replies.push_error(b"ERR value is not an integer or out of range"),
        }
    }

    fn auth(
        &mut self,
        request: &Request<'_>,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        let (user, password) = match request.len() {
            2 => (None, request.argument(1)),
            3 => (Some(request.argument(1)), request.argument(2)),
            _ => {
                replies.push_error(SYNTAX_ERROR);
                return Flow::Continue;
            }
        };
        match self.authenticate(user, password, now) {
            Login::Accepted => {
                accept(identity);
                replies.push_static(OK);
                Flow::Continue
            }
            Login::Refused(error) => refuse(&error, identity, replies),
            Login::Later(flow) => flow,
        }
    }

    /// Checks a password, or has Redis check it.
    fn authenticate(&mut self, user: Option<&[u8]>, password: &[u8], now: Time) -> Login {
        let is_proxy_user = match self.access.judge(user, password) {
            Verdict::Accepted => return Login::Accepted,
            Verdict::Refused => return Login::Refused(Reply::error(WRONGPASS)),
            Verdict::AskRedis { is_proxy_user } => is_proxy_user,
        };
        let server = self.any_server();
        match &server.redis {
            Redis::Unknown | Redis::Down(_) if !is_proxy_user => {
                return Login::Later(Flow::LeaveToAuthenticate);
            }
            // While Redis is unreachable, a client with the password that Redis last accepted is served from the cache.
            Redis::Unknown if server.backend.is_some() && self.access.is_own_password(password) => {
                return Login::Accepted;
            }
            Redis::Unknown => return Login::Later(Flow::Wait(WaitsFor::Redis)),
            Redis::Down(outage) if is_unreachable(outage.error.bytes()) => {
                return match self.access.is_own_password(password) {
                    true => Login::Accepted,
                    false => Login::Refused(outage.error.clone()),
                };
            }
            Redis::Down(outage) if outage.refuses_login() => {
                return Login::Later(Flow::LeaveToAuthenticate);
            }
            Redis::Down(outage) => return Login::Refused(outage.error.clone()),
            Redis::Up => {}
        }
        match self.checks.check(user, password, now) {
            Checked::Accepted if is_proxy_user => Login::Accepted,
            Checked::Accepted => Login::Later(Flow::LeaveToAuthenticate),
            Checked::Refused(error) => Login::Refused(error),
            Checked::Asked => Login::Later(Flow::Wait(WaitsFor::Check)),
        }
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    fn hello(
        &mut self,
        request: &Request<'_>,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        let hello = match Hello::parse(request) {
            Ok(hello) => hello,
            Err(message) => {
                replies.push_error(&message);
                return Flow::Continue;
            }
        };
        if let Some((user, password)) = hello.auth {
            match self.authenticate(Some(user), password, now) {
                Login::Accepted => accept(identity),
                Login::Refused(error) => return refuse(&error, identity, replies),
                Login::Later(flow) => return flow,
            }
        }
        if !identity.authenticated {
            replies.push_error(
                b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                  AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
                  protocol version at the same time",
            );
            return Flow::Continue;
        }
        hello.apply(identity);
        identity.log_introduction();
        replies.push(self.greeting(identity.protocol, identity.id));
        Flow::Continue
    }
}

/// The outcome of a client's login.
enum Login {
    Accepted,
    /// Redis or the proxy refuses the login, with this reply.
    Refused(Reply),
    /// The login is not complete yet.
    Later(Flow),
}

fn accept(identity: &mut Identity) {
    identity.authenticate(true);
    identity.log("client authenticated");
}

fn refuse(error: &Reply, identity: &Identity, replies: &mut Replies) -> Flow {
    identity.log("authentication refused");
    replies.push_refusal(error);
    Flow::Continue
}

fn set_info(request: &Request<'_>, identity: &mut Identity, replies: &mut Replies) {
    let (attribute, value) = (request.argument(2), request.argument(3));
    let place = if is_word(attribute, b"lib-name") {
        &mut identity.library
    } else if is_word(attribute, b"lib-ver") {
        &mut identity.library_version
    } else {
        return replies.push_error(&[b"ERR Unrecognized option '", attribute, b"'"].concat());
    };
    if is_valid_name(value) {
        *place = value.into();
        identity.log_introduction();
        replies.push_static(OK);
    } else {
        // In the client's own spelling.
        let rest = b" cannot contain spaces, newlines or special characters.";
        replies.push_error(&[b"ERR ", attribute, rest].concat());
    }
}
