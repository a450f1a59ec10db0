//! The end of a job: aggregates, catalogue and state are made to agree with the rows, then the job
//! completes, in one transaction with the state and the next due instant.
//!
//! Stale days are refreshed in short transactions of their own; each is as good as the last, and a
//! crash between two of them leaves the rest stale.

use common::analytics::refresh::refresh_days;
use common::sync::lease::{Progress, complete as complete_job, fenced_progress};
use common::sync::schedule::next_sync_at;
use common::sync::state::{self, Reached};
use common::{catalogue, connection};

use super::Run;
use crate::outcome::Error;

/// Days refreshed in one transaction.
const DAYS_PER_COMMIT: i64 = 31;

/// Completes a job; `reached` says how far one that asked Stripe came.
pub(super) async fn complete(run: &Run<'_>, reached: Option<&Reached>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    loop {
        let mut tx = run.transaction().await?;
        let days = refresh_days(&mut tx, organization, connection_id, DAYS_PER_COMMIT).await?;
        fenced_progress(&mut tx, &run.fence, Progress::default(), None).await?;
        run.commit(tx).await?;
        if days == 0 {
            break;
        }
    }
    let now = run.engine.clock.now();
    let mut tx = run.transaction().await?;
    let stale = state::get(&mut tx, organization, connection_id)
        .await?
        .stale_catalogue;
    if !stale.is_empty() {
        let organization = organization.as_str();
        catalogue::queries::rebuild(&mut tx, organization, connection_id, &stale).await?;
        state::mark_catalogue_fresh(&mut tx, run.organization(), connection_id).await?;
    }
    if let Some(reached) = reached {
        state::set_reached(&mut tx, organization, connection_id, reached).await?;
        connection::queries::clear_problem(&mut tx, organization, connection_id).await?;
        if run.connection.next_sync_at <= now {
            let next = next_sync_at(now, run.connection.sync_interval_minutes);
            connection::queries::set_next_sync(&mut tx, organization, connection_id, next).await?;
        }
    }
    state::refresh_totals(&mut tx, organization, connection_id).await?;
    complete_job(&mut tx, &run.fence, now).await?;
    run.commit(tx).await?;
    Ok(())
}
