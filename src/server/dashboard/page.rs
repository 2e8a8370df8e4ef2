//! What all pages have in common: their frame, their headers, and the page that says what is wrong.

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::{Html, IntoResponse, Response};

use super::super::Server;
use super::super::problem::Problem;
use super::super::watcher::View;
use super::assets::{ASSETS, Assets};
use super::text::Clock;
use super::visitor::{Visitor, sign_in_to};

/// Only files of this server, and forms to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The parameters behind the `?`.
#[derive(Clone, Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(PageProblem))]
pub struct Query<T>(pub T);

/// A form.
#[derive(Clone, Debug, FromRequest)]
#[from_request(via(axum::Form), rejection(PageProblem))]
pub struct Form<T>(pub T);

/// The frame of a page.
pub struct Frame {
    /// The static files.
    pub assets: &'static Assets,
    /// Who looks at it.
    pub visitor: Visitor,
    /// The entry of the navigation that it belongs to.
    pub section: &'static str,
    /// Its own address.
    pub here: String,
    /// Seconds after which it reads its numbers again; 0: never.
    pub refresh: u32,
    /// The result of the decision that led here.
    pub outcome: Option<String>,
    /// Since when the store does not answer, and why.
    pub failure: Option<(String, String)>,
    /// When the numbers were read.
    pub read_at: Option<String>,
}

impl Frame {
    /// The frame of the page at `here`.
    pub fn new(server: &Server, visitor: &Visitor, section: &'static str, here: String) -> Self {
        Self {
            assets: &ASSETS,
            visitor: visitor.clone(),
            section,
            here,
            refresh: server.options.refresh,
            outcome: None,
            failure: None,
            read_at: None,
        }
    }

    /// The same for numbers from this view.
    pub fn of_view(mut self, view: &View, clock: &Clock) -> Self {
        self.failure = view.failure.as_ref().map(|failure| (clock.time(failure.since), failure.text.clone()));
        self.read_at = view.snapshot.as_ref().map(|snapshot| clock.time(snapshot.at));
        self
    }

    /// The same with the result that the address names.
    pub fn with_outcome(mut self, server: &Server, said: Option<&str>) -> Self {
        self.outcome = self.visitor.outcome(server, said).map(|outcome| outcome.text);
        self
    }

    /// Where to sign in to come back to this page.
    pub fn sign_in(&self) -> String {
        sign_in_to(&self.here)
    }
}

/// A page, rendered.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    let Ok(html) = template.render() else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made").into_response();
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // It may contain what forms must contain, and must not come back after signing out.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is wrong, as a page.
#[derive(Clone, Debug)]
pub struct PageProblem {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, and what to do.
    pub detail: String,
}

impl PageProblem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// Not signed in.
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// Not allowed.
    pub fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// Nothing has this id.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no such {what} any more, or there never was."))
    }
}

/// The page.
#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    title: &'static str,
    detail: String,
    can_sign_in: bool,
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::SERVICE_UNAVAILABLE => "The store does not answer",
            _ => "That did not work",
        };
        let can_sign_in = matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let frame = Frame {
            assets: &ASSETS,
            visitor: Visitor::default(),
            section: "",
            here: super::visitor::HOME.to_owned(),
            refresh: 0,
            outcome: None,
            failure: None,
            read_at: None,
        };
        page(self.status, &ProblemPage { frame, title, detail: self.detail, can_sign_in })
    }
}

impl From<FormRejection> for PageProblem {
    fn from(rejection: FormRejection) -> Self {
        Problem::from(rejection).into()
    }
}

impl From<QueryRejection> for PageProblem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::from(rejection).into()
    }
}
