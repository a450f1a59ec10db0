//! Balance transactions and payment intents as Stripe writes them. A balance transaction is worked
//! out from its charge and never stored.

use super::metadata;
use crate::book::ENTRY_SLOTS;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Charge, ChargeStatus, Currency, DISPUTE_FEE, Dispute, RefundStatus};
use crate::view::View;

/// The slot of a dispute's withdrawal among a charge's balance transactions.
pub(crate) const DISPUTE_ENTRY: u64 = ENTRY_SLOTS - 1;

pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) fee: i64,
    pub(crate) currency: Currency,
    pub(crate) kind: &'static str,
    category: &'static str,
}

impl Entry {
    /// Movement `index` of `charge`, if it moved something.
    pub(crate) fn of(charge: &Charge, index: u64) -> Option<Self> {
        if !charge.taken() {
            return None;
        }
        let entry = |created, amount, fee, kind, category| {
            let currency = charge.currency;
            Some(Self {
                index,
                created,
                amount,
                fee,
                currency,
                kind,
                category,
            })
        };
        match index % ENTRY_SLOTS {
            0 => {
                let fee = charge.fee();
                entry(charge.created, charge.amount, fee, "charge", "charge")
            }
            DISPUTE_ENTRY => {
                let dispute = charge.dispute.as_ref()?;
                entry(
                    dispute.created,
                    -dispute.amount,
                    DISPUTE_FEE,
                    "adjustment",
                    "dispute",
                )
            }
            slot => {
                let refund = charge.refunds.get(slot as usize - 1)?;
                if refund.status == RefundStatus::Pending {
                    return None;
                }
                let category = if refund.release {
                    "partial_capture_reversal"
                } else {
                    "refund"
                };
                entry(refund.created, -refund.amount, 0, "refund", category)
            }
        }
    }
}

