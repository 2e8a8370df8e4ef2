//! Settling forks: a fork's totals start with those of its origin, and shared messages are charged once.

use fusebox::domain::message::Message;
use fusebox::domain::usage::Usage;
use fusebox::transcript::Fact;

use super::backend::Backend;
use super::facts::{by_agent, compaction, said, second, total, usage};
use super::settling::{SessionFact, check, fact_of};

conformance!(
    a_fork_after_a_compaction_shares_it,
    a_fork_whose_origin_settles_first_goes_on_from_there,
    compactions_in_both_branches_come_to_both_totals,
    a_rest_of_the_origin_is_not_the_forks_again,
    a_forks_total_holds_its_origins_subagents,
    a_forks_total_holds_what_came_after_its_point_in_its_origin,
    a_total_of_the_origin_reaches_the_fork_of_a_fork,
    what_a_fork_read_more_of_is_no_rest_of_its_origin,
    so_is_what_a_copy_without_its_origins_name_read_more_of,
);

/// These messages in the files of each of these sessions.
fn in_files_of<const N: usize>(sessions: &[&'static str], messages: [Message; N]) -> Vec<SessionFact> {
    let of_session = |id: &&'static str| messages.clone().map(|message| fact_of(id, message));
    sessions.iter().flat_map(of_session).collect()
}

fn line(id: &str, n: i64, sum: Usage) -> Message {
    said(id, second(n), sum)
}

fn origin(fork: &'static str, origin: &str) -> SessionFact {
    (fork, Fact::Origin(origin.into()))
}

/// The start that origin `p` and fork `f` share: a response and a compaction.
fn shared() -> Vec<SessionFact> {
    let copied = [line("a", 1, usage(100, 10, 0)), compaction("c1", second(2), 110)];
    let mut told = in_files_of(&["p", "f"], copied);
    told.push(origin("f", "p"));
    told
}

fn a_fork_after_a_compaction_shares_it(backend: &dyn Backend) {
    let mut told = shared();
    told.extend([
        fact_of("p", line("b", 3, usage(7, 1, 0))),
        ("p", total(1, usage(4107, 311, 70), second(3), None)),
        fact_of("f", line("x", 9, usage(20, 2, 0))),
        ("f", total(1, usage(4120, 312, 70), second(9), None)),
    ]);
    let truths = [("p", usage(4107, 311, 70), 0), ("f", usage(4120, 312, 70), 0)];
    check(backend, &told, &truths, usage(4127, 313, 70));
}

fn a_fork_whose_origin_settles_first_goes_on_from_there(backend: &dyn Backend) {
    let mut told = shared();
    told.extend([
        ("p", total(1, usage(4100, 310, 70), second(2), None)),
        // No total of its own yet: what its origin's says about the compaction applies here as well.
        fact_of("f", line("x", 9, usage(20, 2, 0))),
    ]);
    let truths = [("p", usage(4100, 310, 70), 0), ("f", usage(4120, 312, 70), 0)];
    check(backend, &told, &truths, usage(4120, 312, 70));
}

fn compactions_in_both_branches_come_to_both_totals(backend: &dyn Backend) {
    let mut told = shared();
    told.extend([
        ("p", total(1, usage(4100, 310, 70), second(2), Some(second(20)))),
        fact_of("p", line("b", 21, usage(7, 1, 0))),
        fact_of("p", compaction("cp", second(22), 99)),
        ("p", total(1, usage(8107, 611, 140), second(22), None)),
        // Forked before that, with the first total.
        fact_of("f", line("x", 11, usage(20, 2, 0))),
        fact_of("f", compaction("cf", second(12), 88)),
        ("f", total(1, usage(9120, 712, 150), second(12), None)),
    ]);
    let truths = [("p", usage(8107, 611, 140), 0), ("f", usage(9120, 712, 150), 0)];
    // Together: the origin's, and what the fork adds to the 4,100 that it started with.
    check(backend, &told, &truths, usage(8107 + 9120 - 4100, 611 + 712 - 310, 140 + 150 - 70));
}

fn a_rest_of_the_origin_is_not_the_forks_again(backend: &dyn Backend) {
    let mut told = in_files_of(&["p", "f"], [line("a", 1, usage(100, 10, 0))]);
    told.extend([
        ("p", total(1, usage(130, 13, 3), second(1), None)),
        fact_of("f", line("x", 31, usage(20, 2, 0))),
        fact_of("f", compaction("cf", second(32), 88)),
        ("f", total(1, usage(950, 95, 30), second(32), None)),
    ]);
    let truths = [("p", usage(130, 13, 3), 0), ("f", usage(950, 95, 30), 0)];
    check(backend, &told, &truths, usage(950, 95, 30));
}

fn a_forks_total_holds_its_origins_subagents(backend: &dyn Backend) {
    let mut told = in_files_of(&["p", "f"], [line("a", 1, usage(100, 10, 0))]);
    told.extend([
        origin("f", "p"),
        fact_of("p", by_agent(line("b", 2, usage(50, 5, 0)), "x", "Explore")),
        ("p", total(1, usage(150, 15, 0), second(2), None)),
        fact_of("f", line("x", 31, usage(20, 2, 0))),
        // All three: the subagent's response is in none of the fork's files, and must not count as a rest.
        ("f", total(1, usage(170, 17, 0), second(31), None)),
    ]);
    let truths = [("p", usage(150, 15, 0), 0), ("f", usage(120, 12, 0), 0)];
    check(backend, &told, &truths, usage(170, 17, 0));
}

fn a_forks_total_holds_what_came_after_its_point_in_its_origin(backend: &dyn Backend) {
    let mut told = in_files_of(&["p", "f"], [line("a", 1, usage(100, 10, 0))]);
    told.extend([
        origin("f", "p"),
        // After the point where the fork starts, and before it was created.
        fact_of("p", line("b", 2, usage(50, 5, 0))),
        ("p", total(1, usage(160, 16, 1), second(2), None)),
        fact_of("f", line("x", 31, usage(20, 2, 0))),
        ("f", total(1, usage(180, 18, 1), second(31), None)),
    ]);
    let truths = [("p", usage(160, 16, 1), 0), ("f", usage(130, 13, 1), 0)];
    check(backend, &told, &truths, usage(180, 18, 1));
}

fn a_total_of_the_origin_reaches_the_fork_of_a_fork(backend: &dyn Backend) {
    let copied = [line("a", 1, usage(100, 10, 0)), compaction("c1", second(2), 110)];
    let mut told = in_files_of(&["p", "f", "g"], copied);
    told.extend([
        origin("f", "p"),
        origin("g", "f"),
        ("p", total(1, usage(4100, 310, 70), second(2), None)),
        fact_of("f", line("x", 9, usage(20, 2, 0))),
        fact_of("g", line("y", 19, usage(1, 1, 1))),
    ]);
    let truths =
        [("p", usage(4100, 310, 70), 0), ("f", usage(4120, 312, 70), 0), ("g", usage(4101, 311, 71), 0)];
    check(backend, &told, &truths, usage(4121, 313, 71));
}

/// A response in both, complete only in the files of `f`, and a total of `p`.
fn read_more_of_in_f() -> Vec<SessionFact> {
    vec![
        fact_of("p", line("a", 1, usage(100, 10, 0))),
        ("p", total(1, usage(130, 30, 3), second(1), None)),
        fact_of("f", line("a", 1, usage(100, 25, 0))),
    ]
}

fn what_a_fork_read_more_of_is_no_rest_of_its_origin(backend: &dyn Backend) {
    let mut told = read_more_of_in_f();
    told.push(origin("f", "p"));
    let truths = [("p", usage(130, 30, 3), 0), ("f", usage(100, 25, 0), 0)];
    check(backend, &told, &truths, usage(130, 30, 3));
}

fn so_is_what_a_copy_without_its_origins_name_read_more_of(backend: &dyn Backend) {
    let truths = [("p", usage(130, 30, 3), 0), ("f", usage(100, 25, 0), 0)];
    check(backend, &read_more_of_in_f(), &truths, usage(130, 30, 3));
}
