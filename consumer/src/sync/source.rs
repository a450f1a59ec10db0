//! Stripe as a job reads it: every answer is a fail point, and every request is counted.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::stripe::{Client, Error, ListQuery, Page};
use serde_json::value::RawValue;

use crate::fail_point::{FailPoint, SharedFailPoints};

/// Reads as one account's key.
#[derive(Debug)]
pub(crate) struct Source {
    client: Client,
    fail_points: SharedFailPoints,
}

impl Source {
    pub(crate) fn new(client: Client, fail_points: &SharedFailPoints) -> Self {
        Self {
            client,
            fail_points: Arc::clone(fail_points),
        }
    }

    /// Requests sent so far, retries included.
    pub(crate) fn requests(&self) -> i64 {
        self.client.requests()
    }

    /// See [`Client::no_later_than_stripe`].
    pub(crate) fn no_later_than_stripe(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.client.no_later_than_stripe(now)
    }

    /// One page of a list.
    pub(crate) async fn list(&self, path: &str, query: &ListQuery<'_>) -> Result<Page, Error> {
        let page = self.client.list(path, query).await;
        self.fail_points.reached(FailPoint::Answered).await;
        page
    }

    /// One object by its id; none when Stripe has no such object.
    pub(crate) async fn retrieve(
        &self,
        collection: &str,
        id: &str,
        expand: &[&str],
    ) -> Result<Option<Box<RawValue>>, Error> {
        let object = self.client.retrieve(collection, id, expand).await;
        self.fail_points.reached(FailPoint::Answered).await;
        object
    }
}
