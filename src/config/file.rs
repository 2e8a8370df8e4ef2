//! Reads a configuration file into assignments with their lines.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::field::{PRICES, TABLES, model_price_path};
use super::source::{Problem, Source, printable};
use super::table::TableKind;
use super::value::RawValue;

/// Larger files are refused: parsing them would exceed a hook's deadline.
const MAX_BYTES: u64 = 128 * 1024;

/// What one layer sets, before checks.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// Keys outside budgets.
    pub settings: Vec<Assignment>,
    /// Budgets, rates and platforms, each kind in file order.
    pub tables: Vec<NamedTable>,
    /// Problems that prevented parts from being read.
    pub problems: Vec<Problem>,
}

/// A key and its value, as written.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    /// `store.tenant`, or `limit` in a budget.
    pub key: String,
    /// Its value.
    pub raw: RawValue,
    /// Its source.
    pub source: Source,
    /// The line of the key.
    pub line: Option<usize>,
}

/// A `[[budget]]`, `[[rate]]` or `[[platform]]` of a layer.
#[derive(Clone, Debug)]
pub(super) struct NamedTable {
    /// What it is.
    pub kind: TableKind,
    /// The name as written.
    pub name: RawValue,
    /// Its source.
    pub source: Source,
    /// The line of the name.
    pub line: Option<usize>,
    /// Everything else.
    pub keys: Vec<Assignment>,
}

impl Problem {
    /// A problem at a line, or with the whole.
    pub(super) fn at(source: &Source, line: Option<usize>, key: &str, message: impl Into<String>) -> Self {
        Self { source: source.clone(), line, key: printable(key, 100), message: message.into() }
    }
}

/// Reads `path`. A missing file sets nothing.
pub(super) fn read(path: &Path, source: &Source) -> Layer {
    let text = match read_text(path, MAX_BYTES) {
        Ok(text) => text.unwrap_or_default(),
        Err(message) => return Layer::refused(Problem::at(source, None, "", message)),
    };
    match DeTable::parse(&text) {
        Ok(table) => LayerReader { text: &text, source, layer: Layer::default() }.read_layer(table.get_ref()),
        Err(error) => {
            let line = error.span().map(|span| line_of(&text, span.start));
            let message = format!("is not valid TOML: {}", printable(error.message(), 200));
            Layer::refused(Problem::at(source, line, "", message))
        }
    }
}

/// The text of a file; `None` if it does not exist. Anything but a regular file is refused unread, as reading it might
/// never end.
pub(super) fn read_text(path: &Path, max_bytes: u64) -> Result<Option<String>, String> {
    if path == Path::new("/dev/null") {
        return Ok(None);
    }
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
        _ => Err(format!("cannot be read: {error}")),
    };
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err("cannot be read: must be a regular file".into()),
        Ok(_) => {}
        Err(error) => return failed(error),
    }
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes)) {
        Ok(_) if bytes.len() as u64 > max_bytes => {
            Err(format!("is too large: must be at most {max_bytes} bytes"))
        }
        Ok(_) => String::from_utf8(bytes).map(Some).map_err(|_| "is not UTF-8".into()),
        Err(error) => failed(error),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

impl Layer {
    /// A layer that could not be read.
    fn refused(problem: Problem) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

struct LayerReader<'a> {
    text: &'a str,
    source: &'a Source,
    layer: Layer,
}

impl LayerReader<'_> {
    fn read_layer(mut self, table: &DeTable<'_>) -> Layer {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let kind = TableKind::ALL.into_iter().find(|kind| kind.name() == name);
            match (kind, value.get_ref()) {
                (Some(kind), DeValue::Array(list)) => {
                    list.iter().for_each(|item| self.named_table(kind, item));
                }
                (Some(_), _) => {
                    let line = Some(line_of(self.text, key.span().start));
                    let message = format!("must be written as [[{name}]], with a name");
                    self.layer.problems.push(Problem::at(self.source, line, name, message));
                }
                (None, DeValue::Table(inner)) if name == PRICES => {
                    let assignments = self.prices(inner);
                    self.layer.settings.extend(assignments);
                }
                (None, DeValue::Table(inner)) if TABLES.contains(&name) => {
                    let assignment = self.table(inner, &format!("{name}."));
                    self.layer.settings.extend(assignment);
                }
                (None, _) => {
                    let assignment = self.assignment(name.to_owned(), key.span().start, value);
                    self.layer.settings.push(assignment);
                }
            }
        }
        self.layer.settings.sort_by_key(|assignment| assignment.line);
        self.layer
    }

    fn table(&self, table: &DeTable<'_>, prefix: &str) -> Vec<Assignment> {
        let assignment = |(key, value): (&Spanned<_>, _)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            self.assignment(format!("{prefix}{}", key.get_ref()), key.span().start, value)
        };
        let mut all: Vec<Assignment> = table.iter().map(assignment).collect();
        all.sort_by_key(|assignment| assignment.line);
        all
    }

    /// The table of prices, with a table for each model.
    fn prices(&self, table: &DeTable<'_>) -> Vec<Assignment> {
        let of = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            match value.get_ref() {
                DeValue::Table(model) => self.table(model, &model_price_path(key.get_ref(), "")),
                _ => vec![self.assignment(format!("{PRICES}.{}", key.get_ref()), key.span().start, value)],
            }
        };
        table.iter().flat_map(of).collect()
    }

    fn assignment(&self, key: String, at: usize, value: &Spanned<DeValue<'_>>) -> Assignment {
        let line = Some(line_of(self.text, at));
        Assignment { key, raw: RawValue::from_toml(value.get_ref()), source: self.source.clone(), line }
    }

    fn named_table(&mut self, kind: TableKind, item: &Spanned<DeValue<'_>>) {
        let line = Some(line_of(self.text, item.span().start));
        let refused = |message: &str| Problem::at(self.source, line, kind.name(), message);
        let Some(table) = item.get_ref().as_table() else {
            self.layer.problems.push(refused("must be a table with a name"));
            return;
        };
        let (names, keys): (Vec<_>, Vec<_>) =
            self.table(table, "").into_iter().partition(|s| s.key == "name");
        match names.into_iter().next() {
            Some(Assignment { raw, source, line, .. }) => {
                self.layer.tables.push(NamedTable { kind, name: raw, source, line, keys });
            }
            None => self.layer.problems.push(Problem::at(
                self.source,
                line,
                &format!("{}.name", kind.name()),
                format!("is required: each [[{}]] must have a name", kind.name()),
            )),
        }
    }
}
