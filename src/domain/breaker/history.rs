//! The recent calls of one agent, grouped by response: the input of the rules.
//!
//! The calls of a response are a set, so the order in which hooks of parallel calls run does not matter. A response
//! ends when the client says so (`PostToolBatch`), or when a call of the next one is seen.

use super::call::{CALL_BYTES, Call};

/// How many calls are kept.
pub const CAPACITY: usize = 100;

/// The recent calls of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallHistory {
    /// Oldest first.
    calls: Vec<Call>,
    /// How many calls were dropped, modulo the capacity. A stored call keeps its position in the ring.
    forgotten: u8,
}

/// Finished responses. (Two lists: most responses have one call, and a list for each would cost more than all rules.)
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    calls: Vec<Call>,
    /// Where each response ends in `calls`.
    ends: Vec<usize>,
}

impl Rounds {
    /// The calls of all responses, in order.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The number of responses.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The calls of each response.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[Call]> {
        let start = |n: usize| n.checked_sub(1).map_or(0, |before| self.ends[before]);
        (0..self.ends.len()).map(move |n| &self.calls[start(n)..self.ends[n]])
    }

    /// Ends the current response, if it has any calls.
    fn end(&mut self) {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.calls.len() > start + 1 {
            let mut of_round = self.calls.split_off(start);
            of_round.sort_by_key(|call| (call.shape, call.outcome.hash));
            of_round.dedup_by_key(|call| (call.shape, call.outcome.hash));
            self.calls.append(&mut of_round);
        }
        if self.calls.len() > start {
            self.ends.push(self.calls.len());
        }
    }
}

impl CallHistory {
    /// Every call.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whether this call is in the history.
    pub fn contains(&self, id: u32) -> bool {
        self.calls.iter().any(|call| call.id == id)
    }

    /// How many times in a row the last call came, by its signature; 0 without calls.
    pub fn repeats_of_last(&self) -> u32 {
        let last = self.calls.last().map(|call| call.signature);
        self.calls.iter().rev().take_while(|call| Some(call.signature) == last).count() as u32
    }

    /// Adds a call, told of by itself, to the current response, sorted by id. Returns false if it is known. (Ids can
    /// repeat: the same id with another input is another call.)
    pub fn add(&mut self, call: Call) -> bool {
        self.add_unless(call, 0, |known| known.id == call.id && known.signature == call.signature)
    }

    /// Adds a call of a response that ended. `before`: how many calls before it in that response have its id. Returns
    /// false if it is known.
    pub fn add_of_response(&mut self, call: Call, before: usize) -> bool {
        self.add_unless(call, before, |known| known.id == call.id)
    }

    fn add_unless(&mut self, call: Call, before: usize, is_it: impl Fn(&Call) -> bool) -> bool {
        // The response is not over: that its id has another number by now does not make it another call.
        let is_current =
            |known: &Call| !known.closed && known.has_id(call.id) && known.signature == call.signature;
        if let Some(known) =
            self.calls.iter_mut().filter(|known| is_it(known) || is_current(known)).nth(before)
        {
            known.id = call.id;
            return false;
        }
        let open = self.calls.iter().rposition(|known| known.closed).map_or(0, |last| last + 1);
        let place = self.calls[open..]
            .partition_point(|known| (known.id, known.signature) < (call.id, call.signature))
            + open;
        let round = self.next_round();
        // Reserve for one call: mostly it is the only one, and a full list would double.
        self.calls.reserve_exact(1);
        self.calls.insert(place, Call { closed: false, round, ..call });
        // The newest calls stay.
        let surplus = self.calls.len().saturating_sub(CAPACITY);
        self.calls.drain(..surplus);
        self.forgotten = self.ring_index(surplus) as u8;
        true
    }

