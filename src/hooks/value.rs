//! Replies made by hooks.

use crate::resp::Protocol;
use crate::resp::reply;

/// A reply. It is encoded for the client's protocol version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+OK` and the like, on one line.
    Status(String),
    /// An error, which starts with its code, such as `ERR`.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// Null.
    Null,
    /// Several values.
    Array(Vec<Value>),
}

impl Value {
    /// A string of any bytes.
    #[must_use]
    pub fn bulk(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// The reply for a client with that protocol version.
    pub(crate) fn encode(&self, protocol: Protocol) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, protocol);
        out
    }

    fn write(&self, out: &mut Vec<u8>, protocol: Protocol) {
        match self {
            Self::Status(text) => {
                let start = out.len();
                reply::error(out, text.as_bytes());
                out[start] = b'+';
            }
            Self::Error(message) => reply::error(out, message.as_bytes()),
            Self::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Self::Bulk(bytes) => reply::bulk(out, bytes),
            Self::Null => out.extend_from_slice(protocol.null()),
            Self::Array(values) => {
                reply::header(out, b'*', values.len());
                values.iter().for_each(|value| value.write(out, protocol));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_encoded_as_its_client_speaks() {
        let value = Value::Array(vec![
            Value::Status("a\r\nb".into()),
            Value::Error("ERR no".into()),
            Value::Integer(-7),
            Value::bulk("x"),
            Value::Null,
        ]);
        let start = b"*5\r\n+a  b\r\n-ERR no\r\n:-7\r\n$1\r\nx\r\n";
        let expected = |null: &[u8]| [&start[..], null].concat();
        assert_eq!(value.encode(Protocol::Resp2), expected(b"$-1\r\n"));
        assert_eq!(value.encode(Protocol::Resp3), expected(b"_\r\n"));
    }
}
