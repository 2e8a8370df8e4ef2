//! The users printed by `fusebox redis acl`, on a real server: hooks record as one, and only the other can decide.

mod checks;
mod decisions;
mod lines;
mod secrets;
mod server;

use crate::harness::{Home, Ran, run};
use crate::redis::users::{self, PASSWORD};
use crate::redis::{Server, text};

const TENANT: &str = "acme";

/// A server with a tenant's users, and the home of a person whose hooks log in as the one that can only record.
struct Shared {
    server: Server,
    home: Home,
    /// The variables of an operator.
    operator: [(String, String); 2],
}

impl Shared {
    fn start() -> Self {
        Self::with(|home| home)
    }

    /// The same, with a customised home.
    fn with(furnish: impl FnOnce(Home) -> Home) -> Self {
        let printed = Home::new().fusebox(&["redis", "acl", "--tenant", TENANT]);
        assert_eq!(printed.code, 0, "{printed:?}");
        let server = users::serve(&users::with_password(&printed.stdout));
        let password = server.path("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let home = Home::new()
            .var("FUSEBOX_STORE_REDIS_URL", &server.socket_url().replace("//", "//fusebox-hook@"))
            .var("FUSEBOX_STORE_REDIS_PASSWORD_FILE", &password)
            .var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "1000")
            .var("FUSEBOX_STORE_TENANT", TENANT);
        let url = server.socket_url().replace("//", "//fusebox-operator@");
        let operator = [
            ("FUSEBOX_STORE_REDIS_URL".to_owned(), url),
            ("FUSEBOX_STORE_REDIS_PASSWORD_FILE".to_owned(), password),
        ];
        Self { server, home: furnish(home), operator }
    }

    /// Runs `fusebox` as the operator, on the same machine.
    fn operator(&self, arguments: &[&str]) -> Ran {
        let mut command = self.home.command("fusebox");
        command.envs(self.operator.clone()).args(arguments);
        run(&mut command, b"")
    }

    /// The reply to a command that a user sends directly.
    fn raw(&self, user: &str, words: &[&str]) -> String {
        let url = self.server.url().replace("//", &format!("//{user}:{PASSWORD}@"));
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        let answer = redis::cmd(words[0]).arg(&words[1..]).query(&mut connection);
        answer.map_or_else(|error: redis::RedisError| error.to_string(), |value| text(&value))
    }

    /// Every key of the server with its value, as text.
    fn everything(&self) -> Vec<(String, String)> {
        let keys = self.server.text(&["KEYS", "*"]);
        let value = |key: &str| {
            let kind = self.server.text(&["TYPE", key]);
            let words: Vec<&str> = match kind.as_str() {
                "string" => vec!["GET", key],
                "hash" => vec!["HGETALL", key],
                "set" => vec!["SMEMBERS", key],
                "zset" => vec!["ZRANGE", key, "0", "-1", "WITHSCORES"],
                "list" => vec!["LRANGE", key, "0", "-1"],
                // A claim that has expired since.
                "none" => return None,
                other => panic!("{key} is a {other}"),
            };
            Some(self.server.text(&words))
        };
        let all = keys.lines().filter(|key| !key.is_empty());
        all.filter_map(|key| Some((key.to_owned(), value(key)?))).collect()
    }

    /// The stored decisions.
    fn decided(&self) -> Vec<(String, String)> {
        self.everything().into_iter().filter(|(key, _)| key.starts_with("fusebox:{acme}:o:")).collect()
    }
}