    /// The response with these calls ended. Other open calls belong to an earlier response.
    pub fn close(&mut self, ids: &[u32]) {
        let open = self.calls.iter().position(|call| !call.closed).unwrap_or(self.calls.len());
        let round = self.next_round();
        let pending = &mut self.calls[open..];
        pending.sort_by_key(|call| (ids.contains(&call.id), call.id, call.signature));
        let before = pending.iter().filter(|call| !ids.contains(&call.id)).count();
        for (i, call) in pending.iter_mut().enumerate() {
            call.closed = true;
            call.round = if i < before || before == 0 { round } else { round.wrapping_add(1) };
        }
    }

    /// Makes each open call its own response, for a client that does not report the end of a response.
    pub fn close_each(&mut self) {
        let open = self.calls.iter().position(|call| !call.closed).unwrap_or(self.calls.len());
        let mut round = self.next_round();
        for call in &mut self.calls[open..] {
            (call.closed, call.round) = (true, round);
            round = round.wrapping_add(1);
        }
    }

    /// Removes all calls.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn next_round(&self) -> u8 {
        self.calls.iter().rfind(|call| call.closed).map_or(0, |last| last.round.wrapping_add(1))
    }

    /// The finished responses. Their calls are in an order that does not depend on which hook ran first; duplicates
    /// within a response and interrupted calls are left out.
    pub fn rounds(&self) -> Rounds {
        let mut rounds = Rounds {
            calls: Vec::with_capacity(self.calls.len()),
            ends: Vec::with_capacity(self.calls.len()),
        };
        let mut last = None;
        for call in self.calls.iter().filter(|call| call.closed) {
            if last != Some(call.round) {
                rounds.end();
                last = Some(call.round);
            }
            if !call.interrupted {
                rounds.calls.push(*call);
            }
        }
        rounds.end();
        rounds
    }

    /// The stored form: the position of the oldest call and a ring, so that a new call changes one place.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.forgotten];
        let oldest = self.calls.len() - self.first_in_ring();
        let ring = self.calls[oldest..].iter().chain(&self.calls[..oldest]);
        bytes.extend(ring.flat_map(|call| call.to_bytes()));
        bytes
    }

    /// Reads the result of [`Self::to_bytes`]; ignores an incomplete call at the end.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Some((forgotten, ring)) = bytes.split_first() else { return Self::default() };
        let mut history = Self::from_ordered_bytes(ring);
        history.forgotten = history.ring_index(usize::from(*forgotten)) as u8;
        let first = history.first_in_ring();
        history.calls.rotate_left(first);
        history
    }

    /// Reads calls stored in order, as stores did before the ring.
    pub fn from_ordered_bytes(bytes: &[u8]) -> Self {
        let calls = bytes.chunks_exact(CALL_BYTES).take(CAPACITY).filter_map(|chunk| chunk.try_into().ok());
        Self { calls: calls.map(Call::from_bytes).collect(), forgotten: 0 }
    }

    /// Position of the oldest call in the ring.
    fn first_in_ring(&self) -> usize {
        if self.calls.len() == CAPACITY { usize::from(self.forgotten) } else { 0 }
    }

    /// The ring position `more` places after the oldest call.
    fn ring_index(&self, more: usize) -> usize {
        (usize::from(self.forgotten) + more) % CAPACITY
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::action::Action;
    use super::super::call::numbered_id;
    use super::super::outcome::Outcome;
    use super::*;

    fn call(id: u32) -> Call {
        let input = json!({"command": format!("c{id}")});
        let action = Action { relevant_input: input.clone(), ..Action::default() };
        Call::new(id, "run", &input, &action, Outcome::default())
    }

    proptest! {
        #[test]
        fn parallel_calls_in_any_order_give_one_history(order in Just((1u32..=6).collect::<Vec<_>>()).prop_shuffle(), again in 0usize..6) {
            let mut sorted = CallHistory::default();
            (1..=6).for_each(|id| assert!(sorted.add(call(id))));
            let mut shuffled = CallHistory::default();
            order.iter().for_each(|id| assert!(shuffled.add(call(*id))));
            prop_assert!(!shuffled.add(call(order[again])));
            prop_assert_eq!(&sorted, &shuffled);
            sorted.close(&[1, 2, 3, 4, 5, 6]);
            shuffled.close(&order);
            prop_assert_eq!(&sorted, &shuffled);
            prop_assert_eq!(sorted.rounds().count(), 1);
            prop_assert_eq!(CallHistory::from_bytes(&shuffled.to_bytes()), shuffled);
        }

        #[test]
        fn any_bytes_are_a_history(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let history = CallHistory::from_bytes(&bytes);
            history.rounds();
            prop_assert_eq!(history.calls().len(), bytes.len().saturating_sub(1) / CALL_BYTES);
            prop_assert_eq!(CallHistory::from_bytes(&history.to_bytes()), history);
        }
    }

    fn numbered(id: u32, number: u64, command: u32) -> Call {
        Call { id: numbered_id(id, number), ..call(command) }
    }

    #[test]
    fn calls_with_one_id_are_told_apart_by_number_and_input() {
        let mut history = CallHistory::default();
        // Two parallel calls with one id; their line is not there yet when the first one ends.
        assert!(history.add(numbered(7, 4, 1)) && history.add(numbered(7, 6, 2)));
        assert!(!history.add(numbered(7, 6, 1)) && !history.add(numbered(7, 6, 2)), "hooks registered twice");
        for _ in 0..2 {
            // The third one is known to the response only.
            let of_response = [numbered(7, 6, 1), numbered(7, 6, 2), numbered(7, 6, 3)];
            for (before, call) in of_response.into_iter().enumerate() {
                history.add_of_response(call, before);
            }
            history.close(&of_response.map(|call| call.id));
            assert_eq!((history.calls().len(), history.rounds().count()), (3, 1));
        }
        // The next response makes the same calls.
        assert!(history.add(numbered(7, 7, 1)) && !history.add(numbered(7, 7, 1)));
        history.close(&[numbered_id(7, 7)]);
        assert_eq!((history.calls().len(), history.rounds().count()), (4, 2));
    }

    #[test]
    fn equal_calls_of_a_response_with_one_id_count_each() {
        let mut history = CallHistory::default();
        assert!(history.add(numbered(7, 3, 1)) && !history.add(numbered(7, 3, 1)));
        assert!(
            !history.add_of_response(numbered(7, 3, 1), 0) && history.add_of_response(numbered(7, 3, 1), 1)
        );
        assert!(
            !history.add_of_response(numbered(7, 3, 1), 0) && !history.add_of_response(numbered(7, 3, 1), 1)
        );
    }

    #[test]
    fn a_response_whose_end_was_missed_is_one_of_its_own() {
        let mut history = CallHistory::default();
        assert!([9, 2, 5, 1].into_iter().all(|id| history.add(call(id))));
        history.close(&[1, 5]);
        let ids: Vec<Vec<u32>> =
            history.rounds().iter().map(|round| round.iter().map(|call| call.id).collect()).collect();
        assert_eq!(ids.len(), 2);
        assert!(ids[0].contains(&2) && ids[0].contains(&9) && ids[1].contains(&1) && ids[1].contains(&5));
    }

    #[test]
    fn the_last_hundred_are_kept() {
        let mut history = CallHistory::default();
        for id in 0..250 {
            history.add(call(id));
            history.close(&[id]);
        }
        assert_eq!(history.calls().len(), CAPACITY);
        assert!(history.contains(249) && history.contains(150) && !history.contains(149));
        let before = history.to_bytes();
        assert_eq!(CallHistory::from_bytes(&before), history);
        history.add(call(250));
        let moved = before.iter().zip(history.to_bytes()).filter(|(b, a)| *b != a).count();
        assert!(moved <= 1 + CALL_BYTES, "{moved} bytes of the ring changed for one call");
    }
}
