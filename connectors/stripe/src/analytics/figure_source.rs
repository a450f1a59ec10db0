//! Where the figures of a call come from: stored daily rollups as far as they answer it, rows for the rest.
//!
//! Sums answer calls without a filter, and those with one equality on a metadata key, in groups of
//! time or currency or in none; and groups by a key of the charge's or customer's metadata. There a filter
//! on rows and a sum by day mean the same: equality of a key is equality of the text that
//! `jsonb_each_text` and `->>` both give, a charge has one day and one currency, and all its lines one
//! customer. All else is read from rows: `JSONPath`s, several conditions, lines distinguished by product.
//!
//! Metadata of invoices, lines, subscriptions, checkout sessions and payment intents is in no rollup, but read from rows: most
//! rows have none.
//!
//! What disputes took and cost is in no rollup: disputes are few, and an index finds their rows. Refunds are few as well:
//! where they are read by their own day, they are moved to it from the day of their charge.
//!
//! Three kinds of days are read from rows in any case: stale ones; those on which the key is not kept, unless
//! the hashes of its values tell that the value is not there; and, for a dotted path, those that have a key into
//! whose values it may lead. Which these are is asked first, so that PostgreSQL plans with their number; the
//! answer holds for the caller's snapshot.

use chrono::NaiveDate;
use common::db::Error;
use common::filter::KeyPath;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::earlier_period::Shift;
use super::{GroupBy, RefundsBy, Selection, queries};

/// How rows are grouped.
#[derive(Clone, Copy)]
pub(super) struct Grouping<'a> {
    pub(super) by: Option<&'a GroupBy>,
    /// For rows of an earlier period: with which days theirs are compared.
    pub(super) shift: Option<&'a Shift>,
}

impl<'a> Grouping<'a> {
    pub(super) fn by(by: Option<&'a GroupBy>) -> Self {
        Self { by, shift: None }
    }

    /// Writes the key of a row that is dated by the column `day`.
    fn push_key(self, query: &mut QueryBuilder<Postgres>, day: &'static str) {
        let Some(by) = self.by else {
            query.push("NULL::TEXT");
            return;
        };
        by.push_key(query, |query| match self.shift {
            Some(shift) => shift.push_shown(query, day),
            None => {
                query.push(day);
            }
        });
    }
}

/// Stored rollups that a call can be answered from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rollup {
    /// Of whole days.
    Days,
    /// Of one value of a key: `charge.tier`, `gold`.
    Value(KeyPath, String),
    /// Of all values of a key. What days have beyond them is of charges without the key.
    Values(KeyPath),
}

/// Where the figures of one call come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FigureSource {
    rollup: Option<Rollup>,
    /// Of the selected days those that the rollup does not answer.
    days_from_rows: Vec<NaiveDate>,
}

impl Rollup {
    fn of(selection: &Selection, group_by: Option<&GroupBy>) -> Option<Self> {
        match (selection.predicates.as_slice(), group_by) {
            (
                [],
                None | Some(GroupBy::Day | GroupBy::Week | GroupBy::Month | GroupBy::Currency),
            ) => Some(Self::Days),
            (
                [predicate],
                None | Some(GroupBy::Day | GroupBy::Week | GroupBy::Month | GroupBy::Currency),
            ) => {
                let (key, value) = predicate
                    .equality()
                    .filter(|(key, _)| key.source.is_summed())?;
                Some(Self::Value(key, value.to_owned()))
            }
            ([], Some(GroupBy::Metadata(key))) if key.is_charge_level() => {
                let summed = key.keys().filter(|key| key.source.is_summed());
                summed.map(Self::Values)
            }
            _ => None,
        }
    }

    fn key(&self) -> Option<&KeyPath> {
        match self {
            Self::Days => None,
            Self::Value(key, _) | Self::Values(key) => Some(key),
        }
    }

    fn value(&self) -> Option<&str> {
        match self {
            Self::Value(_, value) => Some(value),
            Self::Days | Self::Values(_) => None,
        }
    }
}

