//! Time zones from the system's files, and parsing of window rules, which need them.
//!
//! Ignores `$TZDIR`, which an agent could use to move the windows of budgets.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::window::{Period, WindowRule, Zone};

/// Where systems keep time zone files.
const FOLDERS: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];

/// Why a zone was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// This system has no zone of this name.
    #[error("no such time zone")]
    Unknown,
    /// This system has no zone files.
    #[error("this machine has no time zone files: install tzdata")]
    NoFiles,
}

/// The time zone of an IANA name. A process reads each file once.
///
/// # Errors
/// This system does not have the zone.
pub fn zone(name: &str) -> Result<Zone, ZoneError> {
    static ZONES: Mutex<BTreeMap<String, Zone>> = Mutex::new(BTreeMap::new());
    if name == Zone::utc().name() {
        return Ok(Zone::utc());
    }
    if !is_zone_name(name) {
        return Err(ZoneError::Unknown);
    }
    let mut zones = ZONES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(zone) = zones.get(name) {
        return Ok(zone.clone());
    }
    let zone =
        read_zone(name).ok_or_else(|| if has_files() { ZoneError::Unknown } else { ZoneError::NoFiles })?;
    zones.insert(name.to_owned(), zone.clone());
    Ok(zone)
}

/// Like [`zone`], for names that people type: without regard to upper and lower case.
///
/// # Errors
/// This system does not have the zone.
pub fn zone_in_any_case(name: &str) -> Result<Zone, ZoneError> {
    if name.eq_ignore_ascii_case(Zone::utc().name()) {
        return Ok(Zone::utc());
    }
    let spelled = || FOLDERS.iter().find_map(|folder| spelled_in(Path::new(folder), name));
    zone(name).or_else(|error| spelled().map_or(Err(error), |name| zone(&name)))
}

/// The name of a file below a folder as it is spelled there.
fn spelled_in(folder: &Path, name: &str) -> Option<String> {
    let (first, rest) = name.split_once('/').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let found = names.find(|entry| entry.eq_ignore_ascii_case(first))?;
    match rest {
        Some(rest) => Some(format!("{found}/{}", spelled_in(&folder.join(&found), rest)?)),
        None => Some(found),
    }
}

/// The zone of this machine: `tz` (the variable `TZ`) if it is set, otherwise the system's zone. UTC if the system has none.
///
/// # Errors
/// `tz` is not the name of a zone of this system.
pub fn local(tz: Option<&str>) -> Result<Zone, ZoneError> {
    // The C library takes the name with or without a colon.
    if let Some(name) = tz {
        return zone(name.strip_prefix(':').unwrap_or(name));
    }
    let named = iana_time_zone::get_timezone().ok().and_then(|name| zone(&name).ok());
    Ok(named.unwrap_or_else(Zone::utc))
}

fn read_zone(name: &str) -> Option<Zone> {
    let mut files = FOLDERS.iter().filter_map(|folder| std::fs::read(Path::new(folder).join(name)).ok());
    files.find_map(|bytes| Zone::from_tzif(name, &bytes).ok())
}

/// Whether any zones are installed: every tzdata package contains this one.
fn has_files() -> bool {
    FOLDERS.iter().any(|folder| Path::new(folder).join("Etc/UTC").exists())
}

/// Whether it can be the name of a zone and, as a path, stays in the folder. Zones that depend on the machine
/// (`localtime`) or count leap seconds (`right/…`) are excluded.
fn is_zone_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    name.len() <= 64
        && name.split('/').all(is_part)
        && !matches!(name.split('/').next(), Some("localtime" | "posixrules" | "posix" | "right"))
}

impl FromStr for WindowRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (period, name) = text.split_once('@').unwrap_or((text, "UTC"));
        let zone = zone(name).map_err(|error| format!("{name}: {error}"))?;
        let period = Period::parse(period).ok_or_else(|| format!("{text} is not a window"))?;
        Ok(Self { period, zone })
    }
}

impl Serialize for WindowRule {
    /// `"day@Europe/Berlin"`.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WindowRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{ZoneError, zone};

    #[test]
    fn names_lead_to_no_other_files() {
        for name in [
            "",
            "/etc/localtime",
            "../../../etc/localtime",
            "Europe/../UTC",
            "Europe//Berlin",
            "Europe/",
            "./UTC",
            "Europe",
            "europe/berlin\0",
            "localtime",
            "posixrules",
            "posix/Europe/Berlin",
            "right/Europe/Berlin",
            "tzdata.zi",
            "leapseconds",
            "Mars/Base",
        ] {
            assert_eq!(zone(name).err(), Some(ZoneError::Unknown), "{name}");
        }
    }

    #[test]
    fn utc_and_links_are_zones() {
        for name in
            ["UTC", "Etc/UTC", "Etc/GMT+5", "America/Port-au-Prince", "America/Argentina/Buenos_Aires"]
        {
            assert_eq!(zone(name).map(|zone| zone.name().to_owned()).as_deref(), Ok(name));
        }
    }
}
