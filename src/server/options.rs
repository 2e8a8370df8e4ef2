//! How to serve.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The address and port.
    pub listen: SocketAddr,
    /// The file with the tokens.
    pub token_file: PathBuf,
    /// Whether reading needs a token on loopback, too.
    pub require_token: bool,
    /// The certificate, if the server itself encrypts.
    pub tls: Option<Tls>,
    /// Whether a proxy in front of the server encrypts.
    pub behind_proxy: bool,
    /// Names under which the server may be addressed, besides those of loopback.
    pub hosts: Vec<String>,
    /// Seconds after which an open dashboard reads its numbers again; 0: never.
    pub refresh: u32,
    /// What the names of all metrics begin with.
    pub metrics_prefix: String,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How often what is new in the transcripts is imported into the ledger; `None`: never.
    pub import_every: Option<Duration>,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Options {
    /// Whether only programs of this machine can connect, and directly.
    pub fn is_local(&self) -> bool {
        self.listen.ip().is_loopback() && !self.behind_proxy
    }

    /// Whether reading needs no token.
    pub fn reads_are_open(&self) -> bool {
        self.is_local() && !self.require_token
    }

    /// What is missing to serve another address than loopback.
    ///
    /// # Errors
    /// Tokens would be sent unencrypted.
    pub fn check(&self) -> Result<(), String> {
        if self.listen.ip().is_loopback() || self.tls.is_some() || self.behind_proxy {
            return Ok(());
        }
        Err(format!(
            "{} can be reached from other machines, and tokens would be sent unencrypted: give --tls-cert and --tls-key, or \
             --behind-proxy if a proxy in front of it encrypts",
            self.listen
        ))
    }
}
