//! A relay between the proxy and Redis, which can let a connection fall silent without an end, as a
//! broken link does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    pipes: Mutex<Vec<Pipe>>,
}

/// A connection that is passed on.
struct Pipe {
    near: TcpStream,
    far: TcpStream,
    /// Whatever comes is swallowed.
    silent: Arc<AtomicBool>,
}

impl Relay {
    /// Listens on a free port and passes connections on to that address.
    pub fn start(redis: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for near in listener.incoming() {
                    if shared.over.load(Ordering::SeqCst) {
                        return;
                    }
                    let near = near.expect("a connection");
                    if let Ok(far) = TcpStream::connect(redis) {
                        shared.pass_on(near, far);
                    }
                }
            }
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Lets the connection fall silent that Redis sees come from that address.
    pub fn silence(&self, address: &str) {
        let pipes = self.shared.pipes.lock().expect("no panic inside");
        let pipe = pipes.iter().find(|pipe| {
            let local = pipe.far.local_addr();
            local.is_ok_and(|local| local.to_string() == address)
        });
        let pipe = pipe.expect("a connection that is passed on");
        pipe.silent.store(true, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the acceptor, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for pipe in self.shared.pipes.lock().expect("no panic inside").iter() {
            let _ = pipe.near.shutdown(Shutdown::Both);
            let _ = pipe.far.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn pass_on(&self, near: TcpStream, far: TcpStream) {
        let silent = Arc::new(AtomicBool::new(false));
        let handle = |stream: &TcpStream| stream.try_clone().expect("a file descriptor");
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (from, to, silent) = (handle(from), handle(to), Arc::clone(&silent));
            to.set_nodelay(true).expect("a socket option");
            thread::spawn(move || pass_on(from, to, &silent));
        }
        let mut pipes = self.pipes.lock().expect("no panic inside");
        pipes.push(Pipe { near, far, silent });
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !silent.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Neither is its end passed on.
    if !silent.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}
