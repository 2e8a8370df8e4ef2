//! `[[platform]]`: what it takes, its layers, and what the project and the managed file may do.

use serde_json::json;

use super::{Case, MANAGED, PROJECT, USER};
use crate::config::{LoadedConfig, Source};
use crate::domain::platform::Platform;
use crate::domain::reservation::OnExcess;

const GEMINI: &str = "[[platform]]\nname = \"gemini\"\ncommands = [\"gemini\", \"codex  exec*\"]\ntools = [\"WebSearch\", \"mcp__gemini__*\"]\n";

fn platform<'c>(loaded: &'c LoadedConfig, name: &str) -> &'c Platform {
    loaded.config.platforms.iter().find(|platform| platform.name == name).unwrap()
}

#[test]
fn what_is_set_and_the_defaults() {
    let loaded = Case::user(GEMINI).good();
    let gemini = platform(&loaded, "gemini");
    assert_eq!(gemini.commands, ["gemini", "codex  exec*"]);
    assert_eq!(gemini.tools, ["WebSearch", "mcp__gemini__*"]);
    assert_eq!((gemini.ttl_s, gemini.on_excess), (3600, OnExcess::Charge));
    assert_eq!(loaded.value("platform.gemini.ttl"), (json!(3600), Source::Default));
    assert_eq!(loaded.value("platform.gemini.commands").1, Source::User(USER.into()));
    assert_eq!(loaded.names(), ["session"], "a platform is no budget");

    // One for scripts only, and one with everything.
    let text = "[[platform]]\nname = \"scripts\"\n[[platform]]\nname = \"session\"\nttl = 604_800\non_excess = \"refuse\"\n";
    let loaded = Case::user(text).good();
    let [scripts, all] = &loaded.config.platforms[..] else { panic!("two platforms") };
    assert_eq!((scripts.commands.len(), scripts.tools.len()), (0, 0));
    assert_eq!((all.name.as_str(), all.ttl_s, all.on_excess), ("session", 604_800, OnExcess::Refuse));
    let kept = serde_json::to_string(&loaded.config).unwrap();
    assert_eq!(serde_json::from_str::<crate::config::Config>(&kept).unwrap(), loaded.config);
    assert_eq!(Case::new().good().config.platforms, []);
}

#[test]
fn variables_change_a_platform_and_not_others() {
    let loaded = Case::user(GEMINI)
        .var("FUSEBOX_PLATFORM_GEMINI_COMMANDS", "gemini,agy -p")
        .var("FUSEBOX_PLATFORM_GEMINI_ON_EXCESS", "refuse")
        .good();
    let gemini = platform(&loaded, "gemini");
    assert_eq!(
        (&gemini.commands[..], gemini.tools.len()),
        (&["gemini".to_owned(), "agy -p".to_owned()][..], 2)
    );
    assert_eq!(gemini.on_excess, OnExcess::Refuse);
    let refused = Case::new().var("FUSEBOX_PLATFORM_GEMINI_TTL", "5").refusals();
    let message = "FUSEBOX_PLATFORM_GEMINI_TTL: is not a key of a platform: must be FUSEBOX_PLATFORM_<NAME>_<KEY> with the \
                   name of a platform (there is no platform yet) and one of the keys COMMANDS, TOOLS, TTL, ON_EXCESS";
    assert_eq!(refused, [message]);
}

