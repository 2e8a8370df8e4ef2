//! Parses the URL of a Redis server, cluster or set of sentinels.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

const FORMS: &str = "redis://[user:password@]host:port/db, rediss:// (TLS), unix:///path/to/socket, \
                     redis+cluster://host:port,host:port, redis+sentinel://host:port,host:port/master/db";
const OPTIONS: &str = "ca, cert, key, db, user, password, sentinel_user, sentinel_password";

/// Why a URL is not a valid address. Contains no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has no known scheme.
    #[error("the Redis address must begin with redis://, rediss:// or unix://. Allowed: {FORMS}")]
    Scheme,
    /// A host is missing.
    #[error("the Redis address has no host. Allowed: {FORMS}")]
    NoHost,
    /// A port is not a number from 1 to 65535.
    #[error("the port of {host} in the Redis address is not a number from 1 to 65535")]
    Port {
        /// The host.
        host: String,
    },
    /// A host is invalid.
    #[error(
        "a host in the Redis address cannot be read. Write IPv6 addresses in brackets: redis://[::1]:6379"
    )]
    Host,
    /// There is an @ after the host, most likely because a password was not encoded.
    #[error("the Redis address has an @ after the host: in a password, write / ? # % as %2F %3F %23 %25")]
    Password,
    /// A percent sign does not start an encoded character, or the decoded text is not UTF-8.
    #[error("the {part} in the Redis address is not percent-encoded UTF-8: write a percent sign as %25")]
    Encoding {
        /// The part of the URL.
        part: &'static str,
    },
    /// The database is not a number.
    #[error(
        "the database in the Redis address must be a number, as in redis://host:6379/0 (found {found:?})"
    )]
    Database {
        /// The text found.
        found: String,
    },
    /// Clusters have no databases.
    #[error("a Redis cluster has only database 0: remove the database from the address")]
    ClusterDatabase,
    /// Sentinels need the name of the master.
    #[error("the Redis address names sentinels but no master, as in redis+sentinel://host:26379/mymaster")]
    NoMaster,
    /// A socket needs a path.
    #[error("the Redis address needs the absolute path of a socket, as in unix:///path/to/socket")]
    NoSocket,
    /// An unknown option.
    #[error("the Redis address has the unknown option {name:?}. Allowed: {OPTIONS}")]
    Option {
        /// Its name.
        name: String,
    },
    /// A TLS option without TLS.
    #[error("the Redis address names files for TLS but does not use TLS: use rediss:// instead of redis://")]
    NotTls,
    /// Only half of a client certificate.
    #[error("the Redis address names only one of cert and key: a client certificate needs both")]
    HalfCertificate,
}

/// How the servers of an address are organised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Standalone,
    /// Nodes that share the keys between them.
    Cluster,
    /// Sentinels that know the current master.
    Sentinel {
        /// The name of the master.
        master: String,
    },
}

/// The endpoint of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A host (name or IP address, without brackets) and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Files for TLS. By default, the system's certificate authorities are trusted and there is no client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
}

/// A login. `Debug` omits the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; `None`: the default one.
    pub user: Option<String>,
    /// The password; `None`: no authentication.
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}

