//! Alerts of calls that a command recorded.

use super::super::Io;
use crate::app::messages::notices::alert_lines;
use crate::app::quota::Quotas;
use crate::app::store_access::StoreAccess;
use crate::config::Config;
use crate::hook::alert_command;
use crate::platform::Env;

/// Says on standard error which thresholds the budgets of a platform and a chain have passed, once each, and starts
/// `alerts.command`, as hooks do. A failure is said, and changes nothing: a hook shows the alerts.
pub fn tell(
    (platform, chain): (&str, &str),
    config: &Config,
    store: &mut StoreAccess,
    env: &Env,
    io: &mut Io,
) {
    let claimed = store.call(|store| Quotas::new(store, config, env.now)?.claim_alerts(platform, chain));
    let (alerts, states) = match claimed {
        Ok((alerts, _)) if alerts.is_empty() => return,
        Ok(claimed) => claimed,
        Err(error) => {
            let _ = writeln!(io.err, "fusebox: alerts were not shown: {error}");
            return;
        }
    };
    for line in alert_lines(&alerts, &states) {
        // Standard error may be gone with the terminal.
        let _ = writeln!(io.err, "{line}");
    }
    let ids: Vec<i64> = alerts.iter().map(|alert| alert.id).collect();
    let confirmed = store.call(|store| store.confirm_shown(&ids, &[]));
    let failed = alert_command::run(&config.alert_command, &alerts, &[]);
    for problem in confirmed.err().map(|error| error.to_string()).into_iter().chain(failed) {
        let _ = writeln!(io.err, "fusebox: {problem}");
    }
}
