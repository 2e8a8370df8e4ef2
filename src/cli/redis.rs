//! `fusebox redis acl`: prints the recommended users of the shared store.

use serde::Serialize;

use super::{Io, UsageError, render};
use crate::app::operator::OPERATOR;
use crate::platform::Env;
use crate::store::redis::acl::{HASH, Role};

/// The default name of the hooks' user.
const HOOK_USER: &str = "fusebox-hook";

/// Prepare Redis as the shared store of several machines.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox redis acl --tenant acme > users.acl   then add the password hashes
  fusebox redis acl --tenant acme --json")]
pub struct RedisArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the Redis users that Fusebox needs, as lines of an ACL file: one can only record, the other can also decide.
    Acl(AclArgs),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The hooks' user can record. It can read, but not change, what people decided (extensions, resets, acknowledged \
alerts, the time of the installation). The operator's user can also decide. Each has access to only the keys of its tenant and the \
commands that it needs. Replace each placeholder with the hash of a password: printf %s \"$PASSWORD\" | sha256sum

Each line can go into an ACL file; the part after \"user\" is what ACL SETUSER takes. Requires Redis 7.0 or later, or Valkey.

Examples:
  fusebox redis acl --tenant acme > users.acl
  fusebox redis acl --tenant acme --hook-user ci-hook --operator alice
  fusebox redis acl --json | jq -r '.[].rules'"
)]
struct AclArgs {
    /// The tenant [default: store.tenant of the configuration]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The name of the hooks' user.
    #[arg(long, value_name = "NAME", default_value = HOOK_USER)]
    hook_user: String,
    /// The name of the operator's user.
    #[arg(long, value_name = "NAME", default_value = OPERATOR)]
    operator: String,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct AclUser {
    user: String,
    role: &'static str,
    rules: String,
    commands: Vec<&'static str>,
}

impl AclUser {
    fn new(user: &str, role: Role, tenant: &str) -> anyhow::Result<Self> {
        if user.is_empty() || user.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UsageError(format!("{user:?} is not a valid name for a Redis user")).into());
        }
        let name = if role == Role::Hook { "hook" } else { "operator" };
        Ok(Self { user: user.to_owned(), role: name, rules: role.rules(tenant), commands: role.commands() })
    }
}

/// Runs the command.
///
/// # Errors
/// An invalid name.
pub fn run(args: &RedisArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Command::Acl(args) = &args.command;
    let tenant = match &args.tenant {
        Some(tenant) => tenant.clone(),
        None => crate::config::load(env, None).config.tenant,
    };
    if !crate::config::is_name(&tenant) {
        let allowed = "1 to 64 letters, digits, \"-\", \"_\" and \".\"";
        return Err(UsageError(format!("{tenant:?} is not a valid tenant name: use {allowed}")).into());
    }
    if args.hook_user == args.operator {
        return Err(
            UsageError("the hooks' user and the operator's user must have different names".into()).into()
        );
    }
    let users = [
        AclUser::new(&args.hook_user, Role::Hook, &tenant)?,
        AclUser::new(&args.operator, Role::Operator, &tenant)?,
    ];
    if args.json {
        render::json(io.out, &users)?;
        return Ok(0);
    }
    // On standard error: an ACL file cannot contain comments.
    writeln!(io.err, "# Tenant {tenant}. Replace {HASH} with the hash of each password.")?;
    for (user, can) in users.iter().zip([
        "records for hooks; cannot extend, reset, delete or acknowledge",
        "can also decide; for people",
    ]) {
        writeln!(io.err, "# {}: {can}", user.user)?;
        writeln!(io.out, "user {} {}", user.user, user.rules)?;
    }
    Ok(0)
}
