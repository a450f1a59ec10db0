//! Idempotency keys: the answer to a request that changed something is given again to the same request under the same key.
//!
//! Stripe keeps answers for at least 24 hours, and keeps none to a request whose parameters it refused; here a key is known
//! for 24 hours of the simulator's time. Deliberately absent: the 409 for a request that is still being executed, since here
//! none takes any time.

use std::collections::HashMap;

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
    body: String,
    at: i64,
}

/// An answer, and whether it was given before.
pub(crate) type Idempotent = (String, bool);

impl Answers {
    /// The answer that was given under `key`, or the one that `execute` makes now.
    pub(crate) fn once(
        &mut self,
        key: &str,
        (path, form): (&str, &str),
        now: i64,
        execute: impl FnOnce() -> Result<String, StripeError>,
    ) -> Result<Idempotent, StripeError> {
        self.0.retain(|_, answered| now - answered.at < KNOWN_FOR);
        if let Some(known) = self.0.get(key) {
            if known.request.0 != path || known.request.1 != form {
                return Err(StripeError::idempotency_mismatch(key));
            }
            return Ok((known.body.clone(), true));
        }
        let body = execute()?;
        let answered = Answered {
            request: (path.to_owned(), form.to_owned()),
            body: body.clone(),
            at: now,
        };
        self.0.insert(key.to_owned(), answered);
        Ok((body, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_is_executed_once_a_day() {
        let mut answers = Answers::default();
        let mut executed = 0;
        let mut ask = |answers: &mut Answers, form: &str, now| {
            answers.once("key", ("/v1/x", form), now, || {
                executed += 1;
                Ok(executed.to_string())
            })
        };
        let first = ask(&mut answers, "a=1", 0).expect("it is new");
        assert_eq!(first, ("1".to_owned(), false));
        let again = ask(&mut answers, "a=1", 86_399).expect("it is the same");
        assert_eq!(again, ("1".to_owned(), true));
        let other = ask(&mut answers, "a=2", 10).expect_err("it is another one");
        assert_eq!(other.status, 400);
        let later = ask(&mut answers, "a=1", 86_400).expect("the key is forgotten");
        assert_eq!(later, ("2".to_owned(), false));
    }

    #[test]
    fn a_refusal_is_not_kept() {
        let mut answers = Answers::default();
        let refused = answers.once("key", ("/v1/x", ""), 0, || Err(StripeError::missing("a")));
        assert!(refused.is_err());
        let done = answers.once("key", ("/v1/x", "a=1"), 0, || Ok("done".to_owned()));
        assert_eq!(done.expect("it is executed"), ("done".to_owned(), false));
    }
}
