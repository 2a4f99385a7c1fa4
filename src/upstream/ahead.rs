//! What the loop does in the stead of a helper that has nothing to do: it sends requests and takes their replies
//! by itself, as long as neither makes it wait. So a lone miss costs no switch between threads.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Batch;
use crate::resp::Protocol;

/// The shared connections, for RESP2 and for RESP3.
pub(super) type Connections = [Option<Arc<TcpStream>>; 2];

/// The most bytes that are sent ahead: a connection on which nothing is under way takes them.
const MOST: usize = 16 * 1024;

/// What became of the replies to a batch that was sent ahead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// None came.
    Nothing,
    /// All are there.
    All,
    /// All are there, and more that nothing was asked for.
    TooMuch,
    /// Some may be there; for the others somebody has to wait, or they will not come.
    Part,
}

fn connection(connections: &Connections, protocol: Protocol) -> Option<&TcpStream> {
    let [resp2, resp3] = connections;
    match protocol {
        Protocol::Resp2 => resp2.as_deref(),
        Protocol::Resp3 => resp3.as_deref(),
    }
}

/// Sends a batch, if it is for one connection and short enough. Returns whether all of it was sent.
pub(super) fn send_ahead(batch: &mut Batch, connections: &Connections) -> bool {
    let Some(first) = batch.requests.first() else {
        return false;
    };
    let mut others = batch.requests.iter();
    let alike = others.all(|other| other.protocol == first.protocol);
    let Some(stream) = connection(connections, first.protocol) else {
        return false;
    };
    if !alike || batch.bytes.len() > MOST {
        return false;
    }
    let since = Instant::now();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    // Whatever is wrong, the helper will find out.
    let sent = send(stream, &batch.bytes, flags).unwrap_or(0);
    if sent > 0 {
        batch.sent = Some((sent, since));
    }
    sent == batch.bytes.len()
}

/// Takes what is there of the replies to a batch that was sent, with one read.
pub(super) fn receive_ahead(
    batch: &mut Batch,
    connections: &Connections,
    landing: &mut [u8],
) -> Received {
    let count = batch.requests.len();
    let stream = batch
        .requests
        .first()
        .and_then(|first| connection(connections, first.protocol));
    let Some(stream) = stream else {
        return Received::Nothing;
    };
    let mut landing = Some(landing);
    let mut more = |bytes: &mut Vec<u8>, _missing| {
        let landing = landing.take().ok_or(ErrorKind::WouldBlock)?;
        let (length, _) = recv(stream, &mut *landing, RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof));
        }
        bytes.extend_from_slice(&landing[..length]);
        Ok(())
    };
    let replies = &mut batch.replies;
    match replies.read(count, &mut more, &mut |_| {}) {
        Ok(()) => Received::All,
        Err(_) if replies.ends.len() == count => Received::TooMuch,
        Err(error) if error.kind() == ErrorKind::WouldBlock && replies.bytes.is_empty() => {
            Received::Nothing
        }
        Err(_) => Received::Part,
    }
}

/// Whether a connection has something to say that it was not asked for, such as its end.
pub(super) fn speak_unasked(connections: &Connections) -> bool {
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    connections.iter().flatten().any(|stream| {
        recv(stream, &mut [0], flags).map_err(|error| io::Error::from(error).kind())
            != Err(ErrorKind::WouldBlock)
    })
}
