//! Metrics as text: the classic format of Prometheus, and OpenMetrics for those that ask for it.

use std::fmt::Write;

/// The format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Version 0.0.4 of Prometheus' own format.
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that a client prefers, by its header `Accept`. The classic one, unless it asks for OpenMetrics.
    pub fn preferred(accept: &str) -> Self {
        let quality = |wanted: &[&str]| {
            let ranges = accept.split(',').filter_map(|range| {
                let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
                let parameters = parameters.split(';').filter_map(|one| one.trim().split_once('='));
                let quality = parameters.clone().find(|(name, _)| *name == "q");
                let quality = quality.map_or(Some(1.0), |(_, value)| value.parse::<f64>().ok())?;
                let is_known = parameters
                    .clone()
                    .filter(|(name, _)| *name == "version")
                    .all(|(_, version)| ["1.0.0", "0.0.4"].contains(&version));
                (is_known && wanted.contains(&kind.trim())).then_some(quality)
            });
            ranges.fold(0.0, f64::max)
        };
        let open = quality(&["application/openmetrics-text"]);
        if open > 0.0 && open >= quality(&["text/plain"]) { Self::OpenMetrics } else { Self::Classic }
    }

    /// The value of the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often something took how long.
    Histogram,
    /// Always 1; the labels say something.
    Info,
}

/// Samples with the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name, without the prefix, and without what the type adds.
    pub name: &'static str,
    /// The type.
    pub kind: FamilyType,
    /// What it is.
    pub help: &'static str,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the type adds to the name, such as `_total`.
    pub suffix: &'static str,
    /// The labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value, as text, since numbers must stay exact.
    pub value: String,
}

impl Family {
    /// A family without samples.
    pub fn new(name: &'static str, kind: FamilyType, help: &'static str) -> Self {
        Self { name, kind, help, samples: Vec::new() }
    }

    /// Adds a sample.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: impl ToString) {
        let suffix = self.suffix();
        self.add_part(suffix, labels, value);
    }

    /// Adds a part of a histogram.
    pub fn add_part(&mut self, suffix: &'static str, labels: &[(&'static str, &str)], value: impl ToString) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push(Sample { suffix, labels, value: value.to_string() });
    }

    fn suffix(&self) -> &'static str {
        match self.kind {
            FamilyType::Counter => "_total",
            FamilyType::Info => "_info",
            FamilyType::Gauge | FamilyType::Histogram => "",
        }
    }

    /// The name of its samples, without the prefix; of a histogram, what the names of its samples begin with.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.suffix())
    }
}

/// The text of all families, each with its help and type.
pub fn encode(format: Format, prefix: &str, families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        // OpenMetrics names the family, the classic format its samples.
        let (name, kind) = match (format, family.kind) {
            (Format::OpenMetrics, FamilyType::Counter) => (family.name.to_owned(), "counter"),
            (Format::OpenMetrics, FamilyType::Info) => (family.name.to_owned(), "info"),
            (_, FamilyType::Counter) => (family.full_name(), "counter"),
            (_, FamilyType::Info) => (family.full_name(), "gauge"),
            (_, FamilyType::Gauge) => (family.full_name(), "gauge"),
            (_, FamilyType::Histogram) => (family.full_name(), "histogram"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {prefix}{name} {}", family.help);
        let _ = writeln!(text, "# TYPE {prefix}{name} {kind}");
        for sample in &family.samples {
            let _ = write!(text, "{prefix}{}{}", family.name, sample.suffix);
            for (place, (label, value)) in sample.labels.iter().enumerate() {
                let _ = write!(text, "{}{label}=\"{}\"", if place == 0 { '{' } else { ',' }, escaped(value));
            }
            let _ = writeln!(text, "{} {}", if sample.labels.is_empty() { "" } else { "}" }, sample.value);
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// The value of a label, between its quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Whether metrics can have this prefix. Colons are for recording rules.
///
/// # Errors
/// They cannot.
pub fn check_prefix(prefix: &str) -> Result<String, String> {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_good = prefix.chars().all(|c| is_letter(c) || c.is_ascii_digit())
        && prefix.chars().next().is_none_or(is_letter)
        && prefix.len() <= 64;
    let why = || "only letters, digits and underscores, at most 64, and no digit first".to_owned();
    is_good.then(|| prefix.to_owned()).ok_or_else(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_format_unless_openmetrics_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;\
             q=0.5,text/plain;version=0.0.4;q=0.25,*/*;q=0.1";
        for accept in
            [prometheus, "application/openmetrics-text", "application/openmetrics-text; version=1.0.0"]
        {
            assert_eq!(Format::preferred(accept), Format::OpenMetrics, "{accept}");
        }
        let old = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let less = "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.3";
        for accept in
            ["", "*/*", "text/plain", "application/openmetrics-text;q=0", "text/html,*/*;q=0.1", old, less]
        {
            assert_eq!(Format::preferred(accept), Format::Classic, "{accept}");
        }
    }

    #[test]
    fn both_formats() {
        let mut counter = Family::new("calls", FamilyType::Counter, "Calls.");
        counter.add(&[("by", "a\"b\\c\nd"), ("to", "x")], 3);
        let mut info = Family::new("build", FamilyType::Info, "The version.");
        info.add(&[("version", "1")], 1);
        let mut gauge = Family::new("up", FamilyType::Gauge, "Whether.");
        gauge.add(&[], 0.5);
        let families = [counter, info, gauge];
        assert_eq!(
            encode(Format::Classic, "p_", &families),
            "# HELP p_calls_total Calls.\n# TYPE p_calls_total counter\n\
             p_calls_total{by=\"a\\\"b\\\\c\\nd\",to=\"x\"} 3\n\
             # HELP p_build_info The version.\n# TYPE p_build_info gauge\np_build_info{version=\"1\"} 1\n\
             # HELP p_up Whether.\n# TYPE p_up gauge\np_up 0.5\n"
        );
        let open = encode(Format::OpenMetrics, "", &families);
        assert!(open.starts_with("# HELP calls Calls.\n# TYPE calls counter\ncalls_total{"), "{open}");
        assert!(open.contains("# TYPE build info\nbuild_info{") && open.ends_with("\n# EOF\n"), "{open}");
    }

    #[test]
    fn prefixes() {
        for good in ["", "asdlc_", "_a1", "Team_2_"] {
            assert_eq!(check_prefix(good).as_deref(), Ok(good));
        }
        for bad in ["1a", "a-b", "a:b", "a b", "ä", &"a".repeat(65)] {
            check_prefix(bad).expect_err(bad);
        }
    }
}
