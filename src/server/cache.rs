//! Answers that take long to find out: each is found out once, however many clients ask, and kept until it is out of date.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::problem::Problem;

/// How long a request waits.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long a request waits for a new answer, if an earlier one will do.
const SHORT_WAIT: Duration = Duration::from_millis(20);

/// An answer that nobody asked for in this time will not do while a new one is found out.
const RECENT: Duration = Duration::from_secs(60);

/// The latest answers, by question. `S` is the state of what an answer was found out from: another one means that it is
/// out of date.
pub struct Cache<K, S, V> {
    kept: Mutex<HashMap<K, Kept<S, V>>>,
    /// The most answers.
    most: usize,
    /// Whether the earlier answer will do while a new one takes long.
    may_be_late: bool,
}

struct Kept<S, V> {
    state: S,
    answer: Arc<OnceCell<Arc<V>>>,
    /// The answer of an earlier state.
    earlier: Option<Arc<V>>,
    /// When it was last asked for.
    asked: Instant,
}

impl<K: Clone + Eq + Hash, S: PartialEq, V: Send + Sync + 'static> Cache<K, S, V> {
    /// A cache of so many answers.
    pub fn new(most: usize, may_be_late: bool) -> Self {
        Self { kept: Mutex::new(HashMap::new()), most, may_be_late }
    }

    /// The answer to a question in this state. `find_out` runs unless the answer is known, or is being found out.
    ///
    /// # Errors
    /// It cannot be found out (the next request tries again), or it takes too long (it is still being found out).
    pub async fn get(
        &self,
        question: &K,
        state: S,
        find_out: impl Future<Output = Result<V, Problem>> + Send + 'static,
    ) -> Result<Arc<V>, Problem> {
        let (answer, earlier) = self.find(question, state);
        if let Some(known) = answer.get() {
            return Ok(Arc::clone(known));
        }
        // In a task of its own: it goes on if this client goes away.
        let task = tokio::spawn(async move {
            answer.get_or_try_init(|| async { find_out.await.map(Arc::new) }).await.cloned()
        });
        let wait = if earlier.is_some() { SHORT_WAIT } else { MAX_WAIT };
        match (tokio::time::timeout(wait, task).await, earlier) {
            (Ok(Ok(found)), _) => found,
            (Ok(Err(_)), _) => Err(Problem::unavailable("the answer could not be found out")),
            (Err(_), Some(earlier)) => Ok(earlier),
            (Err(_), None) => Err(Problem::unavailable("this takes long: ask again for the result")),
        }
    }

    fn find(&self, question: &K, state: S) -> (Arc<OnceCell<Arc<V>>>, Option<Arc<V>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(one) = kept.get_mut(question) {
            let is_recent = std::mem::replace(&mut one.asked, now).elapsed() < RECENT;
            let found = one.answer.get().cloned();
            // What is being found out is finished first, or states that change fast would leave only the earliest answer.
            if one.state != state && (found.is_some() || !self.may_be_late) {
                one.earlier = found.filter(|_| self.may_be_late && is_recent);
                (one.state, one.answer) = (state, Arc::default());
            }
            return (Arc::clone(&one.answer), one.earlier.clone());
        }
        if kept.len() >= self.most
            && let Some(oldest) = kept.iter().min_by_key(|(_, one)| one.asked).map(|(key, _)| key.clone())
        {
            kept.remove(&oldest);
        }
        let answer = Arc::default();
        kept.insert(question.clone(), Kept { state, answer: Arc::clone(&answer), earlier: None, asked: now });
        (answer, None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn counted(count: Arc<AtomicUsize>) -> Result<usize, Problem> {
        tokio::task::yield_now().await;
        Ok(count.fetch_add(1, Ordering::SeqCst))
    }

    #[tokio::test]
    async fn an_answer_is_found_out_once_per_state_and_the_oldest_is_forgotten() {
        let (cache, count) = (Cache::new(2, false), Arc::new(AtomicUsize::new(0)));
        let ask = |question: u32, state: u32| {
            let (cache, count) = (&cache, Arc::clone(&count));
            async move { *cache.get(&question, state, counted(count)).await.expect("an answer") }
        };
        assert_eq!(tokio::join!(ask(1, 0), ask(1, 0), ask(1, 0)), (0, 0, 0));
        assert_eq!(ask(1, 1).await, 1, "another state");
        assert_eq!((ask(2, 0).await, ask(1, 1).await, ask(3, 0).await), (2, 1, 3));
        assert_eq!((ask(1, 1).await, ask(2, 0).await), (1, 4), "2 was used before 1");
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let cache: Cache<(), (), usize> = Cache::new(1, false);
        assert!(cache.get(&(), (), async { Err(Problem::unavailable("not now")) }).await.is_err());
        assert_eq!(*cache.get(&(), (), async { Ok(7) }).await.expect("an answer"), 7);
    }
}
