//! A real Prometheus scrapes a real server, and its rules fire.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::super::{PATIENCE, Serve, busy_session, request, spend};
use super::{ONE, token, write_tokens};
use crate::harness::Home;
use crate::redis::free_port;

/// A running Prometheus; ends with the test.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts one that scrapes this server with a viewer's token.
    fn start(home: &Home, serve: &Serve) -> Self {
        let rules = "groups:\n- name: test\n  interval: 200ms\n  rules:\n  - alert: Used\n    \
             expr: max by (budget) (asdlc_budget_utilization) >= 1\n    for: 0s\n";
        std::fs::write(home.path("rules.yml"), rules).unwrap();
        std::fs::write(home.path("scrape-token"), token(2)).unwrap();
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  evaluation_interval: 200ms\nrule_files: [rules.yml]\n\
             scrape_configs:\n- job_name: fusebox\n  authorization:\n    credentials_file: {}\n  static_configs:\n  \
             - targets: ['{}']\n",
            home.path("scrape-token").display(),
            serve.address
        );
        std::fs::write(home.path("prometheus.yml"), config).unwrap();
        let port = free_port();
        let log = std::fs::File::create(home.path("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", home.path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.path("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(home.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// Asks its API until the answer is as wanted.
    #[track_caller]
    fn wait_for(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let (began, mut last) = (Instant::now(), Value::Null);
        loop {
            if let Ok(answer) =
                request(Ipv4Addr::LOCALHOST, &format!("127.0.0.1:{}", self.port), "GET", path, &[], b"")
                && answer.status == 200
            {
                last = answer.json();
                if is_wanted(&last["data"]) {
                    return last["data"].clone();
                }
            }
            assert!(began.elapsed() < PATIENCE, "never came: {path}: {last}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

#[test]
fn live_prometheus_scrapes_and_a_rule_fires() {
    let home = Home::new();
    write_tokens(&home);
    busy_session(&home, ONE);
    let serve = Serve::start(&home, &["--require-token"]);
    let prometheus = Prometheus::start(&home, &serve);
    let query = "/api/v1/query?query=sum(asdlc_tokens_used_total%7Btype%3D%22input%22%7D)";
    let value = |data: &Value| data["result"][0]["value"][1].as_str().map(str::to_owned);
    prometheus.wait_for(query, |data| value(data).as_deref() == Some("550"));
    let quiet = prometheus.wait_for("/api/v1/alerts", |data| data["alerts"].is_array());
    assert_eq!(quiet["alerts"].as_array().unwrap().len(), 0, "{quiet}");
    spend(&home, ONE, 2, 1000);
    let firing = prometheus.wait_for("/api/v1/alerts", |data| data["alerts"][0]["state"] == "firing");
    assert_eq!(firing["alerts"][0]["labels"]["alertname"], "Used");
    assert_eq!(firing["alerts"][0]["labels"]["budget"], "session");
    prometheus.wait_for(query, |data| value(data).as_deref() == Some("1550"));
    // It reads OpenMetrics, and knows the types.
    let kinds =
        prometheus.wait_for("/api/v1/metadata", |data| data.as_object().is_some_and(|all| !all.is_empty()));
    let kind = |name: &str| kinds[name][0]["type"].as_str().map(str::to_owned);
    let tokens = kind("asdlc_tokens_used").or_else(|| kind("asdlc_tokens_used_total"));
    assert_eq!(
        (tokens.as_deref(), kind("asdlc_store_up").as_deref()),
        (Some("counter"), Some("gauge")),
        "{kinds}"
    );
    let targets = prometheus.wait_for("/api/v1/targets", |data| data["activeTargets"][0]["health"] == "up");
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets}");
}
