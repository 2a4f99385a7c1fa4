//! Detects connections whose peer has vanished silently, with TCP keepalive.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// How many probes are sent before the connection ends.
const PROBES: u32 = 3;

/// Makes the system probe the peer of a TCP connection that has been silent for `silence`, and then twice more, a third
/// of that time apart, before it ends the connection, as Redis does (`anetKeepAlive`). Connections that a listener
/// accepts inherit the setting. With zero, there are no probes.
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

/// Has TCP probe a connection that the proxy opened. The connection also ends after that time if sent bytes are not
/// acknowledged: the system sends no probes then, and would retransmit for a quarter of an hour.
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
