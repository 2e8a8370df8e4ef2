//! The captured transcripts, counted by the product, by hand and by a second counter, for every order of reading.

use std::path::{Path, PathBuf};

use fusebox::domain::budget::Scope;

use super::naive::NaiveCount;
use super::test_store::{READ_ORDERS, ReadOrder, SessionFiles, Sum, as_counter, record};

/// A captured session with the expected tokens (input, output, cache writes of 5 minutes and 1 hour, cache reads),
/// requests and tool calls, and estimated messages.
struct ExpectedSession {
    session: &'static str,
    sum: Sum,
    estimated: u64,
}

const fn expected(session: &'static str, sum: Sum, estimated: u64) -> ExpectedSession {
    ExpectedSession { session, sum, estimated }
}

struct Scenario {
    folder: &'static str,
    sessions: &'static [ExpectedSession],
}

/// Counted by a Python script over the files, each `message.id` once, and compared with the client's last `cost-state`,
/// if any (2.1.330). They agree in every class, apart from usage on no line: the compactions (which are the difference,
/// one request each), and 13 output tokens of a cut stream.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        folder: "simple",
        sessions: &[expected(
            "67393810-3473-4bd3-b05f-e73c943b62e9",
            Sum::tokens(1280, 137, 2300, 1000, 51200).calls(3, 2),
            0,
        )],
    },
    Scenario {
        folder: "parallel-tools",
        sessions: &[expected(
            "56b312ba-9e8b-4949-b4c6-7dd9141cfc8e",
            Sum::tokens(1230, 397, 3000, 0, 15000).calls(2, 6),
            0,
        )],
    },
    Scenario {
        folder: "slow-stream",
        sessions: &[expected(
            "7364f8da-038e-4488-8071-d68504e35666",
            Sum::tokens(1230, 197, 3000, 0, 15000).calls(2, 2),
            0,
        )],
    },
    Scenario {
        folder: "subagents",
        sessions: &[expected(
            "810f5143-ebb9-469c-bff2-bab2ce83d0c9",
            Sum::tokens(4749, 694, 7600, 0, 39700).calls(13, 9),
            0,
        )],
    },
    Scenario {
        folder: "api-errors",
        sessions: &[
            expected("169a4265-1240-4094-b3b1-56d46d83ecca", Sum::tokens(210, 25, 0, 0, 0).calls(2, 1), 0),
            // Cut after 48 visible characters and recorded as 1; the client counted 14.
            expected("35a92878-d458-4dfe-ae45-164905157b30", Sum::tokens(270, 21, 0, 0, 0).calls(2, 1), 0),
            expected("a2df06b8-e8e5-4670-8ae6-d9d1b9fd38e3", Sum::tokens(11, 3, 0, 0, 0).calls(1, 0), 0),
            expected("e2fd4456-6ff7-4a2e-9b51-eb38af7903c1", Sum::tokens(0, 0, 0, 0, 0), 0),
            expected("e3d31221-8f17-433d-b1aa-7b385a66f617", Sum::tokens(120, 6, 0, 0, 0).calls(1, 0), 0),
        ],
    },
    Scenario {
        folder: "resume-continue-fork",
        sessions: &[
            expected("a0a0f16b-4535-4c02-a239-ee2ed2caba0a", Sum::tokens(510, 65, 0, 0, 0).calls(5, 2), 0),
            expected("638e932d-17ed-482e-a0b6-a862681359d4", Sum::tokens(721, 98, 0, 0, 0).calls(7, 3), 0),
            expected("918ddf11-d5e4-41e4-8f6e-32a7f86a83bb", Sum::tokens(107, 18, 0, 0, 0).calls(1, 0), 0),
        ],
    },
    Scenario {
        folder: "compact-manual",
        sessions: &[expected(
            "8e159abe-8a96-4c17-8a4c-6629b613ed91",
            Sum::tokens(4624, 357, 0, 0, 777).calls(4, 1),
            0,
        )],
    },
    Scenario {
        folder: "compact-auto",
        sessions: &[expected(
            "2e4e487d-8b4d-4f4a-8aac-4de41da21fdc",
            Sum::tokens(4825, 380, 96300, 0, 401_777).calls(6, 3),
            0,
        )],
    },
    Scenario {
        folder: "interactive-clear-compact-agents",
        sessions: &[
            expected(
                "f0690006-b173-469e-b9cf-52cacaee7435",
                Sum::tokens(7921, 633, 2500, 0, 19677).calls(11, 5),
                0,
            ),
            expected("ac0f0a2b-6ced-4c2c-9553-b96bba8100c1", Sum::tokens(11, 3, 0, 0, 0).calls(1, 0), 0),
        ],
    },
    Scenario {
        folder: "hook-stopped",
        sessions: &[expected(
            "eaa7bc1a-06d9-4f84-92a4-6597c3d870cc",
            Sum::tokens(1200, 185, 3000, 0, 15000).calls(1, 2),
            0,
        )],
    },
    Scenario {
        folder: "2.1.197-simple",
        sessions: &[expected(
            "da35092c-6da9-4746-aef3-f54b3866bf33",
            Sum::tokens(1280, 137, 2300, 1000, 51200).calls(3, 2),
            0,
        )],
    },
    Scenario {
        folder: "2.1.197-subagents",
        sessions: &[expected(
            "816324ab-06e3-4117-afdb-13397b03b1b8",
            Sum::tokens(4749, 694, 7600, 0, 39700).calls(13, 9),
            0,
        )],
    },
    Scenario {
        folder: "2.1.197-api-errors",
        sessions: &[
            expected("f66e95f0-2c5e-4805-8c80-046d5b7d9010", Sum::tokens(210, 25, 0, 0, 0).calls(2, 1), 0),
            expected("04bf5de5-ddda-4c1a-b5ae-58a989224ff0", Sum::tokens(120, 6, 0, 0, 0).calls(1, 0), 0),
            // No cost-state: 48 visible characters ÷ 4 = 12 for the cut message, 7 for the other one.
            expected("e1a18f01-0d03-49d7-8932-777cba17a305", Sum::tokens(270, 19, 0, 0, 0).calls(2, 1), 1),
            expected("d66d06a9-56d3-488d-adb2-b6f9e956c1f8", Sum::tokens(0, 0, 0, 0, 0), 0),
            expected("98471853-d23e-4eb6-9de9-7233595a14bc", Sum::tokens(0, 0, 0, 0, 0), 0),
        ],
    },
];

