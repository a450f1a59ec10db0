//! Totals and groups of a selection of rows.
//!
//! Asked in one transaction of one moment ([`common::db::tenant_snapshot`]), totals and groups agree.
//!
//! Groups are paged by the key of the last one seen, so a page costs no more for being late, and a sync
//! in between moves at most the groups whose figures it changed.

use std::collections::BTreeMap;

use common::db::Error;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row as _};
use utoipa::ToSchema;

use super::earlier_period::Shift;
use super::figure_source::{FigureSource, Grouping};
use super::{GroupBy, Selection};
use crate::purchase::Units;

/// Figures of an earlier period, or what the figures of an answer have more than they; amounts are in the currency's minor unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PeriodFigures {
    /// Number of counted charges.
    pub charges: i64,
    /// Number of units sold, rounded.
    pub units: i64,
    /// Number of units sold, exact: a decimal of at most 12 decimals.
    #[schema(value_type = String, example = "12.5")]
    pub units_decimal: Units,
    /// Captured amount.
    pub gross: i64,
    /// Refunded amount.
    pub refunded: i64,
    /// Gross minus refunded.
    pub net: i64,
    /// What open and lost disputes took.
    pub disputed_amount: i64,
    /// What disputes cost.
    pub dispute_fee: i64,
}

impl PeriodFigures {
    /// Those that a statement reads next to the others.
    fn of_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let units: String = row.try_get("previous_units_decimal")?;
        Ok(Self {
            charges: row.try_get("previous_charges")?,
            units: row.try_get("previous_units")?,
            units_decimal: units
                .try_into()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            gross: row.try_get("previous_gross")?,
            refunded: row.try_get("previous_refunded")?,
            net: row.try_get("previous_net")?,
            disputed_amount: row.try_get("previous_disputed_amount")?,
            dispute_fee: row.try_get("previous_dispute_fee")?,
        })
    }

    fn has_something(self) -> bool {
        self.charges > 0 || self.refunded != 0
    }

    /// The sum; none beyond `i64`.
    fn checked_add(self, other: Self) -> Option<Self> {
        let units_decimal = self.units_decimal.checked_add(other.units_decimal)?;
        Some(Self {
            charges: self.charges.checked_add(other.charges)?,
            units: units_decimal.rounded(),
            units_decimal,
            gross: self.gross.checked_add(other.gross)?,
            refunded: self.refunded.checked_add(other.refunded)?,
            net: self.net.checked_add(other.net)?,
            disputed_amount: self.disputed_amount.checked_add(other.disputed_amount)?,
            dispute_fee: self.dispute_fee.checked_add(other.dispute_fee)?,
        })
    }

    /// What these have more than `other`; none beyond `i64`. The units are those by which the rounded ones differ.
    fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self {
            charges: self.charges.checked_sub(other.charges)?,
            units: self.units.checked_sub(other.units)?,
            units_decimal: self.units_decimal.checked_add(-other.units_decimal)?,
            gross: self.gross.checked_sub(other.gross)?,
            refunded: self.refunded.checked_sub(other.refunded)?,
            net: self.net.checked_sub(other.net)?,
            disputed_amount: self.disputed_amount.checked_sub(other.disputed_amount)?,
            dispute_fee: self.dispute_fee.checked_sub(other.dispute_fee)?,
        })
    }
}

/// Figures that may stand next to those of an earlier period.
trait Comparable: for<'r> FromRow<'r, PgRow> {
    fn figures(&self) -> PeriodFigures;

    fn set_previous(&mut self, previous: Option<PeriodFigures>, difference: Option<PeriodFigures>);

    /// Puts the figures of the earlier period next to these.
    fn compare(&mut self, previous: PeriodFigures) -> Result<(), sqlx::Error> {
        let difference = self.figures().checked_sub(previous);
        let difference = difference.ok_or_else(|| {
            sqlx::Error::Decode("a difference of figures is out of the range of 64 bits".into())
        })?;
        self.set_previous(Some(previous), Some(difference));
        Ok(())
    }
}

macro_rules! comparable {
    ($figures:ty) => {
        impl Comparable for $figures {
            fn figures(&self) -> PeriodFigures {
                PeriodFigures {
                    charges: self.charges,
                    units: self.units,
                    units_decimal: self.units_decimal,
                    gross: self.gross,
                    refunded: self.refunded,
                    net: self.net,
                    disputed_amount: self.disputed_amount,
                    dispute_fee: self.dispute_fee,
                }
            }

            fn set_previous(
                &mut self,
                previous: Option<PeriodFigures>,
                difference: Option<PeriodFigures>,
            ) {
                self.previous = previous;
                self.difference = difference;
            }
        }
    };
}

