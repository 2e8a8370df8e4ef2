//! A connection to one server: requests out in one piece, replies in.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::time::Instant;

use redis::Cmd;

use super::failure::Failure;
use super::limits::Limits;
use super::replies::{Replies, Reply, Unread};
use super::tls::{self, TlsStream};
use super::wire::Wire;
use crate::config::redis_address::{self as address, Node, TlsFiles};

/// How to introduce oneself to a server.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// Who.
    pub user: &'a address::Login,
    /// The database.
    pub db: u32,
    /// With TLS.
    pub tls: Option<&'a TlsFiles>,
}

enum Stream {
    Plain(Wire),
    Tls(Box<TlsStream>),
}

/// A connection to one server.
pub struct Link {
    /// The server.
    pub node: Node,
    /// The server, for messages.
    pub server: String,
    stream: Stream,
    replies: Replies,
    /// Commands that are still to go in front of the first request, and how many.
    greeting: Vec<u8>,
    greetings: usize,
}

impl Link {
    /// Connects until `deadline`. The login goes out with the first request; a database is selected at once, so that
    /// nothing runs in another one.
    pub fn open(node: &Node, login: Login, limits: Limits, deadline: Instant) -> Result<Self, Failure> {
        let server = node.to_string();
        let settings = login.tls.map(tls::settings).transpose()?;
        let connect = || {
            let mut wire = Wire::connect(node, limits, deadline)?;
            let Some(settings) = settings else { return Ok(Stream::Plain(wire)) };
            wire.expect(Some(deadline))?;
            tls::agree(wire, node, settings).map(|stream| Stream::Tls(Box::new(stream)))
        };
        let stream = connect().map_err(|error| failure_of_io(&server, &error))?;
        let (greeting, greetings) = (Vec::new(), 0);
        let replies = Replies::default();
        let mut link = Self { node: node.clone(), server, stream, replies, greeting, greetings };
        if let Some(password) = &login.user.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = &login.user.user {
                auth.arg(user);
            }
            link.greet(auth.arg(password));
        }
        if login.db != 0 {
            link.greet(redis::cmd("SELECT").arg(login.db));
            link.ask(&[], &mut || ())?;
        }
        Ok(link)
    }

    fn greet(&mut self, command: &Cmd) {
        command.write_packed_command(&mut self.greeting);
        self.greetings += 1;
    }

    /// Sends commands (packed) in one piece, and answers with their replies; works `meanwhile`. After a failure the connection
    /// is of no use.
    pub fn ask(&mut self, commands: &[&[u8]], meanwhile: &mut dyn FnMut()) -> Result<Vec<Reply>, Failure> {
        let greeting = std::mem::take(&mut self.greeting);
        let packed = match commands {
            [command] if greeting.is_empty() => Cow::Borrowed(*command),
            _ => {
                let mut packed = greeting;
                commands.iter().for_each(|command| packed.extend_from_slice(command));
                Cow::Owned(packed)
            }
        };
        self.stream.begin();
        let sent = self.stream.write_all(&packed).and_then(|()| self.stream.flush());
        sent.and_then(|()| self.stream.expect(None)).map_err(|error| self.last_words(&error))?;
        meanwhile();
        for _ in 0..std::mem::take(&mut self.greetings) {
            if let Err(error) = self.receive()? {
                return Err(Failure::of_reply(&self.server, &error));
            }
        }
        commands.iter().map(|_| self.receive()).collect()
    }

    /// Why a request could not be sent: a server that closes the connection may have said so before.
    fn last_words(&mut self, error: &io::Error) -> Failure {
        let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let reply = if is_late { None } else { self.receive().ok().and_then(Result::err) };
        reply.map_or_else(
            || failure_of_io(&self.server, error),
            |reply| Failure::of_reply(&self.server, &reply),
        )
    }

    fn receive(&mut self) -> Result<Reply, Failure> {
        self.replies.next(&mut self.stream).map_err(|unread| match unread {
            Unread::Io(error) => failure_of_io(&self.server, &error),
            Unread::Garbage => Failure::Garbage {
                server: self.server.clone(),
                problem: "it does not speak the protocol of Redis".into(),
            },
        })
    }
}

impl Stream {
    fn begin(&mut self) {
        match self {
            Self::Plain(wire) => wire.begin(),
            Self::Tls(stream) => stream.sock.begin(),
        }
    }

    fn expect(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.expect(deadline),
            Self::Tls(stream) => stream.sock.expect(deadline),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// What an error of the socket means.
fn failure_of_io(server: &str, error: &io::Error) -> Failure {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut, UnexpectedEof, WouldBlock};
    let server = server.to_owned();
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Failure::Garbage { server, problem: format!("TLS failed ({error})") };
    }
    let problem = match error.kind() {
        _ if inner.is_some() => error.to_string(),
        _ if error.raw_os_error() == Some(libc::EINPROGRESS) => "no answer in time".into(),
        WouldBlock | TimedOut => "no answer in time".into(),
        ConnectionRefused => "connection refused".into(),
        NotFound => "there is no such socket".into(),
        UnexpectedEof | ConnectionReset => "it closed the connection".into(),
        _ => error.to_string(),
    };
    Failure::Unreachable { server, problem }
}
