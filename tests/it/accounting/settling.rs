//! The client's own totals: a session's count equals them wherever they cover everything, however it is read.

use serde_json::Value;

use fusebox::domain::budget::Scope;
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::transcript::Fact;

use super::test_store::{
    NOW, READ_ORDERS, ReadOrder, SessionFiles, Sum, TestStore, as_counter, record, session,
};
use super::written::{at, boundary, cut, dated, lines, response, total};

const fn t(input: u64, output: u64, read: u64) -> Sum {
    Sum::tokens(input, output, 0, 0, read)
}

/// Checks the tokens of sessions and of their user, for every order of reading and many random ones.
#[track_caller]
fn check(sessions: &[SessionFiles], truths: &[Sum], user: Sum) {
    let random = (1..=12).flat_map(|n| [(ReadOrder::Shuffled, n * 7919), (ReadOrder::Pieces, n * 104_729)]);
    for (way, seed) in READ_ORDERS.map(|way| (way, 7)).into_iter().chain(random) {
        let mut store = record(sessions, way, seed);
        for (files, truth) in sessions.iter().zip(truths) {
            let found = store.lifetime_counter(Scope::Session, &files.id);
            assert_eq!(found[..4], as_counter(*truth)[..4], "session {}, {way:?}, seed {seed}", files.id);
        }
        let found = store.lifetime_counter(Scope::User, "ann");
        assert_eq!(found[..4], as_counter(user)[..4], "user, {way:?}, seed {seed}");
    }
}

fn one(main: &[String], agent: &[String]) -> Vec<SessionFiles> {
    vec![SessionFiles::from_lines("s", main, agent)]
}

#[test]
fn an_agents_file_read_before_or_after_the_total_makes_no_difference() {
    let main =
        lines([response("a", 1, t(100, 10, 0)), response("b", 9, t(50, 5, 0)), total(1, t(450, 45, 7))]);
    let agent = lines([response("c", 3, t(200, 20, 0)), response("d", 5, t(100, 10, 7))]);
    check(&one(&main, &agent), &[t(450, 45, 7)], t(450, 45, 7));
}

#[test]
fn what_stands_on_no_line_is_charged_once() {
    let main = lines([response("a", 1, t(100, 10, 0)), total(1, t(130, 13, 3)), total(1, t(130, 13, 3))]);
    check(&one(&main, &[]), &[t(130, 13, 3)], t(130, 13, 3));
}

#[test]
fn a_resumed_session_goes_on_from_its_total() {
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        total(1, t(130, 13, 0)),
        dated(20),
        response("b", 21, t(40, 4, 0)),
        response("c", 22, t(40, 4, 9)),
    ]);
    check(&one(&main, &[]), &[t(210, 21, 9)], t(210, 21, 9));
    let again = [main, lines([total(1, t(215, 26, 9))])].concat();
    check(&one(&again, &[]), &[t(215, 26, 9)], t(215, 26, 9));
}

#[test]
fn an_unlisted_rest_is_not_charged_again_with_a_later_compaction() {
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        total(1, t(130, 13, 0)),
        dated(20),
        boundary("c1", 21, 111),
        response("b", 22, t(40, 4, 0)),
        total(1, t(900, 90, 80)),
    ]);
    check(&one(&main, &[]), &[t(900, 90, 80)], t(900, 90, 80));
}

#[test]
fn a_compaction_is_an_estimate_until_a_total_covers_it() {
    let open =
        lines([response("a", 1, t(100, 10, 500)), boundary("c1", 2, 610), response("b", 3, t(1, 1, 0))]);
    check(&one(&open, &[]), &[t(101, 11, 1110)], t(101, 11, 1110));
    let mut store = record(&one(&open, &[]), ReadOrder::Whole, 1);
    assert_eq!(store.total("s").1, 1);
    let settled = [open, lines([total(1, t(4422, 332, 1277))])].concat();
    check(&one(&settled, &[]), &[t(4422, 332, 1277)], t(4422, 332, 1277));
    let mut store = record(&one(&settled, &[]), ReadOrder::Whole, 1);
    assert_eq!(store.total("s").1, 0);
}