impl View<'_> {
    pub(crate) fn write_entry(
        &self,
        out: &mut String,
        entry: &Entry,
        charge: &Charge,
        expand: &Expand,
    ) {
        json::object(out, |o| self.entry_fields(o, entry, charge, expand));
    }

    fn entry_fields(&self, o: &mut Object<'_>, entry: &Entry, charge: &Charge, expand: &Expand) {
        o.int("amount", entry.amount);
        o.int("available_on", entry.created + 2 * 86_400);
        o.fixed(r#""balance_type":"payments""#);
        o.int("created", entry.created);
        o.text("currency", entry.currency.code());
        o.fixed(r#""description":null,"exchange_rate":null"#);
        o.int("fee", entry.fee);
        fee_details(o, entry);
        self.id_field(o, "id", Kind::BalanceTransaction, entry.index);
        o.int("net", entry.amount - entry.fee);
        o.fixed(r#""object":"balance_transaction""#);
        o.text("reporting_category", entry.category);
        self.source_field(o, entry, charge, expand);
        o.fixed(r#""status":"available""#);
        o.text("type", entry.kind);
    }

    fn source_field(&self, o: &mut Object<'_>, entry: &Entry, charge: &Charge, expand: &Expand) {
        let slot = entry.index % ENTRY_SLOTS;
        match (expand.get("source"), slot) {
            (Some(expand), 0) => {
                o.with("source", |out| self.write_charge(out, charge, expand));
            }
            (None, 0) => self.charge_id_field(o, "source", charge),
            (_, DISPUTE_ENTRY) => self.id_field(o, "source", Kind::Dispute, charge.index),
            _ => {
                let refund = charge.index * crate::book::REFUND_SLOTS + slot - 1;
                self.id_field(o, "source", Kind::Refund, refund);
            }
        }
    }

    /// `balance_transaction`, as an id or whole; null while nothing moved.
    pub(super) fn entry_field(
        &self,
        o: &mut Object<'_>,
        index: Option<u64>,
        charge: &Charge,
        expand: &Expand,
    ) {
        let key = "balance_transaction";
        let Some(index) = index else {
            o.null(key);
            return;
        };
        match expand
            .get(key)
            .and_then(|tree| Some((tree, Entry::of(charge, index)?)))
        {
            Some((expand, entry)) => {
                o.with(key, |out| self.write_entry(out, &entry, charge, expand));
            }
            None => self.id_field(o, key, Kind::BalanceTransaction, index),
        }
    }

    pub(super) fn write_dispute_entries(&self, out: &mut String, charge: &Charge) {
        let index = charge.index * ENTRY_SLOTS + DISPUTE_ENTRY;
        let warned = charge.dispute.as_ref().is_some_and(Dispute::is_warning);
        let entry = Entry::of(charge, index).filter(|_| !warned);
        json::array(out, entry, |out, entry| {
            self.write_entry(out, &entry, charge, Expand::nothing());
        });
    }

    /// `payment_intent`, as an id or whole.
    pub(super) fn payment_intent_field(
        &self,
        o: &mut Object<'_>,
        charge: &Charge,
        expand: &Expand,
    ) {
        let key = "payment_intent";
        let Some(index) = charge.payment_intent else {
            o.null(key);
            return;
        };
        match expand
            .get(key)
            .and_then(|tree| Some((tree, self.book.charge_of_intent(index)?)))
        {
            Some((expand, last)) => {
                o.with(key, |out| self.write_payment_intent(out, &last, expand));
            }
            None => self.id_field(o, key, Kind::PaymentIntent, index),
        }
    }

    /// The payment intent that `charge` ended.
    pub(crate) fn write_payment_intent(&self, out: &mut String, charge: &Charge, expand: &Expand) {
        json::object(out, |o| self.payment_intent_fields(o, charge, expand));
    }

    fn payment_intent_fields(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        let held = charge.held();
        let capturable = if held {
            charge.amount - charge.amount_captured
        } else {
            0
        };
        let status = match charge.status {
            ChargeStatus::Pending => "processing",
            ChargeStatus::Failed => "requires_payment_method",
            ChargeStatus::Succeeded if held => "requires_capture",
            ChargeStatus::Succeeded if charge.expired => "canceled",
            ChargeStatus::Succeeded => "succeeded",
        };
        o.int("amount", charge.amount);
        o.int("amount_capturable", capturable);
        o.fixed(r#""amount_details":{"tip":{}}"#);
        o.int("amount_received", charge.amount_captured);
        o.fixed(r#""application":null,"application_fee_amount":null"#);
        o.fixed(r#""automatic_payment_methods":{"enabled":true},"canceled_at":null"#);
        o.fixed(r#""cancellation_reason":null,"capture_method":"automatic""#);
        o.fixed(r#""client_secret":null,"confirmation_method":"automatic""#);
        o.int("created", charge.created);
        o.text("currency", charge.currency.code());
        self.customer_field(o, charge.customer, expand);
        o.fixed(r#""customer_account":null,"description":null"#);
        o.fixed(r#""excluded_payment_method_types":null"#);
        self.id_field(o, "id", Kind::PaymentIntent, charge.index);
        o.fixed(r#""last_payment_error":null"#);
        self.latest_charge_field(o, charge, expand);
        o.flag("livemode", self.account.livemode);
        o.fixed(r#""managed_payments":{"enabled":true}"#);
        let own = self.book.intent_metadata(charge.index);
        metadata(o, own.as_deref().unwrap_or(&charge.metadata));
        o.fixed(r#""next_action":null,"object":"payment_intent","on_behalf_of":null"#);
        self.id_field(o, "payment_method", Kind::PaymentMethod, charge.index);
        o.fixed(r#""payment_method_configuration_details":null,"payment_method_options":{}"#);
        o.fixed(r#""payment_method_types":["card"],"processing":null,"receipt_email":null"#);
        o.fixed(r#""review":null,"setup_future_usage":null,"shipping":null,"source":null"#);
        o.fixed(r#""statement_descriptor":null,"statement_descriptor_suffix":null"#);
        o.text("status", status);
        o.fixed(r#""transfer_data":null,"transfer_group":null"#);
    }

    fn latest_charge_field(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        match expand.get("latest_charge") {
            Some(expand) => {
                o.with("latest_charge", |out| {
                    self.write_charge(out, charge, expand);
                });
            }
            None => self.charge_id_field(o, "latest_charge", charge),
        }
    }
}

fn fee_details(o: &mut Object<'_>, entry: &Entry) {
    o.with("fee_details", |out| {
        json::array(out, (entry.fee != 0).then_some(entry.fee), |out, fee| {
            json::object(out, |o| {
                o.int("amount", fee)
                    .null("application")
                    .text("currency", entry.currency.code());
                o.text("description", "Stripe processing fees")
                    .text("type", "stripe_fee");
            });
        });
    });
}
