//! Just enough HTTP/1.1 for the scripted API: one request per connection, JSON or an event stream.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// A complete request.
pub struct Request {
    /// `POST`, `GET`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The body as JSON; `Null` if it is something else.
    pub body: Value,
}

/// Reads one request; `None` if the peer only connected (the client opens spare connections).
pub fn read_request(stream: &TcpStream) -> io::Result<Option<Request>> {
    let mut r = BufReader::new(stream);
    let mut line = String::new();
    if r.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if r.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    r.read_exact(&mut body)?;
    Ok(Some(Request { method, path, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }))
}

/// Answers with JSON and closes the connection.
pub fn send_json(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &Value,
) -> io::Result<()> {
    let text = body.to_string();
    let mut head = head(status, "application/json", headers);
    head.push_str(&format!("content-length: {}\r\n\r\n", text.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}

/// Starts an event stream, which ends when the connection is closed.
pub fn start_events(stream: &mut TcpStream, headers: &[(&str, String)]) -> io::Result<()> {
    // Otherwise the chunks of a slow stream would be sent together.
    stream.set_nodelay(true)?;
    let mut head = head(200, "text/event-stream", headers);
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())
}

/// Sends one server-sent event.
pub fn send_event(stream: &mut TcpStream, name: &str, data: &Value) -> io::Result<()> {
    stream.write_all(format!("event: {name}\ndata: {data}\n\n").as_bytes())
}

fn head(status: u16, kind: &str, headers: &[(&str, String)]) -> String {
    let mut s = format!("HTTP/1.1 {status} scripted\r\ncontent-type: {kind}\r\nconnection: close\r\n");
    for (name, value) in headers {
        s.push_str(&format!("{name}: {value}\r\n"));
    }
    s
}
