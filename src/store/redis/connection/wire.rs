//! A socket that ends every wait in time: connecting, sending, and receiving a whole reply.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::limits::Limits;
use crate::config::redis_address::Node;

/// The shortest time that a socket can be told to wait; zero would mean for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connected socket. A reply must be complete within its limit, however many pieces it comes in.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    limits: Limits,
    /// When what is being sent must be gone.
    gone_by: Instant,
    deadline: Instant,
    /// What the socket was told to wait for when it receives.
    armed: Duration,
}

impl Wire {
    /// Connects, until `deadline`.
    pub fn connect(node: &Node, limits: Limits, deadline: Instant) -> io::Result<Self> {
        let socket = match node {
            Node::Tcp { host, port } => connect_tcp(host, *port, deadline)?,
            Node::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                connect_within(&socket, &SockAddr::unix(path)?, remaining(deadline)?)?;
                socket
            }
        };
        let read = limits.read.max(SHORTEST);
        socket.set_write_timeout(Some(limits.write.max(SHORTEST)))?;
        socket.set_read_timeout(Some(read))?;
        Ok(Self { socket, limits, gone_by: deadline, deadline, armed: read })
    }

    /// What is sent from now on must be gone within the limit for writing.
    pub fn begin(&mut self) {
        self.gone_by = Instant::now() + self.limits.write.max(SHORTEST);
    }

    /// What is received from now on must be there before `deadline`; `None`: within the limit for reading.
    pub fn expect(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let read = self.limits.read.max(SHORTEST);
        let now = Instant::now();
        self.deadline = deadline.unwrap_or(now + read);
        let wait = self.deadline.saturating_duration_since(now).max(SHORTEST);
        self.arm(wait)
    }

    fn arm(&mut self, wait: Duration) -> io::Result<()> {
        if self.armed != wait {
            self.socket.set_read_timeout(Some(wait))?;
            self.armed = wait;
        }
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.socket.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.arm(remaining(self.deadline)?)?
                }
                answer => break answer?,
            }
        };
        // A server that sends byte after byte does not get the limit for each of them.
        if count > 0 && Instant::now() > self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        remaining(self.gone_by)?;
        // A server that is gone must not kill the process by a signal.
        self.socket.send_with_flags(bytes, libc::MSG_NOSIGNAL)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect_tcp(host: &str, port: u16, deadline: Instant) -> io::Result<Socket> {
    let addresses = resolve(host, port, deadline)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (i, address) in addresses.iter().enumerate() {
        let left = (addresses.len() - i) as u32;
        let attempt = || {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            // One that does not answer leaves time for the others.
            connect_within(&socket, &SockAddr::from(*address), (remaining(deadline)? / left).max(SHORTEST))?;
            socket.set_tcp_nodelay(true)?;
            Ok(socket)
        };
        match attempt() {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects. Under Linux that waits as long as sending, for which a socket must be told once, not made to poll and back;
/// it waits for TCP, and for a socket in the file system whose server has a full queue.
fn connect_within(socket: &Socket, address: &SockAddr, wait: Duration) -> io::Result<()> {
    if cfg!(target_os = "linux") {
        socket.set_write_timeout(Some(wait))?;
        socket.connect(address)
    } else {
        socket.connect_timeout(address, wait)
    }
}

/// The addresses of a host. Names only are asked for, in a thread: asking cannot be told to end.
fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    // Always this machine, and hooks live too short to ask.
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    let (send, receive) = mpsc::sync_channel(1);
    let name = host.to_owned();
    thread::Builder::new().name("resolve".into()).spawn(move || {
        // Nobody is listening any more where it took too long.
        let _ = send.send((name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    })?;
    match receive.recv_timeout(remaining(deadline)?) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("the name is not known ({error})")))
        }
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time")),
    }
}

/// The time until `deadline`.
pub fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(SHORTEST)) }
}
