//! Stripe as a job reads it: every answer is a fail point, every request is counted, and what Stripe will
//! not inline is done without.
//!
//! A 403 is classified here: a permission that only enriches is lost and named, so that the job can go on
//! without it; one that is needed stays an error of Stripe's. A list that the account does not have is done
//! without in the same way. Deliberately absent: retries, which the
//! client makes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use common::fail_point::{FailPoint, SharedFailPoints};
use regex::Regex;
use serde_json::value::RawValue;

use super::Error;
use crate::read_client::{self, Client, ListQuery, Page};

/// Stripe says what time it is in whole seconds, rounded down.
pub(crate) const STRIPE_CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);

/// Reads as one account's key.
#[derive(Debug)]
pub(crate) struct StripeReader {
    client: Client,
    fail_points: SharedFailPoints,
    /// Requests that a commit has counted.
    counted: AtomicI64,
    /// Properties that this account's version of the API does not inline.
    unexpandable: Mutex<Vec<String>>,
}

impl StripeReader {
    pub(crate) fn new(client: Client, fail_points: &SharedFailPoints) -> Self {
        Self {
            client,
            fail_points: Arc::clone(fail_points),
            counted: AtomicI64::new(0),
            unexpandable: Mutex::default(),
        }
    }

    /// Requests sent since this was last asked, retries included.
    pub(crate) fn new_requests(&self) -> i64 {
        let requests = self.client.requests();
        requests - self.counted.swap(requests, Ordering::Relaxed)
    }

    /// See [`Client::slots`].
    pub(crate) fn slots(&self) -> usize {
        self.client.slots()
    }

    /// See [`Client::clamp_to_server_time`].
    pub(crate) fn clamp_to_server_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.client.clamp_to_server_time(now)
    }

    /// The instant up to which a job has read Stripe that began at `now`, by Stripe's clock where ours is ahead.
    pub(crate) fn read_through(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        (self.clamp_to_server_time(now) + STRIPE_CLOCK_STEP).min(now)
    }

    pub(crate) async fn list(&self, path: &str, query: &ListQuery<'_>) -> Result<Page, Error> {
        loop {
            let expand = self.expandable(query.expand);
            let query = ListQuery {
                expand: &expand,
                ..query.clone()
            };
            let page = self.client.list(path, &query).await;
            self.fail_points.reached(FailPoint::Answered).await;
            match page {
                Err(error) if self.drop_unsupported_expansion(&error, &expand) => {}
                Err(error) => return Err(classify_forbidden(error, path)),
                Ok(page) => return Ok(page),
            }
        }
    }

    /// One object by its id; none when Stripe has no such object.
    pub(crate) async fn retrieve(
        &self,
        collection: &str,
        id: &str,
        expand: &[&str],
    ) -> Result<Option<Box<RawValue>>, Error> {
        loop {
            let expand = self.expandable(expand);
            let object = self.client.retrieve(collection, id, &expand).await;
            self.fail_points.reached(FailPoint::Answered).await;
            match object {
                Err(error) if self.drop_unsupported_expansion(&error, &expand) => {}
                Err(error) => return Err(classify_forbidden(error, collection)),
                Ok(object) => return Ok(object),
            }
        }
    }

    /// All objects of a list of which only the beginning was inlined in the object `id`.
    pub(crate) async fn remaining_items(
        &self,
        list: Sublist<'_>,
        id: &str,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let mut objects: Vec<Box<RawValue>> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let starting_after = after.as_deref();
            let page = match list {
                Sublist::Of { collection, name } => {
                    let query = ListQuery {
                        starting_after,
                        ..ListQuery::default()
                    };
                    self.client.sublist(collection, id, name, &query).await
                }
                Sublist::By {
                    path,
                    parameter,
                    expand,
                } => {
                    let query = ListQuery {
                        starting_after,
                        of: Some((parameter, id)),
                        expand,
                        ..ListQuery::default()
                    };
                    self.client.list(path, &query).await
                }
            };
            self.fail_points.reached(FailPoint::Answered).await;
            let page = page.map_err(|error| classify_forbidden(error, list.collection()))?;
            objects.extend(page.data);
            let oldest = objects.last().filter(|_| page.has_more);
            after = oldest.and_then(|raw| id_in(raw));
            if after.is_none() {
                return Ok(objects);
            }
        }
    }

    fn expandable<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        let refused = self
            .unexpandable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let names = |field: &&str| {
            !refused
                .iter()
                .any(|name| field.split('.').any(|s| s == name))
        };
        wanted.iter().copied().filter(names).collect()
    }

    /// Versions before 2025-03-31.basil know no `invoice.payments`, and say so with a 400 (⚠ an account is
    /// only behind such a version where something in between changes the header).
    fn drop_unsupported_expansion(&self, error: &read_client::Error, asked: &[&str]) -> bool {
        static REFUSED: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"cannot be expanded \(([A-Za-z_.]+)\)").expect("a literal that compiles")
        });
        let read_client::Error::Refused { message, .. } = error else {
            return false;
        };
        let Some(found) = REFUSED.captures(message) else {
            return false;
        };
        let name = found[1].rsplit('.').next().unwrap_or_default().to_owned();
        let was_asked = asked
            .iter()
            .any(|field| field.split('.').any(|s| s == name));
        if was_asked {
            tracing::info!(
                property = name,
                "this account's API version does not inline it"
            );
            self.unexpandable
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(name);
        }
        was_asked
    }
}

