//! A webhook job: applies the events received by webhook, reading each changed object once, and lists no events.
//!
//! Events that come while a job runs are applied by the next one, so that those of a few moments cost one job. Before
//! a full job has covered the range there is nothing to apply them to: they stay pending, and that job or the first
//! incremental one after it takes them.

use super::batch::Batch;
use super::changes::Changes;
use super::finish::{self, Completed};
use super::inbox::PendingEvents;
use super::run::Run;
use super::{Error, JobType, commit, incremental};

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    if incremental::cursor_to_go_on(run).is_some() {
        let pending = PendingEvents::read(run).await?;
        if !pending.is_empty() {
            apply(run, &pending).await?;
        }
    }
    finish::complete(run, Completed::StoredRows(JobType::Webhook)).await
}

async fn apply(run: &Run<'_>, pending: &PendingEvents) -> Result<(), Error> {
    let source = run.source()?;
    let mut changes = Changes::default();
    pending.add_to(&mut changes);
    incremental::apply(run, &source, &changes).await?;
    let mut rest = Batch {
        requests: source.new_requests(),
        ..Batch::default()
    };
    rest.objects.parked.extend(pending.parked.iter().cloned());
    commit::commit(run, &source, rest, None).await?;
    pending.mark_processed(run).await
}
