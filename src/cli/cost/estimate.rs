//! `fusebox cost estimate`: what a text would cost as a prompt.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::super::render::{self, counted_many, table, usd_or_more};
use super::super::{Io, select, values};
use crate::app::messages::amounts::grouped;
use crate::domain::message::CHARS_PER_TOKEN;
use crate::domain::money::Terms;
use crate::domain::money::usd;
use crate::domain::usage::Usage;
use crate::platform::Env;

/// Estimate what a text would cost as a prompt, for several models.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Assumes four characters per token, and an answer as long as the prompt. A prompt of more than 10,000 tokens gets a \
warning. A + marks the price of a model that is not in the price list.

Examples:
  fusebox cost estimate prompt.md
  git diff | fusebox cost estimate - --model claude-opus-5-5 --json"
)]
pub struct EstimateArgs {
    /// The text; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A model. May be repeated.
    #[arg(long = "model", value_name = "MODEL", value_parser = values::model, default_values = DEFAULT_MODELS)]
    models: Vec<String>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// The models that are shown if none is chosen.
const DEFAULT_MODELS: [&str; 3] = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"];

/// Tokens of a prompt above which a warning is shown.
const WARN_ABOVE: u64 = 10_000;

#[derive(Serialize)]
struct EstimateJson {
    characters: u64,
    input_tokens: u64,
    output_tokens: u64,
    warning: bool,
    models: Vec<ModelJson>,
}

#[derive(Serialize)]
struct ModelJson {
    model: String,
    #[serde(skip)]
    cost_nanos: u64,
    cost_usd: f64,
    price_estimated: bool,
}

/// Runs the command.
///
/// # Errors
/// The configuration cannot be used, or the file cannot be read.
pub fn run(args: &EstimateArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let prices = select::configuration(env)?.prices;
    let characters = if args.file == Path::new("-") {
        count_characters(std::io::stdin().lock()).context("standard input cannot be read")
    } else {
        let file = File::open(&args.file).and_then(count_characters);
        file.map_err(|error| unreadable(&args.file, &error))
    }?;
    // No text is free.
    let tokens = (characters / CHARS_PER_TOKEN).max(characters.min(1));
    let usage = Usage { input: tokens, output: tokens, ..Usage::default() }.capped();
    let of = |model: &String| {
        let rates = prices.quote(model, env.now, usage.context(), Terms::default());
        let cost_nanos = rates.cost(usage, 0);
        let (model, cost_usd) = (model.clone(), usd(cost_nanos));
        ModelJson { model, cost_nanos, cost_usd, price_estimated: rates.is_estimate }
    };
    let estimate = EstimateJson {
        characters,
        input_tokens: usage.input,
        output_tokens: usage.output,
        warning: usage.input > WARN_ABOVE,
        models: args.models.iter().map(of).collect(),
    };
    if args.json {
        render::json(io.out, &estimate)?;
    } else {
        show(&estimate, io)?;
    }
    if estimate.warning {
        let (tokens, limit) = (grouped(estimate.input_tokens), grouped(WARN_ABOVE));
        writeln!(
            io.err,
            "fusebox: this prompt has about {tokens} tokens, more than {limit}: shorten it if you can"
        )?;
    }
    Ok(0)
}

fn show(estimate: &EstimateJson, io: &mut Io) -> anyhow::Result<()> {
    let characters = counted_many(estimate.characters, "character");
    let tokens = counted_many(estimate.input_tokens, "token");
    io.line(&format!("{characters}, about {tokens}, and as many in the answer:"))?;
    let mut rows = table::new_table(&["MODEL", "COST"], &["COST"]);
    for model in &estimate.models {
        rows.add_row([model.model.clone(), usd_or_more(model.cost_nanos, model.price_estimated)]);
    }
    write!(io.out, "{}", table::to_trimmed_text(&rows))?;
    Ok(())
}

/// Why a file cannot be read, and what to do.
fn unreadable(file: &Path, error: &std::io::Error) -> anyhow::Error {
    let why = match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "this is a folder".to_owned(),
        _ => error.to_string(),
    };
    anyhow!("{}: {why}. Name a file with the prompt, or - for standard input", file.display())
}

/// The characters of a text in UTF-8: all bytes but those that continue a character.
fn count_characters(mut text: impl Read) -> std::io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut characters = 0;
    loop {
        match text.read(&mut buffer) {
            Ok(0) => return Ok(characters),
            Ok(bytes) => {
                characters += buffer[..bytes].iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
