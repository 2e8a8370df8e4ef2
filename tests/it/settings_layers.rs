//! Which settings files can disable hooks.

use serde_json::{Value, json};

use crate::guarded::hooks;
use crate::rig::{Api, Client, Script, Turn, Version, client_tests};

/// Whether the user's hooks run with these user, project and local settings.
fn run(version: Version, user: Value, project: Value, local: Value) -> bool {
    let api = Api::start(Script::new().main(Turn::text("Done.")));
    let mut settings = hooks(version);
    settings.as_object_mut().unwrap().extend(user.as_object().unwrap().clone());
    let client = Client::new(version, &api).user_settings(&settings);
    let state = client.root().join("state");
    let client = client.env("FUSEBOX_STATE_DIR", &state.to_string_lossy());
    let cache = client.root().join("cache");
    let client = client.env("FUSEBOX_CACHE_DIR", &cache.to_string_lossy());
    std::fs::create_dir_all(client.project().join(".claude")).unwrap();
    for (name, settings) in [("settings.json", project), ("settings.local.json", local)] {
        std::fs::write(client.project().join(".claude").join(name), settings.to_string()).unwrap();
    }
    client.prompt("work").run().ok();
    state.exists()
}

fn the_last_word_on_disabling_all_hooks_counts(version: Version) {
    let (on, off, none) = (json!({"disableAllHooks": false}), json!({"disableAllHooks": true}), json!({}));
    for (user, project, local, runs) in [
        (&none, &none, &none, true),
        (&off, &none, &none, false),
        (&none, &off, &none, false),
        (&none, &none, &off, false),
        (&off, &on, &none, true),
        (&off, &none, &on, true),
        (&none, &off, &on, true),
    ] {
        let ran = run(version, user.clone(), project.clone(), local.clone());
        assert_eq!(ran, runs, "user {user}, project {project}, local {local}");
    }
}

fn only_managed_settings_can_keep_out_all_others(version: Version) {
    let only = json!({"allowManagedHooksOnly": true});
    assert!(run(version, only.clone(), json!({}), json!({})));
    assert!(run(version, json!({}), only.clone(), only));
}

client_tests!(facts: the_last_word_on_disabling_all_hooks_counts, only_managed_settings_can_keep_out_all_others);
