//! Signing in with a token, and out.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::Server;
use super::super::access::authenticated;
use super::super::options::Options;
use super::super::tokens::{Role, new_secret};
use super::page::{Form, Frame, PageProblem, Query, page};
use super::sign_ins::LIFETIME;
use super::visitor::{HOME, SIGN_IN, Visitor, cookie, is_same, local, session_cookie};

/// How long a form can be used, in seconds.
const FORM_SECONDS: u64 = 3600;

/// The page.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    back: String,
    csrf: String,
    problem: Option<String>,
}

/// The parameters of its address.
#[derive(Debug, Deserialize)]
pub struct Back {
    #[serde(default)]
    back: String,
}

/// What was typed.
#[derive(Deserialize)]
pub struct Typed {
    #[serde(default)]
    token: String,
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    back: String,
}

/// The cookie of the form. Another site cannot set it, so it cannot sign anyone in.
fn form_cookie(options: &Options) -> String {
    format!("{}-form", session_cookie(options))
}

/// A cookie that scripts cannot read, and that no other site sends.
fn set_cookie(options: &Options, name: &str, value: &str, path: &str, seconds: u64) -> HeaderValue {
    let secure = if options.tls.is_some() || options.behind_proxy { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// Shows the form.
pub async fn form(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Query(back): Query<Back>,
) -> Result<Response, PageProblem> {
    show(&server, &visitor, StatusCode::OK, local(&back.back), None)
}

fn show(
    server: &Server,
    visitor: &Visitor,
    status: StatusCode,
    back: &str,
    problem: Option<String>,
) -> Result<Response, PageProblem> {
    let csrf = new_secret()
        .map_err(|error| PageProblem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let frame = Frame::new(server, visitor, "", back.to_owned());
    let cookie = set_cookie(&server.options, &form_cookie(&server.options), &csrf, SIGN_IN, FORM_SECONDS);
    let mut response = page(status, &SignInPage { frame, back: back.to_owned(), csrf, problem });
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

/// Signs in.
pub async fn sign_in(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(typed): Form<Typed>,
) -> Result<Response, PageProblem> {
    let back = local(&typed.back);
    let again = |status, text: &str| show(&server, &visitor, status, back, Some(text.to_owned()));
    let expected = cookie(&headers, &form_cookie(&server.options)).unwrap_or_default();
    if !is_same(&typed.csrf, expected) {
        return again(
            StatusCode::FORBIDDEN,
            "This form was out of date. Cookies must be allowed. Try again.",
        );
    }
    let token = typed.token.trim();
    if token.is_empty() {
        return again(StatusCode::BAD_REQUEST, "Enter a token.");
    }
    let holder = match authenticated(&server, client, token) {
        Ok(holder) => holder,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            return again(problem.status(), "This token is not valid.");
        }
        Err(problem) => return again(problem.status(), "Too many wrong tokens. Try again in a minute."),
    };
    if holder.role == Role::Ingest {
        return again(StatusCode::FORBIDDEN, "This token may only send telemetry.");
    }
    // Another sign-in of the same browser ends.
    visitor.sign_out(&server);
    let secret = server
        .dashboard
        .sign_ins
        .begin(token)
        .map_err(|error| PageProblem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    tracing::info!(name = holder.name, role = holder.role.name(), "signed in");
    let name = session_cookie(&server.options);
    let mut response = Redirect::to(back).into_response();
    let set = [
        set_cookie(&server.options, &name, &secret, HOME, LIFETIME.as_secs()),
        set_cookie(&server.options, &form_cookie(&server.options), "", SIGN_IN, 0),
    ];
    for cookie in set {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The form that signs out.
#[derive(Deserialize)]
pub struct SignOut {
    #[serde(default)]
    csrf: String,
}

/// Signs out.
pub async fn sign_out(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Form(form): Form<SignOut>,
) -> Result<Response, PageProblem> {
    if visitor.holder.is_some() {
        if !is_same(&form.csrf, &visitor.csrf) {
            return Err(PageProblem::forbidden(
                "This form is out of date. Go back, and load the page again.",
            ));
        }
        visitor.sign_out(&server);
    }
    let mut response = Redirect::to(HOME).into_response();
    let gone = set_cookie(&server.options, &session_cookie(&server.options), "", HOME, 0);
    response.headers_mut().append(SET_COOKIE, gone);
    Ok(response)
}
