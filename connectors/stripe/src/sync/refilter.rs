//! The refilter job: applies the rules to stored rows, without a request to Stripe.

use std::collections::BTreeMap;

use common::job::lease::{Progress, fenced_progress};
use futures::{TryStreamExt as _, stream};

use super::finish::{self, Completed};
use super::run::Run;
use super::{Error, JobType};
use crate::charge::queries;
use crate::restatement::{self, Cause, Causes};
use crate::rule::queries::{self as rule_queries, DayDecision, DayRange};

/// Rows decided about in one transaction.
const ROWS_PER_REFILTER: i64 = 50_000;
/// Such transactions side by side; their days differ, so none waits for another but to note its progress.
const CONCURRENT_DAY_RANGES: usize = 2;

/// Applies the rules to every stored row, some days in each transaction; a job that breaks off between two
/// begins again, and what is right already is not written. Figures of days that are done follow the new
/// rules, since changed days are stale and thus read from their rows.
pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let day_ranges = rule_queries::day_ranges(
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

async fn refilter_days(run: &Run<'_>, days: DayRange) -> Result<(), Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    let decisions = rule_queries::refilter(
        &mut tx,
        organization.as_str(),
        connection_id,
        &run.rules,
        days,
    )
    .await?;
    let days = DayDecision::days(&decisions);
    queries::mark_stale(&mut tx, organization, connection_id, &days).await?;
    let mut draft = run.draft_restatements();
    draft.decide_by_rules(&decisions);
    let restated = draft.restatements(&Causes::of(Cause::Rules), &BTreeMap::new());
    let now = run.services.clock.now();
    restatement::queries::store(&mut tx, organization, connection_id, &restated, now).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    Ok(())
}