impl FigureSource {
    /// Finds out where the figures of a call come from.
    pub(super) async fn of(
        conn: &mut PgConnection,
        selection: &Selection,
        group_by: Option<&GroupBy>,
    ) -> Result<Self, Error> {
        let rollup = Rollup::of(selection, group_by);
        let days_from_rows = match &rollup {
            Some(rollup) => {
                queries::days_without_rollup(conn, selection, rollup.key(), rollup.value()).await?
            }
            None => Vec::new(),
        };
        Ok(Self {
            rollup,
            days_from_rows,
        })
    }

    /// Where the totals come from, when the groups of the same selection come from here: mostly the same is known
    /// of the days then.
    pub(super) async fn of_totals(
        self,
        conn: &mut PgConnection,
        selection: &Selection,
    ) -> Result<Self, Error> {
        if Rollup::of(selection, None) == self.rollup {
            Ok(self)
        } else {
            Self::of(conn, selection, None).await
        }
    }

    /// Writes a query of parts of the groups, `(key, currency, charges, units, units_fraction, gross, refunded,
    /// disputed_amount, dispute_fee)`; what the
    /// parts of a group have adds up to it. A group may have parts that cancel each other out.
    pub(super) fn push_partial_sums(
        &self,
        query: &mut QueryBuilder<Postgres>,
        selection: &Selection,
        grouping: Grouping<'_>,
    ) {
        let Some(rollup) = &self.rollup else {
            push_rows(query, selection, grouping, RowsOf::AllDays);
            push_moved_refunds(query, selection, grouping);
            return;
        };
        match rollup {
            Rollup::Days => self.push_day_rollups(query, selection, grouping),
            Rollup::Value(key, value) => {
                push_columns(query, grouping);
                self.push_value_rollups(query, selection, key);
                query.push(" AND r.value = ").push_bind(value.clone());
            }
            Rollup::Values(key) => {
                query.push(
                    "WITH by_value AS MATERIALIZED (
                         SELECT r.value AS key, r.currency, SUM(r.charges) AS charges,
                                SUM(r.units) AS units, SUM(r.units_fraction) AS units_fraction,
                                SUM(r.gross) AS gross, SUM(r.refunded) AS refunded,
                                NULL::BIGINT AS disputed_amount, NULL::BIGINT AS dispute_fee",
                );
                self.push_value_rollups(query, selection, key);
                query.push(
                    " GROUP BY r.value, r.currency)
                     SELECT * FROM by_value
                     UNION ALL SELECT NULL, currency, -charges, -units, -units_fraction, -gross, -refunded,
                         NULL, NULL FROM by_value
                     UNION ALL ",
                );
                self.push_day_rollups(query, selection, Grouping::by(None));
            }
        }
        if !self.days_from_rows.is_empty() {
            query.push(" UNION ALL ");
            push_rows(
                query,
                selection,
                grouping,
                RowsOf::Days(&self.days_from_rows),
            );
        }
        query.push(" UNION ALL ");
        push_disputes(query, selection, grouping);
        push_moved_refunds(query, selection, grouping);
    }

    fn push_day_rollups(
        &self,
        query: &mut QueryBuilder<Postgres>,
        selection: &Selection,
        grouping: Grouping<'_>,
    ) {
        push_columns(query, grouping);
        selection.push_scope(query, "stripe_daily_aggregates");
        query.push(" AND r.charges > 0");
        self.push_rollup_days(query);
    }

    fn push_value_rollups(
        &self,
        query: &mut QueryBuilder<Postgres>,
        selection: &Selection,
        key: &KeyPath,
    ) {
        selection.push_scope(query, "stripe_daily_rollups");
        query
            .push(" AND r.key_path = ")
            .push_bind(key.whole.clone());
        self.push_rollup_days(query);
    }

    fn push_rollup_days(&self, query: &mut QueryBuilder<Postgres>) {
        if !self.days_from_rows.is_empty() {
            query
                .push(" AND r.date <> ALL(")
                .push_bind(self.days_from_rows.clone())
                .push(")");
        }
    }
}

/// Writes the columns of sums; a key is written from the day and the currency alone.
fn push_columns(query: &mut QueryBuilder<Postgres>, grouping: Grouping<'_>) {
    query.push("SELECT ");
    grouping.push_key(query, "r.date");
    query.push(
        " AS key, r.currency, r.charges, r.units, r.units_fraction, r.gross, r.refunded,
        NULL::BIGINT AS disputed_amount, NULL::BIGINT AS dispute_fee",
    );
}

