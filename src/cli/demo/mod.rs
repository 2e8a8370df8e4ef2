//! `fusebox demo`: sends a captured session through the real hook executables, in a temporary folder.

mod session;

use anstyle::{AnsiColor, Style};

use self::session::DemoSession;
use super::Io;
use crate::platform::Env;

/// The session's budget in the demo, in tokens.
const LIMIT: u64 = 5_000;

/// Show what Fusebox does, with a recorded session, in a temporary folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything happens in a temporary folder, which is removed at the end. Your own settings, sessions \
and budgets are not touched."
)]
pub struct DemoArgs {
    /// Keep the temporary folder, and print its path.
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
///
/// # Errors
/// The hook executables are missing, or do not answer as expected.
pub fn run(args: &DemoArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let mut demo = DemoSession::new(env, LIMIT)?;
    heading(io, "1  Metering", "a budget of 5,000 tokens, in a folder of its own")?;
    demo.session_start(io)?;
    demo.prompt("please do the basic thing", io)?;

    heading(io, "2  Warning", "once for each threshold, to the agent and to you")?;
    demo.response("the agent runs a command", io)?;
    demo.response("it reads a file", io)?;
    demo.response("it continues", io)?;

    heading(io, "3  Denial", "over the limit: tool calls are denied, and the agent is told why")?;
    demo.response("it continues", io)?;

    heading(io, "4  Extension", "a person decides, in their own terminal")?;
    demo.fusebox(&["budget", "extend", "session", "--tokens", "1000", "--reason", "nearly done"], io)?;
    demo.prompt("go on", io)?;
    demo.response("the agent works again", io)?;

    heading(io, "5  Stop", "an agent that ignores a denial is stopped after one more response")?;
    demo.response("it loops", io)?;
    demo.response("over the limit again", io)?;
    demo.response("it ignores the denial", io)?;
    demo.prompt("and another prompt", io)?;

    heading(io, "6  Status", "what `fusebox status` shows")?;
    demo.fusebox(&["status", "--session", session::SESSION], io)?;
    let next = "Next: `fusebox init` registers the hooks; README.md explains how to set budgets.";
    writeln!(io.out, "\n{next}")?;
    if args.keep {
        writeln!(io.out, "Kept: {}", demo.keep().display())?;
    }
    Ok(0)
}

fn heading(io: &mut Io, title: &str, text: &str) -> anyhow::Result<()> {
    let (bold, dim) = (Style::new().bold().fg_color(Some(AnsiColor::Cyan.into())), Style::new().dimmed());
    writeln!(io.out, "\n{bold}{title}{bold:#}  {dim}{text}{dim:#}")?;
    Ok(())
}
