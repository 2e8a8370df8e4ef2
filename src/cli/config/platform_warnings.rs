//! Warns of platforms that nothing limits.

use crate::app::quota::platform_budgets;
use crate::config::{LoadedConfig, Problem, Source};

/// The platforms in the configuration that no budget counts: a misspelt name would limit nothing.
pub fn platform_warnings(loaded: &LoadedConfig) -> Vec<Problem> {
    let is_counted = |name: &str| {
        platform_budgets(&loaded.config)
            .any(|budget| wildmatch::WildMatch::new(&budget.matches).matches(name))
    };
    let names = loaded.config.platforms.iter().map(|platform| &platform.name);
    let warning = |name: &String| {
        let key = format!("platform.{name}");
        let of_platform = loaded.values.iter().find(|value| value.key.starts_with(&format!("{key}.")));
        let source = of_platform.map_or(Source::Default, |value| value.source.clone());
        let message = "no budget with scope = \"platform\" counts it, so nothing limits its calls".to_owned();
        Problem { source, line: None, key, message }
    };
    names.filter(|name| !is_counted(name)).map(warning).collect()
}
