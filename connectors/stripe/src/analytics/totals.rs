//! Totals and groups of a selection of rows.
//!
//! Asked in one transaction of one moment ([`common::db::tenant_snapshot`]), totals and groups agree.
//!
//! Groups are paged by the key of the last one seen, so a page costs no more for being late, and a sync
//! in between moves at most the groups whose figures it changed.

use std::collections::BTreeMap;

use common::db::Error;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;

use super::figure_source::FigureSource;
use super::{GroupBy, Selection};
use crate::purchase::Units;

/// Totals of one currency, in its minor unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct Totals {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Number of counted charges.
    pub charges: i64,
    /// Number of units sold, rounded; credited units are subtracted.
    pub units: i64,
    /// Number of units sold, exact: a decimal of at most 12 decimals.
    #[sqlx(try_from = "String")]
    #[schema(value_type = String, example = "12.5")]
    pub units_decimal: Units,
    /// Captured amount.
    pub gross: i64,
    /// Refunded amount.
    pub refunded: i64,
    /// Revenue: gross minus refunded.
    pub net: i64,
    /// What open and lost disputes took; not subtracted from `net`.
    pub disputed_amount: i64,
    /// What disputes cost, where Stripe took it in this currency; not subtracted from `net`.
    pub dispute_fee: i64,
}

/// Totals of one group and currency, in its minor unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct Group {
    /// Value of the group: a date for `day`, the first day of a `week` (Monday) or `month`, the Stripe id of a `product`,
    /// `price` or `customer`, otherwise the value itself. Null for lines without such a value.
    #[schema(example = "2026-03-09")]
    pub key: Option<String>,
    /// Name of the `product` or `customer` (its email if it has no name), or nickname of the `price`, as last read. Absent from
    /// other groups, and where no name is known.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Gold plan")]
    pub name: Option<String>,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Number of counted charges. A charge with several products counts in the group of each.
    pub charges: i64,
    /// Number of units sold, rounded; credited units are subtracted.
    pub units: i64,
    /// Number of units sold, exact: a decimal of at most 12 decimals.
    #[sqlx(try_from = "String")]
    #[schema(value_type = String, example = "12.5")]
    pub units_decimal: Units,
    /// Captured amount.
    pub gross: i64,
    /// Refunded amount.
    pub refunded: i64,
    /// Revenue: gross minus refunded.
    pub net: i64,
    /// What open and lost disputes took; not subtracted from `net`.
    pub disputed_amount: i64,
    /// What disputes cost, where Stripe took it in this currency; not subtracted from `net`.
    pub dispute_fee: i64,
}

/// The position of a group in its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCursor {
    pub key: Option<String>,
    pub currency: String,
    /// The group's net, by which groups that are not of time are ordered.
    pub net: i64,
}

impl From<&Group> for GroupCursor {
    fn from(group: &Group) -> Self {
        Self {
            key: group.key.clone(),
            currency: group.currency.clone(),
            net: group.net,
        }
    }
}

/// The totals of a selection, a row a currency, by currency.
pub async fn totals(conn: &mut PgConnection, selection: &Selection) -> Result<Vec<Totals>, Error> {
    let source = FigureSource::of(conn, selection, None).await?;
    read_totals(conn, selection, &source).await
}

async fn read_totals(
    conn: &mut PgConnection,
    selection: &Selection,
    source: &FigureSource,
) -> Result<Vec<Totals>, Error> {
    let mut query = QueryBuilder::new("SELECT part.currency, ");
    query.push(SUMMED_COLUMNS).push(" FROM (");
    source.push_partial_sums(&mut query, selection, None);
    query.push(
        ") AS part GROUP BY part.currency HAVING SUM(part.charges) > 0
         ORDER BY part.currency COLLATE \"C\"",
    );
    Ok(query.build_query_as().fetch_all(conn).await?)
}

/// Totals, and the first groups after `after`, at most `limit`. Where the groups are all that there are, and each
/// charge is in one of them, they add up to the totals, and rows are read once.
pub async fn totals_and_groups(
    conn: &mut PgConnection,
    selection: &Selection,
    group_by: &GroupBy,
    after: Option<&GroupCursor>,
    limit: i64,
) -> Result<(Vec<Totals>, Vec<Group>), Error> {
    let source = FigureSource::of(conn, selection, Some(group_by)).await?;
    let groups = read_groups(conn, selection, group_by, after, limit, &source).await?;
    let all = after.is_none() && (groups.len() as i64) < limit;
    let totals_of_all =
        (all && group_by.groups_partition_charges()).then(|| totals_of_groups(&groups));
    if let Some(totals) = totals_of_all.flatten() {
        return Ok((totals, groups));
    }
    let source = source.of_totals(conn, selection).await?;
    let totals = read_totals(conn, selection, &source).await?;
    Ok((totals, groups))
}