comparable!(Totals);
comparable!(Group);

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
    /// Figures of the earlier period. Absent without `compare`, and where not all of the earlier days are covered.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PeriodFigures>,
    /// What these figures have more than those of the earlier period; absent where `previous` is.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<PeriodFigures>,
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
    /// Figures of the earlier period. Absent without `compare`, and where not all of the earlier days are covered.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PeriodFigures>,
    /// What these figures have more than those of the earlier period; absent where `previous` is.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<PeriodFigures>,
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

/// An earlier period that figures are compared with.
pub(super) struct Earlier<'a> {
    /// The same rows of the earlier days.
    pub(super) selection: Selection,
    pub(super) shift: &'a Shift,
}

/// Where the figures of an answer come from, and those of the earlier period.
struct Sources<'a> {
    selection: &'a Selection,
    source: FigureSource,
    earlier: Option<(&'a Earlier<'a>, FigureSource)>,
}

impl<'a> Sources<'a> {
    async fn of(
        conn: &mut PgConnection,
        selection: &'a Selection,
        group_by: Option<&GroupBy>,
        earlier: Option<&'a Earlier<'a>>,
    ) -> Result<Self, Error> {
        let source = FigureSource::of(conn, selection, group_by).await?;
        let earlier = match earlier {
            Some(earlier) => {
                let source = FigureSource::of(conn, &earlier.selection, group_by).await?;
                Some((earlier, source))
            }
            None => None,
        };
        Ok(Self {
            selection,
            source,
            earlier,
        })
    }

    /// Where the totals come from.
    async fn of_totals(self, conn: &mut PgConnection) -> Result<Self, Error> {
        let source = self.source.of_totals(conn, self.selection).await?;
        let earlier = match self.earlier {
            Some((earlier, source)) => {
                let source = source.of_totals(conn, &earlier.selection).await?;
                Some((earlier, source))
            }
            None => None,
        };
        Ok(Self {
            source,
            earlier,
            ..self
        })
    }

    /// Writes the columns of sums, and the parts that they are sums of.
    fn push_sums(&self, query: &mut QueryBuilder<Postgres>, group_by: Option<&GroupBy>) {
        let Some((Earlier { selection, shift }, earlier)) = &self.earlier else {
            query.push(summed_columns("", "")).push(" FROM (");
            let grouping = Grouping::by(group_by);
            self.source
                .push_partial_sums(query, self.selection, grouping);
            query.push(") AS part");
            return;
        };
        query
            .push(summed_columns("", NOT_EARLIER))
            .push(", ")
            .push(summed_columns("previous_", EARLIER));
        query.push(" FROM (SELECT FALSE AS earlier, shown.* FROM (");
        let grouping = Grouping::by(group_by);
        self.source
            .push_partial_sums(query, self.selection, grouping);
        query.push(") AS shown UNION ALL SELECT TRUE, previous.* FROM (");
        let grouping = Grouping {
            by: group_by,
            shift: Some(shift),
        };
        earlier.push_partial_sums(query, selection, grouping);
        query.push(") AS previous) AS part");
    }

    /// The condition under which there is something in a group.
    fn having(&self) -> String {
        if self.earlier.is_some() {
            format!(
                "{} OR {}",
                has_something(NOT_EARLIER),
                has_something(EARLIER)
            )
        } else {
            has_something("")
        }
    }

    async fn fetch<T: Comparable>(
        &self,
        conn: &mut PgConnection,
        mut query: QueryBuilder<Postgres>,
    ) -> Result<Vec<T>, Error> {
        let rows = query.build().fetch_all(conn).await?;
        let read = rows.iter().map(|row| {
            let mut figures = T::from_row(row)?;
            if self.earlier.is_some() {
                figures.compare(PeriodFigures::of_row(row)?)?;
            }
            Ok(figures)
        });
        let read: Result<Vec<T>, sqlx::Error> = read.collect();
        Ok(read?)
    }
}

const EARLIER: &str = " FILTER (WHERE part.earlier)";
const NOT_EARLIER: &str = " FILTER (WHERE NOT part.earlier)";

/// A group of no charge has something where a refund of an earlier one was made in it.
fn has_something(of: &str) -> String {
    format!("SUM(part.charges){of} > 0 OR SUM(part.refunded){of} <> 0")
}

/// The totals of a selection, a row a currency, by currency.
pub(super) async fn totals(
    conn: &mut PgConnection,
    selection: &Selection,
    earlier: Option<&Earlier<'_>>,
) -> Result<Vec<Totals>, Error> {
    let sources = Sources::of(conn, selection, None, earlier).await?;
    read_totals(conn, &sources).await
}

async fn read_totals(conn: &mut PgConnection, sources: &Sources<'_>) -> Result<Vec<Totals>, Error> {
    let mut query = QueryBuilder::new("SELECT part.currency, ");
    sources.push_sums(&mut query, None);
    query
        .push(" GROUP BY part.currency HAVING ")
        .push(sources.having());
    query.push(" ORDER BY part.currency COLLATE \"C\"");
    sources.fetch(conn, query).await
}

