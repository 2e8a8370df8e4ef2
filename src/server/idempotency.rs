//! `Idempotency-Key`: a request that is sent twice takes effect once.
//!
//! The answer to the first request with a key is kept, and repeated. That ends with the server. For extensions and resets of
//! budgets, the store itself knows the key as well, so they count once for good, on all servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::Caller;
use super::problem::Problem;
use super::tokens::{SecretHash, hash};
use super::{MAX_BODY, Server};

/// The header with the key.
pub const HEADER: &str = "idempotency-key";

/// The longest key.
const MAX_KEY: usize = 255;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many answers are kept.
const MOST: usize = 10_000;

/// The largest answer that is kept, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Answers by caller, method, path and key.
#[derive(Default)]
pub struct Answers(Mutex<HashMap<SecretHash, Answer>>);

struct Answer {
    at: Instant,
    /// The hash of the request's body.
    body: SecretHash,
    /// `None` while the request is being answered.
    sent: Option<(StatusCode, HeaderMap, Bytes)>,
}

/// The key of a request, if it has a usable one.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let mut keys = headers.get_all(HEADER).iter();
    let key = keys.next()?.to_str().ok()?;
    let is_usable = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    (is_usable && keys.next().is_none()).then_some(key)
}

/// Repeats the answer to a request that was already answered.
pub async fn repeat(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let Some(key) = key(request.headers()) else {
        let detail = format!("there must be one Idempotency-Key, of 1 to {MAX_KEY} visible ASCII characters");
        return Problem::bad_request(detail).into_response();
    };
    let name = request.extensions().get::<Caller>().map_or("", |caller| caller.name.as_str());
    let named = hash([name, request.uri().path(), key].join("\n"));
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body must have at most {MAX_BODY} bytes"),
        )
        .into_response();
    };
    let hashed = hash(&bytes);
    if let Some(known) = server.answers.begin(named, hashed) {
        return known;
    }
    let first = FirstRequest { answers: &server.answers, named };
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, MAX_ANSWER).await.unwrap_or_default();
    // Whatever may succeed the next time is not kept.
    let is_final = !parts.status.is_server_error()
        && parts.status != StatusCode::TOO_MANY_REQUESTS
        && parts.extensions.get::<TryAgain>().is_none();
    let sent = is_final.then(|| (parts.status, parts.headers.clone(), bytes.clone()));
    first.answers.end(named, sent);
    Response::from_parts(parts, Body::from(bytes))
}

/// Marks an answer that says of a part that it may succeed the next time.
#[derive(Clone, Copy, Debug)]
pub struct TryAgain;

/// The first request with a key. If its client goes away before it is answered, the key is free again.
struct FirstRequest<'a> {
    answers: &'a Answers,
    named: SecretHash,
}

impl Drop for FirstRequest<'_> {
    fn drop(&mut self) {
        let mut all = self.answers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&self.named).is_some_and(|answer| answer.sent.is_none()) {
            all.remove(&self.named);
        }
    }
}

impl Answers {
    /// The answer to this request, if it was sent before. `None`: it is the first one.
    fn begin(&self, named: SecretHash, body: SecretHash) -> Option<Response> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, answer| answer.at.elapsed() < KEPT);
        if let Some(known) = all.get(&named) {
            return Some(match &known.sent {
                _ if known.body != body => Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "this Idempotency-Key was used for another request",
                )
                .into_response(),
                None => Problem::new(StatusCode::CONFLICT, "the first request with this key is not finished")
                    .into_response(),
                Some((status, headers, bytes)) => {
                    let mut response = (*status, headers.clone(), bytes.clone()).into_response();
                    let name = HeaderName::from_static("idempotency-replayed");
                    response.headers_mut().insert(name, HeaderValue::from_static("true"));
                    response
                }
            });
        }
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, answer)| answer.at).map(|(named, _)| *named)
        {
            all.remove(&oldest);
        }
        all.insert(named, Answer { at: Instant::now(), body, sent: None });
        None
    }

    fn end(&self, named: SecretHash, sent: Option<(StatusCode, HeaderMap, Bytes)>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = all.get_mut(&named) {
            answer.sent = sent;
        }
    }
}
