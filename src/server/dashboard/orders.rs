//! The orders of budgets that readers chose, each found out once for a snapshot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::choice::{Choice, SortBy};
use crate::app::snapshot::Snapshot;

/// The orders of the latest snapshot.
#[derive(Default)]
pub struct Orders(Mutex<Known>);

#[derive(Default)]
struct Known {
    snapshot: Weak<Snapshot>,
    orders: HashMap<Key, Arc<Vec<usize>>>,
}

/// What an order depends on: the column, whether the largest comes first, and whether budgets of ended sessions belong to it.
type Key = (SortBy, bool, bool);

impl Orders {
    /// The positions of the chosen budgets in the snapshot. `sort` finds them out.
    pub fn get(
        &self,
        snapshot: &Arc<Snapshot>,
        choice: &Choice,
        sort: impl FnOnce() -> Vec<usize>,
    ) -> Arc<Vec<usize>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(known.snapshot.as_ptr(), Arc::as_ptr(snapshot)) {
            *known = Known { snapshot: Arc::downgrade(snapshot), orders: HashMap::new() };
        }
        // Others that need it wait: they would do the same work.
        let key = (choice.sort, choice.is_descending, choice.ended);
        Arc::clone(known.orders.entry(key).or_insert_with(|| Arc::new(sort())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_found_out_once_for_each_snapshot() {
        let (orders, one, other) = (Orders::default(), Arc::default(), Arc::default());
        let usual = Choice::default();
        let ended = Choice { ended: true, ..usual.clone() };
        let get = |snapshot, choice, found| orders.get(snapshot, choice, || vec![found])[0];
        assert_eq!((get(&one, &usual, 1), get(&one, &ended, 2), get(&one, &usual, 3)), (1, 2, 1));
        assert_eq!((get(&other, &usual, 4), get(&one, &usual, 5)), (4, 5));
    }
}
