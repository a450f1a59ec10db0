//! The redate job: recomputes the dates of stored rows after a change of time zone, without a request to Stripe.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use common::catalogue::ObjectType;
use common::connection;
use common::job::lease::{Progress, fenced_progress};

use super::finish::{self, Completed};
use super::run::Run;
use super::{Error, JobType, make_rows, state};
use crate::charge::{Charge, queries};
use crate::comparison;
use crate::restatement::{self, Draft};
use crate::{purchase, referenced, refund};

/// Dates every stored row in the connection's present time zone. Where the covered range now begins
/// later, what was before it goes; where it begins earlier, the next sync reads the rest.
pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let from = run.connection.covered_from();
    let mut rows_written =
        queries::remove_before(&mut tx, organization, connection_id, from).await?;
    if rows_written > 0 {
        let all = BTreeSet::from(ObjectType::ALL);
        state::mark_catalogue_stale(&mut tx, organization, connection_id, &all).await?;
    }
    state::narrow_covered_range(&mut tx, organization, connection_id, from).await?;
    let purchases_from = run.connection.purchases_from();
    let affected =
        purchase::queries::remove_before(&mut tx, organization, connection_id, purchases_from)
            .await?;
    let without_lines = make_rows::load_affected_charges(run, &mut tx, &affected, &[]).await?;
    let by_id = without_lines.iter();
    let without_lines: BTreeMap<&str, &Charge> = by_id
        .map(|charge| (charge.charge_id.as_str(), charge))
        .collect();
    // Days are others from now on: nothing of them was restated.
    restatement::queries::forget_all(&mut tx, organization, connection_id).await?;
    let mut none = Draft::default();
    let written = make_rows::write(run, &mut tx, &without_lines, &[], &mut none).await?;
    rows_written += written.rows;
    if !written.stale.is_empty() {
        state::mark_catalogue_stale(&mut tx, organization, connection_id, &written.stale).await?;
    }
    let intents = referenced::queries::made_before(
        &mut tx,
        organization.as_str(),
        connection_id,
        ObjectType::PaymentIntent,
        purchases_from,
    )
    .await?;
    let intents = intents.iter().collect();
    let of_type = ObjectType::PaymentIntent;
    if make_rows::upsert_referenced_objects(run, &mut tx, of_type, intents, &mut none).await? {
        let stale = BTreeSet::from([of_type]);
        state::mark_catalogue_stale(&mut tx, organization, connection_id, &stale).await?;
    }
    let bounds = queries::created_bounds(&mut tx, organization, connection_id).await?;
    if let Some(bounds) = bounds {
        let end = *bounds.end() + TimeDelta::seconds(1);
        for span in connection::offset_spans(run.connection.timezone, *bounds.start(), end) {
            rows_written += queries::redate(&mut tx, organization, connection_id, span).await?;
        }
    }
    let bounds = refund::queries::created_bounds(&mut tx, organization, connection_id).await?;
    if let Some(bounds) = bounds {
        let end = *bounds.end() + TimeDelta::seconds(1);
        for span in connection::offset_spans(run.connection.timezone, *bounds.start(), end) {
            refund::queries::redate(&mut tx, organization, connection_id, span).await?;
        }
    }
    // A day of the new zone is another time; of those of before, what is known stays known.
    let compared = comparison::queries::take_all(&mut tx, organization, connection_id).await?;
    let compared = comparison::redate(compared, run.connection.timezone);
    comparison::queries::insert(&mut tx, organization, connection_id, &compared).await?;
    let progress = Progress {
        rows_written,
        ..Progress::default()
    };
    fenced_progress(&mut tx, &run.fence, progress).await?;
    run.commit(tx).await?;
    finish::complete(run, Completed::StoredRows(JobType::Redate)).await
}
