//! Figures: what the stored rows add up to, by day or by whatever a customer wrote into metadata.
//!
//! Figures are those of the rows of `stripe_revenue_data` that are `counted`. Where the daily rollups that
//! [`refresh`] keeps answer a call (`figure_source`), a year costs hundreds of them instead of a million rows; days
//! whose rows changed since are read from the rows, so the two cannot disagree. Sums beyond the range of
//! `i64` are refused by PostgreSQL and end as an error, never as a wrong number.
//!
//! Absent: conversion between currencies. A figure is always of one.

pub mod charge_lines;
pub mod completeness;
pub mod daily;
pub mod earlier_period;
pub mod explain;
mod figure_source;
pub mod names;
mod queries;
pub mod refresh;
pub mod report;
pub mod totals;

use chrono::NaiveDate;
use common::catalogue::ObjectType;
use common::filter::{CompiledPredicate, sql::MetadataKey};
use common::tenant::OrganizationId;
use sqlx::{Postgres, QueryBuilder};

/// Which rows a figure is about.
#[derive(Debug, Clone)]
pub struct Selection {
    pub organization_id: OrganizationId,
    pub connection_id: String,
    /// First day, in the connection's time zone.
    pub date_from: Option<NaiveDate>,
    /// Last day, which belongs to it.
    pub date_to: Option<NaiveDate>,
    /// The only currency, in lower case.
    pub currency: Option<String>,
    /// All of these must hold for a row.
    pub predicates: Vec<CompiledPredicate>,
    pub refunds_by: RefundsBy,
}

/// The day on which figures have what was refunded. Charges have one day in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RefundsBy {
    /// The day of the charge.
    #[default]
    Charge,
    /// The day the refund was made. What no stored refund explains stays on the day of the charge.
    Event,
}

impl RefundsBy {
    /// As addresses name them.
    pub const NAMES: [(&'static str, Self); 2] = [("charge", Self::Charge), ("event", Self::Event)];
}

/// What the rows of one group have in common.
#[derive(Debug, Clone)]
pub enum GroupBy {
    /// The day, `2026-03-08`.
    Day,
    Week,
    /// The month, `2026-03`.
    Month,
    Currency,
    Product,
    Price,
    Customer,
    Country,
    /// The value of a metadata key.
    Metadata(MetadataKey),
}

impl GroupBy {
    /// Whether groups come in order of time rather than of money.
    pub fn by_time(&self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }

    /// What the groups' keys are ids of; none where a key is the value itself.
    pub fn object_type(&self) -> Option<ObjectType> {
        match self {
            Self::Product => Some(ObjectType::Product),
            Self::Price => Some(ObjectType::Price),
            Self::Customer => Some(ObjectType::Customer),
            Self::Day
            | Self::Week
            | Self::Month
            | Self::Currency
            | Self::Country
            | Self::Metadata(_) => None,
        }
    }

    /// Whether each charge is in exactly one group whatever its metadata, so that groups add up to the totals.
    fn groups_partition_charges(&self) -> bool {
        self.by_time() || matches!(self, Self::Currency | Self::Customer | Self::Country)
    }

    /// Writes the key of a row as text; null where it has none. `push_day` writes the day that it is shown on.
    fn push_key(
        &self,
        query: &mut QueryBuilder<Postgres>,
        push_day: impl FnOnce(&mut QueryBuilder<Postgres>),
    ) {
        let (before, after) = match self {
            Self::Day => ("to_char(", ", 'YYYY-MM-DD')"),
            Self::Week => ("to_char(date_trunc('week', ", "::TIMESTAMP), 'YYYY-MM-DD')"),
            Self::Month => ("to_char(", ", 'YYYY-MM')"),
            _ => return self.push_value(query),
        };
        query.push(before);
        push_day(query);
        query.push(after);
    }

    /// Writes the value by which a row is in a group that is not of time.
    fn push_value(&self, query: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Day | Self::Week | Self::Month => query.push("NULL::TEXT"),
            Self::Currency => query.push("r.currency"),
            Self::Product => query.push("r.product_id"),
            Self::Price => query.push("r.price_id"),
            Self::Customer => query.push("r.customer_id"),
            Self::Country => query.push("r.country"),
            Self::Metadata(key) => {
                key.to_sql(query, "r");
                query
            }
        };
    }

    /// Whether all lines of a charge share the group's key.
    fn is_charge_level(&self) -> bool {
        match self {
            Self::Day
            | Self::Week
            | Self::Month
            | Self::Currency
            | Self::Customer
            | Self::Country => true,
            Self::Metadata(key) => key.is_charge_level(),
            Self::Product | Self::Price => false,
        }
    }
}

impl Selection {
    /// Writes `FROM stripe_revenue_data AS r WHERE …` for these rows.
    fn push_rows(&self, query: &mut QueryBuilder<Postgres>, counted_only: bool) {
        self.push_scope(query, "stripe_revenue_data");
        if counted_only {
            query.push(" AND r.counted");
        }
        self.push_predicates(query);
    }

    fn push_predicates(&self, query: &mut QueryBuilder<Postgres>) {
        for predicate in &self.predicates {
            query.push(" AND ");
            predicate.to_sql(query, "r");
        }
    }

    /// Writes what is asked of rows besides whose they are; `day` is the column that dates them.
    fn push_conditions(&self, query: &mut QueryBuilder<Postgres>, day: &'static str) {
        self.push_days_and_currency(query, day);
        self.push_predicates(query);
    }

    fn push_days_and_currency(&self, query: &mut QueryBuilder<Postgres>, day: &'static str) {
        if let Some(from) = self.date_from {
            query.push(" AND ").push(day).push(" >= ").push_bind(from);
        }
        if let Some(to) = self.date_to {
            query.push(" AND ").push(day).push(" <= ").push_bind(to);
        }
        if let Some(currency) = &self.currency {
            query.push(" AND r.currency = ").push_bind(currency.clone());
        }
    }

    /// Writes `FROM … AS r WHERE …` for what a table has of the connection and the days.
    fn push_scope(&self, query: &mut QueryBuilder<Postgres>, table: &'static str) {
        query
            .push(" FROM ")
            .push(table)
            .push(" AS r WHERE r.organization_id = ");
        query.push_bind(self.organization_id.as_str().to_owned());
        query
            .push(" AND r.connection_id = ")
            .push_bind(self.connection_id.clone());
        self.push_days_and_currency(query, "r.date");
    }

    /// Writes the number of distinct charges among grouped rows. Every charge has a line 0, which saves
    /// telling ids apart as long as nothing separates the lines of one.
    fn push_charges(&self, query: &mut QueryBuilder<Postgres>, group_by: Option<&GroupBy>) {
        let whole = self
            .predicates
            .iter()
            .all(CompiledPredicate::matches_whole_charges);
        if whole && group_by.is_none_or(GroupBy::is_charge_level) {
            query.push("COUNT(*) FILTER (WHERE r.line_no = 0)");
        } else {
            query.push("COUNT(DISTINCT r.charge_id)");
        }
    }
}
