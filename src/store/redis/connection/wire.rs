//! A socket that ends every wait in time: connecting, sending, and receiving a whole reply.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Limits;
use crate::store::redis::address::Node;

/// The shortest time that a socket can be told to wait; zero would mean for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// For how long a server on this machine is asked again and again whether it has replied.
///
/// Mostly it has within that time; a processor that falls asleep until then takes long to wake up, and its caches are cold if the
/// scheduler wakes the process on another one. Whoever else wants the processor gets it in between.
const ASKED: Duration = Duration::from_micros(500);

/// How long others have the processor when somebody stands aside, on a machine that is busy.
const BUSY: Duration = Duration::from_micros(100);

/// A connected socket. A reply must be complete within its limit, however many pieces it comes in.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    limits: Limits,
    /// Whether the server is on this machine: behind loopback, or a socket in the file system.
    is_near: bool,
    /// Until when it is asked again and again.
    asked_until: Instant,
    /// When what is being sent must be gone.
    gone_by: Instant,
    deadline: Instant,
    /// What the socket was told to wait for when it receives.
    armed: Duration,
}

impl Wire {
    /// Connects, until `deadline`.
    pub fn connect(node: &Node, limits: Limits, deadline: Instant) -> io::Result<Self> {
        let (socket, is_near) = match node {
            Node::Tcp { host, port } => connect_tcp(host, *port, deadline)?,
            Node::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                connect_within(&socket, &SockAddr::unix(path)?, remaining(deadline)?)?;
                (socket, true)
            }
        };
        let read = limits.read.max(SHORTEST);
        socket.set_write_timeout(Some(limits.write.max(SHORTEST)))?;
        socket.set_read_timeout(Some(read))?;
        Ok(Self {
            socket,
            limits,
            is_near,
            asked_until: Instant::now(),
            gone_by: deadline,
            deadline,
            armed: read,
        })
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
        self.asked_until = if self.is_near { self.deadline.min(now + ASKED) } else { now };
        let wait = self.deadline.saturating_duration_since(now).max(SHORTEST);
        self.arm(wait)
    }

    /// What is there already, or comes while a server on this machine is asked again and again; `None`: nothing yet.
    fn read_at_once(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut asked = Instant::now();
        while asked < self.asked_until {
            match rustix::net::recv(&self.socket, &mut *into, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(Some(count)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
            let now = Instant::now();
            // Others have work: whoever sleeps is woken before those who only stood aside.
            if now - asked > BUSY {
                break;
            }
            asked = now;
        }
        Ok(None)
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
        let count = match self.read_at_once(into)? {
            Some(count) => count,
            None => loop {
                match self.socket.read(into) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        self.arm(remaining(self.deadline)?)?
                    }
                    answer => break answer?,
                }
            },
        };
        // One that sends byte after byte does not get the limit for each of them.
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

/// The socket, and whether the server is on this machine.
fn connect_tcp(host: &str, port: u16, deadline: Instant) -> io::Result<(Socket, bool)> {
    let addresses = resolve(host, port, deadline)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (i, address) in addresses.iter().enumerate() {
        let left = (addresses.len() - i) as u32;
        let attempt = || {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            // One that does not answer leaves time for the others.
            connect_within(&socket, &SockAddr::from(*address), (remaining(deadline)? / left).max(SHORTEST))?;
            socket.set_tcp_nodelay(true)?;
            Ok((socket, address.ip().is_loopback()))
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
    let found = Arc::new((Mutex::new(None), Condvar::new()));
    let (name, answer) = (host.to_owned(), Arc::clone(&found));
    thread::Builder::new().name("resolve".into()).spawn(move || {
        let addresses = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        let (slot, is_there) = &*answer;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
        is_there.notify_one();
    })?;
    let (slot, is_there) = &*found;
    let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = is_there.wait_timeout_while(slot, remaining(deadline)?, |found| found.is_none());
    let (mut slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
    match slot.take() {
        Some(Ok(addresses)) => Ok(addresses),
        Some(Err(error)) => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("the name is not known ({error})")))
        }
        None => Err(io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time")),
    }
}

/// The time until `deadline`.
pub fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(SHORTEST)) }
}
