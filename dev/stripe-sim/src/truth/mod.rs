//! What a complete and correct sync must find, worked out from the generator and the overlay.
//!
//! This shares no code with the lists or the JSON, so that an error there shows as a difference
//! here. It holds no charges: a million take a few seconds. Amounts are minor units, days are
//! local to the time zone that was asked for. Deliberately absent: filter rules.

mod allocate;
mod catalogue;
mod rows;
mod units;

pub use rows::TruthRow;
pub(crate) use rows::rows;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::book::Book;
use crate::id::{IdCodec, Kind};
use crate::ledger::{Charge, Metadata};
use crate::view::Identity;
use allocate::Row;
use catalogue::Catalogue;

/// Seconds before the range from which invoices and sessions give their lines.
const PURCHASE_LOOKBACK: i64 = 35 * 86_400;

/// What to tell the truth about.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TruthQuery {
    /// The first `created` that counts, in Unix seconds; the first charge's when absent.
    pub from: Option<i64>,
    /// The first `created` that does not, in Unix seconds.
    pub to: Option<i64>,
    /// An IANA time zone; UTC when absent.
    pub timezone: Option<String>,
    /// Dimensions to group by: `charge.<key>`, `customer.<key>`, `product.<key>`, `price.<key>`,
    /// `product`, `price` or `customer` (by id), `currency`, `country`, `payment_method`.
    pub metadata: Vec<String>,
    /// The first `created` of invoices and sessions whose lines are known, in Unix seconds; 35
    /// days before `from` when absent.
    pub purchases_from: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    #[error("no such time zone: '{0}'")]
    TimeZone(String),
    #[error("no such dimension: '{0}'")]
    Dimension(String),
}

/// Figures of one currency. Amounts are minor units.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Figures {
    /// Distinct charges that count.
    pub charges: u64,
    pub gross: i64,
    /// What of it was given back.
    pub refunded: i64,
    /// Gross less refunded.
    pub net: i64,
    pub units: i64,
    /// The quantities of the charges' lines, one for a charge without known lines; rounded.
    pub units_by_lines: i64,
    /// The same exactly, in trillionths.
    pub unit_trillionths: i128,
    /// What disputes took and did not give back; in no other figure.
    pub disputed_amount: i64,
    /// What disputes cost; in no other figure.
    pub dispute_fee: i64,
}

impl Figures {
    fn add_units(&mut self, trillionths: i128) {
        self.unit_trillionths += trillionths;
        self.units_by_lines = units::rounded(self.unit_trillionths);
    }

    /// The exact number of units by lines as text: `2`, `-0.5`.
    pub fn units_decimal(&self) -> String {
        units::text(self.unit_trillionths)
    }

    fn add(&mut self, gross: i64, refunded: i64) {
        self.gross += gross;
        self.refunded += refunded;
        self.net += gross - refunded;
    }
}

/// Figures of one value of a dimension in one currency.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Group {
    /// The value; `None` for what has none.
    pub key: Option<String>,
    /// Lower-case ISO code.
    pub currency: String,
    /// Its figures. `units` is left at the number of charges.
    pub figures: Figures,
}

/// What a complete and correct sync finds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Truth {
    /// Charges in the range, of any status.
    pub charges_stored: u64,
    /// Rows when each line of a charge is one.
    pub rows: u64,
    /// The newest charge by (created, id).
    pub newest_charge: Option<String>,
    /// Its `created`, in Unix seconds.
    pub newest_created: Option<i64>,
    /// Charges in the range by status; holds count as `uncaptured` or `expired`.
    pub by_status: BTreeMap<String, u64>,
    pub totals: BTreeMap<String, Figures>,
    /// Figures by local day (`2026-03-08`) and currency.
    pub days: BTreeMap<String, BTreeMap<String, Figures>>,
    /// Figures by dimension, then by key and currency in that order, null first.
    pub groups: BTreeMap<String, Vec<Group>>,
    /// Objects that have each metadata key, by object type and key.
    pub metadata_keys: BTreeMap<String, BTreeMap<String, u64>>,
    /// Objects of each type that stored charges refer to, themselves included.
    pub objects: BTreeMap<String, u64>,
}

type GroupKey = (Option<String>, String);

