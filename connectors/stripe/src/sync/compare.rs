//! Comparing days with Stripe: they are listed again, what differs is repaired, and each day of which all was listed is noted
//! as compared, with how many objects differed.
//!
//! A full job compares what it lists (`full`), the first incremental job of a day the last days (`recheck`), and a `compare`
//! job the days that somebody asked for. All list by a plan and sweep what is no longer listed (`read_and_write`); a compare
//! job commits its plan with the rows, so that one that was interrupted goes on. Differences are noted in the transaction
//! that repairs them and counted when their day is compared: those that an interrupted job has repaired count as well.
//!
//! An object differs where what is stored of it changes: a charge with its rows and refunds, an invoice or a session with its
//! lines, a dispute. A change of the last moments whose event is still to come counts, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, DurationRound as _, NaiveDate, TimeDelta, Utc};
use common::connection;
use common::db;
use serde::Deserialize as _;
use sqlx::PgConnection;

use super::Error;
use super::events::Superseded;
use super::full::{self, Checkpoint, Read};
use super::resumable_plan::resumable_plan;
use super::run::Run;
use super::stripe_reader::StripeReader;
use crate::comparison::{self, DateRange, queries};
use crate::restatement::{Cause, Causes};
use crate::sync::{List, Plan, Span};

/// Among the lists of a plan, so that a full job takes no comparison's plan for its own.
const OF_A_COMPARISON: &str = "comparison";

/// Days that were compared, or will have been when a transaction commits.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    days: Vec<NaiveDate>,
    /// The instant as of which Stripe was read.
    as_of: DateTime<Utc>,
    /// As of [`Plan::known_from`].
    known_from: Option<DateTime<Utc>>,
    /// The time whose differences count; none where nothing was known of it.
    counted: Option<Span>,
}

impl Compared {
    /// These days of a plan.
    pub(super) fn of(run: &Run<'_>, plan: &Plan, days: Vec<NaiveDate>) -> Self {
        // Days that are not over yet are compared another time.
        let last = run.connection.date_of(plan.events_cursor);
        let counted = plan.known_from.map(|known_from| Span {
            from: plan.from.max(known_from),
            to: connection::start_of_day(last, run.connection.timezone).min(plan.to),
        });
        Self {
            days,
            as_of: plan.events_cursor + run.lag(),
            known_from: plan.known_from,
            counted,
        }
    }

    /// Notes what differs, and then the days.
    pub(super) async fn note(
        &self,
        run: &Run<'_>,
        tx: &mut PgConnection,
        differing: &BTreeMap<String, DateTime<Utc>>,
    ) -> Result<(), db::Error> {
        let counts = |at: DateTime<Utc>| {
            self.counted
                .is_some_and(|span| span.from <= at && at < span.to)
        };
        let differing: BTreeMap<&str, NaiveDate> = differing
            .iter()
            .filter(|(_, created_at)| counts(**created_at))
            .map(|(id, created_at)| (id.as_str(), run.connection.date_of(*created_at)))
            .collect();
        if !differing.is_empty() {
            let (organization, connection_id) = (run.organization(), run.connection_id());
            queries::note_differing(tx, organization, connection_id, &differing).await?;
        }
        self.record(run, tx).await
    }

    /// Notes the days.
    pub(super) async fn record(
        &self,
        run: &Run<'_>,
        tx: &mut PgConnection,
    ) -> Result<(), db::Error> {
        if self.days.is_empty() {
            return Ok(());
        }
        let timezone = run.connection.timezone;
        let days: Vec<(NaiveDate, Span)> = self
            .days
            .iter()
            .map(|date| (*date, comparison::span_of(*date, timezone)))
            .collect();
        let (organization, connection_id) = (run.organization(), run.connection_id());
        let (at, known_from) = (self.as_of, self.known_from);
        queries::record(tx, organization, connection_id, &days, at, known_from).await
    }
}

/// The second up to which Stripe shows everything: what is newer has its events still to come. Stripe is asked in whole
/// seconds.
pub(super) fn listed_to(run: &Run<'_>, now: DateTime<Utc>) -> DateTime<Utc> {
    let to = now - run.lag();
    to.duration_trunc(TimeDelta::seconds(1)).unwrap_or(to)
}

/// The plan of a comparison of `[from, to)`.
pub(super) fn plan_of(
    run: &Run<'_>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Plan {
    let mut plan = Plan {
        known_from: run.state.covered_from,
        listed_resources: listed_resources(run),
        ..Plan::new(from, to, listed_to(run, now))
    };
    for list in [
        List::Invoices,
        List::CheckoutSessions,
        List::PaymentIntents,
        List::Disputes,
    ] {
        if run.reads(list) {
            plan = plan.with_list(list, from);
        }
    }
    plan
}

fn listed_resources(run: &Run<'_>) -> Vec<String> {
    let mut all = run.listed_resources();
    all.push(OF_A_COMPARISON.to_owned());
    all
}

/// Compares the days that a compare job is about.
pub(super) async fn compare_days(
    run: &Run<'_>,
    source: &Arc<StripeReader>,
    now: DateTime<Utc>,
) -> Result<Read, Error> {
    let DateRange { date_from, date_to } =
        DateRange::deserialize(&run.job.payload).map_err(|cause| db::Error::Inconsistent {
            column: "sync_jobs.payload",
            cause: cause.into(),
        })?;
    let timezone = run.connection.timezone;
    let from = comparison::span_of(date_from, timezone).from;
    let from = from.max(run.connection.covered_from());
    let to = comparison::span_of(date_to, timezone).to;
    let to = to.min(listed_to(run, now));
    let mut tx = run.transaction().await?;
    let begun = resumable_plan(&mut tx, run.job, now).await?;
    run.commit(tx).await?;
    let goes_on = |plan: &Plan| {
        plan.from == from
            && plan.listed_resources == listed_resources(run)
            && plan.events_cursor > now - full::EVENT_RETENTION
    };
    let plan = begun.filter(goes_on);
    let plan = plan.unwrap_or_else(|| plan_of(run, from, to, now));
    if plan.is_done() {
        return Ok(Read { plan, rows: 0 });
    }
    run.note_causes(Causes::of(Cause::Comparison));
    let mut superseded = Superseded::default();
    full::read_and_write(run, source, plan, Checkpoint::Persist, &mut superseded).await
}
