//! A running `fusebox serve`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::clients::Client;
use crate::home::Home;

/// A server; stopped when dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Server {
    /// Starts one for this home, which does not import anything.
    pub fn start(home: &Home, bin: &Path) -> Self {
        let mut command = Command::new(bin.join("fusebox"));
        // A person starts it, not the client of the hooks.
        let variables = home.variables().into_iter().filter(|(name, _)| !name.starts_with("CLAUDE"));
        command.env_clear().envs(variables).current_dir(&home.project);
        command.args(["serve", "--listen", "127.0.0.1:0", "--import-every", "0"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.into_iter().find(|line| line.contains("://")).expect("it serves");
        let address = line.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { child, address }
    }

    /// The answer at this path, as JSON.
    pub fn get_json(&self, path: &str) -> Value {
        let (status, body) = Client::connect(&self.address, 1).get(path);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