/// Which rows are grouped.
#[derive(Clone, Copy)]
enum RowsOf<'a> {
    /// All of a selection, with what disputes took of them.
    AllDays,
    /// Those of some days, next to rollups of the others; [`push_disputes`] adds what disputes took.
    Days(&'a [NaiveDate]),
}

/// Writes the groups of rows.
fn push_rows(
    query: &mut QueryBuilder<Postgres>,
    selection: &Selection,
    grouping: Grouping<'_>,
    rows: RowsOf<'_>,
) {
    query.push("SELECT r.key, r.currency, ");
    selection.push_charges(query, grouping.by);
    query.push(
        " AS charges, SUM(r.units) AS units, SUM(r.units_fraction) AS units_fraction,
                 SUM(r.gross) AS gross, SUM(r.refunded) AS refunded, ",
    );
    query.push(match rows {
        RowsOf::AllDays => {
            "SUM(r.disputed_amount)::BIGINT AS disputed_amount, SUM(r.dispute_fee)::BIGINT AS dispute_fee"
        }
        RowsOf::Days(_) => "NULL::BIGINT AS disputed_amount, NULL::BIGINT AS dispute_fee",
    });
    query.push(
        " FROM (SELECT r.charge_id, r.line_no, r.currency, r.units, r.units_fraction, r.gross, r.refunded,
                       r.disputed_amount, r.dispute_fee, ",
    );
    grouping.push_key(query, "r.date");
    query.push(" AS key");
    selection.push_rows(query, true);
    if let RowsOf::Days(days) = rows {
        query
            .push(" AND r.date = ANY(")
            .push_bind(days.to_vec())
            .push(")");
    }
    query.push(") AS r GROUP BY r.key, r.currency");
}

/// Writes what disputes took and cost, by group, of all selected days.
fn push_disputes(
    query: &mut QueryBuilder<Postgres>,
    selection: &Selection,
    grouping: Grouping<'_>,
) {
    query.push(
        "SELECT r.key, r.currency, 0, 0, NULL, 0, 0, SUM(r.disputed_amount)::BIGINT, SUM(r.dispute_fee)::BIGINT
         FROM (SELECT r.currency, r.disputed_amount, r.dispute_fee, ",
    );
    grouping.push_key(query, "r.date");
    query.push(" AS key");
    selection.push_rows(query, true);
    query.push(" AND r.disputed_amount IS NOT NULL) AS r GROUP BY r.key, r.currency");
}

/// Where refunds are read by their own day, writes what takes them from the day of their charge and adds them to theirs, by
/// group; only those parts that are of the selected days.
fn push_moved_refunds(
    query: &mut QueryBuilder<Postgres>,
    selection: &Selection,
    grouping: Grouping<'_>,
) {
    if selection.refunds_by == RefundsBy::Charge {
        return;
    }
    // Each half reads only its own days.
    for (day, amount) in [("r.date", "-share.amount"), ("refund.date", "share.amount")] {
        query.push(
            " UNION ALL
             SELECT r.key, r.currency, 0, 0, NULL, 0, SUM(r.refunded)::BIGINT, NULL::BIGINT, NULL::BIGINT
             FROM (SELECT r.currency, ",
        );
        query.push(amount).push(" AS refunded, ");
        grouping.push_key(query, day);
        query.push(
            " AS key FROM stripe_refunds AS refund
                  CROSS JOIN LATERAL UNNEST(refund.line_shares) WITH ORDINALITY AS share (amount, number)
                  JOIN stripe_revenue_data AS r
                    ON r.organization_id = refund.organization_id AND r.connection_id = refund.connection_id
                   AND r.charge_id = refund.charge_id AND r.line_no = share.number - 1
                  WHERE r.counted AND refund.date <> r.date AND refund.organization_id = ",
        );
        query
            .push_bind(selection.organization_id.as_str().to_owned())
            .push(" AND refund.connection_id = ")
            .push_bind(selection.connection_id.clone());
        selection.push_conditions(query, day);
        query.push(") AS r GROUP BY r.key, r.currency");
    }
}
