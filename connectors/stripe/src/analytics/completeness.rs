//! How far the figures of an answer reach, read in the answer's own snapshot.
//!
//! It comes with the version of the daily aggregates, in one statement that also finds out whether there is such a
//! connection, so that no call asks PostgreSQL once more for it. Together they are what a validator of the daily
//! aggregates is made of: neither the range nor a parked object changes the version.
//!
//! Deliberately absent: whether a job runs. A sync of a range that was read before replaces rows one by one, and
//! nothing is missing meanwhile.

use chrono::{DateTime, Utc};
use common::connection::{self, covered_from};
use common::db::Error;
use common::tenant::OrganizationId;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::daily::Version;
use super::earlier_period::Days;
use super::queries;
use crate::sync::Span;

/// How far the figures reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct Completeness {
    /// Whether all history back to the start of the connection's range has been read. False during the first sync and
    /// while the range is being extended; figures of days before `covered` are then incomplete.
    pub complete: bool,
    /// Time range for which all charges are included in the figures; null until a first sync has completed.
    pub covered: Option<Span>,
    /// Time up to which Stripe was read by the last completed sync; null before the first. Figures may already include
    /// later data from a sync in progress.
    pub as_of: Option<DateTime<Utc>>,
    /// Number of parked objects: those that could not be read or stored. The figures omit them or use the version that was
    /// last read.
    pub parked_objects: i64,
}

/// What an answer is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FiguresVersion {
    /// Who wrote the connection's daily aggregates last.
    pub version: Version,
    /// How far the figures reach.
    pub completeness: Completeness,
    /// The days that the covered range has whole, in the connection's time zone.
    pub covered_days: Option<Days>,
}

impl FiguresVersion {
    /// A text that is equal for two answers made of daily aggregates as long as nothing in them can differ. Not
    /// enough for answers made of rows: they change before the aggregates do.
    pub fn tag(&self) -> String {
        let Completeness {
            complete,
            covered,
            // The end of `covered`.
            as_of: _,
            parked_objects,
        } = &self.completeness;
        let written_by = self.version.0.unwrap_or_default();
        let micros = |instant: DateTime<Utc>| instant.timestamp_micros();
        let [from, to] = covered.map_or([0, 0], |span| [micros(span.from), micros(span.to)]);
        format!("{written_by:x}-{from:x}-{to:x}-{complete}-{parked_objects:x}")
    }
}

/// The standing of a connection; none when there is no such connection.
pub async fn figures_version(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<FiguresVersion>, Error> {
    let row = queries::figures_version(conn, organization, connection_id).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let timezone = connection::queries::stored_timezone(&row.timezone)?;
    let wanted_from = covered_from(row.created_at, timezone, row.lookback_days);
    let covered = row
        .covered_from
        .zip(row.covered_to)
        .filter(|_| row.full_synced)
        .map(|(from, to)| Span { from, to });
    Ok(Some(FiguresVersion {
        version: Version(row.written_by),
        completeness: Completeness {
            complete: covered.is_some_and(|covered| covered.from <= wanted_from),
            covered,
            as_of: covered.map(|covered| covered.to),
            parked_objects: row.parked_objects,
        },
        covered_days: covered.and_then(|covered| {
            let day = |instant: DateTime<Utc>| instant.with_timezone(&timezone).date_naive();
            Some(Days {
                from: day(covered.from),
                to: day(covered.to).pred_opt()?,
            })
        }),
    }))
}
