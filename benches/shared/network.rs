//! A simulated network on loopback: delays all data each way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A port that forwards to another one with a delay of half a `round_trip` each way. It ends with the process.
pub fn delayed_port(target: u16, round_trip: Duration) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let (to, from) = (client.try_clone(), server.try_clone());
            if let (Ok(to), Ok(from)) = (to, from) {
                carry(client, server, round_trip / 2);
                carry(from, to, round_trip / 2);
            }
        }
    });
    port
}

/// Forwards bytes one way; data in flight does not delay later data.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let _ = to.set_nodelay(true);
    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (at, bytes) in receive {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(got @ 1..) = from.read(&mut buffer) {
            if send.send((Instant::now() + delay, buffer[..got].to_vec())).is_err() {
                break;
            }
        }
    });
}
