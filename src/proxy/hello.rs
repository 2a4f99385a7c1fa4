//! `HELLO`: its arguments, and the id in its reply.

use super::identity::{BAD_NAME, Identity, is_valid_name};
use crate::command::is_word;
use crate::resp::request::Request;
use crate::resp::{Protocol, integer};

/// What a client asks for with `HELLO`.
pub(super) struct Hello<'a> {
    protocol: Option<Protocol>,
    /// The user and the password, if the client authenticates.
    pub auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    /// Parses the arguments. The error is Redis's message.
    pub fn parse(request: &Request<'a>) -> Result<Self, Vec<u8>> {
        let mut hello = Self {
            protocol: None,
            auth: None,
            name: None,
        };
        if request.len() > 1 {
            hello.protocol = Some(match integer(request.argument(1)) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return Err(b"NOPROTO unsupported protocol version".to_vec()),
                None => {
                    return Err(b"ERR Protocol version is not an integer or out of range".to_vec());
                }
            });
        }
        let mut index = 2;
        while index < request.len() {
            let option = request.argument(index);
            let left = request.len() - index - 1;
            if is_word(option, b"auth") && left >= 2 {
                hello.auth = Some((request.argument(index + 1), request.argument(index + 2)));
                index += 3;
            } else if is_word(option, b"setname") && left >= 1 {
                let name = request.argument(index + 1);
                if !is_valid_name(name) {
                    return Err(BAD_NAME.to_vec());
                }
                hello.name = Some(name);
                index += 2;
            } else {
                return Err([b"ERR Syntax error in HELLO option '", option, b"'"].concat());
            }
        }
        Ok(hello)
    }

    /// The user that the client authenticates as.
    pub fn user(&self) -> Option<&'a [u8]> {
        self.auth.map(|(user, _)| user)
    }

    /// Whether the request sets the client's name.
    pub fn gives_name(&self) -> bool {
        self.name.is_some()
    }

    /// Applies the request to the client once it is accepted.
    pub fn apply(&self, identity: &mut Identity) {
        if let Some(name) = self.name {
            identity.name = name.into();
        }
        identity.protocol = self.protocol.unwrap_or(identity.protocol);
    }
}

/// Redis's reply to `HELLO`, with another client id.
pub(super) fn with_id(greeting: &[u8], id: u64) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let Some(at) = greeting
        .windows(FIELD.len())
        .position(|window| window == FIELD)
    else {
        return greeting.to_vec();
    };
    let (before, after) = greeting.split_at(at + FIELD.len());
    let digits = after
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    [before, id.to_string().as_bytes(), &after[digits..]].concat()
}
