//! The clients to test with, and what tells them apart.

use std::path::PathBuf;

use super::{drive, in_netns};

/// A version of the client. What tests expect of each is in `tests/fixtures/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.1.197: an older one, whose stops differ.
    V2_1_197,
    /// 2.1.330.
    V2_1_330,
    /// 2.1.332: the newest known.
    V2_1_332,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V2_1_197, Self::V2_1_330, Self::V2_1_332];

    /// The newest; `FUSEBOX_TEST_CLIENT` names another binary to take its place.
    pub const NEWEST: Self = Self::V2_1_332;

    /// As the registry calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2_1_197 => "2.1.197",
            Self::V2_1_330 => "2.1.330",
            Self::V2_1_332 => "2.1.332",
        }
    }

    /// Whether it writes `cost-state` lines: its own totals, which hold what stands on no line.
    pub fn writes_totals(self) -> bool {
        self != Self::V2_1_197
    }

    /// Its binary: what `tests/install-client` installed.
    pub fn program(self) -> Option<PathBuf> {
        let other = std::env::var_os("FUSEBOX_TEST_CLIENT").filter(|_| self == Self::NEWEST);
        let path = other.map_or_else(|| self.installed(), PathBuf::from);
        path.is_file().then_some(path)
    }

    fn installed(self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let package = match std::env::consts::ARCH {
            "aarch64" => "claude-code-linux-arm64",
            _ => "claude-code-linux-x64",
        };
        let mut path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(target).join("client").join(self.name());
        path.extend(["node_modules", "@anthropic-ai", package, "claude"]);
        path
    }
}

/// Runs `body` with a client of this version in a loopback-only namespace. `path` is the test's full path.
#[track_caller]
pub fn with_client(path: &str, version: Version, body: fn(Version)) {
    require_client(version);
    in_netns(path, || body(version));
}

#[track_caller]
fn require_client(version: Version) {
    assert!(
        version.program().is_some(),
        "Claude Code {0} is not installed: run tests/install-client {0}, or leave these tests out (-- --skip ::live_)",
        version.name()
    );
}

/// Runs `body` with the recording of a client of this version. With `FUSEBOX_TEST_CLIENTS=live` the real client takes its
/// place, with `record` it is recorded anew (`tests/record`).
pub fn with_recording(path: &str, version: Version, body: fn(Version)) {
    match std::env::var("FUSEBOX_TEST_CLIENTS").as_deref() {
        Ok("live") => with_client(path, version, body),
        Ok("record") => {
            require_client(version);
            in_netns(path, || drive::record(path, || body(version)));
        }
        _ => drive::replay(path, || body(version)),
    }
}

/// Makes tests of functions that take a version: one for each client.
///
/// * `live`: always with the real client, since processes, terminals or races are what is tested (`NAME::live_v2_1_330`).
/// * `recorded`: with a recording of it, see [`with_recording`] (`NAME::v2_1_330`).
/// * `facts`: with the real client, and about it alone. A version does not change, so these run by hand (`tests/record`,
///   `tests/long`), and are reported as ignored otherwise.
/// * `newest`: like `facts`, for the newest client only (`NAME::live_newest`).
macro_rules! client_tests {
    (live: $($test:ident),+ $(,)?) => {
        $(mod $test {
            $crate::rig::client_tests!(@one with_client, [], $test, live_v2_1_197, V2_1_197);
            $crate::rig::client_tests!(@one with_client, [], $test, live_v2_1_330, V2_1_330);
            $crate::rig::client_tests!(@one with_client, [], $test, live_v2_1_332, V2_1_332);
        })+
    };
    (recorded: $($test:ident),+ $(,)?) => {
        $(mod $test {
            $crate::rig::client_tests!(@one with_recording, [], $test, v2_1_197, V2_1_197);
            $crate::rig::client_tests!(@one with_recording, [], $test, v2_1_330, V2_1_330);
            $crate::rig::client_tests!(@one with_recording, [], $test, v2_1_332, V2_1_332);
        })+
    };
    (facts: $($test:ident),+ $(,)?) => {
        $(mod $test {
            $crate::rig::client_tests!(@one with_client, [ignore = "about the client alone: tests/long"], $test, live_v2_1_197, V2_1_197);
            $crate::rig::client_tests!(@one with_client, [ignore = "about the client alone: tests/long"], $test, live_v2_1_330, V2_1_330);
            $crate::rig::client_tests!(@one with_client, [ignore = "about the client alone: tests/long"], $test, live_v2_1_332, V2_1_332);
        })+
    };
    (newest: $($test:ident),+ $(,)?) => {
        $(mod $test {
            $crate::rig::client_tests!(@one with_client, [ignore = "about the client alone: tests/long"], $test, live_newest, NEWEST);
        })+
    };
    (@one $with:ident, [$($attribute:meta)?], $test:ident, $name:ident, $version:ident) => {
        #[test]
        $(#[$attribute])?
        #[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
        fn $name() {
            let version = $crate::rig::Version::$version;
            $crate::rig::$with($crate::rig::this_test!(), version, super::$test);
        }
    };
}
pub(crate) use client_tests;
