//! The static files of the dashboard. Their names contain a hash of their content, so that browsers may keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::super::tokens::hash;

const STYLE: &str = concat!(
    include_str!("assets/colours.css"),
    include_str!("assets/layout.css"),
    include_str!("assets/tables.css"),
    include_str!("assets/forms.css")
);
const SCRIPT: &str = include_str!("assets/dashboard.js");
const HTMX: &str = include_str!("assets/htmx-4.0.1.min.js");
const ICON: &str = include_str!("assets/favicon.svg");

/// The paths of the files, for pages.
pub struct Assets {
    /// The style sheet.
    pub style: String,
    /// The dashboard's own script.
    pub script: String,
    /// htmx.
    pub htmx: String,
}

/// The paths of this version's files.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let path = |name: &str, kind: &str, text: &str| {
        format!("/cost-dashboard/assets/{name}.{}.{kind}", hex::encode(&hash(text)[..6]))
    };
    Assets {
        style: path("dashboard", "css", STYLE),
        script: path("dashboard", "js", SCRIPT),
        htmx: path("htmx", "js", HTMX),
    }
});

/// Serves a file.
pub async fn serve(Path(name): Path<String>) -> Response {
    let path = format!("/cost-dashboard/assets/{name}");
    let (kind, text) = match &*ASSETS {
        assets if path == assets.style => ("text/css; charset=utf-8", STYLE),
        assets if path == assets.script => ("text/javascript; charset=utf-8", SCRIPT),
        assets if path == assets.htmx => ("text/javascript; charset=utf-8", HTMX),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")], text).into_response()
}

/// Serves the icon.
pub async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "public, max-age=86400")], ICON).into_response()
}
