//! A real Redis server for one test: in its own folder, on a free port and a socket, without persistence.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Parser, Value};
use tempfile::TempDir;

use super::certificates::Certificates;

/// Timeout for everything that a server is told to do.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The options of a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    password: Option<String>,
    acl: Option<String>,
    tls: bool,
    certificates: Option<PathBuf>,
    is_sentinel: bool,
}

/// A running server, stopped when dropped.
pub struct Server {
    dir: TempDir,
    options: Options,
    port: u16,
    tls_port: Option<u16>,
    child: Option<Child>,
}

impl Options {
    /// Adds a line of configuration.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Sets the default user's password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds users, as lines of an ACL file.
    pub fn acl(mut self, lines: &str) -> Self {
        self.acl = Some(lines.into());
        self
    }

    /// Also listens with TLS.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The same, with the certificates in a folder that several servers can share.
    pub fn tls_with(mut self, certificates: &Path) -> Self {
        self.certificates = Some(certificates.to_owned());
        self.tls()
    }

    /// Makes it a replica of another server.
    pub fn replica_of(self, server: &Server) -> Self {
        let port = server.client_port();
        self.set("replicaof", &format!("127.0.0.1 {port}")).set("repl-diskless-sync-delay", "0")
    }

    /// Makes it a sentinel that watches a server at this host, named `main`.
    pub fn sentinel_of(mut self, server: &Server, host: &str) -> Self {
        self.is_sentinel = true;
        self.set("sentinel monitor", &format!("main {host} {} 1", server.client_port()))
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Server {
        let program = program();
        assert!(
            Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_ok(),
            "{program} is not installed: tests/run installs Debian's package of it"
        );
        let dir = TempDir::with_prefix("fusebox-redis-").unwrap();
        let mut server = Server { dir, options: self, port: 0, tls_port: None, child: None };
        // Another process may take the free port first: then try another one.
        for _ in 0..10 {
            server.port = free_port();
            server.tls_port = server.options.tls.then(free_port);
            if server.launch() {
                return server;
            }
        }
        panic!("{program} does not start: {}", fs::read_to_string(server.path("log")).unwrap_or_default())
    }
}

impl Server {
    /// Starts a server without a password.
    #[track_caller]
    pub fn start() -> Self {
        Options::default().start()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for other servers: the TLS port if there is one.
    pub fn client_port(&self) -> u16 {
        self.tls_port.unwrap_or(self.port)
    }

    /// Its URL on loopback.
    pub fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}", self.login(), self.port)
    }

    /// The URL of its socket.
    pub fn socket_url(&self) -> String {
        format!("unix://{}{}", self.login(), self.path("socket"))
    }

    /// Its TLS URL, with the authority of the tests.
    pub fn tls_url(&self) -> String {
        let port = self.tls_port.expect("started with Options::tls");
        format!("rediss://{}localhost:{port}?ca={}", self.login(), self.path("ca.pem"))
    }

