//! Random changes, many at once: what happens to a busy account in a quarter of an hour.
//!
//! The same seed on the same account makes the same changes. A change that the drawn charge does
//! not allow is skipped, and the report says how many were made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AccountHandle, ControlError, MetadataChange, NewCharge};
use crate::draw::{Domain, Draw};
use crate::id::Kind;

/// What a churn did.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ChurnReport {
    /// Changes made, by name.
    pub made: BTreeMap<String, u64>,
    /// Changes that the drawn object did not allow.
    pub skipped: u64,
}

impl AccountHandle {
    /// Draws `operations` changes from `seed` and makes them.
    pub fn churn(&self, operations: u64, seed: u64) -> ChurnReport {
        let mut report = ChurnReport::default();
        let mut draw = Draw::new(seed, Domain::Churn, operations);
        for number in 0..operations {
            let name = draw.pick(&[
                "charge",
                "charge",
                "charge",
                "refund",
                "refund",
                "metadata",
                "metadata",
                "dispute",
                "capture",
                "expire",
                "succeed",
                "fail_refund",
                "customer",
                "delete_customer",
                "invoice",
                "session",
            ]);
            match self.one_change(name, number, &mut draw) {
                Ok(()) => *report.made.entry(name.to_owned()).or_default() += 1,
                Err(_) => report.skipped += 1,
            }
        }
        report
    }

    fn one_change(&self, name: &str, number: u64, draw: &mut Draw) -> Result<(), ControlError> {
        let charge = self.drawn_charge(name, draw);
        let metadata = MetadataChange::from([
            (
                "tier".to_owned(),
                Some(draw.pick(&["free", "pro", "gold"]).to_owned()),
            ),
            (
                "churn".to_owned(),
                (!draw.chance(20)).then(|| number.to_string()),
            ),
        ]);
        match name {
            "refund" => {
                let amount = draw.chance(50).then(|| draw.between(1, 900));
                self.refund(&charge?, amount).map(drop)
            }
            "metadata" => self.set_charge_metadata(&charge?, &metadata),
            "dispute" => self.dispute(&charge?).map(drop),
            "capture" => {
                let amount = draw.chance(50).then(|| draw.between(1, 500));
                self.capture(&charge?, amount)
            }
            "expire" => self.expire(&charge?),
            "succeed" => self.succeed(&charge?),
            "fail_refund" => {
                let refund = self.refund(&charge?, None)?;
                self.fail_refund(&refund)
            }
            "customer" => self.set_customer_metadata(&self.drawn_customer(draw), &metadata),
            "delete_customer" => self.delete_customer(&self.drawn_customer(draw)),
            _ => self
                .create_charge(&self.drawn_purchase(name, draw))
                .map(drop),
        }
    }

    fn drawn_charge(&self, name: &str, draw: &mut Draw) -> Result<String, ControlError> {
        let book = self.account().book();
        let end = book.next_charge();
        let view = self.account().view(&book, self.account().version);
        // Holds and pending charges are rare, so several are looked at.
        for _ in 0..60 {
            let Some(charge) = book.charge(draw.below(end)) else {
                continue;
            };
            let fits = match name {
                "capture" | "expire" => charge.paid() && !charge.captured && !charge.expired,
                "succeed" => charge.status == crate::ledger::ChargeStatus::Pending,
                "metadata" => true,
                _ => charge.amount_captured > charge.amount_refunded(),
            };
            if fits {
                return Ok(view.charge_id(&charge));
            }
        }
        Err(super::refused("no charge fits"))
    }

    fn drawn_customer(&self, draw: &mut Draw) -> String {
        let index = draw.below(self.account().book().next_customer());
        self.account().identity.codec.encode(Kind::Customer, index)
    }

    fn drawn_purchase(&self, name: &str, draw: &mut Draw) -> NewCharge {
        let codec = &self.account().identity.codec;
        let lines = (0..draw.between(1, 12)).map(|_| super::NewLine {
            // Prices in dollars have even indices.
            price: Some(codec.encode(Kind::Price, draw.below(40) * 2)),
            quantity: Some(draw.between(1, 5)),
            amount: None,
            discount: draw.between(0, 1) * 10,
        });
        let lines: Vec<_> = lines.collect();
        let mut new = NewCharge {
            amount: Some(draw.between(100, 9_000)),
            ..NewCharge::default()
        };
        new.metadata.insert("tier".to_owned(), "churned".to_owned());
        if name != "charge" {
            new.amount = None;
            new.customer = Some(self.drawn_customer(draw));
        }
        match name {
            "invoice" => new.invoice_lines = lines,
            "session" => new.session_items = lines.into_iter().take(4).collect(),
            _ => {}
        }
        new
    }
}
