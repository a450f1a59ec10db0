//! What can happen to a charge: capture, refund, failure, expiry, dispute, new metadata.

use std::borrow::Cow;

use super::record::Recorder;
use super::{AccountHandle, ControlError, MetadataChange, merge, no_such, refused};
use crate::book::{Book, ENTRY_SLOTS, REFUND_SLOTS};
use crate::id::Kind;
use crate::ledger::{Charge, ChargeStatus, Dispute, Refund, RefundStatus};
use crate::render::DISPUTE_ENTRY;

impl AccountHandle {
    /// Changes the charge with `id` by `make` and writes an event of each of `names` about it.
    fn change_charge<R>(
        &self,
        id: &str,
        names: &[&str],
        make: impl FnOnce(&mut Book, &mut Charge, &mut Recorder<'_>) -> Result<R, ControlError>,
    ) -> Result<R, ControlError> {
        let index = self.locate(Kind::Charge, id)?;
        self.change(|book, recorder| {
            let charge = book
                .charge(index)
                .ok_or_else(|| no_such(Kind::Charge, id))?;
            let mut charge = charge.into_owned();
            let before = recorder.picture(book, Kind::Charge, index);
            let result = make(book, &mut charge, recorder)?;
            book.overlay.charges.insert(index, charge);
            for name in names {
                recorder.record(book, name, (Kind::Charge, index), Some(&before));
            }
            Ok(result)
        })
    }

    /// Refunds `amount` minor units of a charge, what is left of it when absent; returns `re_…`.
    pub fn refund(&self, id: &str, amount: Option<i64>) -> Result<String, ControlError> {
        self.refund_as(id, amount, RefundStatus::Succeeded)
    }

    /// As [`Self::refund`], for a refund that is only under way.
    pub fn refund_pending(&self, id: &str, amount: Option<i64>) -> Result<String, ControlError> {
        self.refund_as(id, amount, RefundStatus::Pending)
    }

    fn refund_as(
        &self,
        id: &str,
        amount: Option<i64>,
        status: RefundStatus,
    ) -> Result<String, ControlError> {
        let index = self.change_charge(id, &["charge.refunded"], |book, charge, recorder| {
            let given: i64 = charge
                .refunds
                .iter()
                .filter(|refund| refund.counts() && !refund.release)
                .map(|refund| refund.amount)
                .sum();
            let left = charge.amount_captured - given;
            let amount = amount.unwrap_or(left);
            if !charge.paid() || amount < 1 || amount > left {
                return Err(refused(format!("of this charge, {left} can be refunded")));
            }
            if charge.refunds.len() as u64 == REFUND_SLOTS {
                return Err(refused(
                    "this charge has as many refunds as the simulator keeps",
                ));
            }
            Ok(add_refund(
                book,
                charge,
                amount,
                status,
                false,
                recorder.now(),
            ))
        })?;
        self.change(|book, recorder| {
            recorder.record(book, "refund.created", (Kind::Refund, index), None);
        });
        Ok(self.account().identity.codec.encode(Kind::Refund, index))
    }

    /// Lets a refund fail: the money stays with the account.
    pub fn fail_refund(&self, id: &str) -> Result<(), ControlError> {
        self.end_refund(
            id,
            RefundStatus::Failed,
            &["refund.failed", "charge.refund.updated"],
        )
    }

    /// Lets a refund that was under way succeed.
    pub fn settle_refund(&self, id: &str) -> Result<(), ControlError> {
        self.end_refund(id, RefundStatus::Succeeded, &[])
    }

    fn end_refund(
        &self,
        id: &str,
        status: RefundStatus,
        names: &[&str],
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::Refund, id)?;
        self.change(|book, recorder| {
            let (owner, slot) = (index / REFUND_SLOTS, (index % REFUND_SLOTS) as usize);
            let before = recorder.picture(book, Kind::Refund, index);
            let charge = book
                .charge(owner)
                .ok_or_else(|| no_such(Kind::Refund, id))?;
            let mut charge = charge.into_owned();
            let refund = charge
                .refunds
                .get_mut(slot)
                .ok_or_else(|| no_such(Kind::Refund, id))?;
            if refund.release || !refund.counts() {
                return Err(refused("this refund has ended already or is a release"));
            }
            refund.status = status;
            book.overlay.charges.insert(owner, charge);
            for name in ["refund.updated"].iter().chain(names) {
                recorder.record(book, name, (Kind::Refund, index), Some(&before));
            }
            Ok(())
        })
    }

    /// Captures `amount` minor units of a hold, all that is left of it when absent, and ends it.
    pub fn capture(&self, id: &str, amount: Option<i64>) -> Result<(), ControlError> {
        self.capture_as(id, amount, true)
    }

    /// As [`Self::capture`], of a hold that goes on: more may be captured.
    pub fn capture_part(&self, id: &str, amount: i64) -> Result<(), ControlError> {
        self.capture_as(id, Some(amount), false)
    }

    fn capture_as(&self, id: &str, amount: Option<i64>, last: bool) -> Result<(), ControlError> {
        let names = ["charge.captured", "charge.updated"];
        self.change_charge(id, &names, |book, charge, recorder| {
            if !charge.held() {
                return Err(refused("only an uncaptured hold can be captured"));
            }
            let left = charge.amount - charge.amount_captured;
            let amount = amount.unwrap_or(left);
            if amount < 1 || amount > left {
                return Err(refused(format!("1 to {left} can be captured")));
            }
            charge.captured = last;
            charge.amount_captured += amount;
            let now = recorder.now();
            book.list(
                Kind::BalanceTransaction,
                charge.created,
                charge.index * ENTRY_SLOTS,
            );
            let released = charge.amount - charge.amount_captured;
            if last && released > 0 && book.generator.release_is_refund() {
                release(book, charge, released, now);
            }
            Ok(())
        })
    }

