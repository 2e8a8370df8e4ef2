//! The status line as text: segments that are shortened and left out until the line fits.

use anstyle::{AnsiColor, Style};

use super::amounts::dollars;
use super::bar;
use crate::domain::budget::Unit;
use crate::domain::plan::UNITS_PER_PERCENT;

/// Between two segments.
const SEPARATOR: &str = " · ";

/// Width of a bar, in columns.
const BAR_WIDTH: usize = 8;

/// What a segment's colour says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// How much of something is used: 1 is all of it.
    Use(f64),
    /// Something needs attention.
    Alarm,
}

/// A part of the status line.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The less important ones are shortened and left out first.
    importance: u8,
    /// The name before the bar and the utilization, if it has a bar.
    bar: Option<(String, f64)>,
    full: String,
    short: String,
    tone: Tone,
}

impl Segment {
    /// A segment with this text.
    pub fn new(importance: u8, text: String) -> Self {
        Self { importance, bar: None, full: text.clone(), short: text, tone: Tone::Plain }
    }

    /// With another text for where there is little room.
    pub fn short(self, text: String) -> Self {
        Self { short: text, ..self }
    }

    /// With a name and a bar before the text.
    pub fn with_bar(self, name: &str, utilization: f64) -> Self {
        Self { bar: Some((name.to_owned(), utilization)), tone: Tone::Use(utilization), ..self }
    }

    /// With another colour.
    pub fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    fn width(&self, form: Form) -> usize {
        match form {
            Form::Full => {
                let bar = self.bar.as_ref().map_or(0, |(name, _)| name.chars().count() + BAR_WIDTH + 2);
                bar + self.full.chars().count()
            }
            Form::Short => match &self.bar {
                Some(_) => self.short.chars().count() + BAR_WIDTH + 1,
                None => self.short.chars().count(),
            },
            Form::Brief => self.short.chars().count(),
            Form::Absent => 0,
        }
    }

    fn text(&self, form: Form, color: bool) -> String {
        let style = match self.tone {
            _ if !color => Style::new(),
            Tone::Plain => Style::new(),
            Tone::Use(utilization) => bar::colour(utilization),
            Tone::Alarm => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        };
        match (form, &self.bar) {
            (Form::Full, Some((name, utilization))) => {
                format!(
                    "{name} {} {style}{}{style:#}",
                    bar::blocks(*utilization, BAR_WIDTH, style),
                    self.full
                )
            }
            (Form::Short, Some((name, utilization))) => {
                let rest = self.short.strip_prefix(name.as_str()).unwrap_or(&self.short).trim_start();
                format!("{name} {} {style}{rest}{style:#}", bar::blocks(*utilization, BAR_WIDTH, style))
            }
            (Form::Full, None) => format!("{style}{}{style:#}", self.full),
            _ => format!("{style}{}{style:#}", self.short),
        }
    }
}

/// How much of a segment is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Full,
    /// The short text, with the bar.
    Short,
    /// The short text alone.
    Brief,
    Absent,
}

/// The line, at most `columns` wide: the least important segments are shortened, and then left out, one after the other.
pub fn line(segments: &[Segment], columns: usize, color: bool) -> String {
    let mut forms = vec![Form::Full; segments.len()];
    // Of equally important ones, the last.
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by_key(|at| (segments[*at].importance, std::cmp::Reverse(*at)));
    let steps = [Form::Short, Form::Brief, Form::Absent];
    for (form, at) in steps.into_iter().flat_map(|form| order.iter().map(move |at| (form, *at))) {
        if width(segments, &forms) <= columns {
            break;
        }
        forms[at] = form;
    }
    let shown = segments.iter().zip(forms).filter(|(_, form)| *form != Form::Absent);
    let texts: Vec<String> = shown.map(|(segment, form)| segment.text(form, color)).collect();
    texts.join(SEPARATOR)
}

fn width(segments: &[Segment], forms: &[Form]) -> usize {
    let shown = segments.iter().zip(forms).filter(|(_, form)| **form != Form::Absent);
    let widths: Vec<usize> = shown.map(|(segment, form)| segment.width(*form)).collect();
    widths.iter().sum::<usize>() + widths.len().saturating_sub(1) * SEPARATOR.chars().count()
}

/// A count in few characters: `950`, `12k`, `1.2M`; for dollars, `$1.23`; in percent, `42%`.
pub fn count(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Usd => dollars(count),
        Unit::Percent => format!("{}%", count / UNITS_PER_PERCENT),
        Unit::Tokens | Unit::Requests | Unit::ToolCalls => compact(count),
    }
}

/// A number in few characters: `950`, `9.5k`, `120k`, `1.2M`.
pub fn compact(n: u64) -> String {
    let scaled = |unit: u64, name: &str| match n / unit {
        whole @ 0..10 if n % unit >= unit / 10 => format!("{whole}.{}{name}", n % unit / (unit / 10)),
        whole => format!("{whole}{name}"),
    };
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => scaled(1_000, "k"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "M"),
        _ => scaled(1_000_000_000, "G"),
    }
}

/// A time span in few characters: `47m`, `1h10m`, `3d4h`.
pub fn span(millis: i64) -> String {
    let minutes = (millis / 60_000).max(0);
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours, minutes) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, 0) => format!("{hours}h"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, 0, _) => format!("{days}d"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// `1 subagent`, `2 subagents`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Segment> {
        vec![
            Segment::new(2, "Sonnet 4.5".into()),
            Segment::new(4, "context 3% of 200k".into()).short("ctx 3%".into()),
            Segment::new(8, "45% 450k/1M".into()).short("session 45%".into()).with_bar("session", 0.45),
            Segment::new(10, "breaker open: repeats".into()).short("breaker open".into()).tone(Tone::Alarm),
        ]
    }

    #[test]
    fn a_line_fits_whatever_the_width() {
        let line = |columns| line(&segments(), columns, false);
        assert_eq!(
            line(90),
            "Sonnet 4.5 · context 3% of 200k · session ███░░░░░ 45% 450k/1M · breaker open: repeats"
        );
        assert_eq!(line(80), "Sonnet 4.5 · ctx 3% · session ███░░░░░ 45% 450k/1M · breaker open: repeats");
        assert_eq!(line(62), "Sonnet 4.5 · ctx 3% · session ███░░░░░ 45% · breaker open");
        assert_eq!(line(50), "Sonnet 4.5 · ctx 3% · session 45% · breaker open");
        assert_eq!(line(40), "ctx 3% · session 45% · breaker open");
        assert_eq!(line(12), "breaker open");
        assert_eq!(line(5), "");
        for columns in 0..100 {
            assert!(line(columns).chars().count() <= columns, "{columns}");
        }
    }

    #[test]
    fn colours_are_ended_and_take_no_room() {
        let coloured = line(&segments(), 90, true);
        assert!(coloured.contains('\u{1b}'), "{coloured:?}");
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(stripped, line(&segments(), 90, false));
    }

    #[test]
    fn few_characters_say_how_many() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (1_099, "1k"),
            (9_500, "9.5k"),
            (120_400, "120k"),
            (999_999, "999k"),
            (1_000_000, "1M"),
            (1_250_000, "1.2M"),
            (u64::MAX, "18446744073G"),
        ] {
            assert_eq!(compact(n), text);
        }
        for (minutes, text) in
            [(0, "0m"), (47, "47m"), (60, "1h"), (70, "1h10m"), (1440, "1d"), (4560, "3d4h")]
        {
            assert_eq!(span(minutes * 60_000 + 59_999), text);
        }
        assert_eq!(span(-5), "0m");
    }
}
