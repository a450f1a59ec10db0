//! Carrying out an entry and finding out what became of it, whoever does: the caller that appended it, a later caller with the
//! same key, or a pass in the background.
//!
//! Whoever works on an entry holds it by the time of its next attempt, which is moved forward by a lease; what came of it is
//! written only if that time still stands. No transaction is open while the vendor is asked. An entry that may have been sent
//! is looked up before it is sent again, always under the one key that it has, so that it is made at most once; when the
//! vendor may have forgotten the key, it is looked up only.
//!
//! Fails with PostgreSQL; what the vendor does is written into the entry. Then the next attempt settles it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::db::{self, Pool};
use common::error_chain::ErrorChain;
use common::job::RetryPolicy;
use common::tenant::OrganizationId;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::append::Appended;
use super::{
    Entry, EntryDetail, EntryError, EntryState, Error, Ledger, Made, NOT_MADE, Order, Ordered,
    queries,
};
use crate::gateway::GatewayError;

/// How long an entry is worked on at a time, and how long somebody waits who asks for the same.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(100);
/// Longer than an attempt and the statements around it.
pub(super) const LEASE: TimeDelta = TimeDelta::seconds(120);
/// How often somebody who waits for another's attempt looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Waits between requests of one attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// For how long an entry is sent. Stripe knows an idempotency key for 24 hours; an hour is left for clocks that differ.
const SENT_FOR: TimeDelta = TimeDelta::hours(23);
/// When what cannot be found was never made: nothing has been sent for an hour.
const NOT_MADE_AFTER: TimeDelta = TimeDelta::hours(24);
/// From which age on a failure of the vendor's that made nothing is final: until then it may pass, or the vendor's lists may lag.
const FAILED_AFTER: TimeDelta = TimeDelta::minutes(15);
/// When an entry that is unknown is looked up again; without end.
const RETRY: RetryPolicy = RetryPolicy {
    transient_failures: i32::MAX,
    internal_failures: i32::MAX,
    first_backoff: Duration::from_secs(10),
    max_backoff: Duration::from_hours(1),
};

/// An entry that this program holds until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub organization_id: OrganizationId,
    pub entry_id: Uuid,
    /// When the lease ends: the fence of what is written about it.
    pub until: DateTime<Utc>,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done(Made),
    Failed(EntryError),
    Unknown,
}

/// Claims up to `limit` entries of any organization that are to be settled now. Needs the consumer's role.
pub async fn claim(pool: &Pool, now: DateTime<Utc>, limit: i64) -> Result<Vec<Held>, db::Error> {
    let mut conn = pool.acquire().await?;
    queries::claim(&mut conn, now, now + LEASE, limit).await
}

/// Settles an entry that was claimed, as far as that is possible now.
pub async fn settle(ledger: &Ledger, held: &Held) -> Result<(), Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, &held.organization_id).await?;
    let entry = queries::find(&mut tx, &held.organization_id, held.entry_id).await?;
    db::commit(tx).await?;
    if let Some(entry) = entry.filter(|entry| entry.next_attempt_at == Some(held.until)) {
        carry_out(ledger, &held.organization_id, entry).await?;
    }
    Ok(())
}

/// What became of a caller's entry: settled, unless not even looking it up worked.
pub(super) async fn conclude(
    ledger: &Ledger,
    organization: &OrganizationId,
    appended: Appended,
) -> Result<Entry, Error> {
    let entry_id = appended.entry_id();
    match appended {
        Appended::Held(entry) => carry_out(ledger, organization, entry).await,
        Appended::Existing(entry) if entry.state.is_settled() => Ok(entry),
        Appended::Existing(_) => wait_or_take_over(ledger, organization, entry_id).await,
    }
}

