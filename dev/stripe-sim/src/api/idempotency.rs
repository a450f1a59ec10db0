//! Idempotency keys: the answer to a request that changed something is given again to the same
//! request under the same key.
//!
//! Stripe keeps answers for at least 24 hours, also those that say that Stripe failed, and keeps
//! none to a request whose parameters it refused; here a key is known for 24 hours of the
//! simulator's time. A key belongs to the account that it is used for. While a request is executed,
//! another one under its key is a 409.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::account::lock;
use crate::error::StripeError;

/// Seconds for which a key is known.
const KNOWN_FOR: i64 = 86_400;

/// The answers of an account, by key.
#[derive(Debug, Default)]
pub(crate) struct Answers(HashMap<String, Answered>);

#[derive(Debug)]
struct Answered {
    /// Path and form.
    request: (String, String),
    at: i64,
    /// Absent while the request is executed.
    given: Option<Given>,
}

/// An answer as it was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Given {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// What a request under a key is.
#[derive(Debug)]
pub(crate) enum Begun<'a> {
    /// One that was answered before.
    Known(Given),
    New(Execution<'a>),
}

/// A request that is executed; unless its answer is kept, its key is forgotten.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    answers: &'a Mutex<Answers>,
    key: String,
}

impl Execution<'_> {
    /// Gives this answer to the same request from now on.
    pub(crate) fn keep(self, given: Given) {
        if let Some(answered) = lock(self.answers).0.get_mut(&self.key) {
            answered.given = Some(given);
        }
    }
}

impl Drop for Execution<'_> {
    fn drop(&mut self) {
        let mut answers = lock(self.answers);
        let kept = |answered: &Answered| answered.given.is_some();
        if !answers.0.get(&self.key).is_some_and(kept) {
            answers.0.remove(&self.key);
        }
    }
}

/// Begins a request under `key`, unless it was answered, is being executed, or differs from the one that was.
pub(crate) fn begin<'a>(
    answers: &'a Mutex<Answers>,
    key: &str,
    (path, form): (&str, &str),
    now: i64,
) -> Result<Begun<'a>, StripeError> {
    let mut all = lock(answers);
    all.0
        .retain(|_, it| it.given.is_none() || now - it.at < KNOWN_FOR);
    if let Some(known) = all.0.get(key) {
        if known.request.0 != path || known.request.1 != form {
            return Err(StripeError::idempotency_mismatch(key));
        }
        let given = known.given.clone();
        let in_use = || StripeError::idempotency_key_in_use(key);
        return given.map(Begun::Known).ok_or_else(in_use);
    }
    let answered = Answered {
        request: (path.to_owned(), form.to_owned()),
        at: now,
        given: None,
    };
    all.0.insert(key.to_owned(), answered);
    Ok(Begun::New(Execution {
        answers,
        key: key.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(body: &str) -> Given {
        Given {
            status: 200,
            body: body.to_owned(),
        }
    }

    fn execute(answers: &Mutex<Answers>, form: &str, now: i64, body: &str) -> (Given, bool) {
        match begin(answers, "key", ("/v1/x", form), now).expect("it can begin") {
            Begun::Known(known) => (known, true),
            Begun::New(execution) => {
                execution.keep(given(body));
                (given(body), false)
            }
        }
    }

    #[test]
    fn the_same_request_is_executed_once_a_day() {
        let answers = Mutex::default();
        assert_eq!(execute(&answers, "a=1", 0, "1"), (given("1"), false));
        assert_eq!(execute(&answers, "a=1", 86_399, "2"), (given("1"), true));
        let other = begin(&answers, "key", ("/v1/x", "a=2"), 10);
        assert_eq!(other.expect_err("it is another one").status, 400);
        assert_eq!(execute(&answers, "a=1", 86_400, "3"), (given("3"), false));
    }

    #[test]
    fn a_key_is_in_use_until_its_request_is_answered_or_dropped() {
        let answers = Mutex::default();
        let first = begin(&answers, "key", ("/v1/x", ""), 0).expect("it is new");
        let second = begin(&answers, "key", ("/v1/x", ""), 0).expect_err("it is in use");
        assert_eq!(
            (second.status, second.code),
            (409, Some("idempotency_key_in_use"))
        );
        drop(first);
        assert_eq!(execute(&answers, "a=1", 0, "1"), (given("1"), false));
    }
}