    /// Lets what is left of a hold lapse, which Stripe shows as refunded.
    pub fn expire(&self, id: &str) -> Result<(), ControlError> {
        self.change_charge(id, &["charge.expired"], |book, charge, recorder| {
            if !charge.held() {
                return Err(refused("only an uncaptured hold can lapse"));
            }
            charge.expired = true;
            let left = charge.amount - charge.amount_captured;
            release(book, charge, left, recorder.now());
            Ok(())
        })
    }

    pub fn succeed(&self, id: &str) -> Result<(), ControlError> {
        self.change_charge(id, &["charge.succeeded"], |book, charge, _| {
            if charge.status != ChargeStatus::Pending {
                return Err(refused("only a pending charge can succeed"));
            }
            charge.status = ChargeStatus::Succeeded;
            charge.captured = true;
            charge.amount_captured = charge.amount;
            book.list(
                Kind::BalanceTransaction,
                charge.created,
                charge.index * ENTRY_SLOTS,
            );
            Ok(())
        })
    }

    pub fn fail(&self, id: &str) -> Result<(), ControlError> {
        self.change_charge(id, &["charge.failed"], |_, charge, _| {
            if charge.status != ChargeStatus::Pending {
                return Err(refused("only a pending charge can fail"));
            }
            charge.status = ChargeStatus::Failed;
            charge.captured = false;
            Ok(())
        })
    }

    /// Disputes a charge; returns `dp_…`.
    pub fn dispute(&self, id: &str) -> Result<String, ControlError> {
        self.dispute_as(id, "needs_response", "fraudulent")
    }

    /// Lets a bank debit come back, which is a dispute that is lost at once; returns `dp_…`.
    pub fn return_debit(&self, id: &str) -> Result<String, ControlError> {
        self.dispute_as(id, "lost", "bank_cannot_process")
    }

    fn dispute_as(
        &self,
        id: &str,
        status: &'static str,
        reason: &'static str,
    ) -> Result<String, ControlError> {
        let index = self.change_charge(id, &["charge.updated"], |book, charge, recorder| {
            if charge.amount_captured == 0 || charge.dispute.is_some() {
                return Err(refused("only a captured charge can be disputed, and once"));
            }
            let (created, amount) = (recorder.now(), charge.amount_captured);
            let (status, reason) = (Cow::Borrowed(status), Cow::Borrowed(reason));
            charge.dispute = Some(Dispute {
                created,
                amount,
                status,
                reason,
            });
            book.list(Kind::Dispute, created, charge.index);
            let entry = charge.index * ENTRY_SLOTS + DISPUTE_ENTRY;
            book.list(Kind::BalanceTransaction, created, entry);
            Ok(charge.index)
        })?;
        self.change(|book, recorder| {
            for name in ["charge.dispute.created", "charge.dispute.funds_withdrawn"] {
                recorder.record(book, name, (Kind::Dispute, index), None);
            }
            if status == "lost" {
                recorder.record(book, "charge.dispute.closed", (Kind::Dispute, index), None);
            }
        });
        Ok(self.account().identity.codec.encode(Kind::Dispute, index))
    }

    /// Ends the dispute of the charge with `id` as `status`, such as `won` or `lost`.
    pub fn close_dispute(&self, id: &str, status: &str) -> Result<(), ControlError> {
        let index = self.change_charge(id, &[], |_, charge, _| {
            let dispute = charge.dispute.as_mut();
            let dispute = dispute.ok_or_else(|| refused("this charge is not disputed"))?;
            dispute.status = Cow::Owned(status.to_owned());
            Ok(charge.index)
        })?;
        self.change(|book, recorder| {
            recorder.record(book, "charge.dispute.closed", (Kind::Dispute, index), None);
            if status == "won" {
                let name = "charge.dispute.funds_reinstated";
                recorder.record(book, name, (Kind::Dispute, index), None);
            }
        });
        Ok(())
    }

    pub fn set_charge_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        self.change_charge(id, &["charge.updated"], |book, charge, _| {
            // Its payment intent keeps what it has.
            if charge.payment_intent == Some(charge.index) {
                let intents = &mut book.overlay.intents;
                intents
                    .entry(charge.index)
                    .or_insert_with(|| charge.metadata.clone());
            }
            merge(&mut charge.metadata, change);
            Ok(())
        })
    }

    /// Takes a charge out of lists, as if it had never been; it can still be retrieved.
    pub fn unlist_charge(&self, id: &str) -> Result<(), ControlError> {
        let index = self.locate(Kind::Charge, id)?;
        self.change(|book, _| book.overlay.unlisted.insert(index));
        Ok(())
    }
}

/// Releases what was not captured of a hold.
pub(super) fn release(book: &mut Book, charge: &mut Charge, amount: i64, created: i64) {
    add_refund(book, charge, amount, RefundStatus::Succeeded, true, created);
}

/// Adds a refund with its balance transaction; returns its index.
fn add_refund(
    book: &mut Book,
    charge: &mut Charge,
    amount: i64,
    status: RefundStatus,
    release: bool,
    created: i64,
) -> u64 {
    let slot = charge.refunds.len() as u64;
    charge.refunds.push(Refund {
        created,
        amount,
        status,
        release,
    });
    let index = charge.index * REFUND_SLOTS + slot;
    if !(release && charge.release_unlisted) {
        book.list(Kind::Refund, created, index);
    }
    if charge.taken() {
        book.list(
            Kind::BalanceTransaction,
            created,
            charge.index * ENTRY_SLOTS + 1 + slot,
        );
    }
    index
}
