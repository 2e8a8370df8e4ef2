//! The operator of a shared store, who may decide; the hooks' user may only record.

use super::session::SessionContext;
use crate::config::redis_address::Address;
use crate::config::{Config, DEFAULT_TENANT};

/// The default name of the operator's user in Redis.
pub const OPERATOR: &str = "fusebox-operator";

/// The command line with which an operator runs `command` on the shared store of this configuration.
pub fn operator_command(config: &Config, command: &str) -> String {
    let Some(redis) = &config.redis else { return command.to_owned() };
    let url = with_user(&redis.url, OPERATOR);
    let tenant = match config.tenant.as_str() {
        DEFAULT_TENANT => String::new(),
        tenant => format!("FUSEBOX_STORE_TENANT={} ", shell_quoted(tenant)),
    };
    let url = shell_quoted(&url);
    format!("FUSEBOX_STORE_REDIS_URL={url} FUSEBOX_STORE_REDIS_PASSWORD_FILE=FILE {tenant}{command}")
}

/// Quotes a word for a shell.
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,+%=".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The text for a person who may record in the shared store, but not decide.
pub fn denied_text(config: &Config, denied: &str) -> String {
    let command = operator_command(config, denied);
    format!("this Redis user may record, but not decide. An operator can run in a terminal: {command}")
}

/// Uses the login of `own` for a session's store from now on, if both name the same store. The session's hooks may only
/// record in it, while the person who decides may be an operator.
pub fn use_own_login(ctx: &mut SessionContext, own: &Config) {
    let (Some(of_session), Some(mine)) = (&ctx.config.redis, &own.redis) else { return };
    let is_same = ctx.config.tenant == own.tenant && is_same_server(&of_session.url, &mine.url);
    if is_same && of_session != mine {
        ctx.config.redis = Some(mine.clone());
        ctx.store.switch_to(&ctx.config);
    }
}

/// The address with another user, for somebody else's command line.
pub fn with_user(url: &str, user: &str) -> String {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let options: Vec<&str> = query.split('&').filter(|o| !o.is_empty() && !o.starts_with("user=")).collect();
    let sign = if options.is_empty() { "" } else { "?" };
    format!("{scheme}://{user}@{hosts}{path}{sign}{}", options.join("&"))
}

/// Whether two addresses name the same servers, ignoring logins.
fn is_same_server(one: &str, other: &str) -> bool {
    let plain = |url: &str| Address::parse(url).ok().map(|address| address.without_login());
    plain(one).zip(plain(other)).is_some_and(|(one, other)| one == other)
}
