//! The stored daily aggregates as people see them.
//!
//! What a year of them has by product and by metadata value is megabytes of JSON, which PostgreSQL keeps as
//! text. It is copied into the answer as it is: reading it only to write it again would take longer than
//! all the rest. So the types here describe what is written, and nothing makes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::NaiveDate;
use futures::TryStreamExt as _;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::db::Error;
use crate::tenant::OrganizationId;

/// A value of a metadata key and what it brought on a day, in minor units.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is stored")]
pub struct TopValue {
    /// The value.
    value: String,
    /// Net.
    revenue: i64,
    /// Distinct charges.
    charges: i64,
}

/// One day of one currency, in minor units.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says what is written")]
pub struct DailyAggregate {
    /// The day, in the connection's time zone.
    date: NaiveDate,
    /// Lower-case ISO code.
    currency: String,
    /// Net.
    total_revenue: i64,
    /// What was captured.
    gross: i64,
    /// What went back.
    refunded: i64,
    /// Distinct charges that count.
    charges: i64,
    /// Quantities sold.
    total_units: i64,
    /// Net by product id; what has none stands under `none`.
    revenue_by_product: BTreeMap<String, i64>,
    /// Per metadata key, `charge.tier` for one, the values with most net.
    top_metadata_values: BTreeMap<String, Vec<TopValue>>,
}

/// Writes the days of a connection with something counted as JSON objects, apart from each other by commas,
/// by date and currency; both ends of the range belong to it.
pub async fn write(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut rows = sqlx::query!(
        // Sorted before the JSON is unpacked, or the sort would hold, and soon spill, all of it.
        r#"SELECT date, to_json(currency)::TEXT AS "currency!", charges, units, gross, refunded,
                  revenue_by_product::TEXT AS "revenue_by_product!",
                  top_metadata_values::TEXT AS "top_metadata_values!"
           FROM (SELECT * FROM stripe_daily_aggregates
                 WHERE organization_id = $1 AND connection_id = $2 AND charges > 0
                   AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
                 ORDER BY date, currency COLLATE "C" OFFSET 0) AS day"#,
        organization.as_str(),
        connection_id,
        from,
        to
    )
    .fetch(conn);
    let mut separator = "";
    let mut figures = String::new();
    while let Some(row) = rows.try_next().await? {
        figures.clear();
        // Writing to a string does not fail.
        let _ = write!(
            figures,
            r#"{separator}{{"date":"{}","currency":{},"total_revenue":{},"gross":{},"refunded":{},"charges":{},"total_units":{},"#,
            row.date,
            row.currency,
            row.gross - row.refunded,
            row.gross,
            row.refunded,
            row.charges,
            row.units
        );
        out.extend_from_slice(figures.as_bytes());
        out.extend_from_slice(br#""revenue_by_product":"#);
        out.extend_from_slice(row.revenue_by_product.as_bytes());
        out.extend_from_slice(br#","top_metadata_values":"#);
        out.extend_from_slice(row.top_metadata_values.as_bytes());
        out.push(b'}');
        separator = ",";
    }
    Ok(())
}