#[test]
fn two_compactions_in_one_run_come_to_the_total() {
    // The estimate of the first (5,000 read) is more than both read together.
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        boundary("c1", 2, 5000),
        response("b", 3, t(100, 10, 0)),
        boundary("c2", 4, 4000),
        total(1, t(9000, 700, 600)),
    ]);
    check(&one(&main, &[]), &[t(9000, 700, 600)], t(9000, 700, 600));
}

#[test]
fn a_total_after_each_compaction_settles_each() {
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        boundary("c1", 2, 5000),
        total(1, t(4100, 310, 70)),
        dated(10),
        response("b", 11, t(100, 10, 0)),
        boundary("c2", 12, 4000),
        total(1, t(9200, 920, 90)),
    ]);
    check(&one(&main, &[]), &[t(9200, 920, 90)], t(9200, 920, 90));
    let mut store = record(&one(&main, &[]), ReadOrder::Whole, 1);
    assert_eq!(store.total("s").1, 0);
}

#[test]
fn a_total_that_does_not_cover_the_lines_says_nothing() {
    // A killed client wrote no total, and its resume started counting at 0.
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        boundary("c1", 2, 110),
        response("b", 3, t(10, 1, 0)),
        total(9, t(60, 6, 6)),
    ]);
    check(&one(&main, &[]), &[t(110, 11, 110)], t(110, 11, 110));
    // Only the agent's file makes the total too small, and it may be read last.
    let main = lines([response("a", 1, t(100, 10, 0)), total(9, t(160, 16, 6))]);
    let agent = lines([response("b", 3, t(200, 20, 0))]);
    check(&one(&main, &agent), &[t(300, 30, 0)], t(300, 30, 0));
}

#[test]
fn a_total_replaces_the_estimate_of_a_cut_stream() {
    let error: Value = serde_json::json!({
        "type": "assistant", "uuid": "line-e", "isApiErrorMessage": true, "timestamp": at(3),
        "message": {"id": "e", "model": "<synthetic>", "usage": {"input_tokens": 0, "output_tokens": 0}},
    });
    let open = lines([response("a", 1, t(100, 10, 0)), cut("b", 2, t(50, 0, 0), 400), error]);
    check(&one(&open, &[]), &[t(150, 110, 0)], t(150, 110, 0));
    let settled = [open, lines([total(1, t(150, 42, 0))])].concat();
    check(&one(&settled, &[]), &[t(150, 42, 0)], t(150, 42, 0));
}

#[test]
fn a_total_does_not_settle_what_came_after_it() {
    // The compaction leaves room in the total, which could seem to cover the agent's cut stream.
    let main = lines([
        response("a", 1, t(100, 10, 0)),
        boundary("c1", 2, 110),
        total(1, t(4100, 310, 70)),
        dated(20),
        response("b", 30, t(10, 1, 0)),
    ]);
    let agent = lines([cut("c", 25, t(50, 0, 0), 400)]);
    check(&one(&main, &agent), &[t(4160, 411, 70)], t(4160, 411, 70));
}

#[test]
fn a_fork_after_a_compaction_shares_it() {
    let before = lines([response("a", 1, t(100, 10, 0)), boundary("c1", 2, 110)]);
    let parent = [before.clone(), lines([response("b", 3, t(7, 1, 0)), total(1, t(4107, 311, 70))])].concat();
    let fork = [before, lines([response("x", 9, t(20, 2, 0)), total(1, t(4120, 312, 70))])].concat();
    let sessions = [SessionFiles::from_lines("p", &parent, &[]), SessionFiles::from_lines("f", &fork, &[])];
    check(&sessions, &[t(4107, 311, 70), t(4120, 312, 70)], t(4127, 313, 70));
}

#[test]
fn a_fork_whose_parent_settles_first_goes_on_from_there() {
    let before = lines([response("a", 1, t(100, 10, 0)), boundary("c1", 2, 110)]);
    let parent = [before.clone(), lines([total(1, t(4100, 310, 70))])].concat();
    // It has no total of its own yet: what the parent's says about the compaction applies here as well.
    let fork = [before, lines([response("x", 9, t(20, 2, 0))])].concat();
    let sessions = [SessionFiles::from_lines("p", &parent, &[]), SessionFiles::from_lines("f", &fork, &[])];
    check(&sessions, &[t(4100, 310, 70), t(4120, 312, 70)], t(4120, 312, 70));
}