/// The address of Redis. `Debug` omits passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) topology: Topology,
    pub(crate) nodes: Vec<Node>,
    pub(crate) login: Login,
    pub(crate) sentinel_login: Login,
    pub(crate) db: u32,
    pub(crate) tls: Option<TlsFiles>,
    /// The node to connect to first, instead of the first of `nodes`.
    pub(crate) start: Option<Node>,
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    /// It has none of the allowed forms; the error lists them.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::Scheme)?;
        let (family, is_tls) = match scheme.to_ascii_lowercase().as_str() {
            "redis" => (Family::Hosts, false),
            "rediss" => (Family::Hosts, true),
            "redis+cluster" => (Family::Cluster, false),
            "rediss+cluster" => (Family::Cluster, true),
            "redis+sentinel" => (Family::Sentinel, false),
            "rediss+sentinel" => (Family::Sentinel, true),
            "unix" | "redis+unix" => (Family::Socket, false),
            _ => return Err(AddressError::Scheme),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (read_login(login)?, hosts),
            // The text may be part of a password, so none of it is shown.
            None if !matches!(family, Family::Socket) && path.contains('@') => {
                return Err(AddressError::Password);
            }
            None => (Login::default(), authority),
        };
        let mut address = Self {
            topology: Topology::Standalone,
            nodes: Vec::new(),
            login,
            sentinel_login: Login::default(),
            db: 0,
            tls: is_tls.then(TlsFiles::default),
            start: None,
        };
        address.read_options(query)?;
        match family {
            Family::Socket => address.nodes = vec![read_socket(hosts, path)?],
            Family::Sentinel => {
                address.nodes = read_hosts(hosts, 26379)?;
                let path = path.trim_start_matches('/');
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(AddressError::NoMaster);
                }
                address.topology = Topology::Sentinel { master: decoded(master, "name of the master")? };
                address.read_database(db)?;
            }
            Family::Hosts | Family::Cluster => {
                address.nodes = read_hosts(hosts, 6379)?;
                address.read_database(path.trim_start_matches('/'))?;
                if matches!(family, Family::Cluster) || address.nodes.len() > 1 {
                    address.topology = Topology::Cluster;
                }
            }
        }
        if address.topology == Topology::Cluster && address.db != 0 {
            return Err(AddressError::ClusterDatabase);
        }
        Ok(address)
    }

    /// Whether it contains a password.
    pub fn has_password(&self) -> bool {
        self.login.password.is_some() || self.sentinel_login.password.is_some()
    }

    /// The same servers, with this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.login.password = Some(password.to_owned());
        self
    }

    /// The same servers, but starting at this node (`host:port`, from `moved_to` of a connection). Ignores an invalid
    /// node.
    #[must_use]
    pub fn with_node(&self, node: &str) -> Self {
        Self { start: read_host(node, 6379).ok(), ..self.clone() }
    }

    /// The same servers without logins.
    pub(crate) fn without_login(self) -> Self {
        let (login, sentinel_login) = (Login::default(), Login::default());
        Self { login, sentinel_login, ..self }
    }

    /// The user who logs in; `None`: the default user.
    pub fn user(&self) -> Option<&str> {
        self.login.user.as_deref()
    }

    /// The remote hosts that are connected to without TLS.
    pub fn in_the_clear(&self) -> Vec<String> {
        let is_remote = |node: &&Node| match node {
            Node::Unix(_) => false,
            Node::Tcp { host, .. } => {
                let ip = host.parse::<std::net::IpAddr>();
                !host.eq_ignore_ascii_case("localhost") && !ip.is_ok_and(|ip| ip.is_loopback())
            }
        };
        let nodes = self.nodes.iter().filter(|_| self.tls.is_none());
        nodes.filter(is_remote).map(Node::to_string).collect()
    }

    /// The node to connect to first.
    pub(crate) fn first(&self) -> Option<&Node> {
        self.start.as_ref().or(self.nodes.first())
    }

    fn read_database(&mut self, text: &str) -> Result<(), AddressError> {
        if !text.is_empty() {
            self.db = text.parse().map_err(|_| AddressError::Database { found: text.into() })?;
        }
        Ok(())
    }

    fn read_options(&mut self, query: &str) -> Result<(), AddressError> {
        for option in query.split('&').filter(|o| !o.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let mut file = |pick: fn(&mut TlsFiles) -> &mut Option<PathBuf>| {
                let path = decoded(value, "path of a file")?;
                *pick(self.tls.as_mut().ok_or(AddressError::NotTls)?) = Some(path.into());
                Ok(())
            };
            match name {
                "ca" => file(|tls| &mut tls.ca)?,
                "cert" => file(|tls| &mut tls.certificate)?,
                "key" => file(|tls| &mut tls.key)?,
                "db" => self.read_database(value)?,
                "user" => self.login.user = Some(decoded(value, "user")?),
                "password" | "pass" => self.login.password = Some(decoded(value, "password")?),
                "sentinel_user" => self.sentinel_login.user = Some(decoded(value, "user")?),
                "sentinel_password" => self.sentinel_login.password = Some(decoded(value, "password")?),
                // It may be the end of a password with a question mark, so it is not shown.
                _ if option.contains('@') => return Err(AddressError::Password),
                _ => return Err(AddressError::Option { name: name.into() }),
            }
        }
        let is_half = |tls: &TlsFiles| tls.certificate.is_some() != tls.key.is_some();
        if self.tls.as_ref().is_some_and(is_half) {
            return Err(AddressError::HalfCertificate);
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls.is_some() { "s" } else { "" };
        match (&self.topology, self.nodes.first()) {
            (Topology::Standalone, Some(Node::Unix(_))) => write!(f, "unix://")?,
            (Topology::Standalone, _) => write!(f, "redis{s}://")?,
            (Topology::Cluster, _) => write!(f, "redis{s}+cluster://")?,
            (Topology::Sentinel { .. }, _) => write!(f, "redis{s}+sentinel://")?,
        }
        if let Some(user) = &self.login.user {
            write!(f, "{user}@")?;
        }
        for (i, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{node}", if i > 0 { "," } else { "" })?;
        }
        if let Topology::Sentinel { master } = &self.topology {
            write!(f, "/{master}")?;
        }
        match (self.db, self.nodes.first()) {
            (0, _) => Ok(()),
            (db, Some(Node::Unix(_))) => write!(f, "?db={db}"),
            (db, _) => write!(f, "/{db}"),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

enum Family {
    Hosts,
    Cluster,
    Sentinel,
    Socket,
}

fn read_login(text: &str) -> Result<Login, AddressError> {
    let (user, password) =
        text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    let user = Some(decoded(user, "user")?).filter(|user| !user.is_empty());
    let password = password.map(|p| decoded(p, "password")).transpose()?.filter(|p| !p.is_empty());
    Ok(Login { user, password })
}

fn read_socket(host: &str, path: &str) -> Result<Node, AddressError> {
    let path = decoded(path, "path of the socket")?;
    if !host.is_empty() || path.len() < 2 {
        return Err(AddressError::NoSocket);
    }
    Ok(Node::Unix(path.into()))
}

fn read_hosts(text: &str, default_port: u16) -> Result<Vec<Node>, AddressError> {
    text.split(',').map(|host| read_host(host.trim(), default_port)).collect()
}

/// Parses `host`, `host:port`, `[address]:port`, or, as cluster nodes report it, an IPv6 address without brackets and a
/// port.
pub(crate) fn read_host(text: &str, default_port: u16) -> Result<Node, AddressError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(AddressError::Host)?;
            match port.strip_prefix(':') {
                None if !port.is_empty() => return Err(AddressError::Host),
                port => (host, port),
            }
        }
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "[]@/#".contains(c)) {
        return Err(AddressError::Host);
    }
    let port = match port {
        None => default_port,
        Some(port) => {
            port.parse().ok().filter(|p| *p > 0).ok_or_else(|| AddressError::Port { host: host.into() })?
        }
    };
    Ok(Node::Tcp { host: host.into(), port })
}

fn decoded(text: &str, part: &'static str) -> Result<String, AddressError> {
    let is_hex = |i: usize| text.as_bytes().get(i).is_some_and(u8::is_ascii_hexdigit);
    if text.match_indices('%').any(|(at, _)| !is_hex(at + 1) || !is_hex(at + 2)) {
        return Err(AddressError::Encoding { part });
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| AddressError::Encoding { part })?;
    Ok(decoded.into_owned())
}
