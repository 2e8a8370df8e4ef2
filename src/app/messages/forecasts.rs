//! Forecasts of budgets in percent: when the limit is reached at the current pace, and when the window ends.

use super::amounts::{duration, number};
use crate::domain::budget::{BudgetState, Unit};

/// `at this pace the limit is reached in 47 min, 1 h 10 min before the reset`. `None`: it is not reached before the reset,
/// it was reached already, or nothing can be told.
pub fn limit_ahead(state: &BudgetState) -> Option<String> {
    let plan = state.budget.plan.filter(|_| state.remaining() > 0)?;
    let at = plan.limit_reached_at(state.limit())?;
    let (left, before) = (at.millis_since(plan.now), plan.reading.resets_at.millis_since(at));
    Some(format!(
        "at this pace the limit is reached in {}, {} before the reset",
        duration(left),
        duration(before)
    ))
}

/// `in 2 h 5 min`: when a window of the subscription ends. `None` for other windows.
pub fn time_left(state: &BudgetState) -> Option<String> {
    let plan = state.budget.plan?;
    Some(format!("in {}", duration(plan.reading.resets_at.millis_since(plan.now))))
}

/// When the budget's window ends, in its time zone: `2026-11-30T12:00:00Z`, for a subscription
/// `2026-11-30T12:00:00Z (in 2 h 5 min)`. `None`: never.
pub fn window_end(state: &BudgetState) -> Option<String> {
    let end = state.budget.window.zone.rfc3339(state.window.end?);
    Some(time_left(state).map_or_else(|| end.clone(), |left| format!("{end} ({left})")))
}

/// `It resets at 2026-11-30T12:00:00Z. To continue before that`; `To continue` if it never does.
pub fn to_continue(state: Option<&BudgetState>) -> String {
    match state.and_then(window_end) {
        Some(end) => format!("It resets at {end}. To continue before that"),
        None => "To continue".to_owned(),
    }
}

/// `12.50% per hour: at this pace the limit is not reached before the reset`, for `status`. `None` if there is nothing
/// to say.
pub fn pace(state: &BudgetState) -> Option<String> {
    let pace = state.budget.plan?.pace?.round() as u64;
    let pace = number(pace, Unit::Percent);
    let then = match limit_ahead(state) {
        Some(ahead) => format!(": {ahead}"),
        None if state.remaining() == 0 => String::new(),
        None => ": at this pace the limit is not reached before the reset".to_owned(),
    };
    Some(format!("{pace} per hour{then}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::Budget;
    use crate::domain::plan::{PlanReading, PlanStanding, PlanWindow};
    use crate::domain::time::Timestamp;
    use crate::domain::window::{Period, WindowRule};

    const MINUTE: i64 = 60_000;

    /// A budget of 90 %, of which `used` is used at this pace; the window ends in 117 minutes.
    fn state(used: u64, pace: Option<f64>) -> BudgetState {
        let now = Timestamp(1_000 * MINUTE);
        let reading = PlanReading { used, resets_at: now.plus_millis(117 * MINUTE), at: now };
        let window = WindowRule { period: Period::Plan(PlanWindow::FiveHours), ..WindowRule::LIFETIME };
        let plan = Some(PlanStanding { reading, pace, now, noticed: 0 });
        let budget = Budget { unit: Unit::Percent, limit: 9_000, window, plan, ..Budget::placeholder() };
        BudgetState::new(&budget, "ann", budget.window_at(now))
    }

    #[test]
    fn a_limit_that_is_reached_before_the_reset() {
        // 23.5 % in 47 minutes.
        let ahead = "at this pace the limit is reached in 47 min, 1 h 10 min before the reset";
        assert_eq!(limit_ahead(&state(6_650, Some(3_000.0))).as_deref(), Some(ahead));
        assert_eq!(pace(&state(6_650, Some(3_000.0))), Some(format!("30.00% per hour: {ahead}")));
        assert_eq!(time_left(&state(6_650, None)).as_deref(), Some("in 1 h 57 min"));
        assert_eq!(window_end(&state(6_650, None)).as_deref(), Some("1970-01-01T18:37:00Z (in 1 h 57 min)"));
    }

    #[test]
    fn nothing_is_said_without_need() {
        for (used, measured) in
            [(6_650, None), (6_650, Some(0.0)), (1_000, Some(500.0)), (9_000, Some(3_000.0))]
        {
            assert_eq!(limit_ahead(&state(used, measured)), None, "{used} {measured:?}");
        }
        let says = "5.00% per hour: at this pace the limit is not reached before the reset";
        assert_eq!(pace(&state(1_000, Some(500.0))).as_deref(), Some(says));
        assert_eq!(pace(&state(9_000, Some(500.0))).as_deref(), Some("5.00% per hour"));
        assert_eq!(pace(&state(1_000, None)), None);
    }
}
