//! Who is signed in, in memory. A server that is started again knows nobody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::tokens::{SecretHash, hash, new_secret};

/// How long a sign-in lasts.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// The most sign-ins. One more ends the oldest.
const MOST: usize = 1000;

/// The most results that are kept until a page shows them.
const MOST_RESULTS: usize = 8;

/// The result of a decision, for the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was done.
    pub text: String,
}

/// The sign-ins, by the hash of the secret in the browser's cookie.
#[derive(Default)]
pub struct SignIns(Mutex<HashMap<SecretHash, SignIn>>);

struct SignIn {
    /// The hash of the token: when the token is withdrawn, the sign-in ends.
    token: SecretHash,
    /// What each form must contain.
    csrf: String,
    began: Instant,
    /// Results that no page has shown yet, by the ids in their addresses.
    results: VecDeque<(String, Outcome)>,
}

impl SignIns {
    fn all(&self) -> MutexGuard<'_, HashMap<SecretHash, SignIn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs in the holder of a token. Returns the secret for the cookie.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn begin(&self, token: &str) -> anyhow::Result<String> {
        let (secret, csrf) = (new_secret()?, new_secret()?);
        let now = Instant::now();
        let mut all = self.all();
        all.retain(|_, known| now.duration_since(known.began) < LIFETIME);
        while all.len() >= MOST {
            let Some(oldest) = all.iter().min_by_key(|(_, known)| known.began).map(|(id, _)| *id) else {
                break;
            };
            all.remove(&oldest);
        }
        let new = SignIn { token: hash(token), csrf, began: now, results: VecDeque::new() };
        all.insert(hash(&secret), new);
        Ok(secret)
    }

    /// The hash of the token that a cookie stands for, and what forms must contain; `None`: it is not valid any more.
    pub fn find(&self, id: &SecretHash) -> Option<(SecretHash, String)> {
        let all = self.all();
        let known = all.get(id).filter(|known| known.began.elapsed() < LIFETIME)?;
        Some((known.token, known.csrf.clone()))
    }

    /// Ends a sign-in.
    pub fn end(&self, id: &SecretHash) {
        self.all().remove(id);
    }

    /// Keeps a result for the next page, which asks for it with the id that is returned.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn keep(&self, id: &SecretHash, outcome: Outcome) -> anyhow::Result<String> {
        let name = new_secret()?[..12].to_owned();
        if let Some(known) = self.all().get_mut(id) {
            known.results.truncate(MOST_RESULTS - 1);
            known.results.push_front((name.clone(), outcome));
        }
        Ok(name)
    }

    /// Takes a result, once.
    pub fn take(&self, id: &SecretHash, name: &str) -> Option<Outcome> {
        let mut all = self.all();
        let results = &mut all.get_mut(id)?.results;
        let at = results.iter().position(|(known, _)| known == name)?;
        results.remove(at).map(|(_, outcome)| outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sign_in_makes_room() {
        let sign_ins = SignIns::default();
        let first = sign_ins.begin("token").unwrap();
        let others: Vec<String> = (0..MOST).map(|_| sign_ins.begin("token").unwrap()).collect();
        assert_eq!(sign_ins.all().len(), MOST);
        assert!(sign_ins.find(&hash(&first)).is_none());
        assert!(others.iter().all(|secret| sign_ins.find(&hash(secret)).is_some()));
    }

    #[test]
    fn a_result_is_shown_once_and_to_its_own_sign_in() {
        let sign_ins = SignIns::default();
        let [one, other] = [(); 2].map(|()| hash(sign_ins.begin("token").unwrap()));
        let name = sign_ins.keep(&one, Outcome { text: "done".into() }).unwrap();
        assert_eq!(sign_ins.take(&other, &name), None);
        assert_eq!(sign_ins.take(&one, &name).map(|outcome| outcome.text).as_deref(), Some("done"));
        assert_eq!(sign_ins.take(&one, &name), None);
    }
}