#[test]
fn compactions_in_both_branches_come_to_both_totals() {
    let before = lines([response("a", 1, t(100, 10, 0)), boundary("c1", 2, 110)]);
    let first = lines([total(1, t(4100, 310, 70)), dated(20)]);
    let in_parent =
        lines([response("b", 21, t(7, 1, 0)), boundary("cp", 22, 99), total(1, t(8107, 611, 140))]);
    let in_fork =
        lines([response("x", 31, t(20, 2, 0)), boundary("cf", 32, 88), total(1, t(9120, 712, 150))]);
    let parent = [before.clone(), first, in_parent].concat();
    let fork = [before, in_fork].concat();
    let sessions = [SessionFiles::from_lines("p", &parent, &[]), SessionFiles::from_lines("f", &fork, &[])];
    // Together: the parent's, and what the fork adds to the 4,100 that it started with.
    let user = t(8107 + 9120 - 4100, 611 + 712 - 310, 140 + 150 - 70);
    check(&sessions, &[t(8107, 611, 140), t(9120, 712, 150)], user);
}

#[test]
fn an_unlisted_rest_of_the_parent_is_not_the_forks_again() {
    let before = lines([response("a", 1, t(100, 10, 0))]);
    let parent = [before.clone(), lines([total(1, t(130, 13, 3))])].concat();
    let fork =
        [before, lines([response("x", 31, t(20, 2, 0)), boundary("cf", 32, 88), total(1, t(950, 95, 30))])]
            .concat();
    let sessions = [SessionFiles::from_lines("p", &parent, &[]), SessionFiles::from_lines("f", &fork, &[])];
    check(&sessions, &[t(130, 13, 3), t(950, 95, 30)], t(950, 95, 30));
}

#[test]
fn a_total_names_each_model_apart() {
    let mut haiku = response("h", 2, t(70, 7, 0));
    haiku["message"]["model"] = "haiku".into();
    let mut both = total(1, t(130, 13, 0));
    both["modelUsage"]["haiku"] =
        serde_json::json!({"inputTokens": 75, "outputTokens": 8, "cacheReadInputTokens": 1});
    let main = lines([response("a", 1, t(100, 10, 0)), haiku, both]);
    check(&one(&main, &[]), &[t(205, 21, 1)], t(205, 21, 1));
    let mut store = record(&one(&main, &[]), ReadOrder::Lines, 1);
    assert_eq!(store.lifetime_counter(Scope::Model, "haiku")[..4], [75, 8, 0, 1]);
    assert_eq!(store.lifetime_counter(Scope::Model, "sonnet")[..4], [130, 13, 0, 0]);
}

#[test]
fn a_forked_capture_with_compactions_in_both_branches() {
    let root =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts/compact-auto");
    let captured = SessionFiles::read(&root.join("2e4e487d-8b4d-4f4a-8aac-4de41da21fdc.jsonl"));
    let text = String::from_utf8(captured.files[0].1.clone()).expect("UTF-8");
    let all: Vec<String> = text.lines().map(str::to_owned).collect();
    // The fork copies everything up to the first total (line 70), and is compacted again; its client knew the first
    // total: (4,723, 367, 96,200, 371,777).
    let copied: Vec<String> = all[..69].to_vec();
    let model = "claude-sonnet-4-5-20250929";
    let mut end = total(1_795_315_817_771, Sum::tokens(9000, 700, 96_200, 0, 372_000));
    let usage = end["modelUsage"]["sonnet"].take();
    end["modelUsage"] = serde_json::json!({ model: usage });
    let fork = [copied, lines([boundary("cf", 5, 30_113), end])].concat();
    let sessions = [captured, SessionFiles::from_lines("f", &fork, &[])];
    let parent = Sum::tokens(4825, 380, 96_300, 0, 401_777);
    let forked = Sum::tokens(9000, 700, 96_200, 0, 372_000);
    let user = Sum::tokens(4825 + 9000 - 4723, 380 + 700 - 367, 96_300, 0, 401_777 + 372_000 - 371_777);
    check(&sessions, &[parent, forked], user);
}

