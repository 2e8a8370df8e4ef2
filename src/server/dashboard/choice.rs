//! What the reader of the overview chose: order, pages, filters. All of it is in the address, so it stays when the page is
//! read again, and can be shared.

use serde::Deserialize;

use super::visitor::HOME;

/// Rows on a page of budgets and of sessions.
pub const ROWS: usize = 25;

/// Rows on a page of circuit breakers and of alerts, which are read from the top.
pub const FEW_ROWS: usize = 10;

/// What budgets are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// The worst first.
    #[default]
    Status,
    /// The agent.
    Agent,
    /// The task.
    Task,
    /// What was used.
    Used,
    /// The limit.
    Limit,
    /// Used divided by limit.
    Utilization,
}

impl SortBy {
    /// Each order with its name in addresses.
    const ALL: [(&'static str, Self); 6] = [
        ("status", Self::Status),
        ("agent", Self::Agent),
        ("task", Self::Task),
        ("used", Self::Used),
        ("budget", Self::Limit),
        ("utilization", Self::Utilization),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    /// Whether the largest comes first, unless the reader turns it round.
    fn is_descending(self) -> bool {
        !matches!(self, Self::Agent | Self::Task)
    }
}

/// The parameters of the address. What is not understood is ignored: an old bookmark still leads to the page.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Parameters {
    sort: Option<String>,
    order: Option<String>,
    page: Option<String>,
    circuits: Option<String>,
    alerts: Option<String>,
    alert_page: Option<String>,
    ended: Option<String>,
    days: Option<String>,
    /// Names the result of a decision.
    pub said: Option<String>,
}

/// The choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What budgets are sorted by.
    pub sort: SortBy,
    /// The largest first.
    pub is_descending: bool,
    /// The page of budgets, from 1.
    pub page: usize,
    /// The page of breakers.
    pub circuits: usize,
    /// The page of alerts.
    pub alert_page: usize,
    /// Acknowledged alerts, too.
    pub all_alerts: bool,
    /// Those of sessions that have ended, too.
    pub ended: bool,
    /// Days of the chart.
    pub days: usize,
}

/// The numbers of days that the chart offers.
pub const DAYS: [usize; 3] = [7, 30, 90];

impl Default for Choice {
    fn default() -> Self {
        Self {
            sort: SortBy::default(),
            is_descending: SortBy::default().is_descending(),
            page: 1,
            circuits: 1,
            alert_page: 1,
            all_alerts: false,
            ended: false,
            days: DAYS[1],
        }
    }
}

impl Choice {
    /// What these parameters say.
    pub fn new(parameters: &Parameters) -> Self {
        let page = |text: &Option<String>| {
            text.as_deref().and_then(|text| text.parse().ok()).filter(|page| *page > 0).unwrap_or(1)
        };
        let known = parameters
            .sort
            .as_deref()
            .and_then(|name| SortBy::ALL.iter().find(|(known, _)| *known == name).map(|(_, by)| *by));
        let sort = known.unwrap_or_default();
        let is_descending = match parameters.order.as_deref() {
            Some("asc") => false,
            Some("desc") => true,
            _ => sort.is_descending(),
        };
        let days = parameters.days.as_deref().and_then(|days| days.parse().ok());
        Self {
            sort,
            is_descending,
            page: page(&parameters.page),
            circuits: page(&parameters.circuits),
            alert_page: page(&parameters.alert_page),
            all_alerts: parameters.alerts.as_deref() == Some("all"),
            ended: parameters.ended.as_deref() == Some("yes"),
            days: days.filter(|days| DAYS.contains(days)).unwrap_or(DAYS[1]),
        }
    }

    /// The address of this choice.
    pub fn address(&self) -> String {
        let usual = Self::default();
        let mut parts: Vec<String> = Vec::new();
        if self.sort != usual.sort || self.is_descending != self.sort.is_descending() {
            parts.push(format!("sort={}", self.sort.name()));
        }
        if self.is_descending != self.sort.is_descending() {
            parts.push(format!("order={}", if self.is_descending { "desc" } else { "asc" }));
        }
        let mut add = |name: &str, value: usize, usual: usize| {
            if value != usual {
                parts.push(format!("{name}={value}"));
            }
        };
        add("page", self.page, 1);
        add("circuits", self.circuits, 1);
        add("alert_page", self.alert_page, 1);
        add("days", self.days, usual.days);
        if self.all_alerts {
            parts.push("alerts=all".to_owned());
        }
        if self.ended {
            parts.push("ended=yes".to_owned());
        }
        if parts.is_empty() { HOME.to_owned() } else { format!("{HOME}?{}", parts.join("&")) }
    }

