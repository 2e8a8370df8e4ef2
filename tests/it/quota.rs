//! Quotas of platforms from outside: `fusebox quota`, `run` and `wait`, on both stores.

mod amounts;
mod failing;
mod faults;
mod inputs;
mod parallel;
mod run;
mod shown;
mod time;
mod waiting;

use serde_json::Value;

use crate::harness::{Home, Ran};
use crate::redis::Server;

/// Makes a test of each function on each store.
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[test]
            fn sqlite() {
                super::$test(&crate::quota::World::embedded());
            }

            #[test]
            fn redis() {
                super::$test(&crate::quota::World::shared());
            }
        }
    )+};
}
use on_both_stores;

/// 10 requests a day of one platform, and tokens and dollars of others.
const BUDGETS: &str = r#"
[[budget]]
name = "day"
scope = "platform"
match = "gemini"
unit = "requests"
limit = 10
window = "day"
timezone = "UTC"
thresholds = [0.5, 0.8, 0.9]

[[budget]]
name = "tokens"
scope = "platform"
match = "codex*"
unit = "tokens"
limit = 1000
window = "day"
timezone = "UTC"

[[budget]]
name = "dollars"
scope = "platform"
match = "search"
window = "month"
unit = "usd"
limit = 1
"#;

/// An hour, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// A home with quotas, and the server of its store.
pub struct World {
    home: Home,
    server: Option<Server>,
}

impl World {
    /// With the embedded store.
    pub fn embedded() -> Self {
        let home = Home::new();
        let clock = home.path("clock").to_string_lossy().into_owned();
        let home = home.var("FUSEBOX_TEST_CLOCK", &clock).var("TZ", "UTC");
        home.configure(BUDGETS);
        Self { home, server: None }.at_noon()
    }

    /// With Redis.
    pub fn shared() -> Self {
        Self::shared_by(Server::start())
    }

    /// With this server.
    fn shared_by(server: Server) -> Self {
        let world = Self::embedded();
        let home =
            world.home.var("FUSEBOX_STORE_REDIS_URL", &server.url()).var("FUSEBOX_STORE_TENANT", "team");
        Self { home, server: Some(server) }
    }

    /// It is half past eleven tomorrow: no test runs over midnight.
    fn at_noon(self) -> Self {
        let day = 24 * HOUR_MS;
        let real = fusebox::platform::clock().0;
        self.move_clock(day + day / 2 - HOUR_MS / 2 - real.rem_euclid(day));
        self
    }

    /// Sets the clock this far ahead of the real one, in milliseconds.
    fn move_clock(&self, ms: i64) {
        // In one step: a program may be reading it.
        let new = self.home.path("clock.new");
        std::fs::write(&new, ms.to_string()).unwrap();
        std::fs::rename(new, self.home.path("clock")).unwrap();
    }

    /// Moves the clock on.
    fn pass(&self, ms: i64) {
        let now: i64 = std::fs::read_to_string(self.home.path("clock")).unwrap().parse().unwrap();
        self.move_clock(now + ms);
    }

    /// `fusebox` with the words of a line.
    fn fusebox(&self, line: &str) -> Ran {
        self.home.fusebox(&line.split(' ').collect::<Vec<_>>())
    }

    /// The same, which must succeed. Returns standard output without its end of line.
    #[track_caller]
    fn done(&self, line: &str) -> String {
        let ran = self.fusebox(line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran.stdout.trim_end().to_owned()
    }

    /// The same, which must end with this code and say this.
    #[track_caller]
    fn fails(&self, line: &str, code: i32, says: &str) -> Ran {
        let ran = self.fusebox(line);
        assert!(ran.code == code && ran.stderr.contains(says), "{line}: {ran:?}");
        ran
    }

    /// The first budget of a platform, as `quota status` has it.
    #[track_caller]
    fn budget(&self, platform: &str) -> Value {
        let ran = self.fusebox(&format!("quota status --platform {platform} --json"));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()[0]["budgets"][0].clone()
    }

    /// Used and reserved requests of Gemini.
    #[track_caller]
    fn gemini(&self) -> [u64; 2] {
        let budget = self.budget("gemini");
        ["used", "reserved"].map(|key| budget[key].as_u64().unwrap())
    }
}