/// The user's total in the fork's scenario, where the fork's copies count once: (510, 65) of the parent, then 105 + 106
/// and 16 + 17 of the fork, (107, 18) of the session after it.
const FORKED_USER: Sum = Sum::tokens(828, 116, 0, 0, 0).calls(8, 3);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts")
}

impl Scenario {
    fn files(&self) -> Vec<SessionFiles> {
        let path = |t: &ExpectedSession| fixtures().join(self.folder).join(format!("{}.jsonl", t.session));
        self.sessions.iter().map(|t| SessionFiles::read(&path(t))).collect()
    }

    fn user(&self) -> Sum {
        match self.folder {
            "resume-continue-fork" => FORKED_USER,
            _ => self.sessions.iter().fold(Sum::default(), |sum, t| sum.plus(t.sum)),
        }
    }

    fn check(&self, way: ReadOrder, seed: u64) {
        let files = self.files();
        let mut store = record(&files, way, seed);
        let told = |what: &str| format!("{} of {}, {way:?}, seed {seed}", what, self.folder);
        for truth in self.sessions {
            assert_eq!(store.total(truth.session), (truth.sum, truth.estimated), "{}", told(truth.session));
            let counter = store.lifetime_counter(Scope::Session, truth.session);
            assert_eq!(counter, as_counter(truth.sum), "{}", told("session counter"));
        }
        for (scope, value) in [(Scope::User, "ann"), (Scope::Project, "/project")] {
            assert_eq!(store.lifetime_counter(scope, value), as_counter(self.user()), "{}", told(value));
        }
    }
}

#[test]
fn every_captured_session_is_in_the_table() {
    let mut found = Vec::new();
    for scenario in std::fs::read_dir(fixtures()).expect("fixtures").flatten() {
        for file in std::fs::read_dir(scenario.path()).expect("a scenario").flatten() {
            let path = file.path();
            if path.extension().is_some_and(|e| e == "jsonl") {
                found.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
            }
        }
    }
    let mut listed: Vec<String> =
        SCENARIOS.iter().flat_map(|s| s.sessions.iter().map(|t| t.session.to_owned())).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn the_second_counter_agrees_with_the_table() {
    for scenario in SCENARIOS {
        for (files, truth) in scenario.files().iter().zip(scenario.sessions) {
            assert_eq!(
                NaiveCount::from_files(files).charged(),
                (truth.sum, truth.estimated),
                "{}",
                truth.session
            );
        }
    }
}

#[test]
fn captured_sessions_count_the_same_in_every_way_of_reading() {
    for scenario in SCENARIOS {
        for way in READ_ORDERS {
            scenario.check(way, 7);
        }
    }
}

#[test]
fn random_pieces_and_orders_change_nothing() {
    for scenario in SCENARIOS {
        for seed in 1..=6 {
            scenario.check(ReadOrder::Pieces, seed * 7919);
            scenario.check(ReadOrder::Shuffled, seed * 104_729);
        }
    }
}

#[test]
fn models_are_counted_apart_and_agents_by_type() {
    let scenario = SCENARIOS.iter().find(|s| s.folder == "2.1.197-subagents").expect("a scenario");
    let files = scenario.files();
    let naive = NaiveCount::from_sessions(&files);
    let mut store = record(&files, ReadOrder::Pieces, 5);
    let models = naive.models();
    assert_eq!(models.len(), 2, "{models:?}");
    for model in models {
        let tokens = as_counter(naive.listed(&model));
        assert_eq!(store.lifetime_counter(Scope::Model, &model)[..4], tokens[..4], "{model}");
    }
    // Main: (1200, 285), (100, 60), (30, 12), (40, 9), by hand.
    let main = store.lifetime_counter(Scope::AgentType, "main");
    assert_eq!(main, [1370, 366, 3500, 33000, 4, 4]);
}

#[test]
fn a_fork_and_its_parent_can_be_read_in_any_order() {
    let scenario = SCENARIOS.iter().find(|s| s.folder == "resume-continue-fork").expect("a scenario");
    let files = scenario.files();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let files: Vec<SessionFiles> = order.iter().map(|i| files[*i].clone()).collect();
        let mut store = record(&files, ReadOrder::Lines, 1);
        for truth in scenario.sessions {
            assert_eq!(store.total(truth.session).0, truth.sum, "{order:?}");
        }
        assert_eq!(store.lifetime_counter(Scope::User, "ann"), as_counter(FORKED_USER), "{order:?}");
    }
}

#[test]
fn a_fork_is_charged_its_history_even_if_its_parent_is_never_read() {
    let scenario = SCENARIOS.iter().find(|s| s.folder == "resume-continue-fork").expect("a scenario");
    let fork = vec![scenario.files().remove(1)];
    let mut store = record(&fork, ReadOrder::Pieces, 3);
    assert_eq!(store.total(&fork[0].id).0, scenario.sessions[1].sum);
    assert_eq!(store.lifetime_counter(Scope::User, "ann"), as_counter(scenario.sessions[1].sum));
}
