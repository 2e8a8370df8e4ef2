//! What each request may do: where it may come from, and what its token allows.
//!
//! The API takes tokens in the header `Authorization: Bearer TOKEN` only, which no other site can make a browser send. On
//! loopback, reading needs no token. Deciding always needs an operator's: the agents that are guarded can reach loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Server;
use super::problem::Problem;
use super::tokens::{Holder, Role};

/// Headers of proxies. On a server that was not told of one, they mean that not every client is on this machine.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Refuses requests that were addressed to another name, or that another site made a browser send.
pub async fn check_origin(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    match refused_origin(&server, &request) {
        Some(detail) => Problem::new(StatusCode::FORBIDDEN, detail).into_response(),
        None => next.run(request).await,
    }
}

fn refused_origin(server: &Server, request: &Request) -> Option<&'static str> {
    let host = host(request)?;
    // A site can point its own name at this machine, so that a browser takes it for the same site.
    let is_checked = server.options.is_local() || !server.options.hosts.is_empty();
    if is_checked && !is_known_host(server, without_port(&host)) {
        return Some("the server does not know this host name: add it with --host");
    }
    if request.method().is_safe() {
        return None;
    }
    let text = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let is_foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, of)| of != host);
    let is_other_site = text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    (text(ORIGIN.as_str()).is_some_and(is_foreign) || is_other_site)
        .then_some("another site sent this request")
}

/// The host that the request is addressed to, with the port as it was written.
fn host(request: &Request) -> Option<String> {
    let of_header = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default().to_owned());
    Some(of_header.or_else(|| request.uri().authority().map(ToString::to_string)).unwrap_or_default())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_known_host(server: &Server, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_loopback =
        name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    (server.options.is_local() && is_loopback)
        || server.options.hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name under which decisions are recorded.
    pub name: String,
}

/// Lets a request through if its token allows to read, or, for anything but reading, to decide.
pub async fn check_token(
    State(server): State<Arc<Server>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let needed = if request.method().is_safe() { Need::Read } else { Need::Decide };
    match caller(&server, client, request.headers(), request.uri(), needed) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Read,
    Decide,
}

fn caller(
    server: &Server,
    client: SocketAddr,
    headers: &HeaderMap,
    uri: &Uri,
    need: Need,
) -> Result<Caller, Problem> {
    let Some(token) = bearer(headers) else {
        if need == Need::Read && reads_freely(server, headers) {
            return Ok(Caller { name: "anonymous".to_owned() });
        }
        let detail = match need {
            Need::Read if server.options.reads_are_open() => {
                "a token is required, because the request came through a proxy: send it as `Authorization: Bearer TOKEN`"
            }
            Need::Read => "a token is required: send it as `Authorization: Bearer TOKEN`",
            Need::Decide => "an operator's token is required: send it as `Authorization: Bearer TOKEN`",
        };
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    };
    let Holder { role, name } = authenticated(server, client, token)?;
    let is_allowed = match need {
        Need::Read => role.may_read(),
        Need::Decide => role.may_decide(),
    };
    if is_allowed {
        return Ok(Caller { name });
    }
    tracing::warn!(role = role.name(), path = uri.path(), "refused");
    let detail = match role {
        Role::Ingest => "this token may only send telemetry",
        Role::Viewer | Role::Operator => "this token may only read",
    };
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Who holds this token.
///
/// # Errors
/// Nobody does.
pub fn authenticated(server: &Server, client: SocketAddr, token: &str) -> Result<Holder, Problem> {
    if let Some(holder) = server.tokens.holder(token) {
        return Ok(holder);
    }
    tracing::warn!(client = %client.ip(), "wrong token");
    server.limits.count_wrong_token(client.ip())?;
    Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is not valid"))
}

/// Whether reading needs no token.
pub fn reads_freely(server: &Server, headers: &HeaderMap) -> bool {
    server.options.reads_are_open() && !FORWARDED.iter().any(|name| headers.contains_key(*name))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
