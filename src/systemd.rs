//! Reports to systemd, for a service of `Type=notify`: see `sd_notify(3)`.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A state to report to the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Clients are accepted.
    Ready,
    /// Shutdown has begun.
    Stopping,
}

/// Reports a state to the socket in `NOTIFY_SOCKET`; does nothing if there is none. A failure is only logged. It does
/// not stop the proxy, though systemd may then stop it.
pub fn notify(state: State) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").and_then(|name| name.into_string().ok())
    else {
        return;
    };
    let message = match state {
        State::Ready => "READY=1",
        State::Stopping => "STOPPING=1",
    };
    if let Err(error) = send(&socket, message) {
        log::warn!(reason:% = error; "cannot notify the service manager");
    }
}

fn send(socket: &str, message: &str) -> io::Result<()> {
    let address = address(socket)?;
    let sender = UnixDatagram::unbound()?;
    // The event loop does not wait for systemd.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

/// The address of a path, or of an abstract name, which starts with `@`.
fn address(socket: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}