    /// The path of a file in its folder.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Sends a command over its socket as the default user; an error is in the value.
    pub fn command(&self, words: &[&str]) -> Value {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same, with arbitrary bytes.
    pub fn command_of_bytes(&self, words: &[&[u8]]) -> Value {
        self.try_command(words).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The reply to a command as text: numbers as digits, list items on lines.
    pub fn text(&self, words: &[&str]) -> String {
        text(&self.command(words))
    }

    /// Restores a key from the output of `DUMP`.
    pub fn restore(&self, key: &str, dumped: &[u8]) {
        let words: [&[u8]; 5] = [b"RESTORE", key.as_bytes(), b"0", dumped, b"REPLACE"];
        assert_eq!(self.try_command(&words).unwrap(), Value::Okay, "{key}");
    }

    /// Kills it, and starts it again, empty, at the same addresses.
    pub fn restart(&mut self) {
        self.kill();
        assert!(
            self.launch(),
            "does not start again: {}",
            fs::read_to_string(self.path("log")).unwrap_or_default()
        );
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.path("socket"));
    }

    /// Stops the process: it accepts connections, and answers nothing.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    /// Continues the process.
    pub fn cont(&self) {
        self.signal("-CONT");
    }

    /// Waits until the reply to a command is as expected. A server that changes its role closes connections.
    pub fn wait_for(&self, words: &[&str], is_fine: impl Fn(&str) -> bool) {
        let since = Instant::now();
        loop {
            let answer = self.try_command(words).map_or_else(|error| error.to_string(), |value| text(&value));
            if is_fine(&answer) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{words:?} still answers {answer}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn login(&self) -> String {
        self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn try_command(&self, words: &[impl AsRef<[u8]>]) -> io::Result<Value> {
        let mut socket = UnixStream::connect(self.path("socket"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut parser = Parser::new();
        let mut ask = |words: &[&[u8]]| {
            let mut command = redis::Cmd::new();
            for word in words {
                command.arg(*word);
            }
            socket.write_all(&command.get_packed_command())?;
            parser.parse_value(Patient(&mut socket)).map_err(io::Error::other)
        };
        if let Some(password) = &self.options.password {
            assert_eq!(ask(&[b"AUTH", password.as_bytes()])?, Value::Okay);
        }
        ask(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Starts it, and waits until it answers; `false` if it exited.
    fn launch(&mut self) -> bool {
        fs::write(self.path("redis.conf"), self.configuration()).unwrap();
        // It also ends if the test is killed. (More exactly: with the thread that starts it.)
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", &program()]);
        command.arg(self.path("redis.conf")).args(self.options.is_sentinel.then_some("--sentinel"));
        command.current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            match self.try_command(&["PING"]) {
                Ok(Value::SimpleString(answer)) if answer == "PONG" => return true,
                Ok(Value::ServerError(error)) if error.code() != "LOADING" => return true,
                _ => {}
            }
            if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    fn configuration(&self) -> String {
        let mut lines = vec![
            format!("port {}", self.port),
            "bind 127.0.0.1".into(),
            format!("unixsocket {}", self.path("socket")),
            format!("dir {}", self.dir.path().display()),
            format!("logfile {}", self.path("log")),
        ];
        if !self.options.is_sentinel {
            lines.extend(["save \"\"".into(), "appendonly no".into()]);
        }
        if let Some(password) = &self.options.password {
            lines.push(format!("requirepass {password}"));
        }
        if let Some(users) = &self.options.acl {
            fs::write(self.path("users.acl"), users).unwrap();
            lines.push(format!("aclfile {}", self.path("users.acl")));
        }
        if let Some(port) = self.tls_port {
            let dir = self.options.certificates.as_deref().unwrap_or_else(|| {
                Certificates::write(self.dir.path());
                self.dir.path()
            });
            lines.push(format!("tls-port {port}"));
            for (name, file) in [("cert", "server.pem"), ("key", "server.key"), ("ca-cert", "ca.pem")] {
                lines.push(format!("tls-{name}-file {}", dir.join(file).display()));
            }
            lines.push("tls-auth-clients optional".into());
        }
        lines.extend(self.options.settings.iter().map(|(name, value)| format!("{name} {value}")));
        lines.join("\n") + "\n"
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A value as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".into(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("\n"),
        Value::ServerError(error) => format!("{} {}", error.code(), error.details().unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

/// The server program: `FUSEBOX_TEST_REDIS_SERVER`, else `redis-server`. Any compatible server works.
fn program() -> String {
    std::env::var("FUSEBOX_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into())
}

/// The bytes of a value; empty if it has another type.
pub fn bytes(value: &Value) -> Vec<u8> {
    if let Value::BulkString(bytes) = value { bytes.clone() } else { Vec::new() }
}

/// A free port on loopback.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A socket whose reading goes on after a signal.
struct Patient<'a>(&'a mut UnixStream);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}
