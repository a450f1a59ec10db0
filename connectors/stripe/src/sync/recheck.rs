//! Listing the last days again, once a day: Stripe sometimes makes no event at all, and says so nowhere.
//!
//! Charges, what they paid for, their payment intents and disputes of the last days are compared with what is stored
//! ([`super::compare`]);
//! what differs is repaired and counted. Refunds of the last days show the older charges that changed
//! silently. What is lost of older objects otherwise is found by the next full job.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::Error;
use super::compare::{self, Compared};
use super::events::Superseded;
use super::full::{self, Checkpoint};
use super::objects::{self, REFUNDS};
use super::retrieve;
use super::run::Run;
use super::stripe_reader::StripeReader;
use crate::charge::{Charge, Figures, queries};
use crate::purchase::queries::AffectedPayments;
use crate::read_client::{self, Expandable, ListQuery};
use crate::restatement::{Cause, Causes};
use crate::sync::List;
use crate::sync::state::Recheck;

/// How far back.
const LAST_DAYS: TimeDelta = TimeDelta::days(7);

/// Compares the last days when this is the first job of the day that can compare the day before, in the connection's time
/// zone.
pub(super) async fn run_if_due(
    run: &Run<'_>,
    source: &Arc<StripeReader>,
    now: DateTime<Utc>,
) -> Result<Option<(Recheck, Compared)>, Error> {
    let to = compare::listed_to(run, now);
    let today = run.connection.date_of(to);
    if run.state.reconciled_on.is_some_and(|on| on >= today) {
        return Ok(None);
    }
    // Whole days, since days are compared.
    let from = run.connection.start_of_today(to - LAST_DAYS);
    let from = from.max(run.connection.covered_from());
    let plan = compare::plan_of(run, from, to, now);
    run.note_causes(Causes::of(Cause::Comparison));
    let mut superseded = Superseded::default();
    let read = full::read_and_write(run, source, plan, Checkpoint::Skip, &mut superseded).await?;
    let mut rows_repaired = read.rows;
    if run.may_read("refunds") {
        let silently_refunded = silently_refunded(run, source, from, to).await?;
        rows_repaired +=
            retrieve::retrieve_and_write(run, source, List::Charges, &silently_refunded).await?;
    }
    if rows_repaired > 0 {
        metrics::counter!("stripe_sync_rows_repaired_total")
            .increment(rows_repaired.unsigned_abs());
        tracing::warn!(
            rows = rows_repaired,
            "rows differed from what events had reported"
        );
    }
    let days = read
        .plan
        .compared_days(|instant| run.connection.date_of(instant));
    let recheck = Recheck {
        on: today,
        rows_repaired,
    };
    Ok(Some((recheck, Compared::of(run, &read.plan, days))))
}

#[derive(Deserialize)]
struct RefundOf {
    charge: Option<Expandable<read_client::Charge>>,
}

/// Charges from before `before` that were refunded since, and whose rows may not show it: of a partial capture
/// only the charge's own refunds tell.
async fn silently_refunded(
    run: &Run<'_>,
    source: &StripeReader,
    before: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<String>, Error> {
    let covered_from = run.connection.covered_from();
    let mut after: Option<String> = None;
    let mut differing = Vec::new();
    loop {
        let query = ListQuery {
            created_gte: Some(before.timestamp()),
            created_lt: Some(to.timestamp()),
            starting_after: after.as_deref(),
            expand: &["data.charge"],
            ..ListQuery::default()
        };
        let page = source.list(REFUNDS, &query).await?;
        let mut charges: Vec<Charge> = Vec::new();
        let mut oldest = None;
        for raw in &page.data {
            oldest = Some(objects::head(REFUNDS, raw)?.id);
            // One that cannot be read names no charge; the charge's own list will park it.
            let refund = objects::parse::<RefundOf>(raw).ok();
            if let Some(Expandable::Object(charge)) = refund.and_then(|refund| refund.charge) {
                let partly_captured = charge.is_partly_captured();
                let charge = Charge::from(charge);
                if charge.created_at < covered_from || charge.created_at >= before {
                    continue;
                }
                // Its figures follow from its own refunds, which are not inlined here.
                if partly_captured {
                    differing.push(charge.charge_id);
                } else {
                    charges.push(charge);
                }
            }
        }
        differing.extend(differing_from_stored(run, &charges).await?);
        after = oldest.filter(|_| page.has_more);
        if after.is_none() {
            differing.sort_unstable();
            differing.dedup();
            return Ok(differing);
        }
    }
}

async fn differing_from_stored(run: &Run<'_>, charges: &[Charge]) -> Result<Vec<String>, Error> {
    if charges.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = charges.iter().map(|c| c.charge_id.clone()).collect();
    let mut tx = run.transaction().await?;
    let stored = queries::charges_affected_by(
        &mut tx,
        run.organization(),
        run.connection_id(),
        &AffectedPayments::default(),
        &ids,
    )
    .await?;
    run.commit(tx).await?;
    let figures_of = |id: &str| -> Option<Figures> {
        let mut of_id = stored.iter().filter(|charge| charge.charge_id == id);
        of_id.next().map(|charge| charge.figures)
    };
    let differs = |charge: &&Charge| figures_of(&charge.charge_id) != Some(charge.figures);
    Ok(charges
        .iter()
        .filter(differs)
        .map(|charge| charge.charge_id.clone())
        .collect())
}
