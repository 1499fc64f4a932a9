//! The way to a server: a socket of either family, connected as the right user.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::command::Identity;
use crate::postgres::failure::ServerError;
use crate::postgres::settings::{Address, Server};

/// Why there is no way.
pub(crate) type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// A connected stream of either family.
pub(crate) enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

/// Connects to the server. Only inside of a runtime.
pub(crate) fn connect(server: &Server, wait: Duration) -> Result<Stream, Refusal> {
    match server.address() {
        Address::Socket(directory) => {
            let path = server.socket_in(&directory);
            let identity = server.identity()?;
            let stream = connect_as(path, identity, wait)?;
            stream.set_nonblocking(true)?;
            Ok(Stream::Unix(tokio::net::UnixStream::from_std(stream)?))
        }
        Address::Host(host) => {
            let mut refusal = io::Error::other("the host has no address");
            for address in (host.as_str(), server.port()).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, wait) {
                    Ok(stream) => {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        return Ok(Stream::Tcp(tokio::net::TcpStream::from_std(stream)?));
                    }
                    Err(error) => refusal = error,
                }
            }
            Err(Box::new(ServerError::unreachable(&refusal)))
        }
    }
}

/// Connects to a socket as another user. The server asks the kernel who connects, and the kernel tells it the
/// effective user of the connecting thread: so one thread changes itself, connects and ends.
fn connect_as(
    path: PathBuf,
    identity: Option<Identity>,
    wait: Duration,
) -> Result<UnixStream, Refusal> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("dysno-connect".to_owned()).spawn(move || {
        let connect = || {
            if let Some(Identity { uid, gid }) = identity {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                // The group first: afterwards the thread may not change it any more.
                set_thread_res_gid(gid, gid, gid)?;
                set_thread_res_uid(uid, uid, uid)?;
            }
            UnixStream::connect(&path)
        };
        // Nobody listens when the wait is over.
        let _ = sender.send(connect());
    })?;
    let connected =
        receiver.recv_timeout(wait).map_err(|_| ServerError::timeout(wait.as_secs()))?;
    Ok(connected.map_err(|error| ServerError::unreachable(&error))?)
}
