//! The stored daily aggregates as people see them.
//!
//! What a year of them has by product and by metadata value is megabytes of JSON, which PostgreSQL keeps as
//! text. It is copied into the answer as it is, and handed out while the rest is still read: reading it only to
//! write it again would take longer than all the rest. So the types here describe what is written, and nothing makes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::NaiveDate;
use common::db::Error;
use common::tenant::OrganizationId;
use futures::TryStreamExt as _;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::queries;

/// Revenue of one value of a metadata key on one day, in minor units.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is stored")]
pub struct TopValue {
    /// Value of the metadata key.
    value: String,
    /// Net revenue.
    revenue: i64,
    /// Number of counted charges.
    charges: i64,
}

/// Totals of one day and currency, in the currency's minor unit.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is written")]
pub struct DailyAggregate {
    /// Day in the connection's time zone.
    date: NaiveDate,
    /// Lower-case ISO 4217 code.
    currency: String,
    /// Net revenue: gross minus refunded; `net` in the revenue report.
    total_revenue: i64,
    /// Captured amount.
    gross: i64,
    /// Refunded amount.
    refunded: i64,
    /// Number of counted charges.
    charges: i64,
    /// Number of units sold, rounded; `units` in the revenue report.
    total_units: i64,
    /// Number of units sold, exact; `units_decimal` in the revenue report.
    total_units_decimal: String,
    /// Net revenue by product id; revenue without a product is under `none`.
    revenue_by_product: BTreeMap<String, i64>,
    /// The values with the highest net revenue, by metadata key such as `charge.tier`.
    top_metadata_values: BTreeMap<String, Vec<TopValue>>,
}

/// Who wrote a connection's daily aggregates last, none as long as there were none. Equal as long as none of them is
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub(super) Option<i64>);

/// Bytes handed out together: enough for few hand-overs, few enough for them to begin early.
const CHUNK_BYTES: usize = 128 * 1024;

/// Hands out the days of a connection with something counted as the text of a JSON array, by date and currency,
/// in chunks while they are read; both ends of the range belong to it.
pub async fn stream_json(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
    mut take: impl FnMut(Vec<u8>),
) -> Result<(), Error> {
    let mut rows = queries::days(conn, organization, connection_id, (from, to));
    let mut text = String::from("[");
    let mut separator = "";
    while let Some(row) = rows.try_next().await? {
        if text.len() >= CHUNK_BYTES {
            let next = String::with_capacity(text.len() + text.len() / 8);
            take(std::mem::replace(&mut text, next).into_bytes());
        }
        // Writing to a string does not fail.
        let _ = write!(
            text,
            r#"{separator}{{"date":"{}","currency":{},"total_revenue":{},"gross":{},"refunded":{},"charges":{},"total_units":{},"total_units_decimal":"{}","revenue_by_product":{},"top_metadata_values":{}}}"#,
            row.date,
            row.currency,
            row.gross - row.refunded,
            row.gross,
            row.refunded,
            row.charges,
            row.units,
            row.units_decimal,
            row.revenue_by_product.0,
            row.top_metadata_values.0
        );
        separator = ",";
    }
    text.push(']');
    take(text.into_bytes());
    Ok(())
}
