//! The restatements of a transaction, while it changes rows.
//!
//! Every statement that changes rows notes them as they were and as they are; what is left in the end is stored. Lines that
//! are divided otherwise and charges that come back come to nothing and are no restatement. Pure; nothing here can fail.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use uuid::Uuid;

use super::causes::{Causes, Named};
use super::{Cause, Change, NewRestatement, SyncedDays};
use crate::charge::{Charge, RevenueRow};
use crate::purchase::Units;
use crate::rule::queries::DayDecision;

/// A row as it was stored, as far as figures are made of it.
#[derive(Debug)]
pub struct StoredLine {
    pub charge_id: String,
    /// A charge counts once, by its line 0.
    pub line_no: i32,
    pub date: NaiveDate,
    pub currency: String,
    pub units: i64,
    /// Trillionths.
    pub units_fraction: Option<i64>,
    /// Minor units.
    pub gross: i64,
    /// Minor units.
    pub refunded: i64,
    pub counted: bool,
}

impl Change {
    // Wraps, since only what is left in the end has to be in range: the difference of two sums that are.
    fn add(&mut self, other: Self) {
        self.charges = self.charges.wrapping_add(other.charges);
        self.units += other.units;
        self.gross = self.gross.wrapping_add(other.gross);
        self.refunded = self.refunded.wrapping_add(other.refunded);
    }

    fn subtract(&mut self, other: Self) {
        self.charges = self.charges.wrapping_sub(other.charges);
        self.units += -other.units;
        self.gross = self.gross.wrapping_sub(other.gross);
        self.refunded = self.refunded.wrapping_sub(other.refunded);
    }
}

/// A charge on a day.
type Key = (String, NaiveDate, String);

/// What a transaction restates.
#[derive(Debug, Default)]
pub struct Draft {
    complete: Option<SyncedDays>,
    by_charge: BTreeMap<Key, OfCharge>,
    by_rules: Vec<NewRestatement>,
}

#[derive(Debug, Default)]
struct OfCharge {
    change: Change,
    /// Ids of the objects of which its rows show something.
    related: BTreeSet<String>,
}

impl Draft {
    /// Restatements of these days; none of others.
    pub fn of(complete: Option<SyncedDays>) -> Self {
        Self {
            complete,
            ..Self::default()
        }
    }

    fn follows(&self, day: NaiveDate) -> bool {
        self.complete.is_some_and(|complete| complete.contains(day))
    }

    fn charge_of(&mut self, (id, date, currency): (&str, NaiveDate, &str)) -> &mut OfCharge {
        let key = (id.to_owned(), date, currency.to_owned());
        self.by_charge.entry(key).or_default()
    }

    /// A row was written; `counted` says whether it counts now.
    pub fn add(&mut self, row: &RevenueRow, counted: bool) {
        if !self.follows(row.date) {
            return;
        }
        let RevenueRow { charge, .. } = row;
        let key = (&*charge.charge_id, row.date, charge.currency.as_str());
        let of_charge = self.charge_of(key);
        let objects = [
            &row.invoice_id,
            &row.checkout_session_id,
            &row.product_id,
            &row.price_id,
            &charge.customer_id,
        ];
        let objects = objects.into_iter().flatten().cloned();
        of_charge.related.extend(objects);
        if counted {
            of_charge.change.add(Change {
                charges: i64::from(row.line_no == 0),
                units: row.units,
                gross: row.gross,
                refunded: row.refunded,
            });
        }
    }

    /// A row was replaced or removed.
    pub fn subtract(&mut self, line: &StoredLine) {
        if !line.counted || !self.follows(line.date) {
            return;
        }
        let of_charge = self.charge_of((&line.charge_id, line.date, &line.currency));
        of_charge.change.subtract(Change {
            charges: i64::from(line.line_no == 0),
            units: Units::of_row(line.units, line.units_fraction),
            gross: line.gross,
            refunded: line.refunded,
        });
    }

    /// Rules were changed, and decide otherwise about days.
    pub fn decide_by_rules(&mut self, decisions: &[DayDecision]) {
        for ((date, currency), DecidedDay { change, rules }) in by_day(decisions) {
            let mut rules = rules.into_iter();
            // One that takes charges out; which one had kept out those that came back is not known.
            let rule = rules.next().flatten().filter(|_| rules.next().is_none());
            self.restate_day(NewRestatement {
                date,
                currency: currency.to_owned(),
                change,
                cause: Cause::Rules,
                charge_id: None,
                object_id: rule.map(|id| id.to_string()),
                event: None,
            });
        }
    }

    /// The rules decide otherwise about days because these objects have other metadata.
    pub fn decide_by_metadata(
        &mut self,
        decisions: &[DayDecision],
        causes: &Causes,
        object_ids: &[String],
    ) {
        let named = causes.of_objects(object_ids);
        for ((date, currency), DecidedDay { change, .. }) in by_day(decisions) {
            self.restate_day(restatement(date, currency, change, causes, None, &named));
        }
    }

    fn restate_day(&mut self, restatement: NewRestatement) {
        if self.follows(restatement.date) && restatement.change != Change::default() {
            self.by_rules.push(restatement);
        }
    }

    /// What is to be stored, by day within a charge. `charges` are those whose rows were made.
    pub fn restatements(
        self,
        causes: &Causes,
        charges: &BTreeMap<&str, &Charge>,
    ) -> Vec<NewRestatement> {
        let changed = self.by_charge.iter();
        let changed = changed.filter(|(_, of_charge)| of_charge.change != Change::default());
        let mut restatements: Vec<NewRestatement> = changed
            .map(
                |((charge_id, date, currency), OfCharge { change, related })| {
                    let charge = charges.get(charge_id.as_str());
                    let refunds = charge.and_then(|charge| charge.refunds.as_deref());
                    let named = causes.of_charge(charge_id, related, change, refunds);
                    restatement(*date, currency, *change, causes, Some(charge_id), &named)
                },
            )
            .collect();
        restatements.extend(self.by_rules);
        restatements
    }
}

/// What rules decided otherwise about a day and currency.
#[derive(Debug, Default)]
struct DecidedDay {
    change: Change,
    rules: BTreeSet<Option<Uuid>>,
}

fn by_day(decisions: &[DayDecision]) -> BTreeMap<(NaiveDate, &str), DecidedDay> {
    let mut by_day: BTreeMap<(NaiveDate, &str), DecidedDay> = BTreeMap::new();
    let changed = decisions
        .iter()
        .map(|decision| (decision, decision.change()));
    for (decision, change) in changed.filter(|(_, change)| *change != Change::default()) {
        let key = (decision.date, decision.currency.as_str());
        let of_day = by_day.entry(key).or_default();
        of_day.change.add(change);
        of_day.rules.insert(decision.excluded_by);
    }
    by_day
}

fn restatement(
    date: NaiveDate,
    currency: &str,
    change: Change,
    causes: &Causes,
    charge_id: Option<&str>,
    named: &Named<'_>,
) -> NewRestatement {
    NewRestatement {
        date,
        currency: currency.to_owned(),
        change,
        cause: causes.cause(),
        charge_id: charge_id.map(str::to_owned),
        object_id: named.object_id.map(str::to_owned),
        event: named
            .event
            .map(|event| (event.event_id.clone(), event.event_type.clone())),
    }
}