#[test]
fn bad_values() {
    let commands = "must be a list of at most 64 commands: a program's name without its folder, or its name and first \
                    arguments, such as \"codex exec\"";
    let tools = "must be a list of at most 64 names of tools, such as \"mcp__gemini__*\"";
    let ttl = "must be a whole number from 1 to 604800";
    let cases = [
        ("commands = \"gemini\"", format!("commands: {commands} (found \"gemini\")")),
        ("commands = [\"/usr/bin/gemini\"]", format!("commands: {commands} (found \"/usr/bin/gemini\")")),
        ("commands = [\" \"]", format!("commands: {commands} (found \" \")")),
        ("commands = [3]", format!("commands: {commands} (found 3)")),
        ("tools = [\"Web Search\"]", format!("tools: {tools} (found \"Web Search\")")),
        ("tools = [\"\"]", format!("tools: {tools} (found \"\")")),
        ("ttl = 0", format!("ttl: {ttl} (found 0)")),
        ("ttl = 604801", format!("ttl: {ttl} (found 604801)")),
        ("ttl = \"1h\"", format!("ttl: {ttl} (found \"1h\")")),
        ("on_excess = \"allow\"", "on_excess: must be one of charge, refuse (found \"allow\")".into()),
        (
            "tool = []",
            "tool: unknown key; did you mean tools? allowed: name, commands, tools, ttl, on_excess".into(),
        ),
    ];
    for (line, message) in cases {
        let refusals = Case::user(&format!("[[platform]]\nname = \"p\"\n{line}\n")).refusals();
        assert_eq!(refusals, [format!("{USER}:3: platform.p.{message}")], "{line}");
    }
    let many = vec!["\"x\""; 65].join(", ");
    let refusals = Case::user(&format!("[[platform]]\nname = \"p\"\ncommands = [{many}]\n")).refusals();
    assert_eq!(refusals, [format!("{USER}:3: platform.p.commands: {commands} (found 65)")]);
    for (text, message) in [
        ("[[platform]]\nttl = 5\n", ":1: platform.name: is required: each [[platform]] must have a name"),
        ("[platform]\nname = \"p\"\n", ":1: platform: must be written as [[platform]], with a name"),
        (
            "[[platform]]\nname = \"p\"\n[[platform]]\nname = \"p\"\n",
            ":4: platform.name: must be unique in a file (found \"p\" again)",
        ),
    ] {
        assert_eq!(Case::user(text).refusals(), [format!("{USER}{message}")]);
    }
    let one = |i| format!("[[platform]]\nname = \"p{i}\"\n");
    let refusals = Case::user(&(0..65).map(one).collect::<String>()).refusals();
    assert_eq!(refusals, [format!("{USER}:130: platform.name: must not add to 64 platforms, the maximum")]);
}

#[test]
fn the_project_may_only_add_platforms() {
    let added =
        Case::user(GEMINI).project("[[platform]]\nname = \"own\"\ncommands = [\"own\"]\nttl = 5\n").good();
    assert_eq!((platform(&added, "own").ttl_s, platform(&added, "gemini").ttl_s), (5, 3600));
    let only = "cannot be set by the project, which may only add platforms, and change none of others";
    for line in ["commands = []", "commands = [\"*\"]", "tools = []", "ttl = 1", "on_excess = \"charge\""] {
        let case = Case::user(GEMINI).project(&format!("[[platform]]\nname = \"gemini\"\n{line}\n"));
        let key = line.split(' ').next().unwrap();
        assert_eq!(case.refusals(), [format!("{PROJECT}:3: platform.gemini.{key}: {only}")]);
        assert!(case.load().is_usable());
        assert_eq!(case.load().config, Case::user(GEMINI).good().config, "{line}");
    }
    let by_variable = Case::user(GEMINI).project_var("FUSEBOX_PLATFORM_GEMINI_TOOLS", "x");
    assert_eq!(by_variable.refusals().len(), 1);
    assert_eq!(by_variable.load().config, Case::user(GEMINI).good().config);
}

#[test]
fn a_platform_of_the_managed_file_stays_as_it_is_there() {
    let user = "[[platform]]\nname = \"gemini\"\ncommands = []\ntools = []\non_excess = \"charge\"\n[[platform]]\nname = \"own\"\n";
    let loaded = Case::user(user).managed(GEMINI).var("FUSEBOX_PLATFORM_GEMINI_TTL", "1").good();
    assert_eq!(platform(&loaded, "gemini"), platform(&Case::user(GEMINI).good(), "gemini"));
    assert_eq!(loaded.value("platform.gemini.commands").1, Source::Managed(MANAGED.into()));
    assert_eq!(loaded.config.platforms.len(), 2);
    // A platform with the name of a budget of that file is another thing.
    let loaded = Case::user("[[platform]]\nname = \"b\"\nttl = 7\n")
        .managed("[[budget]]\nname = \"b\"\nlimit = 5\nunit = \"requests\"\n")
        .good();
    assert_eq!((platform(&loaded, "b").ttl_s, loaded.budget("b").limit), (7, 5));
}
