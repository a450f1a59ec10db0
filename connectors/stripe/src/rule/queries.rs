//! The statements that apply rules to stored rows.
//!
//! Re-application is one statement for each stretch of days, preview one over all rows of a connection, both
//! built by [`common::filter`]. A charge matches when any of its rows does, so both group rows by charge first,
//! except for rules by which the rows of a charge cannot differ.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use common::db::Error;
use common::filter::{CompiledPredicate, MetadataSource, RuleSet};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::purchase::Units;
use crate::restatement::Change;

use crate::metadata::queries::columns_of;

const SAMPLE_ROWS: i64 = 10;

/// Days that follow each other, both ends included, and how many rows they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub rows: i64,
}

/// The days of all stored rows of a connection, oldest first, in stretches of about `rows` rows. A day is
/// never divided.
///
/// # Errors
///
/// When the database does not answer.
#[tracing::instrument(name = "db.rule.day_ranges", level = "debug", skip_all)]
pub async fn day_ranges(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    rows: i64,
) -> Result<Vec<DayRange>, Error> {
    let days = sqlx::query!(
        r#"SELECT date, COUNT(*) AS "rows!" FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 GROUP BY date ORDER BY date"#,
        organization,
        connection,
    )
    .fetch_all(conn)
    .await?;
    let mut day_ranges: Vec<DayRange> = Vec::new();
    for day in days {
        match day_ranges.last_mut() {
            Some(last) if last.rows + day.rows <= rows => {
                last.to = day.date;
                last.rows += day.rows;
            }
            _ => day_ranges.push(DayRange {
                from: day.date,
                to: day.date,
                rows: day.rows,
            }),
        }
    }
    Ok(day_ranges)
}

/// What rules now decide otherwise about one day and currency.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct DayDecision {
    pub date: NaiveDate,
    pub currency: String,
    /// The rule that keeps out what these rows are of; none of those that no rule keeps out.
    pub excluded_by: Option<Uuid>,
    charges: i64,
    #[sqlx(try_from = "String")]
    units: Units,
    gross: i64,
    refunded: i64,
}

