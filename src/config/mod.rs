//! Configuration (stub).
#![allow(missing_docs)]
use crate::domain::budget::*;
use crate::domain::window::WindowRule;
use crate::env::Env;
use serde::{Deserialize, Serialize};
use std::path::Path;
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Copy)]
pub enum Show {
    Always,
    PastThreshold,
    Never,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub enabled: bool,
    pub tenant: String,
    pub team: Option<String>,
    pub budgets: Vec<Budget>,
    pub brief: Show,
    pub alert_command: Vec<String>,
    pub task_type: Option<String>,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u64);
impl Stamp {
    pub fn of(_e: &Env, _p: Option<&Path>) -> Self {
        Stamp(1)
    }
}
pub struct Problem;
impl std::fmt::Display for Problem {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
pub struct Loaded {
    pub config: Config,
    pub problems: Vec<Problem>,
    pub stamp: Stamp,
}
impl Loaded {
    pub fn is_usable(&self) -> bool {
        true
    }
}
pub fn load(env: &Env, p: Option<&Path>) -> Loaded {
    let limit = env.var("FUSEBOX_BUDGET_SESSION_LIMIT").and_then(|v| v.parse().ok()).unwrap_or(1_000_000);
    Loaded {
        config: Config {
            enabled: true,
            tenant: "x".into(),
            team: None,
            brief: Show::Always,
            alert_command: vec![],
            task_type: None,
            budgets: vec![Budget {
                name: "session".into(),
                scope: Scope::Session,
                matches: "*".into(),
                unit: Unit::Tokens,
                count: Classes::FRESH,
                limit,
                hard_limit: None,
                window: WindowRule::LIFETIME,
                thresholds: vec![0.5, 0.8, 0.9, 1.0],
                on_limit: OnLimit::Pause,
                wrap_up: 1,
                mode: Mode::Enforce,
                store_down: StoreDown::Local,
            }],
        },
        problems: vec![],
        stamp: Stamp::of(env, p),
    }
}
impl Default for Config {
    fn default() -> Self {
        load(
            &Env {
                now: crate::domain::time::Timestamp(0),
                vars: Default::default(),
                cwd: "/".into(),
                uid: 0,
            },
            None,
        )
        .config
    }
}