    /// The address of a changed choice.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut changed = self.clone();
        change(&mut changed);
        changed.address()
    }

    /// The address with or without sessions that have ended.
    pub fn sessions(&self, ended: bool) -> String {
        self.with(|new| {
            new.ended = ended;
            (new.page, new.circuits) = (1, 1);
        })
    }

    /// The address with or without alerts that were acknowledged.
    pub fn alerts(&self, all: bool) -> String {
        self.with(|new| {
            new.all_alerts = all;
            new.alert_page = 1;
        })
    }
}

/// The head of a column that can be sorted by.
#[derive(Clone, Debug)]
pub struct SortHead {
    /// The text.
    pub title: &'static str,
    /// The class of its cells.
    pub class: &'static str,
    /// Sorts by it; the other way round, if it is already sorted by.
    pub link: String,
    /// `ascending`, `descending` or `none`.
    pub state: &'static str,
}

impl SortHead {
    /// The heads of the budget table.
    pub fn all(choice: &Choice) -> Vec<Self> {
        let columns = [
            ("Agent", "who", SortBy::Agent),
            ("Task", "task", SortBy::Task),
            ("Used", "used number", SortBy::Used),
            ("Budget", "limit number", SortBy::Limit),
            ("Utilization", "usage", SortBy::Utilization),
            ("Status", "status", SortBy::Status),
        ];
        let head = |(title, class, by): (&'static str, &'static str, SortBy)| {
            let is_current = choice.sort == by;
            let link = choice.with(|new| {
                new.sort = by;
                new.page = 1;
                new.is_descending = if is_current { !choice.is_descending } else { by.is_descending() };
            });
            let state = match (is_current, choice.is_descending) {
                (false, _) => "none",
                (true, true) => "descending",
                (true, false) => "ascending",
            };
            Self { title, class, link, state }
        };
        columns.map(head).into()
    }
}

/// The pages of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pager {
    /// What is shown, such as `26–50 of 1,234`.
    pub shown: String,
    /// The page before.
    pub previous: Option<String>,
    /// The page after.
    pub next: Option<String>,
}

impl Pager {
    /// Selects the rows of a page, the last one if there are not so many. `most`: rows on a page; `link`: the address of
    /// another page.
    pub fn select<T>(
        all: impl ExactSizeIterator<Item = T>,
        most: usize,
        page: usize,
        link: impl Fn(usize) -> String,
    ) -> (Vec<T>, Self) {
        let total = all.len();
        let page = page.min(total.div_ceil(most)).max(1);
        let start = (page - 1) * most;
        let rows: Vec<T> = all.skip(start).take(most).collect();
        let group = |n: usize| crate::app::messages::amounts::grouped(n as u64);
        let pager = Self {
            shown: format!("{}–{} of {}", group(start + 1), group(start + rows.len()), group(total)),
            previous: (page > 1).then(|| link(page - 1)),
            next: (start + most < total).then(|| link(page + 1)),
        };
        (rows, pager)
    }

    /// Whether there is more than one page.
    pub fn is_needed(&self) -> bool {
        self.previous.is_some() || self.next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_not_usual_and_is_read_again() {
        let choice = Choice::default();
        assert_eq!(choice.address(), HOME);
        let other = Choice {
            sort: SortBy::Agent,
            is_descending: true,
            page: 3,
            all_alerts: true,
            days: 7,
            ..choice.clone()
        };
        assert_eq!(other.address(), "/cost-dashboard?sort=agent&order=desc&page=3&days=7&alerts=all");
        let text = |text: &str| Some(text.to_owned());
        let parameters = Parameters {
            sort: text("agent"),
            order: text("desc"),
            page: text("3"),
            alerts: text("all"),
            days: text("7"),
            ..Parameters::default()
        };
        assert_eq!(Choice::new(&parameters), other);
        let odd =
            Parameters { sort: text("<script>"), page: text("-1"), days: text("8"), ..Parameters::default() };
        assert_eq!(Choice::new(&odd), choice);
    }

    #[test]
    fn pages_are_cut_and_the_last_page_is_found() {
        let link = |page: usize| page.to_string();
        let (rows, pager) = Pager::select(0..120, 50, 2, link);
        assert_eq!((rows[0], rows.len(), pager.shown.as_str()), (50, 50, "51–100 of 120"));
        assert_eq!((pager.previous.as_deref(), pager.next.as_deref()), (Some("1"), Some("3")));
        let (rows, pager) = Pager::select(0..120, 50, 99, link);
        assert_eq!((rows.len(), pager.shown.as_str(), pager.next), (20, "101–120 of 120", None));
        let (rows, pager) = Pager::select(std::iter::empty::<u8>(), ROWS, 1, link);
        assert!(rows.is_empty() && !pager.is_needed());
    }
}
