//! The status line: what a session's cache and the client know, without asking the store.

use super::messages::status_line::{Segment, Tone};
use super::messages::{amounts, status_line as text};
use super::session::SessionContext;
use crate::agents::status_line::StatusLineInput;
use crate::config::{StatusPart, printable};
use crate::domain::budget::{BudgetState, Scope, Status};
use crate::domain::plan::{PlanUsage, PlanWindow, UNITS_PER_PERCENT};
use crate::domain::window::Period;
use crate::store::plan_file::Plan;

/// A subagent whose last response is older than this is not shown, in milliseconds.
const AT_WORK_MS: i64 = 5 * 60 * 1000;

/// The longest name that is shown, in characters.
const NAME_CHARS: usize = 24;

/// The segments of the line, in the configured order. `plan`: what is known about the subscription's limits.
pub fn segments(ctx: &SessionContext, input: &StatusLineInput, plan: &Plan) -> Vec<Segment> {
    if !ctx.config.enabled {
        return Vec::new();
    }
    let of = |part: &StatusPart| match part {
        StatusPart::Model => model(input).into_iter().collect(),
        StatusPart::Context => context(input).into_iter().collect(),
        StatusPart::Budgets => budgets(ctx),
        StatusPart::Cost => cost(input).into_iter().collect(),
        StatusPart::Plan => plan_windows(ctx, plan),
        StatusPart::Breaker => breakers(ctx),
        StatusPart::Subagents => subagents(ctx).into_iter().collect(),
        StatusPart::Problems => problems(ctx),
    };
    ctx.config.status_line.parts.iter().flat_map(of).collect()
}

fn model(input: &StatusLineInput) -> Option<Segment> {
    let name = printable(input.model.as_deref()?, NAME_CHARS);
    let speed = if input.is_fast { " fast" } else { "" };
    Some(Segment::new(2, format!("{name}{speed}")))
}

fn context(input: &StatusLineInput) -> Option<Segment> {
    let context = input.context?;
    let room = match context.size {
        0 => String::new(),
        size => format!(" of {}", text::compact(size)),
    };
    let segment = Segment::new(4, format!("context {}%{room}", context.percent));
    Some(segment.short(format!("ctx {}%", context.percent)).tone(Tone::Use(context.percent as f64 / 100.0)))
}

/// The session's own budgets and those with a daily window; others once they have passed a threshold.
fn budgets(ctx: &SessionContext) -> Vec<Segment> {
    let session = &ctx.source.session;
    let is_own = |state: &BudgetState| state.budget.scope == Scope::Session && state.value == *session;
    let is_shown = |state: &&BudgetState| {
        let is_daily = state.budget.window.period == Period::Day && state.budget.scope != Scope::Session;
        state.window.contains(ctx.env.now) && (is_own(state) || is_daily || state.status() > Status::Active)
    };
    let mut shown: Vec<&BudgetState> = ctx.known_states().iter().filter(is_shown).collect();
    shown.sort_by_key(|state| !is_own(state));
    shown.into_iter().map(|state| budget(state, is_own(state))).collect()
}

fn budget(state: &BudgetState, is_own: bool) -> Segment {
    let name = printable(&state.budget.name, NAME_CHARS);
    let (percent, unit) = ((state.utilization() * 100.0) as u64, state.budget.unit);
    let note = match state.status() {
        Status::Active | Status::Warning => String::new(),
        status => format!(" {}", status.name()),
    };
    let share = format!("{}/{}", text::count(state.used, unit), text::count(state.limit(), unit));
    let is_past = state.status() > Status::Active;
    Segment::new(if is_own || is_past { 8 } else { 6 }, format!("{percent}% {share}{note}"))
        .short(format!("{name} {percent}%{note}"))
        .with_bar(&name, state.utilization())
}

fn cost(input: &StatusLineInput) -> Option<Segment> {
    Some(Segment::new(5, amounts::dollars(input.nano_usd?)))
}

fn plan_windows(ctx: &SessionContext, plan: &Plan) -> Vec<Segment> {
    let known = [(PlanWindow::FiveHours, "5h"), (PlanWindow::Week, "week")];
    known
        .into_iter()
        .filter_map(|(window, name)| plan_window(ctx, plan.usage(window)?, window, name))
        .collect()
}

/// A window whose reset has passed is not shown: nothing is known about the next one.
fn plan_window(ctx: &SessionContext, usage: &PlanUsage, window: PlanWindow, name: &str) -> Option<Segment> {
    let now = ctx.env.now;
    let reading = usage.current(now)?;
    let percent = reading.used / UNITS_PER_PERCENT;
    let full = usage.limit_reached_at(window, 100 * UNITS_PER_PERCENT, now);
    let next = match full {
        Some(at) if reading.used < 100 * UNITS_PER_PERCENT => {
            format!("full in {}", text::span(at.millis_since(now)))
        }
        _ => format!("resets in {}", text::span(reading.resets_at.millis_since(now))),
    };
    let use_of = reading.used as f64 / (100 * UNITS_PER_PERCENT) as f64;
    let segment = Segment::new(7, format!("{name} {percent}%, {next}")).short(format!("{name} {percent}%"));
    Some(segment.tone(Tone::Use(use_of)))
}

fn breakers(ctx: &SessionContext) -> Vec<Segment> {
    let open: Vec<(&String, &str, &str)> = ctx
        .cache
        .circuits
        .iter()
        .filter_map(|(agent, known)| {
            let phase = &known.breaker.phase;
            Some((agent, phase.name(), phase.trip()?.rule.as_str()))
        })
        .collect();
    let main = open.iter().find(|(agent, _, _)| agent.is_empty());
    let held = open.iter().filter(|(agent, _, _)| !agent.is_empty()).count();
    let main = main.map(|(_, phase, rule)| {
        let phase = phase.replace('_', "-");
        Segment::new(10, format!("breaker {phase}: {}", printable(&rule.replace('_', " "), NAME_CHARS)))
            .short(format!("breaker {phase}"))
            .tone(Tone::Alarm)
    });
    let held = (held > 0)
        .then(|| Segment::new(9, format!("{} held back", text::counted(held, "subagent"))).tone(Tone::Alarm));
    main.into_iter().chain(held).collect()
}

/// The subagents that responded lately.
fn subagents(ctx: &SessionContext) -> Option<Segment> {
    let is_at_work = |at| ctx.env.now.millis_since(at) <= AT_WORK_MS;
    let positions = ctx.cache.positions.values().filter(|position| position.agent.is_some());
    let live = positions.filter(|position| position.last_message_at.is_some_and(is_at_work)).count();
    (live > 0).then(|| Segment::new(3, text::counted(live, "subagent")))
}

fn problems(ctx: &SessionContext) -> Vec<Segment> {
    let problem = |words: &str| Segment::new(9, words.to_owned()).tone(Tone::Alarm);
    let incomplete = ctx.cache.is_incomplete();
    let is_offline = ctx.cache.offline_counts.is_some();
    let found = [(incomplete, "count incomplete"), (is_offline, "store unreachable")];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| problem(words)).collect()
}
