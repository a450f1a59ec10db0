//! Asking the vendor for a change, under a key that is committed before.
//!
//! What is asked for is a state, and whoever wants it has read everything before; so a lost answer is found by reading, and nothing
//! is repeated that was done. Meanwhile a row holds the key: whoever asks for the same sends the same key, so it is done once,
//! and the customer is due to be read in minutes, so what a program that died has asked for is known then. The row goes
//! when the request is answered, or everything was read after it was sent.
//!
//! Fails as the vendor does, and with PostgreSQL. Deliberately absent: sending anything again unasked.

use chrono::TimeDelta;
use common::clock::new_id;
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use uuid::Uuid;

use super::subscription::Subscription;
use super::sync::sync;
use super::{Billing, Error, queries, standing};
use crate::creation::SAME_ANSWER_FOR;
use crate::gateway::GatewayError;
use crate::idempotency::{IdempotencyKey, answered};

/// When a customer is read again of whom something was asked: longer than an answer takes.
const READ_AFTER: TimeDelta = TimeDelta::minutes(3);

/// A request whose key is committed.
#[derive(Debug)]
pub(super) struct Request<'a> {
    billing: &'a Billing,
    organization: &'a OrganizationId,
    what: String,
    row: Uuid,
    pub(super) key: IdempotencyKey,
}

/// Commits that something is about to be asked for.
pub(super) async fn begin<'a>(
    billing: &'a Billing,
    organization: &'a OrganizationId,
    what: String,
) -> Result<Request<'a>, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let request = begin_in(&mut tx, billing, organization, what).await?;
    db::commit(tx).await?;
    Ok(request)
}

/// The same in a transaction, which has to be committed before anything is sent.
pub(super) async fn begin_in<'a>(
    conn: &mut PgConnection,
    billing: &'a Billing,
    organization: &'a OrganizationId,
    what: String,
) -> Result<Request<'a>, Error> {
    let now = billing.clock.now();
    let times = (now, now - SAME_ANSWER_FOR, now + READ_AFTER);
    let row = queries::begin_request(conn, organization, &what, new_id(now), times).await?;
    Ok(Request {
        billing,
        organization,
        what,
        row,
        key: IdempotencyKey::of(row),
    })
}

impl Request<'_> {
    /// Notes that there is an answer, unless there is none.
    pub(super) async fn end<T>(self, answer: Result<T, GatewayError>) -> Result<T, Error> {
        let mut tx = db::tenant_transaction(&self.billing.pool, self.organization).await?;
        self.end_in(&mut tx, &answer).await?;
        db::commit(tx).await?;
        Ok(answer?)
    }

    /// The same in a transaction.
    pub(super) async fn end_in<T>(
        &self,
        conn: &mut PgConnection,
        answer: &Result<T, GatewayError>,
    ) -> Result<(), Error> {
        let open = matches!(
            answer,
            Err(GatewayError::Unknown(_) | GatewayError::Busy { .. })
        );
        if !open {
            queries::end_request(conn, self.organization, &self.what, self.row).await?;
        }
        Ok(())
    }
}

/// Asks for a state of a subscription, and reads everything afterwards. Where the vendor failed, gave no answer, or refused what
/// somebody else has done meanwhile, what is read says whether it is so.
pub(super) async fn ask<F>(
    billing: &Billing,
    organization: &OrganizationId,
    what: String,
    send: impl Fn(IdempotencyKey) -> F,
    is_so: impl Fn(&Subscription) -> bool,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), GatewayError>>,
{
    let asked = begin(billing, organization, what).await?;
    let answer = answered(|| send(asked.key.clone())).await;
    let answer = asked.end(answer).await;
    let read = sync(billing, organization).await;
    let Err(failure) = answer else {
        return read.map(|_| ());
    };
    if read.is_err() {
        return Err(failure);
    }
    let stored = standing::stored(billing, organization).await?;
    if stored.subscriptions.iter().any(is_so) {
        Ok(())
    } else {
        Err(failure)
    }
}
