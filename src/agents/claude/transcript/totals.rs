//! The client's own totals (`cost-state` lines), and the names under which they have a response.

use std::collections::BTreeMap;

use super::object::{Object, number, object, text};
use super::pricing::nano_usd;
use crate::domain::message::ClientTotal;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

/// The client's own totals, one per model.
pub fn totals(line: &Object, at: Timestamp, position: &mut Position, out: &mut Vec<Fact>) {
    let run = i64::try_from(number(line, "startTime")).unwrap_or(0);
    let models = line.get("modelUsage").and_then(|m| object(m.get())).unwrap_or_default();
    let mut by_model: BTreeMap<&str, (Usage, Option<u64>)> = BTreeMap::new();
    for (model, counts) in models.all() {
        let Some(counts) = object(counts.get()) else { continue };
        let (usage, cost) = (usage(&counts), nano_usd(&counts));
        // A model with its long context has a total of its own.
        let known = by_model.entry(unmarked(model)).or_insert((Usage::default(), Some(0)));
        known.0 = known.0.plus(usage).capped();
        known.1 = known.1.zip(cost).map(|(known, cost)| known.saturating_add(cost));
    }
    for (model, (usage, nano_usd)) in by_model {
        let total = ClientTotal { run, model: model.to_owned(), usage, nano_usd, at, until: None };
        position.open_totals.retain(|t| (t.run, &t.model, t.usage) != (total.run, &total.model, total.usage));
        position.open_totals.push(total.clone());
        out.push(Fact::Total(total));
    }
}

fn usage(counts: &Object) -> Usage {
    let written = number(counts, "cacheCreationInputTokens");
    let (short, long) = (
        number(counts, "cacheCreationEphemeral5mInputTokens"),
        number(counts, "cacheCreationEphemeral1hInputTokens"),
    );
    Usage {
        input: number(counts, "inputTokens"),
        output: number(counts, "outputTokens"),
        cache_write_5m: short + written.saturating_sub(short.saturating_add(long)),
        cache_write_1h: long,
        cache_read: number(counts, "cacheReadInputTokens"),
    }
    .capped()
}

/// The model that the client asked for, if a line of a response of `model` names another one. A gateway may answer with
/// another model, but the client books the response under the one that it asked for.
pub fn asked_model(line: &Object, model: &str) -> Option<String> {
    let asked = text(line, "requestedModel");
    let asked = unmarked(asked.as_deref().unwrap_or(model));
    (asked != model).then(|| asked.to_owned())
}

/// A model's name without the client's mark for its long context (`[1m]`), which stands in totals, but not in responses.
fn unmarked(model: &str) -> &str {
    model.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).map_or(model, |(bare, _)| bare)
}