struct Teller<'a> {
    book: &'a Book,
    identity: &'a Identity,
    scope: &'a Scope,
    dimensions: &'a [String],
    truth: Truth,
    newest: Option<(i64, String)>,
    groups: BTreeMap<&'a str, BTreeMap<GroupKey, Figures>>,
    catalogue: Catalogue,
}

/// Which charges are reported, and what is known of them.
struct Scope {
    /// The range of `created`, half open, in Unix seconds.
    created: std::ops::Range<i64>,
    zone: Tz,
    purchases_from: i64,
}

impl Scope {
    fn of(query: &TruthQuery) -> Result<Self, TruthError> {
        let zone = query.timezone.as_deref().unwrap_or("UTC");
        let zone: Tz = zone
            .parse()
            .map_err(|_| TruthError::TimeZone(zone.to_owned()))?;
        let from = query.from.unwrap_or(i64::MIN);
        let reached = || from.saturating_sub(PURCHASE_LOOKBACK);
        Ok(Self {
            created: from..query.to.unwrap_or(i64::MAX),
            zone,
            purchases_from: query.purchases_from.unwrap_or_else(reached),
        })
    }

    /// The local day of `created`.
    fn day(&self, created: i64) -> String {
        let instant = DateTime::UNIX_EPOCH + TimeDelta::seconds(created);
        instant
            .with_timezone(&self.zone)
            .format("%Y-%m-%d")
            .to_string()
    }
}

/// Shows `tell` every listed charge in `scope`, generated ones first.
fn each_charge(book: &Book, scope: &Scope, mut tell: impl FnMut(&Charge)) {
    let made = book.generator.charges();
    let later = book
        .overlay
        .charges
        .keys()
        .copied()
        .filter(|&index| index >= made);
    for index in (0..made).chain(later) {
        if book.overlay.unlisted.contains(&index) {
            continue;
        }
        let changed = book.overlay.charges.get(&index);
        let generated;
        let charge = if let Some(charge) = changed {
            charge
        } else {
            generated = book.generator.charge(index);
            &generated
        };
        if scope.created.contains(&charge.created) {
            tell(charge);
        }
    }
}

pub(crate) fn tell(
    book: &Book,
    identity: &Identity,
    query: &TruthQuery,
) -> Result<Truth, TruthError> {
    let scope = Scope::of(query)?;
    for dimension in &query.metadata {
        check(dimension)?;
    }
    let mut teller = Teller {
        book,
        identity,
        scope: &scope,
        dimensions: &query.metadata,
        truth: Truth::default(),
        newest: None,
        groups: BTreeMap::new(),
        catalogue: Catalogue::default(),
    };
    each_charge(book, &scope, |charge| teller.charge(charge));
    Ok(teller.finish())
}

fn check(dimension: &str) -> Result<(), TruthError> {
    let plain = [
        "product",
        "price",
        "customer",
        "currency",
        "country",
        "payment_method",
    ];
    let known = plain.contains(&dimension)
        || dimension.split_once('.').is_some_and(|(object, key)| {
            ["charge", "customer", "product", "price"].contains(&object) && !key.is_empty()
        });
    if known {
        Ok(())
    } else {
        Err(TruthError::Dimension(dimension.to_owned()))
    }
}

/// Whether a charge is in any figure, there being no rules: it went through, and something of it was taken.
const fn counts(charge: &Charge) -> bool {
    charge.paid() && (charge.captured || charge.amount_captured > 0)
}

fn charge_id(codec: &IdCodec, charge: &Charge) -> String {
    let mut id = String::with_capacity(28);
    if charge.method.card {
        codec.write(Kind::Charge, charge.index, &mut id);
    } else {
        codec.write_bank_charge(charge.index, &mut id);
    }
    id
}

/// What was really given back of what was really taken.
fn given_back(charge: &Charge) -> i64 {
    let refunds = charge
        .refunds
        .iter()
        .filter(|refund| refund.counts() && !refund.release);
    refunds
        .map(|refund| refund.amount)
        .sum::<i64>()
        .min(charge.amount_captured)
}

fn status_of(charge: &Charge) -> &'static str {
    match charge.status.name() {
        "succeeded" if charge.amount_captured > 0 => "succeeded",
        "succeeded" if charge.expired => "expired",
        "succeeded" if !charge.captured => "uncaptured",
        other => other,
    }
}

