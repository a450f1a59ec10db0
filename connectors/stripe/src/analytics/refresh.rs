//! Daily aggregates and the daily rollups by metadata value, rebuilt from the rows for the days that changed.
//!
//! Whoever writes rows notes their days in `stripe_stale_days` in the same transaction; here a day is
//! taken off that list and rebuilt in one transaction, so after a crash it is still on the list.
//! Nothing is added up in steps: a day's sums are a function of the day's rows, and refreshing it twice
//! changes nothing. What comes out the same is not written.
//!
//! A day has no rollups of a high-cardinality key: see `MAX_VALUES`, `MAX_UNREPEATED_VALUES` and `MAX_VALUE_BYTES` in
//! `queries`. `high_cardinality_keys` lists the key, `stripe_omitted_value_hashes` has a hash of each of its values, and
//! days that may have the requested value are read from rows.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::queries;

pub use super::queries::Locked;
use common::db::Error;
use common::tenant::OrganizationId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    /// Days; 0 when there was none to take.
    pub days: usize,
    /// Charges stored on them, of any status.
    pub charges: i64,
}

/// Takes up to `limit` stale days of a connection, oldest first and only those of `only_days` where it is given, and
/// rebuilds their rollups in the caller's transaction.
pub async fn refresh_days(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    limit: i64,
    only_days: Option<&[NaiveDate]>,
    locked: Locked,
) -> Result<Refreshed, Error> {
    let days =
        queries::lock_stale_days(conn, organization, connection_id, limit, only_days, locked)
            .await?;
    let charges = if days.is_empty() {
        0
    } else {
        queries::allow_memory(&mut *conn).await?;
        queries::store_rollups(conn, organization, connection_id, &days).await?
    };
    Ok(Refreshed {
        days: days.len(),
        charges,
    })
}
