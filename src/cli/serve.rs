//! `fusebox serve`: the REST API, the dashboard and the metrics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Io, UsageError, person_only};
use crate::domain::protection::TOKEN_FILE;
use crate::platform::Env;
use crate::server::{LogFormat, Options, Tls, check_prefix, serve};

/// Serve the dashboard, the REST API and Prometheus metrics, from the store that the hooks use.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything that changes a budget, a circuit breaker or an alert needs an operator's token, which is the \
first line of the token file. Reading on this machine needs none. A server that other machines can reach needs a token for \
everything, and --tls-cert and --tls-key, or a proxy that encrypts (--behind-proxy). Ctrl+C stops it.

Examples:
  fusebox serve
  fusebox serve --listen 127.0.0.1:9000 --require-token
  fusebox serve --listen 0.0.0.0:7878 --tls-cert cert.pem --tls-key key.pem
  fusebox serve --behind-proxy --host fusebox.example.org"
)]
pub struct ServeArgs {
    /// The address and port. Port 0 chooses a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7878")]
    listen: SocketAddr,
    /// The file with the tokens. If it does not exist, it is created with a new operator's token. Default: `serve-tokens`
    /// in the folder of the user's configuration.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Require a token for reading, too.
    #[arg(long)]
    require_token: bool,
    /// Encrypt with this certificate (PEM, with its chain).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A proxy in front of the server encrypts. Requires a token for everything.
    #[arg(long, conflicts_with = "tls_cert")]
    behind_proxy: bool,
    /// A name under which the server is reached, besides those of this machine. Can be repeated.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// How often an open dashboard reads its numbers again, in seconds. 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(..=86_400))]
    refresh: u32,
    /// What the names of all metrics at `/metrics` begin with.
    #[arg(long, value_name = "PREFIX", default_value = "asdlc_", value_parser = check_prefix)]
    metrics_prefix: String,
    /// How the log is written, on standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Seconds between imports of new transcripts into the ledger, for reports. 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    import_every: u32,
}

/// Runs the command until a signal ends it.
///
/// # Errors
/// An agent started it, the address or a file cannot be used.
pub fn run(args: &ServeArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    // It could start one with tokens of its own, and extend its budgets.
    person_only::refuse_in_agent(env, "fusebox serve")?;
    let options = options(args, env)?;
    options.check().map_err(UsageError)?;
    let (file, scheme) = (options.token_file.clone(), if options.tls.is_some() { "https" } else { "http" });
    serve(env, options, |address, is_new| {
        if is_new {
            writeln!(io.out, "A new operator's token is in {}", file.display())?;
        }
        writeln!(io.out, "Fusebox serves {scheme}://{address}/cost-dashboard (Ctrl+C stops it)")?;
        Ok(io.out.flush()?)
    })?;
    Ok(0)
}

fn options(args: &ServeArgs, env: &Env) -> anyhow::Result<Options> {
    let default = || env.user_config().and_then(|config| Some(config.parent()?.join(TOKEN_FILE)));
    let token_file = args.token_file.clone().or_else(default).ok_or_else(|| {
        UsageError("there is no home folder for the token file: name one with --token-file".to_owned())
    })?;
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    Ok(Options {
        listen: args.listen,
        token_file,
        require_token: args.require_token,
        tls: tls.map(|(certificate, key)| Tls { certificate, key }),
        behind_proxy: args.behind_proxy,
        hosts: args.host.clone(),
        refresh: args.refresh,
        metrics_prefix: args.metrics_prefix.clone(),
        log_format: args.log_format,
        import_every: (args.import_every > 0).then(|| Duration::from_secs(args.import_every.into())),
    })
}
