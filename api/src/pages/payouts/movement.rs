//! What the forms that move money have in common: their request key, and what came of a request.
//!
//! The key is made when a form is rendered, and comes back with it in a hidden field. So a form moves money once, however often
//! it is sent: by a double click, by a reload, or again after no answer came. Every form that is rendered has another key, that
//! of a refused one too, since a key belongs to one request for good.
//!
//! A browser that sends a form twice abandons its first request, so what was begun is finished without it; and a page does not
//! wait longer for Stripe than a person does. What is not known by then is in the lists.

use std::time::Duration;

use axum::http::StatusCode;
use common::clock::new_id;
use common::money::Currency;
use platform::ledger::{self, Entry, EntryState, RequestKey};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::refusal_words::words;
use crate::pages::form::Form;
use crate::pages::format::LocaleFormat;
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;

/// The field that has the key.
pub(super) const REQUEST_KEY: &str = "request_key";
/// How long a page waits for what Stripe is asked.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// The key of a form that is rendered now.
pub(super) fn make_key(state: &ApiState) -> String {
    new_id(state.clock.now()).to_string()
}

/// The key that came with a form.
///
/// # Errors
/// [`ApiError::Invalid`] where there is none, so it is no form of ours.
pub(super) fn key_of(form: &Form) -> Result<RequestKey, ApiError> {
    let key = RequestKey::new(form.get(REQUEST_KEY));
    let problem = |_| FieldError::of(REQUEST_KEY, "is missing; open the form again");
    key.map_err(|error| ApiError::invalid(vec![problem(error)]))
}

/// What came of a request that moves money.
#[derive(Debug)]
pub(super) enum Outcome {
    Made,
    /// Not known yet.
    Unknown,
    Refused(Refusal),
}

/// Why nothing was moved, with what to do.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// Carries a request out to its end, whether somebody still waits for it or not.
///
/// # Errors
/// What is not to be said on the page of the form.
pub(super) async fn carry_out(
    request: impl Future<Output = Result<Entry, ledger::Error>> + Send + 'static,
    currency: &Currency,
    locale: &LocaleFormat,
) -> Result<Outcome, ApiError> {
    let task = tokio::spawn(request.in_current_span());
    let Ok(ended) = timeout(LONGEST_WAIT, task).await else {
        return Ok(Outcome::Unknown);
    };
    match ended.map_err(ApiError::internal)? {
        Ok(entry) => Ok(outcome_of(&entry)),
        Err(error) => {
            let text = refusal_text(&error, currency, locale);
            let error = ApiError::from(error);
            let status = error.status();
            let refusal = text.map(|text| Outcome::Refused(Refusal { status, text }));
            refusal.ok_or(error)
        }
    }
}

fn outcome_of(entry: &Entry) -> Outcome {
    match (entry.state, &entry.error) {
        (EntryState::Failed, Some(error)) => Outcome::Refused(Refusal {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            text: words(error.code.as_deref(), &error.message),
        }),
        (EntryState::Done, _) => Outcome::Made,
        _ => Outcome::Unknown,
    }
}

/// What a person is to know of an error; none of one that is not about what they asked for.
fn refusal_text(
    error: &ledger::Error,
    currency: &Currency,
    locale: &LocaleFormat,
) -> Option<String> {
    let text = match error {
        ledger::Error::KeyConflict => {
            "This form was sent before with something else in it, and counts as it was then. If you want this as well, send it \
             again."
        }
        ledger::Error::AccountNotReady { .. } => {
            "The account cannot do this at the moment. “Get paid” says how it stands and what Stripe asks for."
        }
        ledger::Error::AccountDisconnected { .. } => "The account is disconnected.",
        ledger::Error::OverReversal { left: 0 } => "Nothing of the transfer is left to reverse.",
        ledger::Error::OverReversal { left } => {
            let left = locale.minor(*left, currency);
            return Some(format!(
                "Enter {left} at most, which is left of the transfer."
            ));
        }
        ledger::Error::TransferNotMade => {
            "The transfer was not made, or it is not known yet whether it was."
        }
        ledger::Error::NotFound
        | ledger::Error::NothingLeft { .. }
        | ledger::Error::Gateway(_)
        | ledger::Error::Database(_) => return None,
    };
    Some(text.to_owned())
}
