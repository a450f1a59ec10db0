//! A webhook job: applies the events received by webhook, reading each changed object once, and lists no events.
//!
//! Events that come while a job runs are applied by the next one, so that those of a few moments cost one job. Before
//! the first full job has covered the range there is nothing to apply them to: they stay pending, and that job or the first
//! one after it takes them. Where another full job is needed, this one becomes it.

use super::finish::{self, Completed};
use super::run::Run;
use super::{Error, JobType, apply_events, incremental};

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    if incremental::cursor_to_go_on(run).is_some() {
        let pending = apply_events::pending(run).await?;
        if !pending.is_empty() {
            apply_events::apply(run, &*run.source()?, &pending).await?;
        }
    } else if run.state.full_synced_at.is_some() {
        // More is to be covered than was read, or other lists: nobody may poll for hours to find that out.
        return incremental::become_full(run).await;
    }
    finish::complete(run, Completed::StoredRows(JobType::Webhook)).await
}