/// What groups add up to by currency; none beyond `i64`, where PostgreSQL has the error.
fn totals_of_groups(groups: &[Group]) -> Option<Vec<Totals>> {
    let mut totals: BTreeMap<&str, Totals> = BTreeMap::new();
    for group in groups {
        let total = totals.entry(&group.currency).or_insert_with(|| Totals {
            currency: group.currency.clone(),
            charges: 0,
            units: 0,
            units_decimal: Units::default(),
            gross: 0,
            refunded: 0,
            net: 0,
            disputed_amount: 0,
            dispute_fee: 0,
        });
        total.charges = total.charges.checked_add(group.charges)?;
        total.units_decimal = total.units_decimal.checked_add(group.units_decimal)?;
        total.units = total.units_decimal.rounded();
        total.gross = total.gross.checked_add(group.gross)?;
        total.refunded = total.refunded.checked_add(group.refunded)?;
        total.net = total.net.checked_add(group.net)?;
        total.disputed_amount = total.disputed_amount.checked_add(group.disputed_amount)?;
        total.dispute_fee = total.dispute_fee.checked_add(group.dispute_fee)?;
    }
    Some(totals.into_values().collect())
}

/// What the parts of a group add up to.
const SUMMED_COLUMNS: &str =
    "SUM(part.charges)::BIGINT AS charges,
     round(SUM(part.units) + COALESCE(SUM(part.units_fraction) * 0.000000000001, 0))::BIGINT AS units,
     trim_scale(SUM(part.units) + COALESCE(SUM(part.units_fraction) * 0.000000000001, 0))::TEXT AS units_decimal,
     SUM(part.gross)::BIGINT AS gross, SUM(part.refunded)::BIGINT AS refunded,
     SUM(part.gross - part.refunded)::BIGINT AS net,
     COALESCE(SUM(part.disputed_amount), 0)::BIGINT AS disputed_amount,
     COALESCE(SUM(part.dispute_fee), 0)::BIGINT AS dispute_fee";

/// The groups of a selection after `after`, at most `limit`: those of time ascending, others by net
/// descending, then by key, rows without one last.
async fn read_groups(
    conn: &mut PgConnection,
    selection: &Selection,
    group_by: &GroupBy,
    after: Option<&GroupCursor>,
    limit: i64,
    source: &FigureSource,
) -> Result<Vec<Group>, Error> {
    let mut query = QueryBuilder::new(
        "SELECT key, currency, charges, units, units_decimal, gross, refunded, net, disputed_amount, dispute_fee FROM (
             SELECT part.key COLLATE \"C\" AS key, part.currency COLLATE \"C\" AS currency, ",
    );
    query.push(SUMMED_COLUMNS).push(" FROM (");
    source.push_partial_sums(&mut query, selection, Some(group_by));
    query.push(") AS part GROUP BY part.key, part.currency HAVING SUM(part.charges) > 0) AS g");
    if let Some(after) = after {
        push_after(&mut query, group_by, after);
    }
    query.push(if group_by.by_time() {
        " ORDER BY key, currency LIMIT "
    } else {
        " ORDER BY net DESC, key NULLS LAST, currency LIMIT "
    });
    query.push_bind(limit);
    Ok(query.build_query_as().fetch_all(conn).await?)
}

/// Writes `WHERE` the group comes after `after` in the order of its list.
fn push_after(query: &mut QueryBuilder<Postgres>, group_by: &GroupBy, after: &GroupCursor) {
    if group_by.by_time() {
        query
            .push(" WHERE (key, currency) > (")
            .push_bind(after.key.clone());
        query.push(", ").push_bind(after.currency.clone()).push(")");
        return;
    }
    query.push(" WHERE (net < ").push_bind(after.net);
    query.push(" OR (net = ").push_bind(after.net).push(" AND ");
    match &after.key {
        None => {
            query
                .push("key IS NULL AND currency > ")
                .push_bind(after.currency.clone());
        }
        Some(key) => {
            query
                .push("(key IS NULL OR (key, currency) > (")
                .push_bind(key.clone());
            query
                .push(", ")
                .push_bind(after.currency.clone())
                .push("))");
        }
    }
    query.push("))");
}
