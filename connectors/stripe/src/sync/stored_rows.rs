//! The jobs that work on stored rows alone, without a request to Stripe.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use common::catalogue::ObjectType;
use common::connection;
use common::db;
use common::job::lease::{Progress, complete, fenced_progress};
use common::job::{Job, Services};
use futures::{TryStreamExt as _, stream};

use super::Error;
use super::finish::Completed;
use super::run::Run;
use super::{finish, purge, rebuild_rows};
use crate::charge::{Charge, queries};
use crate::purchase;
use crate::rule;
use crate::sync::{JobType, state};

/// Rows decided about in one transaction.
const ROWS_PER_REFILTER: i64 = 50_000;
/// Such transactions side by side; their days differ, so none waits for another but to note its progress.
const CONCURRENT_DAY_RANGES: usize = 2;
const ROWS_PER_PURGE: i64 = 10_000;

/// Applies the rules to every stored row, some days in each transaction; a job that breaks off between two
/// begins again, and what is right already is not written. Figures of days that are done follow the new
/// rules, since changed days are stale and thus read from their rows.
pub(super) async fn refilter(run: &Run<'_>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let day_ranges = rule::queries::day_ranges(
        &mut tx,
        organization.as_str(),
        connection_id,
        ROWS_PER_REFILTER,
    )
    .await?;
    run.commit(tx).await?;
    stream::iter(day_ranges.into_iter().map(Ok))
        .try_for_each_concurrent(CONCURRENT_DAY_RANGES, |days| refilter_days(run, days))
        .await?;
    finish::complete(run, Completed::StoredRows(JobType::Refilter)).await
}

async fn refilter_days(run: &Run<'_>, days: rule::queries::DayRange) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let days = rule::queries::refilter(
        &mut tx,
        organization.as_str(),
        connection_id,
        &run.rules,
        days,
    )
    .await?;
    queries::mark_stale(&mut tx, organization, connection_id, &days).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    Ok(())
}

/// Dates every stored row in the connection's present time zone. Where the covered range now begins
/// later, what was before it goes; where it begins earlier, the next sync reads the rest.
pub(super) async fn redate(run: &Run<'_>) -> Result<(), Error> {
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
    let without_lines = rebuild_rows::load_affected_charges(run, &mut tx, &affected, &[]).await?;
    let by_id = without_lines.iter();
    let without_lines: BTreeMap<&str, &Charge> = by_id
        .map(|charge| (charge.charge_id.as_str(), charge))
        .collect();
    let written = rebuild_rows::write(run, &mut tx, &without_lines, &[]).await?;
    rows_written += written.rows;
    if !written.stale.is_empty() {
        state::mark_catalogue_stale(&mut tx, organization, connection_id, &written.stale).await?;
    }
    let bounds = queries::created_bounds(&mut tx, organization, connection_id).await?;
    if let Some(bounds) = bounds {
        let end = *bounds.end() + TimeDelta::seconds(1);
        for span in connection::offset_spans(run.connection.timezone, *bounds.start(), end) {
            rows_written += queries::redate(&mut tx, organization, connection_id, span).await?;
        }
    }
    let progress = Progress {
        rows_written,
        ..Progress::default()
    };
    fenced_progress(&mut tx, &run.fence, progress).await?;
    run.commit(tx).await?;
    finish::complete(run, Completed::StoredRows(JobType::Redate)).await
}

/// Removes a connection and all its rows. The job itself stays readable.
pub(super) async fn delete(services: &Services, job: &Job) -> Result<(), Error> {
    let organization = &job.job_ref.organization_id;
    let fence = job.fence();
    loop {
        let mut tx = db::tenant_transaction(&services.pool, organization).await?;
        let purged =
            purge::delete_rows(&mut tx, organization, &job.connection_id, ROWS_PER_PURGE).await?;
        fenced_progress(&mut tx, &fence, Progress::default()).await?;
        if purged > 0 {
            services.commit(tx).await?;
            continue;
        }
        purge::delete_derived(&mut tx, organization, &job.connection_id).await?;
        connection::queries::delete(&mut tx, organization, &job.connection_id).await?;
        complete(&mut tx, &fence, services.clock.now()).await?;
        services.commit(tx).await?;
        return Ok(());
    }
}