impl Teller<'_> {
    fn charge(&mut self, charge: &Charge) {
        self.truth.charges_stored += 1;
        *self
            .truth
            .by_status
            .entry(status_of(charge).to_owned())
            .or_default() += 1;
        self.meet(charge);
        let refunded = given_back(charge);
        let rows = allocate::rows(self.book, charge, self.scope.purchases_from, refunded);
        self.truth.rows += rows.len() as u64;
        self.catalogue.charge(self.book, charge, &rows);
        if !counts(charge) {
            return;
        }
        let units: i128 = rows.iter().map(|row| row.units).sum();
        let currency = charge.currency.code();
        let day = self.scope.day(charge.created);
        let of_day = self.truth.days.entry(day).or_default();
        for figures in [
            self.truth.totals.entry(currency.to_owned()).or_default(),
            of_day.entry(currency.to_owned()).or_default(),
        ] {
            figures.charges += 1;
            figures.units += 1;
            figures.add_units(units);
            figures.add(charge.amount_captured, refunded);
            figures.disputed_amount += rows.iter().map(|row| row.disputed).sum::<i64>();
            figures.dispute_fee += rows.iter().map(|row| row.dispute_fee).sum::<i64>();
        }
        self.group(charge, &rows);
    }

    fn meet(&mut self, charge: &Charge) {
        if self
            .newest
            .as_ref()
            .is_some_and(|(created, _)| *created > charge.created)
        {
            return;
        }
        let candidate = (charge.created, charge_id(&self.identity.codec, charge));
        if self
            .newest
            .as_ref()
            .is_none_or(|newest| *newest < candidate)
        {
            self.newest = Some(candidate);
        }
    }

    fn group(&mut self, charge: &Charge, rows: &[Row]) {
        let dimensions = self.dimensions;
        for dimension in dimensions {
            let mut keys: Vec<Option<String>> = Vec::new();
            for row in rows {
                let key = self.key(dimension, charge, row);
                let currency = charge.currency.code().to_owned();
                let groups = self.groups.entry(dimension).or_default();
                let figures = groups.entry((key.clone(), currency)).or_default();
                figures.add(row.gross, row.refunded);
                figures.disputed_amount += row.disputed;
                figures.dispute_fee += row.dispute_fee;
                figures.add_units(row.units);
                if !keys.contains(&key) {
                    figures.charges += 1;
                    figures.units += 1;
                    keys.push(key);
                }
            }
        }
    }

    fn key(&self, dimension: &str, charge: &Charge, row: &Row) -> Option<String> {
        let codec = &self.identity.codec;
        let price = row.price.and_then(|index| self.book.price(index));
        let product = price
            .as_ref()
            .and_then(|price| self.book.product(price.product));
        match dimension.split_once('.') {
            None => match dimension {
                "product" => product.map(|it| codec.encode(Kind::Product, it.index)),
                "price" => row.price.map(|index| codec.encode(Kind::Price, index)),
                "customer" => charge.customer.map(|it| codec.encode(Kind::Customer, it)),
                "currency" => Some(charge.currency.code().to_owned()),
                "country" => Some(charge.method.country.to_owned()),
                _ => Some(charge.method.kind.to_owned()),
            },
            Some(("charge", key)) => value(&charge.metadata, key),
            Some(("customer", key)) => {
                let customer = charge.customer.and_then(|index| self.book.customer(index));
                customer.and_then(|customer| value(&customer.metadata, key))
            }
            Some(("product", key)) => product.and_then(|it| value(&it.metadata, key)),
            Some((_, key)) => price.and_then(|it| value(&it.metadata, key)),
        }
    }

    fn finish(mut self) -> Truth {
        if let Some((created, id)) = self.newest {
            (self.truth.newest_created, self.truth.newest_charge) = (Some(created), Some(id));
        }
        for dimension in self.dimensions {
            let groups = self.groups.remove(dimension.as_str()).unwrap_or_default();
            let groups = groups.into_iter().map(|((key, currency), figures)| Group {
                key,
                currency,
                figures,
            });
            self.truth
                .groups
                .insert(dimension.clone(), groups.collect());
        }
        (self.truth.metadata_keys, self.truth.objects) = self.catalogue.finish();
        self.truth
    }
}

fn value(metadata: &Metadata, key: &str) -> Option<String> {
    metadata
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.clone().into_owned())
}
