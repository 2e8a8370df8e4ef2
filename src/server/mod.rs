//! `fusebox serve`: the REST API, the dashboard and the metrics, from the store that the hooks use. Changes nothing in how
//! hooks work.
//!
//! [`watcher`] reads snapshots of the store in its own thread; requests are answered from the latest one. [`decisions`]
//! carries out what operators decide. [`details`] reads what only the store knows of one session, [`reports`] makes reports
//! from the ledger, which [`importer`] keeps current. [`access`] checks each request before anything else: where it comes from, and
//! with [`tokens`], what it may do. [`api`] is the REST API, [`dashboard`] the pages for people, [`metrics`]
//! what Prometheus reads.

mod access;
pub mod api;
mod cache;
mod dashboard;
mod decisions;
mod details;
mod etag;
mod extract;
mod headers;
mod idempotency;
mod importer;
mod limits;
mod log;
mod metrics;
mod options;
mod parameters;
mod problem;
mod reports;
mod tokens;
mod watcher;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::OriginalUri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tower_http::limit::RequestBodyLimitLayer;

use self::dashboard::Dashboard;
use self::details::DetailReader;
use self::idempotency::Answers;
use self::limits::Limits;
pub use self::metrics::check_prefix;
pub use self::options::{LogFormat, Options, Tls};
use self::problem::Problem;
use self::reports::Reports;
use self::tokens::Tokens;
use self::watcher::Watcher;
use crate::platform::{Env, clock};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long requests may go on after a signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Threads that answer requests.
const THREADS: usize = 2;

/// What all requests share.
pub struct Server {
    env: Env,
    options: Options,
    tokens: Tokens,
    watcher: Watcher,
    details: DetailReader,
    reports: Reports,
    limits: Limits,
    answers: Answers,
    dashboard: Dashboard,
}

impl Server {
    /// The environment at this moment.
    fn env_now(&self) -> Env {
        Env { now: clock(), ..self.env.clone() }
    }
}

/// Serves until a signal ends it. `ready` is called with the address once connections are accepted, and with whether the
/// token file was created.
///
/// # Errors
/// The token file or the configuration cannot be used, or the address is taken.
pub fn serve(
    env: &Env,
    options: Options,
    ready: impl FnOnce(SocketAddr, bool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (tokens, is_new) = Tokens::open(&options.token_file)?;
    log::start(options.log_format);
    let watcher = Watcher::start(env).map_err(|problems| anyhow::anyhow!(problems.join("\n")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("no threads can be started")?;
    let import_every = options.import_every;
    let server = Arc::new(Server {
        env: env.clone(),
        options,
        tokens,
        watcher,
        details: DetailReader::start(env),
        reports: Reports::new(env),
        limits: Limits::default(),
        answers: Answers::default(),
        dashboard: Dashboard::default(),
    });
    let done = runtime.block_on(run(server, |address| {
        ready(address, is_new)?;
        if let Some(every) = import_every {
            importer::start(env, every);
        }
        Ok(())
    }));
    // A report that nobody waits for any more need not be finished.
    runtime.shutdown_background();
    done
}

async fn run(
    server: Arc<Server>,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listen = server.options.listen;
    let taken = || format!("{listen} cannot be used: choose another address with --listen");
    let listener = std::net::TcpListener::bind(listen).with_context(taken)?;
    listener.set_nonblocking(true).with_context(taken)?;
    let address = listener.local_addr().with_context(taken)?;
    let tls = match &server.options.tls {
        Some(tls) => Some(tls_config(tls).await?),
        None => None,
    };
    let handle = Handle::new();
    tokio::spawn(stop_on_signal(handle.clone()));
    let app = router(server).into_make_service_with_connect_info::<SocketAddr>();
    ready(address)?;
    tracing::info!(%address, tls = tls.is_some(), "serving");
    match tls {
        Some(tls) => axum_server::from_tcp_rustls(listener, tls)?.handle(handle).serve(app).await,
        None => axum_server::from_tcp(listener)?.handle(handle).serve(app).await,
    }
    .context("the server failed")?;
    tracing::info!("stopped");
    Ok(())
}

async fn tls_config(tls: &Tls) -> anyhow::Result<RustlsConfig> {
    // Fails only if it is already chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    RustlsConfig::from_pem_file(&tls.certificate, &tls.key).await.with_context(|| {
        format!(
            "the certificate {} or its key {} cannot be used: both must be PEM files",
            tls.certificate.display(),
            tls.key.display()
        )
    })
}

/// Lets requests finish after the first signal; the second one ends them.
async fn stop_on_signal(handle: Handle<SocketAddr>) {
    if wait_for_signal().await.is_ok() {
        tracing::info!("stopping: requests may finish");
        handle.graceful_shutdown(Some(GRACE));
        if wait_for_signal().await.is_ok() {
            handle.shutdown();
        }
    }
}

async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// All addresses, behind the checks that every request passes.
fn router(server: Arc<Server>) -> Router {
    Router::new()
        .nest("/api", api::router(&server))
        .merge(dashboard::router(&server))
        .route(
            "/metrics",
            get(metrics::scrape).layer(from_fn_with_state(Arc::clone(&server), access::check_token)),
        )
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&server), access::check_origin))
        .layer(from_fn_with_state(Arc::clone(&server), limits::limit))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(from_fn(problem::describe))
        .layer(from_fn_with_state(Arc::clone(&server), headers::add))
        .layer(from_fn(log::request))
        .with_state(server)
}

async fn not_found(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::not_found("address", uri.path())
}

async fn method_not_allowed() -> Problem {
    Problem::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, "this address does not accept that method")
}
