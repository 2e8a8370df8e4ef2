//! Names of models: as they stand in responses, and as they stand in the table. The build uses the same rules.

/// Families of Claude models: the word in their names.
pub const CLAUDE_FAMILIES: [&str; 5] = ["opus", "sonnet", "haiku", "fable", "mythos"];

/// The name without what does not choose the price: upper case, the vendor before it (`us.anthropic.…`, `anthropic/…`),
/// and a mark in brackets behind it (`[1m]`). Versions of Claude models are written with hyphens.
pub fn canonical(name: &str) -> String {
    let lower = name.trim().to_ascii_lowercase();
    let mut rest = lower.as_str();
    if let Some((before, "")) = rest.split_once(']')
        && let Some((bare, _)) = before.rsplit_once('[')
    {
        rest = bare;
    }
    rest = rest.rsplit('/').next().unwrap_or(rest);
    // Names of vendors and regions have no digit: `us.anthropic.claude-…`, but not `gpt-5.4`.
    while let Some((vendor, bare)) = rest.split_once('.')
        && !vendor.is_empty()
        && vendor.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
    {
        rest = bare;
    }
    if is_claude(rest) { rest.replace('.', "-") } else { rest.to_owned() }
}

/// A canonical name without its date or version: `-20251101`, `-2025-11-01`, `@20251101`, `-v1:0`, `-latest`. A speed in
/// the name of a Claude model is left out, too (`-fast`): the response says at which speed it was made.
pub fn undated(name: &str) -> &str {
    let mut rest = name.split_once('@').map_or(name, |(bare, _)| bare);
    if is_claude(rest) {
        rest = rest.split_once(':').map_or(rest, |(bare, _)| bare);
        rest =
            rest.rsplit_once("-v").filter(|(_, version)| is_number(version)).map_or(rest, |(bare, _)| bare);
    }
    let words: &[&str] = if is_claude(rest) { &["-latest", "-fast", "-thinking"] } else { &["-latest"] };
    rest = words.iter().find_map(|word| rest.strip_suffix(word)).unwrap_or(rest);
    let is_date = |part: &str| part.len() >= 3 && is_number(part);
    if let Some((bare, date)) = rest.rsplit_once('-')
        && is_date(date)
    {
        return bare;
    }
    let mut parts = rest.rsplitn(4, '-');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(day), Some(month), Some(year), Some(bare))
            if [day.len(), month.len(), year.len()] == [2, 2, 4]
                && [day, month, year].map(is_number) == [true; 3] =>
        {
            bare
        }
        _ => rest,
    }
}

/// Whether a canonical name matches a pattern: a name with `*` at its beginning or end for any text. What follows the
/// name must not make it another model: `claude-opus-4-1*` is not `claude-opus-4-10` or `claude-opus-4-1-5`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (begins_anywhere, core) = pattern.strip_prefix('*').map_or((false, pattern), |core| (true, core));
    let (ends_anywhere, core) = core.strip_suffix('*').map_or((false, core), |core| (true, core));
    let rest = match begins_anywhere {
        true => name.find(core).map(|at| &name[at + core.len()..]),
        false => name.strip_prefix(core),
    };
    rest.is_some_and(|rest| rest.is_empty() || (ends_anywhere && is_same_model(core, rest)))
}

fn is_same_model(core: &str, rest: &str) -> bool {
    if !core.ends_with(|c: char| c.is_ascii_digit()) {
        return true;
    }
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let number = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
    !rest.starts_with(['-', '.']) || !(1..=2).contains(&number)
}

/// The family of a model, by its canonical name; empty for a Claude model of none.
pub fn family(name: &str) -> &str {
    if is_claude(name) {
        let known = CLAUDE_FAMILIES.into_iter().find(|family| name.contains(family));
        return known.unwrap_or_default();
    }
    let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
    &name[..end]
}

/// Whether a canonical name is that of a Claude model.
pub fn is_claude(name: &str) -> bool {
    name.contains("claude")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}