/// Waits for whoever works on an entry, and takes it over when nobody does.
async fn wait_or_take_over(
    ledger: &Ledger,
    organization: &OrganizationId,
    entry_id: Uuid,
) -> Result<Entry, Error> {
    let waits_until = Instant::now() + ATTEMPT_TIMEOUT;
    loop {
        let now = ledger.clock.now();
        let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
        let taken = queries::take_over(&mut tx, organization, entry_id, now, now + LEASE).await?;
        let entry = queries::find(&mut tx, organization, entry_id).await?;
        db::commit(tx).await?;
        let entry = entry.ok_or(Error::NotFound)?;
        if taken {
            return carry_out(ledger, organization, entry).await;
        }
        if entry.state.is_settled() || Instant::now() >= waits_until {
            return Ok(entry);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Carries out an entry that the caller holds, and returns it as it is stored then.
async fn carry_out(
    ledger: &Ledger,
    organization: &OrganizationId,
    entry: Entry,
) -> Result<Entry, Error> {
    let began = ledger.clock.now();
    let attempt = timeout(ATTEMPT_TIMEOUT, attempt(ledger, organization, &entry));
    let outcome = match attempt.await {
        Ok(outcome) => outcome?,
        Err(_) => Outcome::Unknown,
    };
    log(organization, &entry, &outcome);
    let next = ledger.clock.now() + next_wait(&entry);
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    // Not if the lease ended meanwhile: whoever holds the entry now writes.
    queries::write_outcome(&mut tx, organization, &entry, &outcome, began, next).await?;
    let entry = queries::find(&mut tx, organization, entry.entry_id).await?;
    db::commit(tx).await?;
    entry.ok_or(Error::NotFound)
}

fn next_wait(entry: &Entry) -> TimeDelta {
    // The longest wait is an hour.
    TimeDelta::from_std(RETRY.backoff_after(entry.attempts)).unwrap_or(LEASE)
}

fn log(organization: &OrganizationId, entry: &Entry, outcome: &Outcome) {
    let (entry_id, kind) = (entry.entry_id, entry.kind().as_str());
    let organization_id = organization.as_str();
    let state = match outcome {
        Outcome::Done(made) => {
            let external_id = made.external_id.as_str();
            info!(%entry_id, kind, organization_id, external_id, "money was moved");
            EntryState::Done
        }
        Outcome::Failed(EntryError { code, message }) => {
            let code = code.as_deref();
            info!(%entry_id, kind, organization_id, code, message, "money was not moved");
            EntryState::Failed
        }
        Outcome::Unknown => {
            warn!(%entry_id, kind, organization_id, "it is not known yet whether money was moved");
            EntryState::Unknown
        }
    };
    metrics::counter!("stripe_sync_ledger_attempts_total", "kind" => kind, "state" => state.as_str())
        .increment(1);
}

/// Looks an entry up if it may have been sent, and sends it if it was not made.
async fn attempt(
    ledger: &Ledger,
    organization: &OrganizationId,
    entry: &Entry,
) -> Result<Outcome, Error> {
    let order = order(ledger, organization, entry).await?;
    let mut may_be_made = entry.state != EntryState::Intended;
    if may_be_made && let Some(outcome) = look_up(ledger, &order).await {
        return Ok(outcome);
    }
    let age = ledger.clock.now() - entry.created_at;
    if age >= SENT_FOR {
        let given_up = age >= NOT_MADE_AFTER || !may_be_made;
        let not_made = || not_made("No answer came for a day, and nothing was made.");
        return Ok(if given_up {
            not_made()
        } else {
            Outcome::Unknown
        });
    }
    if !may_be_made && !mark_sent(ledger, organization, entry).await? {
        // Somebody else holds it.
        return Ok(Outcome::Unknown);
    }
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match ledger.gateway.send(&order).await {
            Ok(made) => return Ok(Outcome::Done(made)),
            Err(failure) => failure,
        };
        debug!(entry_id = %entry.entry_id, error = %ErrorChain(&failure), "a request that moves money failed");
        let refusal = refusal(&failure);
        if let Some(refusal) = &refusal
            && !may_be_made
        {
            return Ok(Outcome::Failed(refusal.clone()));
        }
        may_be_made = true;
        if let Some(outcome) = look_up(ledger, &order).await {
            return Ok(outcome);
        }
        if let Some(refusal) = refusal {
            return Ok(Outcome::Failed(refusal));
        }
        // The key has this answer for good.
        if age >= FAILED_AFTER && matches!(failure, GatewayError::Failed { .. }) {
            return Ok(not_made(
                "Stripe failed whenever it was asked, and made nothing.",
            ));
        }
        match pauses.next() {
            Some(pause) => sleep(pause).await,
            None => return Ok(Outcome::Unknown),
        }
    }
}

/// What an order made; unknown when the vendor does not say. None where it made nothing.
async fn look_up(ledger: &Ledger, order: &Order) -> Option<Outcome> {
    match ledger.gateway.find(order).await {
        Ok(Some(made)) => Some(Outcome::Done(made)),
        Ok(None) => None,
        Err(cause) => {
            let entry_id = order.entry_id;
            warn!(%entry_id, error = %ErrorChain(&cause), "an entry could not be looked up");
            Some(Outcome::Unknown)
        }
    }
}

/// The refusal that a failure is: the request did nothing, and will do nothing.
fn refusal(failure: &GatewayError) -> Option<EntryError> {
    let (code, message) = match failure {
        GatewayError::Refused { code, message } => (code.clone(), message),
        GatewayError::NoAccess { message } => (Some("account_invalid".to_owned()), message),
        GatewayError::KeyRefused { message } => {
            error!(message, "the vendor refuses the platform's key");
            (Some("platform_key_refused".to_owned()), message)
        }
        GatewayError::Busy { .. } | GatewayError::Failed { .. } | GatewayError::Unknown(_) => {
            return None;
        }
    };
    Some(EntryError {
        code,
        message: message.clone(),
    })
}

fn not_made(message: &str) -> Outcome {
    Outcome::Failed(EntryError {
        code: Some(NOT_MADE.to_owned()),
        message: message.to_owned(),
    })
}

/// Notes that the request is about to be sent; false if somebody else holds the entry.
async fn mark_sent(
    ledger: &Ledger,
    organization: &OrganizationId,
    entry: &Entry,
) -> Result<bool, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let marked = queries::mark_sent(&mut tx, organization, entry).await?;
    db::commit(tx).await?;
    Ok(marked)
}

async fn order(
    ledger: &Ledger,
    organization: &OrganizationId,
    entry: &Entry,
) -> Result<Order, Error> {
    let what = match &entry.detail {
        EntryDetail::Transfer {
            source_charge,
            transfer_group,
            description,
            ..
        } => Ordered::Transfer {
            source_charge: source_charge.clone(),
            transfer_group: transfer_group.clone(),
            description: description.clone(),
        },
        EntryDetail::Reversal { transfer_id, .. } => {
            let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
            let transfer = queries::find(&mut tx, organization, *transfer_id).await?;
            db::commit(tx).await?;
            let transfer = transfer.and_then(|transfer| transfer.external_id);
            Ordered::Reversal {
                transfer: transfer.ok_or(Error::TransferNotMade)?,
            }
        }
        EntryDetail::Payout { method, .. } => Ordered::Payout { method: *method },
    };
    Ok(Order {
        entry_id: entry.entry_id,
        account_id: entry.account_id.clone(),
        money: entry.money.clone(),
        created_at: entry.created_at,
        what,
    })
}
