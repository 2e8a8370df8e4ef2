//! Clients that keep their connection, and ask for one address again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::server::Server;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Client {
    /// Connects, as the client with this number: each has an address of its own, because the server bounds how often one
    /// may ask.
    pub fn connect(address: &str, number: u8) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, number), 0)).into()).unwrap();
        socket.connect(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), address: address.to_owned() }
    }

    /// The status and the body of an answer.
    pub fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.unwrap_or_else(|| panic!("{path}: no length"))];
        self.stream.read_exact(&mut body).unwrap();
        (status, body)
    }
}

/// Several clients of one server.
pub struct Clients<'s> {
    server: &'s Server,
    count: u8,
}

impl<'s> Clients<'s> {
    /// This many.
    pub fn new(server: &'s Server, count: u8) -> Self {
        Self { server, count }
    }

    /// Each asks for its next answer as soon as it has one. Returns how long each took.
    pub fn ask(&self, path: &str, time: Duration) -> Vec<Duration> {
        std::thread::scope(|scope| {
            let one = |number| {
                let mut client = Client::connect(&self.server.address, number);
                let mut took = Vec::new();
                let end = Instant::now() + time;
                while Instant::now() < end {
                    let began = Instant::now();
                    let (status, body) = client.get(path);
                    took.push(began.elapsed());
                    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
                }
                took
            };
            let threads: Vec<_> = (1..=self.count).map(|number| scope.spawn(move || one(number))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Each asks once per `pause` while `work` runs.
    pub fn ask_now_and_then(&self, path: &str, pause: Duration, work: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for n in 1..=self.count {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut client = Client::connect(&self.server.address, n);
                    std::thread::sleep(pause * u32::from(n) / u32::from(self.count));
                    while !is_over.load(Ordering::Relaxed) {
                        client.get(path);
                        std::thread::sleep(pause);
                    }
                });
            }
            work();
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
