//! Totals and groups of a selection of rows.
//!
//! Groups are paged by the key of the last one seen, so a page costs no more for being late, and a sync
//! in between moves at most the groups whose figures it changed.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;

use super::{GroupBy, Selection};
use crate::db::Error;

/// What the selected rows of one currency add up to, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct Totals {
    /// Lower-case ISO code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Distinct charges that count.
    pub charges: i64,
    /// Quantities sold.
    pub units: i64,
    /// What was captured.
    pub gross: i64,
    /// What went back.
    pub refunded: i64,
    /// Gross less refunded: revenue.
    pub net: i64,
}

/// What the rows of one group and currency add up to, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct Group {
    /// What the rows have in common; null for those that have no such thing.
    #[schema(example = "2026-03-08")]
    pub key: Option<String>,
    /// Lower-case ISO code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Distinct charges that count. One with several products counts in each of their groups.
    pub charges: i64,
    /// Quantities sold.
    pub units: i64,
    /// What was captured.
    pub gross: i64,
    /// What went back.
    pub refunded: i64,
    /// Gross less refunded: revenue.
    pub net: i64,
}

/// The place of a group in its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlace {
    /// The group's key.
    pub key: Option<String>,
    /// The group's currency.
    pub currency: String,
    /// The group's net, by which groups that are not of time are ordered.
    pub net: i64,
}

impl From<&Group> for GroupPlace {
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
    let mut query = QueryBuilder::new("SELECT r.currency, ");
    selection.push_charges(&mut query, None);
    query.push(
        " AS charges, SUM(r.units)::BIGINT AS units, SUM(r.gross)::BIGINT AS gross,
          SUM(r.refunded)::BIGINT AS refunded, SUM(r.gross - r.refunded)::BIGINT AS net",
    );
    selection.push_rows(&mut query, true);
    query.push(" GROUP BY r.currency ORDER BY r.currency COLLATE \"C\"");
    Ok(query.build_query_as().fetch_all(conn).await?)
}

/// The groups of a selection after `after`, at most `limit`: those of time ascending, others by net
/// descending, then by key, rows without one last.
pub async fn groups(
    conn: &mut PgConnection,
    selection: &Selection,
    group_by: &GroupBy,
    after: Option<&GroupPlace>,
    limit: i64,
) -> Result<Vec<Group>, Error> {
    let mut query = QueryBuilder::new(
        "SELECT key, currency, charges, units, gross, refunded, net FROM (
             SELECT r.key COLLATE \"C\" AS key, r.currency COLLATE \"C\" AS currency, ",
    );
    selection.push_charges(&mut query, Some(group_by));
    query.push(
        " AS charges, SUM(r.units)::BIGINT AS units, SUM(r.gross)::BIGINT AS gross,
          SUM(r.refunded)::BIGINT AS refunded, SUM(r.gross - r.refunded)::BIGINT AS net
          FROM (SELECT r.charge_id, r.line_no, r.currency, r.units, r.gross, r.refunded, ",
    );
    group_by.push_key(&mut query);
    query.push(" AS key");
    selection.push_rows(&mut query, true);
    query.push(") AS r GROUP BY r.key, r.currency) AS g");
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
fn push_after(query: &mut QueryBuilder<Postgres>, group_by: &GroupBy, after: &GroupPlace) {
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
