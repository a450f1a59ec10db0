//! A webhook job: applies the events received by webhook, reading each changed object once, and lists no events.
//!
//! Events that come while a job runs are applied by the next one, so that those of a few moments cost one job. Before
//! a full job has covered the range there is nothing to apply them to: they stay pending, and that job or the first
//! incremental one after it takes them.

use super::finish::{self, Completed};
use super::run::Run;
use super::{Error, JobType, inbox, incremental};

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    if incremental::cursor_to_go_on(run).is_some() {
        let pending = inbox::pending(run).await?;
        if !pending.is_empty() {
            inbox::apply(run, &*run.source()?, pending).await?;
        }
    }
    finish::complete(run, Completed::StoredRows(JobType::Webhook)).await
}
