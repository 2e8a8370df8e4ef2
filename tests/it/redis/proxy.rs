//! A loopback proxy in front of a server: it counts the traffic, and simulates bad networks and servers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Server;

/// What the proxy does with traffic.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    /// Passes it on.
    #[default]
    Pass,
    /// Passes it on, with a delay before every reply.
    Delay(Duration),
    /// Closes the connection instead of passing on a request.
    CutRequests,
    /// Passes requests on, and closes the connection instead of replying.
    CutReplies,
    /// Passes requests on, and closes the connection after this many bytes of the reply.
    CutAfter(usize),
    /// Passes this many replies on, and then disappears.
    Leave(usize),
    /// Answers every request with this.
    Answer(Vec<u8>),
    /// Answers a request with this, and closes the connection.
    Last(Vec<u8>),
    /// Answers every request with this, repeatedly, with a pause after each byte.
    Trickle(Vec<u8>, Duration),
    /// Reads everything and answers nothing.
    Hang,
}

/// The traffic.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Number of connections.
    pub connections: usize,
    /// What the clients sent, one item per message without a reply in between.
    pub requests: Vec<Vec<u8>>,
    /// What the server sent, likewise.
    pub replies: Vec<Vec<u8>>,
}

impl Seen {
    /// The bytes of all requests.
    pub fn sent(&self) -> usize {
        self.requests.iter().map(Vec::len).sum()
    }

    /// The bytes of all replies.
    pub fn received(&self) -> usize {
        self.replies.iter().map(Vec::len).sum()
    }
}

/// A proxy, stopped with all its connections when dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: u16,
    is_over: AtomicBool,
    manner: Mutex<Manner>,
    seen: Mutex<Seen>,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy in front of a server.
    pub fn to(server: &Server) -> Self {
        Self::to_port(server.port())
    }

    /// A proxy in front of a port on loopback.
    pub fn to_port(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target,
            is_over: AtomicBool::new(false),
            manner: Mutex::default(),
            seen: Mutex::default(),
            sockets: Mutex::default(),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { port, shared, accepting: Some(accepting) }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Changes its behaviour.
    pub fn behave(&self, manner: Manner) {
        *lock(&self.shared.manner) = manner;
    }

    /// The traffic since the last call.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *lock(&self.shared.seen))
    }

    /// Closes the current connections.
    pub fn cut(&self) {
        for socket in lock(&self.shared.sockets).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut pumps = Vec::new();
    for client in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            break;
        }
        let client = client.unwrap();
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target)) else { continue };
        lock(&shared.seen).connections += 1;
        lock(&shared.sockets).extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
        }
        let connection = Arc::new(Connection {
            client,
            server,
            shared: Arc::clone(shared),
            is_waiting: Mutex::new(false),
        });
        for pump in [Connection::pump_requests, Connection::pump_replies] {
            let connection = Arc::clone(&connection);
            pumps.push(thread::spawn(move || {
                pump(&connection);
                let _ = connection.client.shutdown(Shutdown::Both);
                let _ = connection.server.shutdown(Shutdown::Both);
            }));
        }
    }
    for socket in lock(&shared.sockets).drain(..) {
        let _ = socket.shutdown(Shutdown::Both);
    }
    for pump in pumps {
        let _ = pump.join();
    }
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    /// The client is waiting for a reply.
    is_waiting: Mutex<bool>,
}

impl Connection {
    fn manner(&self) -> Manner {
        lock(&self.shared.manner).clone()
    }

    fn pump_requests(&self) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = (&self.client).read(&mut buffer) {
            let bytes = &buffer[..count];
            {
                let was_waiting = std::mem::replace(&mut *lock(&self.is_waiting), true);
                note(&mut lock(&self.shared.seen).requests, bytes, was_waiting);
            }
            let is_done = match self.manner() {
                Manner::CutRequests => break,
                Manner::Hang => Ok(()),
                Manner::Answer(answer) => self.answer(&answer),
                Manner::Last(answer) => {
                    let _ = self.answer(&answer);
                    break;
                }
                Manner::Trickle(bytes, pause) => {
                    let mut bytes = bytes.iter().cycle();
                    loop {
                        thread::sleep(pause);
                        let next = bytes.next().copied().unwrap_or(b' ');
                        if self.answer(&[next]).is_err() {
                            break Ok(());
                        }
                    }
                }
                _ => (&self.server).write_all(bytes),
            };
            if is_done.is_err() {
                break;
            }
        }
    }

    fn pump_replies(&self) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = (&self.server).read(&mut buffer) {
            let mut bytes = &buffer[..count];
            let mut is_last = false;
            match self.manner() {
                Manner::CutReplies => break,
                Manner::Leave(0) => break,
                Manner::Leave(left) => *lock(&self.shared.manner) = Manner::Leave(left - 1),
                Manner::Delay(pause) => thread::sleep(pause),
                Manner::CutAfter(end) => {
                    bytes = &bytes[..end.min(count)];
                    is_last = true;
                }
                _ => {}
            }
            if self.answer(bytes).is_err() || is_last {
                break;
            }
        }
    }

    fn answer(&self, bytes: &[u8]) -> std::io::Result<()> {
        {
            let was_waiting = std::mem::replace(&mut *lock(&self.is_waiting), false);
            note(&mut lock(&self.shared.seen).replies, bytes, !was_waiting);
        }
        (&self.client).write_all(bytes)
    }
}

/// Appends bytes to the last message, or starts a new one.
fn note(messages: &mut Vec<Vec<u8>>, bytes: &[u8], goes_on: bool) {
    match messages.last_mut() {
        Some(last) if goes_on => last.extend_from_slice(bytes),
        _ => messages.push(bytes.to_vec()),
    }
}
