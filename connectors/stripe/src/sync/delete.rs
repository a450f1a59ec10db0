//! The delete job: removes a connection and what is stored of it, in short transactions.
//!
//! Done again, it finds nothing more to do. Deliberately absent: the beginning, which makes the key useless at once
//! ([`common::connection::disconnect`]).

use common::job::lease::{Progress, complete, fenced_progress};
use common::job::{Job, Services};
use common::{connection, db};

use super::{Error, purge};

const ROWS_PER_PURGE: i64 = 10_000;

/// Removes a connection and all its rows. The job itself stays readable.
pub(super) async fn run(services: &Services, job: &Job) -> Result<(), Error> {
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