#[test]
fn an_unlisted_rest_books_to_the_window_of_the_line_before_it() {
    use fusebox::domain::window::{Period, WindowRule, Zone};
    let main = lines([response("a", 1, t(100, 10, 0)), total(1, t(130, 13, 0))]);
    let mut store = record(&one(&main, &[]), ReadOrder::Lines, 1);
    let day = WindowRule { period: Period::Day, zone: Zone::utc() };
    let on = Timestamp::parse(&at(0)).expect("a date");
    assert_eq!(store.counter(Scope::Session, &day, "s", on)[..2], [130, 13]);
    assert_eq!(store.counter(Scope::Session, &day, "s", NOW)[..2], [0, 0]);
}

#[test]
fn a_childs_rest_is_its_parents_too() {
    let main = lines([response("a", 1, t(100, 10, 0)), total(1, t(130, 13, 0))]);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut store = TestStore::with_counters(&["s", "parent"]);
    let child = fusebox::store::Session { parent: Some("parent".into()), ..session("s") };
    // Seen before its messages: what a session used before it became a child is its own.
    let born = Timestamp::parse(&at(0)).expect("a date");
    fusebox::store::Record::touch_session(&mut store.sqlite, &child, born, false).expect("noted");
    for facts in SessionFiles::from_lines("s", &main, &[]).facts_by_line(dir.path()) {
        store.apply(&child, &facts);
    }
    assert_eq!(store.lifetime_counter(Scope::Session, "parent")[..2], [130, 13]);
    assert_eq!(store.lifetime_counter(Scope::User, "ann")[..2], [130, 13]);
}

/// A response with 100 tokens of output that no file shows.
fn unseen(second: i64) -> Fact {
    let date = at(second);
    let key = MessageKey::from_parts(&["unseen", &date]);
    Fact::Message(Message {
        model: "sonnet".into(),
        recorded: Usage { output: 100, ..Usage::default() },
        stopped: true,
        ..Message::new(key, UsageSource::Unseen, Timestamp::parse(&date).expect("a date"))
    })
}

/// Checks tokens and estimates of a session with such responses, whenever they are heard of between the lines.
#[track_caller]
fn check_unseen(main: &[String], agent: &[String], heard: &[Fact], truth: Sum, estimates: u64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let lines = SessionFiles::from_lines("s", main, agent).facts_by_line(dir.path());
    for before in 0..=lines.len() {
        let mut store = TestStore::with_counters(&["s"]);
        let batches = lines[..before].iter().map(Vec::as_slice).chain([heard]);
        for facts in batches.chain(lines[before..].iter().map(Vec::as_slice)) {
            store.apply(&session("s"), facts);
        }
        let found = store.lifetime_counter(Scope::Session, "s");
        assert_eq!(found[..4], as_counter(truth)[..4], "heard before line {before}");
        assert_eq!(store.total("s").1, estimates, "heard before line {before}");
    }
}

#[test]
fn a_total_settles_only_estimates_before_its_last_dated_line() {
    let main = lines([response("a", 1, t(100, 10, 0)), dated(5), total(1, t(130, 13, 0))]);
    let heard = [unseen(3), unseen(5), unseen(6), unseen(600)];
    check_unseen(&main, &[], &heard, t(130, 213, 0), 2);
    // The next line can come long after them.
    let resumed = [main, lines([dated(900), response("b", 901, t(1, 1, 0))])].concat();
    check_unseen(&resumed, &[], &heard, t(131, 214, 0), 2);
}

#[test]
fn a_total_that_turns_out_to_cover_nothing_settles_no_estimate() {
    let main = lines([response("a", 1, t(100, 10, 0)), dated(5), total(1, t(130, 13, 0))]);
    let agent = lines([response("c", 4, t(500, 50, 0))]);
    check_unseen(&main, &agent, &[unseen(3)], t(600, 160, 0), 1);
}