impl DayDecision {
    /// The days, each once.
    pub fn days(decisions: &[Self]) -> Vec<NaiveDate> {
        let mut days: Vec<NaiveDate> = decisions.iter().map(|it| it.date).collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    /// By how much the figures of the day changed.
    pub fn change(&self) -> Change {
        Change {
            charges: self.charges,
            units: self.units,
            gross: self.gross,
            refunded: self.refunded,
        }
    }
}

/// Sums what rows brought into figures or took out of them. `sign` is 1, -1, or 0 where it counts as before.
const DECISIONS: &str = " SELECT date, currency, excluded_by, COALESCE(SUM(sign) FILTER (WHERE line_no = 0), 0)::BIGINT AS charges, \
     (COALESCE(SUM(sign * units), 0) + COALESCE(SUM(sign * units_fraction) * 0.000000000001, 0))::TEXT AS units, \
     COALESCE(SUM(sign * gross), 0)::BIGINT AS gross, COALESCE(SUM(sign * refunded), 0)::BIGINT AS refunded \
     FROM changed GROUP BY date, currency, excluded_by ORDER BY date";
/// Whether a row would count if no rule kept it out.
const MAY_COUNT: &str = "(r.status = 'succeeded' AND (r.captured OR r.partly_captured))";
const RETURNED: &str = " RETURNING r.date, r.currency, r.line_no, r.excluded_by, r.units, r.units_fraction, r.gross, r.refunded, ";

enum RefilterScope<'a> {
    Days(NaiveDate, NaiveDate),
    /// Those that refer to these objects.
    Referencing(MetadataSource, &'a [String]),
}

/// Decides again, for every stored charge of these days, which rule keeps it out; returns what is decided
/// otherwise, of every day whose rows changed. A row is written only when its answer changes.
///
/// # Errors
///
/// When the database does not answer.
pub async fn refilter(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    rules: &RuleSet,
    days: DayRange,
) -> Result<Vec<DayDecision>, Error> {
    let scope = RefilterScope::Days(days.from, days.to);
    reapply(conn, organization, connection, rules, scope).await
}

/// The same for the charges that refer to these customers, products, prices or payment intents only, whose metadata changed.
///
/// # Errors
///
/// When the database does not answer.
pub async fn refilter_referencing(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    rules: &RuleSet,
    (source, ids): (MetadataSource, &[String]),
) -> Result<Vec<DayDecision>, Error> {
    let scope = RefilterScope::Referencing(source, ids);
    reapply(conn, organization, connection, rules, scope).await
}

async fn reapply(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    rules: &RuleSet,
    scope: RefilterScope<'_>,
) -> Result<Vec<DayDecision>, Error> {
    let mut builder = QueryBuilder::new("WITH ");
    let push_connection = |builder: &mut QueryBuilder<Postgres>| {
        builder.push(" WHERE r.organization_id = ");
        builder.push_bind(organization.to_owned());
        builder.push(" AND r.connection_id = ");
        builder.push_bind(connection.to_owned());
        if let RefilterScope::Days(from, to) = scope {
            builder.push(" AND r.date >= ").push_bind(from);
            builder.push(" AND r.date <= ").push_bind(to);
        }
    };
    if matches!(scope, RefilterScope::Days(..)) && rules.matches_whole_charges() {
        // Apart, since a statement does not return what a row was before it: those that no rule kept out, and the others.
        for (name, before) in [("included", " IS NULL"), ("excluded", " IS NOT NULL")] {
            builder
                .push(name)
                .push(" AS (UPDATE stripe_revenue_data r SET excluded_by = ");
            push_decision(&mut builder, rules, "");
            push_connection(&mut builder);
            builder.push(" AND r.excluded_by").push(before);
            builder.push(" AND r.excluded_by IS DISTINCT FROM ");
            push_decision(&mut builder, rules, "");
            builder.push(RETURNED);
            if name == "included" {
                builder.push("-").push(MAY_COUNT).push("::INT");
            } else {
                builder.push("r.counted::INT");
            }
            builder.push(" AS sign), ");
        }
        builder.push("changed AS (SELECT * FROM included UNION ALL SELECT * FROM excluded)");
    } else {
        if let RefilterScope::Referencing(source, ids) = scope {
            // Whole charges: one row of a charge decides about all of them.
            let column = columns_of(source).map_or("charge_id", |(id, _)| id);
            builder.push("referring AS MATERIALIZED (SELECT DISTINCT r.charge_id ");
            builder.push("FROM stripe_revenue_data r");
            push_connection(&mut builder);
            builder.push(" AND r.").push(column).push(" = ANY(");
            builder.push_bind(ids.to_vec()).push(")), ");
        }
        builder.push("decided AS MATERIALIZED (SELECT r.charge_id, ");
        push_decision(&mut builder, rules, "bool_or");
        builder.push(" AS excluded_by, bool_and(r.excluded_by IS NULL) AS was_kept FROM stripe_revenue_data r");
        if matches!(scope, RefilterScope::Referencing(..)) {
            builder.push(" JOIN referring USING (charge_id)");
        }
        push_connection(&mut builder);
        builder.push(
            " GROUP BY r.charge_id), changed AS (UPDATE stripe_revenue_data r \
             SET excluded_by = d.excluded_by FROM decided d",
        );
        push_connection(&mut builder);
        builder.push(
            " AND r.charge_id = d.charge_id AND r.excluded_by IS DISTINCT FROM d.excluded_by",
        );
        builder
            .push(RETURNED)
            .push("r.counted::INT - (d.was_kept AND ");
        builder.push(MAY_COUNT).push(")::INT AS sign)");
    }
    builder.push(DECISIONS);
    Ok(builder.build_query_as().fetch_all(conn).await?)
}

/// The rule that keeps a charge out, null when it is kept: an expression over a row `r`, or, with `over_rows` an
/// aggregate such as `bool_or`, over the rows of a charge.
fn push_decision(builder: &mut QueryBuilder<Postgres>, rules: &RuleSet, over_rows: &'static str) {
    if rules.is_empty() {
        builder.push("NULL::UUID");
        return;
    }
    builder.push("CASE");
    for (filter_id, predicate) in &rules.excludes {
        builder.push(" WHEN ").push(over_rows).push("(");
        predicate.to_sql(builder, "r");
        builder.push(") THEN ").push_bind(*filter_id).push("::UUID");
    }
    if let Some((first, _)) = rules.includes.first() {
        builder.push(" WHEN NOT ").push(over_rows).push("(");
        for (index, (_, predicate)) in rules.includes.iter().enumerate() {
            if index > 0 {
                builder.push(" OR ");
            }
            predicate.to_sql(builder, "r");
        }
        builder.push(") THEN ").push_bind(*first).push("::UUID");
    }
    builder.push(" END");
}

/// What a rule would match, over the charges that would count if there were no rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    pub matched_charges: i64,
    pub total_charges: i64,
    /// Net of the matched ones, by currency.
    pub matched_revenue: BTreeMap<String, i64>,
    /// Up to 10 rows of matched charges, newest first: charge id and line number.
    pub sample: Vec<(String, i32)>,
}

