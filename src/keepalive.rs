//! Connections whose other side has vanished without a word: the system is to find them out.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// How often the other side is asked before the connection ends.
const PROBES: u32 = 3;

/// Has the system ask the other side of a TCP connection that has been silent for so long whether it is still there, and
/// twice more, a third of that time apart, before it ends the connection; as Redis does (`anetKeepAlive`). What a
/// listener accepts inherits this. With no time, nobody is asked.
///
/// # Errors
/// If the system refuses.
pub fn keep_alive(socket: impl AsFd, silence: Duration) -> io::Result<()> {
    if silence.is_zero() {
        return Ok(());
    }
    let socket = socket.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, silence)?;
    sockopt::set_tcp_keepintvl(socket, interval(silence))?;
    sockopt::set_tcp_keepcnt(socket, PROBES)?;
    Ok(())
}

/// The same for a connection that the proxy made, which ends after the same time also while bytes that it was given are
/// not acknowledged: then the system asks nothing, and would send them again for a quarter of an hour.
///
/// # Errors
/// If the system refuses.
pub fn keep_alive_or_end(socket: impl AsFd, silence: Duration) -> io::Result<()> {
    let socket = socket.as_fd();
    keep_alive(socket, silence)?;
    let all = silence + PROBES * interval(silence);
    let milliseconds = u32::try_from(all.as_millis()).unwrap_or(u32::MAX);
    if !silence.is_zero() {
        sockopt::set_tcp_user_timeout(socket, milliseconds)?;
    }
    Ok(())
}

fn interval(silence: Duration) -> Duration {
    (silence / PROBES).max(Duration::from_secs(1))
}
