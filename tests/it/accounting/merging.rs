//! A message is the same whatever the order and number of its lines.

use std::collections::{BTreeMap, BTreeSet};

use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use proptest::prelude::*;

pub fn usage() -> impl Strategy<Value = Usage> {
    (0..5u64, 0..4u64, 0..5u64, 0..5u64, 0..5u64).prop_map(
        |(input, output, cache_write_5m, cache_write_1h, cache_read)| Usage {
            input,
            output,
            cache_write_5m,
            cache_write_1h,
            cache_read,
        },
    )
}

fn usages() -> impl Strategy<Value = BTreeMap<u64, Usage>> {
    prop::collection::btree_map(0..3u64, usage(), 0..3)
}

/// A possible reading of the message with one key.
fn reading(source: UsageSource) -> impl Strategy<Value = Message> {
    let agent = prop_oneof![
        Just((None, "main".to_owned())),
        (0..3u8, 0..3u8).prop_map(|(agent, kind)| {
            let kind = ["", "Explore", "worker"][usize::from(kind)];
            (Some(format!("a{agent}")), kind.to_owned())
        }),
    ];
    let flags = (
        (any::<bool>(), any::<bool>()),
        any::<bool>(),
        any::<bool>(),
        prop::collection::btree_set(0..3u64, 0..2),
    );
    let sets = (
        prop::collection::btree_map(0..4u64, 0..40u64, 0..3),
        prop::collection::btree_map(0..4u64, 0..90u64, 0..3),
        prop::collection::btree_set(0..5u64, 0..3),
        usages(),
        usages(),
    );
    (0..3u8, agent, 0..5i64, usage(), flags, sets).prop_map(
        move |(model, (agent, agent_type), at, recorded, flags, sets)| {
            let ((stopped, error_followed), superseded, held, settled) = flags;
            let (visible, signed, tools, exact, share) = sets;
            Message {
                model: ["", "haiku", "sonnet"][usize::from(model)].into(),
                agent,
                agent_type,
                recorded,
                stopped,
                error_followed,
                superseded,
                held,
                settled,
                exact,
                share,
                visible,
                signed,
                tools,
                ..Message::new(MessageKey([1; 16]), source, Timestamp(at))
            }
            // As returned by the line reader.
            .forget_lines()
        },
    )
}

fn readings() -> impl Strategy<Value = Vec<Message>> {
    prop_oneof![
        Just(UsageSource::Response),
        Just(UsageSource::Compaction),
        Just(UsageSource::Unlisted),
        Just(UsageSource::Part),
        Just(UsageSource::Unseen)
    ]
    .prop_flat_map(|source| prop::collection::vec(reading(source), 1..7))
}

fn merged<'a>(readings: impl IntoIterator<Item = &'a Message>) -> Message {
    let mut readings = readings.into_iter();
    let first = readings.next().expect("at least one").clone();
    readings.fold(first, |sum, m| sum.merge(m))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn merging_is_commutative_associative_and_idempotent(all in readings()) {
        let (a, b, c) = (&all[0], &all[all.len() / 2], &all[all.len() - 1]);
        prop_assert_eq!(a.clone().merge(b), b.clone().merge(a));
        prop_assert_eq!(a.clone().merge(b).merge(c), a.clone().merge(&b.clone().merge(c)));
        prop_assert_eq!(&a.clone().merge(a), a);
        let ab = a.clone().merge(b);
        prop_assert_eq!(&ab.clone().merge(b), &ab);
    }

    #[test]
    fn any_order_and_repetition_comes_to_the_same(
        (all, order) in readings().prop_flat_map(|all| {
            let n = all.len();
            let order = prop::collection::vec(0..n, 0..20).prop_map(move |mut order| {
                order.extend((0..n).rev());
                order
            });
            (Just(all), order)
        })
    ) {
        let straight = merged(&all);
        let mixed = merged(order.iter().map(|i| &all[*i]));
        prop_assert_eq!(straight, mixed);
    }

    #[test]
    fn a_merged_message_never_shrinks_in_what_it_recorded(all in readings()) {
        let sum = merged(&all);
        for part in &all {
            prop_assert!(sum.recorded.covers(part.recorded));
            prop_assert!(sum.tools.is_superset(&part.tools));
            prop_assert!(sum.at <= part.at);
        }
    }
}

#[test]
fn each_line_of_a_message_adds_what_it_knows() {
    let base =
        Message::new(MessageKey::from_parts(&["message", "m", "r"]), UsageSource::Response, Timestamp(9));
    let first = Message {
        recorded: Usage { input: 10, output: 1, ..Usage::default() },
        visible: BTreeMap::from([(1, 40)]),
        tools: BTreeSet::from([7]),
        ..base.clone()
    };
    let second = Message {
        recorded: Usage { input: 4, output: 1, cache_read: 3, ..Usage::default() },
        visible: BTreeMap::from([(1, 40), (2, 20)]),
        tools: BTreeSet::from([7, 8]),
        at: Timestamp(5),
        ..base
    };
    let both = first.merge(&second);
    assert_eq!(both.at, Timestamp(5));
    assert_eq!(both.usage(), Usage { input: 10, output: 15, cache_read: 3, ..Usage::default() });
    assert_eq!((both.is_cut(), both.is_estimated()), (true, true));
    assert_eq!((both.amount().requests, both.amount().tool_calls), (1, 2));
    let ended = Message { stopped: true, recorded: Usage { output: 33, ..both.recorded }, ..both.clone() };
    let whole = both.merge(&ended);
    assert_eq!((whole.usage().output, whole.is_estimated()), (33, false));
    assert!(whole.visible.is_empty(), "characters are kept only while they may be needed");
}

#[test]
fn keys_keep_their_parts_apart() {
    assert_ne!(MessageKey::from_parts(&["a", "b"]), MessageKey::from_parts(&["ab"]));
    assert_ne!(MessageKey::from_parts(&["a", "b"]), MessageKey::from_parts(&["b", "a"]));
    assert_ne!(MessageKey::from_parts(&["", "a"]), MessageKey::from_parts(&["a", ""]));
}
