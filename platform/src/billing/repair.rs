//! Undoing what was sold and should not have been: a second subscription of an organization, and a second trial of a card.
//!
//! Neither can be kept from happening: two pages of the vendor's can be paid at the same moment, and a card is known only once
//! it was given. What is found is committed before the vendor is asked to undo it, and asked for until it is done. Each step may
//! be done twice: what is cancelled stays cancelled, and a payment is refunded as a whole.
//!
//! Fails as the vendor does, and with PostgreSQL. Deliberately absent: subscriptions that were made elsewhere, in the vendor's dashboard
//! for one, which are only warned of.

use chrono::{DateTime, Utc};
use common::db::{self, PgConnection};
use common::named;
use common::tenant::OrganizationId;
use tracing::warn;

use super::status::SubscriptionStatus;
use super::subscription::{Subscription, that_counts};
use super::{Billing, CustomerReading, Error, queries, request};
use crate::gateway::GatewayError;
use crate::idempotency::answered;

named! {
    /// What is undone.
    RepairKind {
        /// Two sessions were paid; the newer subscription is cancelled and refunded.
        SecondSubscription = "second_subscription",
        /// The card had a trial in another organization; the trial is ended.
        SecondTrial = "second_trial",
    }
}

/// Something that was or is to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub subscription_id: String,
    pub kind: RepairKind,
    pub found_at: DateTime<Utc>,
    pub done_at: Option<DateTime<Utc>>,
}

/// Notes which subscriptions should not be, as they are stored now, and which were undone before a debit was through that pays them.
pub(super) async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    stored: &[Subscription],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    queries::reopen_paid_repairs(conn, organization).await?;
    for second in seconds(stored, now) {
        let id = &second.subscription_id;
        let kind = RepairKind::SecondSubscription;
        queries::note_repair(conn, organization, id, kind, now).await?;
    }
    Ok(())
}

/// The subscriptions that came after the one that counts. One of before it is left alone, though it gives no access any more:
/// what was paid for it was rightly paid.
fn seconds(stored: &[Subscription], now: DateTime<Utc>) -> impl Iterator<Item = &Subscription> {
    let counted = that_counts(stored, now);
    stored.iter().filter(move |it| {
        let is_second = |counted: &Subscription| {
            counted.subscription_id != it.subscription_id && counted.created_at <= it.created_at
        };
        it.status.is_live()
            && it.is_ours
            && it.lookup_key.is_some()
            && counted.is_some_and(is_second)
    })
}

/// Notes which trials are had with a card that had one in another organization.
pub(super) async fn find_second_trials(
    billing: &Billing,
    organization: &OrganizationId,
    reading: &CustomerReading,
) -> Result<(), Error> {
    let now = billing.clock.now();
    let trials = reading.subscriptions.iter();
    for trial in trials.filter(|it| it.status == SubscriptionStatus::Trialing && it.is_ours) {
        let method = trial.payment_method.as_ref();
        let method = method.or(reading.payment_method.as_ref());
        let Some(card) = method.and_then(|method| method.fingerprint.as_deref()) else {
            continue;
        };
        let platform = OrganizationId::platform();
        let mut tx = db::tenant_transaction(&billing.pool, &platform).await?;
        let user = queries::use_trial_card(&mut tx, card, organization, now).await?;
        db::commit(tx).await?;
        if user != organization.as_str() {
            let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
            let (id, kind) = (&trial.subscription_id, RepairKind::SecondTrial);
            queries::note_repair(&mut tx, organization, id, kind, now).await?;
            db::commit(tx).await?;
        }
    }
    Ok(())
}

/// Undoes what is noted; true if there was anything, so that everything has to be read again.
pub(super) async fn carry_out(
    billing: &Billing,
    organization: &OrganizationId,
) -> Result<bool, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let repairs = queries::repairs(&mut tx, organization).await?;
    db::commit(tx).await?;
    let mut any = false;
    for repair in repairs.iter().filter(|repair| repair.done_at.is_none()) {
        let id = &repair.subscription_id;
        let what = format!("{} {id}", repair.kind.as_str());
        let asked = request::begin(billing, organization, what).await?;
        let (gateway, key) = (&billing.gateway, &asked.key);
        let answer = match repair.kind {
            RepairKind::SecondSubscription => answered(|| gateway.undo_subscription(id, key)).await,
            RepairKind::SecondTrial => answered(|| gateway.end_trial(id, key)).await,
        };
        match asked.end(answer).await {
            // The next reading tries it again, and a person sees that it is not undone. All else goes on.
            Err(Error::Gateway(GatewayError::Refused { message, .. })) => {
                let (organization_id, kind) = (organization.as_str(), repair.kind.as_str());
                warn!(
                    organization_id,
                    subscription_id = id,
                    kind,
                    message,
                    "the vendor refuses to undo what should not have been sold"
                );
                continue;
            }
            done => done?,
        }
        let (organization_id, kind) = (organization.as_str(), repair.kind.as_str());
        warn!(
            organization_id,
            subscription_id = id,
            kind,
            "something that should not have been sold was undone"
        );
        let now = billing.clock.now();
        let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
        queries::note_repaired(&mut tx, organization, id, repair.kind, now).await?;
        db::commit(tx).await?;
        any = true;
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::super::subscription::tests::subscription;
    use super::*;

    #[test]
    fn only_what_came_after_the_subscription_that_counts_is_undone() {
        use SubscriptionStatus::{Active, Unpaid};
        let now = DateTime::UNIX_EPOCH;
        let ids = |stored: &[Subscription]| -> Vec<String> {
            let seconds = seconds(stored, now);
            seconds.map(|it| it.subscription_id.clone()).collect()
        };
        let (first, second) = (subscription("a", Active, 1), subscription("b", Active, 2));
        assert_eq!(ids(&[first.clone(), second.clone()]), ["b"]);
        // In the same second, one of the two.
        let twin = subscription("c", Active, 1);
        assert_eq!(ids(&[first, twin]), ["c"]);
        // Another one gives access, but this one was paid for before.
        assert!(ids(&[subscription("a", Unpaid, 1), second]).is_empty());
    }
}
