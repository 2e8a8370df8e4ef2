//! The dashboard: pages that the server renders, readable without scripts. With scripts, htmx replaces the numbers in place,
//! and forms open in a dialog; the server answers the same pages either way.
//!
//! [`overview`] is the start, [`sessions`] and [`session`] are about sessions, [`decide`] and [`alerts`] carry out decisions.
//! [`visitor`] says who asks, [`sign_in`] lets operators in.

mod alerts;
mod assets;
mod budgets;
mod cards;
mod choice;
mod circuits;
mod decide;
mod derived;
mod events;
mod overview;
mod page;
mod session;
mod sessions;
mod sign_in;
mod sign_ins;
mod spend;
mod text;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::{get, post};
use chrono::NaiveDate;

use self::choice::SortBy;
use self::derived::Derived;
use self::page::PageProblem;
use self::sign_ins::SignIns;
use self::visitor::HOME;
use super::Server;
use super::reports::Report;
use crate::app::snapshot::Snapshot;

/// What the dashboard keeps in memory.
#[derive(Default)]
pub struct Dashboard {
    sign_ins: SignIns,
    /// The positions of budgets in a snapshot, by column, whether the largest comes first, and whether budgets of ended
    /// sessions belong to it.
    orders: Derived<Snapshot, (SortBy, bool, bool), Vec<usize>>,
    /// The drawn spend, by last day and number of days.
    charts: Derived<Report, (NaiveDate, usize), String>,
}

/// All addresses of the dashboard.
pub fn router(server: &Arc<Server>) -> Router<Arc<Server>> {
    let decisions = Router::new()
        .route("/budget/{id}/extend", get(decide::extend_form).post(decide::extend))
        .route("/budget/{id}/reset", get(decide::reset_form).post(decide::reset))
        .route("/circuit/{id}/{decision}", get(decide::circuit_form).post(decide::circuit))
        .route("/alerts/acknowledge", post(alerts::acknowledge_all))
        .route("/alerts/{id}/acknowledge", post(alerts::acknowledge))
        .layer(from_fn(visitor::deciders_only));
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/sessions", get(sessions::show))
        .route("/session/{id}", get(session::show))
        .layer(from_fn_with_state(Arc::clone(server), visitor::readers_only));
    let dashboard = Router::new()
        .merge(pages)
        .merge(decisions)
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .fallback(|| async { PageProblem::not_found("page") })
        .layer(from_fn_with_state(Arc::clone(server), visitor::identify))
        .route("/assets/{name}", get(assets::serve));
    Router::new()
        .nest(HOME, dashboard)
        .route("/favicon.svg", get(assets::icon))
        .route("/", get(|| async { Redirect::to(HOME) }))
}
