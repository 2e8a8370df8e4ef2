//! The API keeps what its OpenAPI document promises: checked by schemathesis, on both stores.
//!
//! `FUSEBOX_TEST_FUZZ=full` tries for five minutes on each store, otherwise for half a minute.

use std::path::Path;
use std::process::Command;

use super::{Serve, busy_session, on_both_stores, spend};
use crate::fuzz;

#[test]
fn live_schemathesis_finds_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(root.join("tests/install-schemathesis")).output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let program = String::from_utf8(installed.stdout).unwrap();
    on_both_stores(|home| {
        busy_session(home, "session-one");
        spend(home, "session-two", 700, 900);
        assert_eq!(home.fusebox(&["import"]).code, 0);
        let serve = Serve::start(home, &[]);
        let found = home
            .furnish(Command::new(program.trim()))
            .args(["--config-file"])
            .arg(root.join("tests/schemathesis.toml"))
            .arg("run")
            .arg(format!("http://{}/api/openapi.json", serve.address))
            .args(["--url", &format!("http://{}/api", serve.address)])
            .args(["--header", &format!("Authorization: Bearer {}", serve.token())])
            .args([
                "--checks",
                "all",
                "--mode",
                "all",
                "--continue-on-failure",
                "--rate-limit",
                "auto",
                "--request-timeout",
                "60",
            ])
            .args(["--seed", &fuzz::seed().to_string()])
            .args(["--max-time", &fuzz::amount(30, 300).to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(found.status.success(), "{said}{}", String::from_utf8_lossy(&found.stderr));
        let phases = ["Examples", "Coverage", "Fuzzing", "Stateful"];
        assert!(phases.iter().all(|phase| said.contains(&format!("✅ {phase}"))), "{said}");
    });
}
