//! Who looks at the dashboard, and what they may do.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{OriginalUri, Request, State};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use subtle::ConstantTimeEq;

use super::super::access::reads_freely;
use super::super::problem::Problem;
use super::super::tokens::{Holder, Role, SecretHash, hash};
use super::super::{Options, Server};
use super::page::PageProblem;
use super::sign_ins::Outcome;

/// Where the dashboard is.
pub const HOME: &str = "/cost-dashboard";

/// Where to sign in.
pub const SIGN_IN: &str = "/cost-dashboard/sign-in";

/// Who asked for a page.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The holder of the token that the visitor signed in with.
    pub holder: Option<Holder>,
    /// What each of the visitor's forms must contain.
    pub csrf: String,
    /// The sign-in.
    id: SecretHash,
}

impl Visitor {
    /// The one whose cookie is among these headers.
    fn new(server: &Server, headers: &HeaderMap) -> Self {
        let found = cookie(headers, &session_cookie(&server.options)).and_then(|secret| {
            let id = hash(secret);
            let (token, csrf) = server.dashboard.sign_ins.find(&id)?;
            // The file may have changed since.
            let holder = server.tokens.holder_of_hash(&token).filter(|holder| holder.role.may_read());
            let Some(holder) = holder else {
                server.dashboard.sign_ins.end(&id);
                return None;
            };
            Some(Self { holder: Some(holder), csrf, id })
        });
        found.unwrap_or_default()
    }

    /// The name, if signed in.
    pub fn name(&self) -> Option<&str> {
        self.holder.as_ref().map(|holder| holder.name.as_str())
    }

    /// The name of the role; empty if not signed in.
    pub fn role(&self) -> &'static str {
        self.holder.as_ref().map_or("", |holder| holder.role.name())
    }

    /// Whether the name says more than the role.
    pub fn has_own_name(&self) -> bool {
        self.name().is_some_and(|name| name != self.role())
    }

    /// Whether the visitor may decide.
    pub fn may_decide(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.role.may_decide())
    }

    /// Whether pages offer decisions: also to someone who could sign in first.
    pub fn is_offered_actions(&self) -> bool {
        self.holder.is_none() || self.may_decide()
    }

    /// Checks a form. Returns the name under which the decision is recorded.
    ///
    /// # Errors
    /// The visitor may not decide, or another page made this form.
    pub fn check_form(&self, csrf: &str) -> Result<String, PageProblem> {
        let Some(holder) = &self.holder else {
            return Err(PageProblem::unauthorized("Sign in to decide."));
        };
        if !holder.role.may_decide() {
            return Err(PageProblem::forbidden("A viewer may only read. Sign in with an operator's token."));
        }
        if !is_same(csrf, &self.csrf) {
            return Err(PageProblem::forbidden(
                "This form is out of date. Go back, load the page again, and repeat.",
            ));
        }
        Ok(holder.name.clone())
    }

    /// Keeps the result of a decision for the page at `back`. Returns that page's address with it.
    pub fn back_with(&self, server: &Server, back: &str, text: String) -> Redirect {
        let (path, part) = back.split_once('#').map_or((back, ""), |(path, part)| (path, part));
        let Ok(name) = server.dashboard.sign_ins.keep(&self.id, Outcome { text }) else {
            return Redirect::to(back);
        };
        let joint = if path.contains('?') { '&' } else { '?' };
        let part = if part.is_empty() { String::new() } else { format!("#{part}") };
        Redirect::to(&format!("{path}{joint}said={name}{part}"))
    }

    /// Takes the result that an address names.
    pub fn outcome(&self, server: &Server, said: Option<&str>) -> Option<Outcome> {
        server.dashboard.sign_ins.take(&self.id, said?)
    }

    /// Ends the sign-in.
    pub fn sign_out(&self, server: &Server) {
        server.dashboard.sign_ins.end(&self.id);
    }
}

/// Whether two secrets are the same, in constant time. An empty one is like no other.
pub fn is_same(one: &str, other: &str) -> bool {
    !other.is_empty() && bool::from(one.as_bytes().ct_eq(other.as_bytes()))
}

/// The name of the cookie of a sign-in. Servers on several ports of one machine would otherwise share it.
pub fn session_cookie(options: &Options) -> String {
    format!("fusebox-{}", options.listen.port())
}

/// The value of a cookie.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Finds out who asks.
pub async fn identify(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let visitor = Visitor::new(&server, request.headers());
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// Sends those who may not read to the sign-in.
pub async fn readers_only(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    if visitor.holder.is_some() || reads_freely(&server, request.headers()) {
        return next.run(request).await;
    }
    to_sign_in(request.headers(), &uri, request.method().is_safe())
}

/// Sends those who are not signed in to the sign-in, and refuses those who may not decide.
pub async fn deciders_only(
    Extension(visitor): Extension<Visitor>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    match visitor.holder.as_ref().map(|holder| holder.role) {
        None => to_sign_in(request.headers(), &uri, request.method().is_safe()),
        Some(Role::Operator) => next.run(request).await,
        Some(_) => PageProblem::forbidden("A viewer may only read. Sign in with an operator's token.")
            .into_response(),
    }
}

/// Sends the browser to the sign-in, and afterwards back.
fn to_sign_in(headers: &HeaderMap, uri: &Uri, comes_back: bool) -> Response {
    let wanted = uri.path_and_query().map_or(HOME, |wanted| wanted.as_str());
    let back = if comes_back { wanted } else { HOME };
    let target = sign_in_to(back);
    // A script would put the page into the one that is shown.
    match headers.contains_key("hx-request") {
        true => {
            let mut response = StatusCode::UNAUTHORIZED.into_response();
            if let Ok(target) = HeaderValue::from_str(&target) {
                response.headers_mut().insert(HeaderName::from_static("hx-redirect"), target);
            }
            response
        }
        false => Redirect::to(&target).into_response(),
    }
}

/// The sign-in that leads to `back`.
pub fn sign_in_to(back: &str) -> String {
    format!("{SIGN_IN}?back={}", utf8_percent_encode(back, NON_ALPHANUMERIC))
}

/// An address of the dashboard that a request named; its start, if it is not one.
pub fn local(back: &str) -> &str {
    let is_local =
        back.strip_prefix(HOME).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
            && back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { back } else { HOME }
}

impl From<Problem> for PageProblem {
    fn from(problem: Problem) -> Self {
        Self::new(problem.status(), problem.detail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dashboards_own_addresses_are_gone_back_to() {
        for good in [HOME, "/cost-dashboard?sort=used#alerts", "/cost-dashboard/session/a%20b"] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/cost-dashboardx",
            "/cost-dashboard/\r\nSet-Cookie: a=b",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(local(bad), HOME);
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; fusebox-7878=secret;b=2"));
        assert_eq!(cookie(&headers, "fusebox-7878"), Some("secret"));
        assert_eq!(cookie(&headers, "fusebox"), None);
    }
}
