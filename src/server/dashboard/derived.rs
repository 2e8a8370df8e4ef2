//! What pages show of a snapshot or a report and takes long to work out: each is worked out once for its source.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What was derived from the latest source `S`, by question.
pub struct Derived<S, K, V>(Mutex<Known<S, K, V>>);

struct Known<S, K, V> {
    source: Weak<S>,
    values: HashMap<K, Arc<V>>,
}

impl<S, K, V> Default for Derived<S, K, V> {
    fn default() -> Self {
        Self(Mutex::new(Known { source: Weak::new(), values: HashMap::new() }))
    }
}

impl<S, K: Eq + Hash, V> Derived<S, K, V> {
    /// The answer to a question about this source. `work_out` is called unless it is known.
    pub fn get(&self, source: &Arc<S>, question: K, work_out: impl FnOnce() -> V) -> Arc<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(known.source.as_ptr(), Arc::as_ptr(source)) {
            *known = Known { source: Arc::downgrade(source), values: HashMap::new() };
        }
        // Others that need it wait: they would do the same work.
        Arc::clone(known.values.entry(question).or_insert_with(|| Arc::new(work_out())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_worked_out_once_for_a_source() {
        let (derived, one, other) = (Derived::default(), Arc::new("one"), Arc::new("other"));
        let get = |source, question, worked_out| *derived.get(source, question, || worked_out);
        assert_eq!((get(&one, 'a', 1), get(&one, 'b', 2), get(&one, 'a', 3)), (1, 2, 1));
        assert_eq!((get(&other, 'a', 4), get(&one, 'a', 5)), (4, 5));
    }
}
