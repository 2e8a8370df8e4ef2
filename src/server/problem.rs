//! Problems: what the API answers if a request fails (RFC 9457).

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::MAX_BODY;
use crate::app::operate::Refusal;
use crate::app::store_access::Unavailable;

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The body of an answer that says what is wrong (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[schema(example = "about:blank")]
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the status.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The status.
    #[schema(value_type = u16, minimum = 400, maximum = 599, example = 404)]
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    /// What is wrong, and what to do.
    #[schema(example = "there is no budget 3f2a1b2c4d5e6f70")]
    detail: String,
    /// Seconds after which to try again.
    #[serde(skip)]
    retry_after: Option<u32>,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status, detail: detail.into(), retry_after: None }
    }

    /// The request is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Nothing has this id.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} {id}"))
    }

    /// The store does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Too many requests.
    pub fn too_many(detail: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// What is wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Makes a problem of every failure that is not one yet: those of the parts that the server is made of. The dashboard has
/// pages of its own.
pub async fn describe(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_failure = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !is_failure || kind == MEDIA_TYPE || kind.starts_with("text/html") {
        return response;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body must have at most {MAX_BODY} bytes"),
        StatusCode::METHOD_NOT_ALLOWED => "this address does not accept that method".to_owned(),
        status => status.canonical_reason().unwrap_or("the request failed").to_lowercase(),
    };
    let mut problem = Problem::new(status, detail).into_response();
    for (name, value) in response.headers() {
        // Those of the body are the problem's own.
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fusebox\""));
        }
        response
    }
}

/// What to say if the server's own login to the shared store may record, but not decide.
const NOT_AN_OPERATOR: &str = "this server is logged in to the shared store as a user that may not decide: start it as the \
     operator (docs/serve.md, \"With a shared store\")";

impl From<Unavailable> for Problem {
    fn from(failure: Unavailable) -> Self {
        match failure.is_denied() {
            true => Self::new(StatusCode::FORBIDDEN, NOT_AN_OPERATOR),
            false => Self::unavailable(failure.to_string()),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::UnknownBudget { .. } | Refusal::NotCounted { .. } => StatusCode::NOT_FOUND,
            Refusal::NoAmount | Refusal::NoReason => StatusCode::BAD_REQUEST,
            Refusal::NotOpen { .. } | Refusal::HardLimit { .. } | Refusal::Deleted(_) => StatusCode::CONFLICT,
            Refusal::WrongUnit { .. }
            | Refusal::AmbiguousValue { .. }
            | Refusal::Unknown(_)
            | Refusal::NotReset(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Denied(_) => return Self::new(StatusCode::FORBIDDEN, NOT_AN_OPERATOR),
            Refusal::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        // Where a command's refusal names options and commands, this names fields and addresses.
        match refusal {
            Refusal::Store(failure) => failure.into(),
            Refusal::WrongUnit { name, unit, option } => {
                let field = option.replace('-', "_");
                Self::new(status, format!("budget {name} counts {unit}: use additional_{field}"))
            }
            Refusal::NotOpen { session, of } => {
                Self::new(status, format!("session {session} has no open circuit breaker{of}"))
            }
            Refusal::NoReason => Self::new(status, "a reason is required"),
            refusal => Self::new(status, refusal.to_string()),
        }
    }
}

/// What a library says about a request, without its own words around it.
fn plain(text: &str) -> String {
    let text =
        text.strip_prefix("Failed to deserialize the JSON body into the target type: ").unwrap_or(text);
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text).to_owned()
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        // What is not JSON, and JSON that is not what was asked for, are both the client's mistake.
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Self::new(status, plain(&rejection.body_text()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(plain(&rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<FormRejection> for Problem {
    fn from(rejection: FormRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}
