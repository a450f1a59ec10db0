//! Restatements: changes of figures that had been complete, so that it can be said why last month's figure is not what it
//! was.
//!
//! A day is complete once a completed sync has read it from its beginning to its end. What it is then and all its
//! restatements since add up to what it is now: they are written in the transaction that changes the rows. Days that are not
//! complete yet have none, so that a first sync costs nothing. A change of the time zone makes other days, of which nothing
//! has been restated.
//!
//! Fails when PostgreSQL does. Deliberately absent: changes of metadata and of names, which are part of no figure of a day.

mod causes;
mod draft;
pub mod queries;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use common::connection::{Connection, start_of_day};
use common::db::{self, Pool};
use common::{money::Currency, named};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::analytics::Selection;
use crate::analytics::completeness::Completeness;
use crate::analytics::report;
use crate::purchase::Units;
use crate::sync::state::SyncState;

pub use causes::{Causes, NamingEvent};
pub use draft::{Draft, StoredLine};

/// How long restatements are kept.
pub const RETENTION: TimeDelta = TimeDelta::days(366);

named! {
    /// Why a day's figures changed: `event`, Stripe sent an event; `comparison`, the day was compared with Stripe, as
    /// the last days are once a day; `full_sync`, everything was read again; `rules`, the rules changed.
    Cause {
        /// Stripe sent an event.
        Event = "event",
        /// A comparison of the day with Stripe, as the last days are once a day.
        Comparison = "comparison",
        /// A full sync.
        FullSync = "full_sync",
        /// The rules changed.
        Rules = "rules",
    }
}

/// The days of a connection that a completed sync has read from their beginning to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncedDays {
    first: NaiveDate,
    last: NaiveDate,
}

impl SyncedDays {
    /// The days that were complete when the state was stored; none before a full sync has completed.
    pub fn of(connection: &Connection, state: &SyncState) -> Option<Self> {
        Self::in_zone(connection.timezone, state)
    }

    fn in_zone(zone: Tz, state: &SyncState) -> Option<Self> {
        state.full_synced_at?;
        let (from, to) = state.covered_from.zip(state.covered_to)?;
        let date_of = |instant: DateTime<Utc>| instant.with_timezone(&zone).date_naive();
        let begun = date_of(from);
        let first = if start_of_day(begun, zone) < from {
            begun.succ_opt()?
        } else {
            begun
        };
        let last = date_of(to).pred_opt()?;
        (first <= last).then_some(Self { first, last })
    }

    pub fn contains(self, day: NaiveDate) -> bool {
        self.first <= day && day <= self.last
    }
}

/// By how much figures of a day and currency changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Counted charges.
    pub charges: i64,
    pub units: Units,
    /// Minor units.
    pub gross: i64,
    /// Minor units.
    pub refunded: i64,
}

/// A restatement as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRestatement {
    pub date: NaiveDate,
    pub currency: String,
    pub change: Change,
    pub cause: Cause,
    /// None where rules decided otherwise about many charges.
    pub charge_id: Option<String>,
    /// The object that changed, or the rule's id.
    pub object_id: Option<String>,
    /// Id and type.
    pub event: Option<(String, String)>,
}

/// One change of a day's figures after the day was synced. Amounts are in the currency's minor unit; each figure is a
/// difference and may be negative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Restatement {
    pub restatement_id: Uuid,
    /// The day whose figures changed, in the connection's time zone.
    pub date: NaiveDate,
    /// Lower-case ISO 4217 code.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// When they changed.
    pub restated_at: DateTime<Utc>,
    pub cause: Cause,
    /// Stripe id of the charge; null for a change of the rules, which concerns all charges of the day.
    pub charge_id: Option<String>,
    /// Id of what changed: a refund, a charge, an invoice, a customer or another object at Stripe, or for `rules` the rule.
    /// Null if it was not one object, or is not known.
    pub object_id: Option<String>,
    /// Stripe id of the event that said so; null if no event did, or it is not known which.
    pub event_id: Option<String>,
    /// Type of the event.
    #[schema(example = "charge.refunded")]
    pub event_type: Option<String>,
    /// Counted charges.
    pub charges: i64,
    /// Units sold, rounded.
    pub units: i64,
    /// Units sold, exact: a decimal of at most 12 decimals.
    #[schema(value_type = String, example = "-1.5")]
    pub units_decimal: Units,
    /// Captured amount.
    pub gross: i64,
    /// Refunded amount.
    pub refunded: i64,
    /// Gross minus refunded.
    pub net: i64,
}

/// What the restatements of one day and currency add up to, in the currency's minor unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RestatedDay {
    /// Day in the connection's time zone.
    pub date: NaiveDate,
    /// Lower-case ISO 4217 code.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// Number of restatements.
    pub restatements: i64,
    /// Counted charges.
    pub charges: i64,
    /// Units sold, rounded.
    pub units: i64,
    /// Units sold, exact: a decimal of at most 12 decimals.
    #[schema(value_type = String, example = "-1.5")]
    pub units_decimal: Units,
    /// Captured amount.
    pub gross: i64,
    /// Refunded amount.
    pub refunded: i64,
    /// Gross minus refunded.
    pub net: i64,
}

/// A page of restatements.
#[derive(Debug)]
pub struct Restatements {
    /// Newest first.
    pub restatements: Vec<Restatement>,
    /// Of the whole selection, by day and currency.
    pub days: Vec<RestatedDay>,
    pub completeness: Completeness,
}

/// The restatements of the days of a selection, newest first, a page of them; `since` leaves out what was restated before.
/// The selection has no predicates: days are restated whole.
///
/// # Errors
/// When there is no such connection, and when PostgreSQL fails.
pub async fn list(
    pool: &Pool,
    selection: &Selection,
    since: Option<DateTime<Utc>>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Restatements, report::Error> {
    let (mut tx, completeness) = report::begin(pool, selection).await?;
    let restatements = queries::list(&mut tx, selection, since, after, limit).await?;
    let days = queries::days(&mut tx, selection, since).await?;
    db::commit(tx).await?;
    Ok(Restatements {
        restatements,
        days,
        completeness,
    })
}

#[cfg(test)]
#[path = "restatement_tests.rs"]
mod tests;
