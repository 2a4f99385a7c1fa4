//! The file of a Unix socket. A file that a crash has left behind is replaced, and the file is removed when the proxy
//! ends.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::sync::Arc;

use mio::net::{UnixListener, UnixStream};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// How many clients may wait to be accepted. The system may allow fewer.
const BACKLOG: i32 = 4096;

/// The file. It is removed on drop, unless by then it belongs to another process.
pub(super) struct SocketFile {
    pub path: Arc<str>,
    inode: (u64, u64),
}

impl SocketFile {
    /// Listens on a socket at `path`, with these permissions.
    ///
    /// # Errors
    /// If the socket can't be created, for example because another process listens there, or the file is of another
    /// kind.
    pub fn listen(path: &str, mode: u32) -> io::Result<(UnixListener, Self)> {
        open(path, mode).map_err(|error| {
            io::Error::new(error.kind(), format!("can't listen on {path:?}: {error}"))
        })
    }
}

fn open(path: &str, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    if let Err(error) = bind(&socket, &address).map_err(io::Error::from) {
        if error.kind() != ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_left_over(path)?;
        bind(&socket, &address)?;
    }
    // No client can connect before the socket listens.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&socket, BACKLOG)?;
    let listener = UnixListener::from_std(net::UnixListener::from(socket));
    let file = SocketFile {
        path: path.into(),
        inode: inode(path)?,
    };
    Ok((listener, file))
}

/// Removes a socket on which no process listens.
fn remove_left_over(path: &str) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::other("it exists and is not a socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process listens on it",
        )),
    }
}

fn inode(path: &str) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // Whether or not the file can be removed, no process listens there any more.
            let _ = fs::remove_file(&*self.path);
        }
    }
}
