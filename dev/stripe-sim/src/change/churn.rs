//! Random changes, many at once: what happens to a busy account in a quarter of an hour.
//!
//! The same seed on the same account makes the same changes. A change that the drawn charge does
//! not allow is skipped, and the report says how many were made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AccountHandle, ControlError, MetadataChange, NewCharge, NewLine};
use crate::book::REFUND_SLOTS;
use crate::draw::{Domain, Draw};
use crate::id::Kind;
use crate::ledger::{Charge, ChargeStatus, Purchase, Refund, RefundStatus};

/// Charges that are looked at for one that allows a change: open disputes are the rarest.
const TRIES: u32 = 200;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ChurnReport {
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
            let name = drawn_name(&mut draw);
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
            "win_dispute" => self.close_dispute(&charge?, "won"),
            "lose_dispute" => self.close_dispute(&charge?, "lost"),
            "capture" => {
                let amount = draw.chance(50).then(|| draw.between(1, 500));
                match amount {
                    Some(amount) if draw.chance(50) => self.capture_part(&charge?, amount),
                    amount => self.capture(&charge?, amount),
                }
            }
            "expire" => self.expire(&charge?),
            "succeed" => self.succeed(&charge?),
            "fail_refund" => {
                let refund = self.refund(&charge?, None)?;
                self.fail_refund(&refund)
            }
            "fail_settled" => self.fail_settled(&charge?),
            "attach_invoice" => {
                let lines = self.drawn_lines(draw);
                self.attach_invoice(&charge?, &lines, None).map(drop)
            }
            "customer" | "delete_customer" | "product" | "delete_product" | "price" => {
                self.change_catalogue(name, &metadata, draw)
            }
            _ => self
                .create_charge(&self.drawn_purchase(name, draw))
                .map(drop),
        }
    }

    fn change_catalogue(
        &self,
        name: &str,
        metadata: &MetadataChange,
        draw: &mut Draw,
    ) -> Result<(), ControlError> {
        let (kind, count) = {
            let book = self.account().book();
            match name {
                "customer" | "delete_customer" => (Kind::Customer, book.next_customer()),
                "price" => (Kind::Price, book.next_price()),
                _ => (Kind::Product, book.next_product()),
            }
        };
        let id = self
            .account()
            .identity
            .codec
            .encode(kind, draw.below(count));
        match name {
            "customer" => self.set_customer_metadata(&id, metadata),
            "delete_customer" => self.delete_customer(&id),
            "price" => self.set_price_metadata(&id, metadata),
            "delete_product" => self.delete_product(&id),
            _ => self.set_product_metadata(&id, metadata),
        }
    }

    /// Lets the newest refund of a charge that went through fail after all.
    fn fail_settled(&self, charge: &str) -> Result<(), ControlError> {
        let index = self.locate(Kind::Charge, charge)?;
        let slot = {
            let book = self.account().book();
            let charge = book.charge(index);
            charge.and_then(|charge| charge.refunds.iter().rposition(settled))
        };
        let slot = slot.ok_or_else(|| super::refused("no refund fits"))? as u64;
        let refund = index * REFUND_SLOTS + slot;
        self.fail_refund(&self.account().identity.codec.encode(Kind::Refund, refund))
    }

    fn drawn_charge(&self, name: &str, draw: &mut Draw) -> Result<String, ControlError> {
        let book = self.account().book();
        let end = book.next_charge();
        let view = self.account().view(&book, self.account().version);
        for _ in 0..TRIES {
            let Some(charge) = book.charge(draw.below(end)) else {
                continue;
            };
            if fits(name, &charge) {
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
        let lines = self.drawn_lines(draw);
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

    fn drawn_lines(&self, draw: &mut Draw) -> Vec<NewLine> {
        let codec = &self.account().identity.codec;
        let lines = (0..draw.between(1, 12)).map(|_| NewLine {
            // Prices in dollars have even indices.
            price: Some(codec.encode(Kind::Price, draw.below(40) * 2)),
            quantity: Some(draw.between(1, 5)),
            amount: None,
            discount: draw.between(0, 1) * 10,
            ..NewLine::default()
        });
        lines.collect()
    }
}

fn drawn_name(draw: &mut Draw) -> &'static str {
    let name = draw.pick(&[
        "charge",
        "charge",
        "charge",
        "refund",
        "refund",
        "metadata",
        "metadata",
        "dispute",
        "win_dispute",
        "lose_dispute",
        "capture",
        "expire",
        "succeed",
        "fail_refund",
        "fail_settled",
        "customer",
        "delete_customer",
        "product",
        "price",
        "invoice",
        "attach_invoice",
        "session",
    ]);
    match name {
        // There are forty products, which a few churns must not use up.
        "product" if draw.chance(20) => "delete_product",
        name => name,
    }
}

/// Whether `charge` allows the change called `name`.
fn fits(name: &str, charge: &Charge) -> bool {
    match name {
        "capture" => charge.held(),
        "expire" => charge.held() && charge.amount_captured == 0,
        "succeed" => charge.status == ChargeStatus::Pending,
        "metadata" => true,
        "win_dispute" | "lose_dispute" => charge
            .dispute
            .as_ref()
            .is_some_and(|it| ["needs_response", "under_review"].contains(&it.status.as_ref())),
        "fail_settled" => charge.refunds.iter().any(settled),
        "attach_invoice" => {
            let free = charge.purchase == Purchase::Nothing && charge.payment_intent.is_some();
            free && charge.paid() && charge.customer.is_some()
        }
        _ => charge.amount_captured > charge.amount_refunded(),
    }
}

fn settled(refund: &Refund) -> bool {
    refund.status == RefundStatus::Succeeded && !refund.release
}