/// Finds out what a rule would match, whatever its action and the other rules say.
///
/// # Errors
///
/// When the database does not answer.
#[tracing::instrument(name = "db.rule.preview", level = "debug", skip_all)]
pub async fn preview(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    predicate: &CompiledPredicate,
) -> Result<Preview, Error> {
    let mut builder = QueryBuilder::new("WITH ");
    push_candidates(&mut builder, organization, connection, predicate);
    builder.push(
        " SELECT c.currency, COUNT(*), COUNT(*) FILTER (WHERE c.matched), \
         COALESCE(SUM(c.net) FILTER (WHERE c.matched), 0)::BIGINT FROM candidates c GROUP BY c.currency",
    );
    let currencies: Vec<(String, i64, i64, i64)> =
        builder.build_query_as().fetch_all(&mut *conn).await?;
    let mut preview = Preview::default();
    for (currency, total, matched, net) in currencies {
        preview.total_charges += total;
        preview.matched_charges += matched;
        if matched > 0 {
            preview.matched_revenue.insert(currency, net);
        }
    }
    if preview.matched_charges > 0 {
        let mut builder = QueryBuilder::new("WITH ");
        push_candidates(&mut builder, organization, connection, predicate);
        builder.push(
            ", newest AS (SELECT c.charge_id FROM candidates c WHERE c.matched \
             ORDER BY c.created_at DESC, c.charge_id COLLATE \"C\" DESC LIMIT ",
        );
        builder.push_bind(SAMPLE_ROWS);
        builder.push(
            ") SELECT r.charge_id, r.line_no FROM stripe_revenue_data r \
             JOIN newest USING (charge_id) WHERE r.organization_id = ",
        );
        builder.push_bind(organization.to_owned());
        builder
            .push(" AND r.connection_id = ")
            .push_bind(connection.to_owned());
        builder
            .push(" ORDER BY r.created_at DESC, r.charge_id COLLATE \"C\" DESC, r.line_no LIMIT ");
        builder.push_bind(SAMPLE_ROWS);
        preview.sample = builder.build_query_as().fetch_all(conn).await?;
    }
    Ok(preview)
}

/// `candidates`: the charges that would count if there were no rules, and whether the predicate matches.
fn push_candidates(
    builder: &mut QueryBuilder<Postgres>,
    organization: &str,
    connection: &str,
    predicate: &CompiledPredicate,
) {
    builder.push(
        "candidates AS (SELECT r.charge_id, r.currency, MAX(r.created_at) AS created_at, \
         SUM(r.gross - r.refunded) AS net, bool_or(",
    );
    predicate.to_sql(builder, "r");
    builder.push(") AS matched FROM stripe_revenue_data r WHERE r.organization_id = ");
    builder.push_bind(organization.to_owned());
    builder
        .push(" AND r.connection_id = ")
        .push_bind(connection.to_owned());
    builder.push(" AND r.status = 'succeeded' AND (r.captured OR r.partly_captured) GROUP BY r.charge_id, r.currency)");
}