/// A list of which an object inlines the beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sublist<'a> {
    /// `/v1/invoices/{id}/lines`
    Of { collection: &'a str, name: &'a str },
    /// `/v1/refunds?charge={id}`
    By {
        path: &'a str,
        parameter: &'a str,
        expand: &'a [&'a str],
    },
}

impl<'a> Sublist<'a> {
    fn collection(self) -> &'a str {
        match self {
            Self::Of { collection, .. } => collection,
            Self::By { path, .. } => path,
        }
    }
}

fn id_in(raw: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Identified {
        id: String,
    }
    let object: Identified = serde_json::from_str(raw.get()).ok()?;
    Some(object.id)
}

/// What the key may be without, by the words that Stripe's slugs of permissions have. Source: the slugs that
/// 403s name, `rak_plan_read` for prices among them.
const OPTIONAL: [(&str, &str); 10] = [
    ("customer", "customers"),
    ("product", "products"),
    ("plan", "prices"),
    ("price", "prices"),
    ("invoice", "invoices"),
    ("checkout_session", "checkout_sessions"),
    ("payment_intent", "payment_intents"),
    ("refund", "refunds"),
    ("dispute", "disputes"),
    ("balance", "balance_transactions"),
];
/// The same by the path that was asked for, where the 403 names no slug.
const OPTIONAL_PATHS: [(&str, &str); 9] = [
    ("/v1/customers", "customers"),
    ("/v1/products", "products"),
    ("/v1/prices", "prices"),
    ("/v1/invoices", "invoices"),
    ("/v1/invoice_payments", "invoices"),
    ("/v1/checkout/sessions", "checkout_sessions"),
    ("/v1/payment_intents", "payment_intents"),
    ("/v1/refunds", "refunds"),
    ("/v1/disputes", "disputes"),
];

/// What Stripe says of a list that the account does not have, whatever the key may do. Source:
/// stripe/sync-engine, `SKIPPABLE_ERROR_MESSAGES`.
const NOT_OFFERED: [&str; 4] = [
    "not set up to use",
    "only available in testmode",
    "Unrecognized request URL",
    "is not enabled",
];

/// Which optional resource a 403 is about, or a refusal of a list that this account does not have; other
/// errors as they are.
fn classify_forbidden(error: read_client::Error, path: &str) -> Error {
    static SLUG: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"rak_([a-z_]+)_read").expect("a literal that compiles"));
    let message = match &error {
        read_client::Error::PermissionMissing { message, .. } => message,
        read_client::Error::Refused { message, .. }
        | read_client::Error::NotFound { message, .. }
            if NOT_OFFERED.iter().any(|words| message.contains(words)) =>
        {
            message
        }
        _ => return error.into(),
    };
    let slug = SLUG.captures(message).map(|found| found[1].to_owned());
    let named = slug.and_then(|slug| OPTIONAL.iter().find(|(word, _)| slug.contains(word)));
    // A slug that is not known here, or none at all: what was asked for.
    let asked_for = || OPTIONAL_PATHS.iter().find(|(asked, _)| *asked == path);
    match named.or_else(asked_for) {
        Some(&(_, resource)) => Error::PermissionLost {
            resource,
            message: message.clone(),
        },
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(message: &str) -> read_client::Error {
        read_client::Error::PermissionMissing {
            path: String::new(),
            message: message.to_owned(),
            request_id: None,
        }
    }

    #[test]
    fn a_403_names_the_lost_permission() {
        let lost = |message: &str, path: &str| match classify_forbidden(forbidden(message), path) {
            Error::PermissionLost { resource, .. } => Some(resource),
            _ => None,
        };
        let named =
            "Having the 'rak_customer_read' permission would allow this request to continue.";
        assert_eq!(lost(named, "/v1/charges"), Some("customers"));
        let prices = "Having the 'rak_plan_read' permission would help.";
        assert_eq!(lost(prices, "/v1/prices"), Some("prices"));
        assert_eq!(lost("no", "/v1/invoices"), Some("invoices"));
        assert_eq!(lost("no", "/v1/charges"), None);
        let charges = "Having the 'rak_charge_read' permission would help.";
        assert_eq!(lost(charges, "/v1/charges"), None);
        let unknown = "Having the 'rak_something_new_read' permission would help.";
        assert_eq!(lost(unknown, "/v1/disputes"), Some("disputes"));
        let never = "This is a restricted API key, but the required permissions are not available for \
                     use by restricted keys.";
        assert_eq!(lost(never, "/v1/prices"), Some("prices"));
    }

    #[test]
    fn unavailable_lists_are_distinguished_from_bugs() {
        let refused = |message: &str| read_client::Error::Refused {
            status: 400,
            path: String::new(),
            code: None,
            message: message.to_owned(),
            request_id: None,
        };
        let lost = |error: read_client::Error, path: &str| match classify_forbidden(error, path) {
            Error::PermissionLost { resource, .. } => Some(resource),
            _ => None,
        };
        let absent = "Your account is not set up to use Invoicing.";
        assert_eq!(lost(refused(absent), "/v1/invoices"), Some("invoices"));
        assert_eq!(lost(refused(absent), "/v1/charges"), None);
        let unknown = read_client::Error::NotFound {
            path: String::new(),
            message: "Unrecognized request URL (GET: /v1/disputes).".to_owned(),
        };
        assert_eq!(lost(unknown, "/v1/disputes"), Some("disputes"));
        let ours = "Received unknown parameter: expnad";
        assert_eq!(lost(refused(ours), "/v1/invoices"), None);
    }
}