/// Totals, and the first groups after `after`, at most `limit`. Where the groups are all that there are, and each
/// charge is in one of them, they add up to the totals, and rows are read once.
pub(super) async fn totals_and_groups(
    conn: &mut PgConnection,
    selection: &Selection,
    group_by: &GroupBy,
    after: Option<&GroupCursor>,
    limit: i64,
    earlier: Option<&Earlier<'_>>,
) -> Result<(Vec<Totals>, Vec<Group>), Error> {
    let sources = Sources::of(conn, selection, Some(group_by), earlier).await?;
    let groups = read_groups(conn, group_by, after, limit, &sources).await?;
    let all = after.is_none() && (groups.len() as i64) < limit;
    let totals_of_all =
        (all && group_by.groups_partition_charges()).then(|| totals_of_groups(&groups));
    if let Some(totals) = totals_of_all.flatten() {
        return Ok((totals, groups));
    }
    let sources = sources.of_totals(conn).await?;
    let totals = read_totals(conn, &sources).await?;
    Ok((totals, groups))
}

/// What groups add up to by currency; none beyond `i64`, where PostgreSQL has the error.
fn totals_of_groups(groups: &[Group]) -> Option<Vec<Totals>> {
    /// The figures, and those of the earlier period where there is one.
    type Sums = (PeriodFigures, Option<PeriodFigures>);
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    for group in groups {
        let (figures, previous) = sums.entry(&group.currency).or_default();
        *figures = figures.checked_add(group.figures())?;
        if let Some(more) = group.previous {
            *previous = Some(previous.unwrap_or_default().checked_add(more)?);
        }
    }
    let mut totals = Vec::new();
    for (currency, (figures, previous)) in sums {
        // Refunds by their own day may cancel each other out, and then PostgreSQL shows no total either.
        if ![Some(figures), previous]
            .into_iter()
            .flatten()
            .any(PeriodFigures::has_something)
        {
            continue;
        }
        let mut total = Totals::of(currency, figures);
        if let Some(previous) = previous {
            total.compare(previous).ok()?;
        }
        totals.push(total);
    }
    Some(totals)
}

impl Totals {
    fn of(currency: &str, figures: PeriodFigures) -> Self {
        Self {
            currency: currency.to_owned(),
            charges: figures.charges,
            units: figures.units,
            units_decimal: figures.units_decimal,
            gross: figures.gross,
            refunded: figures.refunded,
            net: figures.net,
            disputed_amount: figures.disputed_amount,
            dispute_fee: figures.dispute_fee,
            previous: None,
            difference: None,
        }
    }

    /// Forgets what was sold before: not all of it is known.
    pub(super) fn without_previous(&mut self) {
        self.set_previous(None, None);
    }
}

impl Group {
    /// As [`Totals::without_previous`].
    pub(super) fn without_previous(&mut self) {
        self.set_previous(None, None);
    }
}

/// What the parts of a group add up to, those that `of` selects.
fn summed_columns(prefix: &str, of: &str) -> String {
    let sum = |what: &str| format!("COALESCE(SUM(part.{what}){of}, 0)");
    let units = format!(
        "{} + {} * 0.000000000001",
        sum("units"),
        sum("units_fraction")
    );
    let net = format!("{} - {}", sum("gross"), sum("refunded"));
    let whole = [
        "charges",
        "gross",
        "refunded",
        "disputed_amount",
        "dispute_fee",
    ];
    let whole = whole.map(|name| format!("{}::BIGINT AS {prefix}{name}", sum(name)));
    format!(
        "{}, round({units})::BIGINT AS {prefix}units, trim_scale({units})::TEXT AS {prefix}units_decimal, \
         ({net})::BIGINT AS {prefix}net",
        whole.join(", ")
    )
}

/// The groups of a selection after `after`, at most `limit`: those of time ascending, others by net
/// descending, then by key, rows without one last.
async fn read_groups(
    conn: &mut PgConnection,
    group_by: &GroupBy,
    after: Option<&GroupCursor>,
    limit: i64,
    sources: &Sources<'_>,
) -> Result<Vec<Group>, Error> {
    let mut query = QueryBuilder::new(
        "SELECT * FROM (SELECT part.key COLLATE \"C\" AS key, part.currency COLLATE \"C\" AS currency, ",
    );
    sources.push_sums(&mut query, Some(group_by));
    query
        .push(" GROUP BY part.key, part.currency HAVING ")
        .push(sources.having());
    query.push(") AS g");
    if let Some(after) = after {
        push_after(&mut query, group_by, after);
    }
    query.push(if group_by.by_time() {
        " ORDER BY key, currency LIMIT "
    } else {
        " ORDER BY net DESC, key NULLS LAST, currency LIMIT "
    });
    query.push_bind(limit);
    sources.fetch(conn, query).await
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
