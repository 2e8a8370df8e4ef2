//! Alerts of calls that a command recorded.

use super::super::Io;
use crate::app::messages::notices::alert_lines;
use crate::app::quota::Quotas;
use crate::app::store_access::StoreAccess;
use crate::config::Config;
use crate::hook::alert_command;
use crate::platform::Env;

/// The last alert before a command's own step: later ones are its own, and earlier ones belong to whoever raised them.
/// `None`: the store cannot be read.
pub fn last(store: &mut StoreAccess) -> Option<i64> {
    let alerts = store.call(|store| store.alerts()).ok()?;
    Some(alerts.iter().map(|record| record.alert.id).max().unwrap_or(0))
}

/// Says on standard error which thresholds the budgets of a platform and a chain have passed since the alert `last`, once
/// each, and starts `alerts.command`, as hooks do. What cannot be said is left to a hook.
pub fn tell(
    of: (&str, &str),
    last: Option<i64>,
    config: &Config,
    store: &mut StoreAccess,
    env: &Env,
    io: &mut Io,
) {
    let Some(last) = last else { return };
    let claimed = store.call(|store| Quotas::new(store, config, env.now)?.claim_alerts(of, env.now));
    let (mut alerts, states) = match claimed {
        Ok(claimed) => claimed,
        Err(error) => {
            let _ = writeln!(io.err, "fusebox: alerts were not shown: {error}");
            return;
        }
    };
    alerts.retain(|alert| alert.id > last);
    let lines = alert_lines(&alerts, &states);
    // Standard error may be gone with the terminal.
    if lines.is_empty() || lines.iter().any(|line| writeln!(io.err, "{line}").is_err()) {
        return;
    }
    let ids: Vec<i64> = alerts.iter().map(|alert| alert.id).collect();
    let confirmed = store.call(|store| store.confirm_shown(&ids, &[]));
    let failed = alert_command::run(&config.alert_command, &alerts, &[]);
    for problem in confirmed.err().map(|error| error.to_string()).into_iter().chain(failed) {
        let _ = writeln!(io.err, "fusebox: {problem}");
    }
}
