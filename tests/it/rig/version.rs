//! The clients used in tests, and their differences.

use std::path::PathBuf;

use super::{drive, in_netns};

/// A version of the client. The tests' expectations of each are in `tests/fixtures/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.1.197: an older one with different stops.
    V2_1_197,
    /// 2.1.330.
    V2_1_330,
    /// 2.1.332: the newest known.
    V2_1_332,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V2_1_197, Self::V2_1_330, Self::V2_1_332];

    /// The newest; `FUSEBOX_TEST_CLIENT` selects another binary instead.
    pub const NEWEST: Self = Self::V2_1_332;

    /// The version in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2_1_197 => "2.1.197",
            Self::V2_1_330 => "2.1.330",
            Self::V2_1_332 => "2.1.332",
        }
    }

    /// Whether it writes `cost-state` lines: its own totals, which include usage on no line.
    pub fn writes_totals(self) -> bool {
        self != Self::V2_1_197
    }

    /// Its binary, as installed by `tests/install-client`.
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

/// Runs `body` with the recording of a client of this version. `FUSEBOX_TEST_CLIENTS=live` uses the real client
/// instead, `record` records it again (`tests/record`).
pub fn with_recording(path: &str, version: Version, body: fn(Version)) {
    match std::env::var("FUSEBOX_TEST_CLIENTS").as_deref() {
        Err(_) | Ok("") => drive::replay(path, || body(version)),
        Ok("live") => with_client(path, version, body),
        Ok("record") => {
            require_client(version);
            in_netns(path, || drive::record(path, || body(version)));
        }
        Ok(other) => panic!("FUSEBOX_TEST_CLIENTS is {other:?}: it must be live or record"),
    }
}

/// Makes tests of functions that take a version: one per client.
///
/// * `live`: always with the real client, to test processes, terminals and races (`NAME::live_v2_1_330`).
/// * `recorded`: with a recording of it, see [`with_recording`] (`NAME::v2_1_330`).
/// * `facts`: about the real client only. A version does not change, so these run by hand (`tests/record`, `tests/long`)
///   and are otherwise reported as ignored.
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
