//! The end of a job: aggregates, catalogue and state are made to agree with the rows, then the job
//! completes, in one transaction with the state and the next due instant.
//!
//! Stale days are refreshed in short transactions of their own; each is as good as the last, and a
//! crash between two of them leaves the rest stale.

use chrono::NaiveDate;
use common::connection;
use common::job::lease::{Progress, complete as complete_job, fenced_progress};

use super::Error;
use super::compare::Compared;
use super::run::Run;
use crate::analytics::refresh::{Locked, refresh_days};
use crate::metadata;
use crate::sync::JobType;
use crate::sync::state::{self, SyncPosition};

/// Days refreshed in the first transaction; further ones adapt to [`CHARGES_PER_COMMIT`].
pub(super) const FIRST_DAYS: i64 = 7;
/// Charges whose days one transaction refreshes, roughly: their sums fit into memory, and two connections that
/// share the days of a job end at about the same time.
const CHARGES_PER_COMMIT: i64 = 4_000;
/// Days that one transaction refreshes at most.
const MAX_DAYS: i64 = 366;

/// What a job completes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Completed<'a> {
    /// Reading from Stripe, this far, and comparing days.
    Read(&'a SyncPosition, Option<&'a Compared>),
    /// Work of this type on stored rows.
    StoredRows(JobType),
}

/// Completes a job.
pub(super) async fn complete(run: &Run<'_>, completed: Completed<'_>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    run.budget.set_spent();
    refresh(run).await?;
    let now = run.services.clock.now();
    let mut tx = run.transaction().await?;
    let stale = state::get(&mut tx, organization, connection_id)
        .await?
        .stale_catalogue;
    if !stale.is_empty() {
        let organization = organization.as_str();
        metadata::queries::rebuild(&mut tx, organization, connection_id, &stale).await?;
        state::mark_catalogue_fresh(&mut tx, run.organization(), connection_id).await?;
    }
    match completed {
        Completed::Read(reached, compared) => {
            // The connection before the state, as every other writer locks them.
            connection::queries::clear_problem(&mut tx, organization, connection_id).await?;
            if reached.full_synced_at.is_some() {
                let kind = JobType::Incremental.kind();
                connection::queries::set_scheduled_kind(&mut tx, organization, connection_id, kind)
                    .await?;
            }
            if let Some(next) = run.next_poll(now) {
                connection::queries::set_next_sync(&mut tx, organization, connection_id, next)
                    .await?;
            }
            state::store_position(&mut tx, organization, connection_id, reached).await?;
            if let Some(compared) = compared {
                compared.record(run, &mut tx).await?;
            }
        }
        Completed::StoredRows(job_type) => {
            state::forget_failed_jobs(&mut tx, organization, connection_id, job_type).await?;
        }
    }
    state::refresh_totals(&mut tx, organization, connection_id).await?;
    complete_job(&mut tx, &run.fence, now).await?;
    run.commit(tx).await?;
    Ok(())
}

/// Recomputes the rollups of all stale days. A few days take one transaction; many are shared by two
/// connections, which never take the same, and what another process holds is waited for at the end.
async fn refresh(run: &Run<'_>) -> Result<(), Error> {
    let Some(limit) = refresh_some(run, FIRST_DAYS, None, Locked::Wait).await? else {
        return Ok(());
    };
    futures::try_join!(
        refresh_rest(run, limit, Locked::Skip),
        refresh_rest(run, limit, Locked::Skip)
    )?;
    refresh_rest(run, limit, Locked::Wait).await
}

/// Recomputes the rollups of all stale days, beginning with `limit` of them in a transaction.
pub(super) async fn refresh_rest(run: &Run<'_>, limit: i64, locked: Locked) -> Result<(), Error> {
    let mut next = Some(limit);
    while let Some(limit) = next {
        next = refresh_some(run, limit, None, locked).await?;
    }
    Ok(())
}

/// Recomputes the rollups of up to `limit` stale days, only those of `among` where it is given; how many to take next, none
/// when there were fewer than that.
pub(super) async fn refresh_some(
    run: &Run<'_>,
    limit: i64,
    among: Option<&[NaiveDate]>,
    locked: Locked,
) -> Result<Option<i64>, Error> {
    let mut tx = run.transaction().await?;
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let refreshed =
        refresh_days(&mut tx, organization, connection_id, limit, among, locked).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    let next = limit * CHARGES_PER_COMMIT / refreshed.charges.max(1);
    let were_more = refreshed.days as i64 >= limit;
    Ok(were_more.then_some(next.clamp(1, MAX_DAYS)))
}
