//! Refunds and disputes as Stripe writes them.

use crate::book::{ENTRY_SLOTS, REFUND_SLOTS};
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Charge, Dispute, Refund, RefundStatus};
use crate::view::View;

impl View<'_> {
    /// Refund `slot` of `charge`, which has it.
    pub(crate) fn write_refund(
        &self,
        out: &mut String,
        charge: &Charge,
        slot: usize,
        expand: &Expand,
    ) {
        let refund = &charge.refunds[slot];
        json::object(out, |o| {
            self.refund_fields(o, charge, (slot as u64, refund), expand);
        });
    }

    fn refund_fields(
        &self,
        o: &mut Object<'_>,
        charge: &Charge,
        (slot, refund): (u64, &Refund),
        expand: &Expand,
    ) {
        let index = charge.index * REFUND_SLOTS + slot;
        // Nothing was ever taken for a hold that lapsed, so nothing moves when it does.
        let moved = charge.taken() && refund.status != RefundStatus::Pending;
        let entry = moved.then_some(charge.index * ENTRY_SLOTS + 1 + slot);
        o.int("amount", refund.amount);
        self.entry_field(o, entry, charge, expand);
        self.charge_field(o, charge, expand);
        o.int("created", refund.created);
        o.text("currency", charge.currency.code());
        o.fixed(r#""customer":null,"customer_account":null"#);
        o.fixed(r#""destination_details":{"card":{"type":"reversal"},"type":"card"}"#);
        self.id_field(o, "id", Kind::Refund, index);
        o.fixed(r#""metadata":{},"object":"refund""#);
        self.payment_intent_field(o, charge, expand);
        let lapsed = refund.release && !charge.captured;
        o.null("payment_method");
        o.text_or_null("reason", lapsed.then_some("expired_uncaptured_charge"));
        o.null("receipt_number");
        o.fixed(r#""source_transfer_reversal":null"#);
        o.text("status", refund.status.name());
        o.fixed(r#""transfer_reversal":null"#);
    }

    /// The dispute of `charge`.
    pub(crate) fn write_dispute(
        &self,
        out: &mut String,
        charge: &Charge,
        dispute: &Dispute,
        expand: &Expand,
    ) {
        json::object(out, |o| self.dispute_fields(o, charge, dispute, expand));
    }

    fn dispute_fields(
        &self,
        o: &mut Object<'_>,
        charge: &Charge,
        dispute: &Dispute,
        expand: &Expand,
    ) {
        o.int("amount", dispute.amount);
        o.with("balance_transactions", |out| {
            self.write_dispute_entries(out, charge);
        });
        self.charge_field(o, charge, expand);
        o.int("created", dispute.created);
        o.text("currency", charge.currency.code());
        o.fixed(r#""enhanced_eligibility_types":["visa_compelling_evidence_3"]"#);
        evidence(o);
        o.object("evidence_details", |o| {
            o.int("due_by", dispute.created + 20 * 86_400);
            o.fixed(r#""enhanced_eligibility":{},"has_evidence":false,"past_due":false"#);
            o.fixed(r#""submission_count":0"#);
        });
        self.id_field(o, "id", Kind::Dispute, charge.index);
        o.fixed(r#""is_charge_refundable":true"#);
        o.flag("livemode", self.account.livemode);
        o.fixed(r#""metadata":{},"object":"dispute""#);
        self.payment_intent_field(o, charge, expand);
        o.object("payment_method_details", |o| {
            o.object("card", |o| {
                o.text("brand", charge.method.brand);
                o.fixed(r#""case_type":"inquiry""#);
                o.text("network", charge.method.brand);
                o.fixed(r#""network_reason_code":"10.4""#);
            });
            o.fixed(r#""type":"card""#);
        });
        o.text("reason", &dispute.reason);
        o.text("status", &dispute.status);
    }
}

fn evidence(o: &mut Object<'_>) {
    o.object("evidence", |o| {
        o.fixed(r#""access_activity_log":null,"billing_address":null"#);
        o.fixed(r#""cancellation_policy":null,"cancellation_policy_disclosure":null"#);
        o.fixed(r#""cancellation_rebuttal":null,"customer_communication":null"#);
        o.fixed(r#""customer_email_address":null,"customer_name":null"#);
        o.fixed(r#""customer_purchase_ip":null,"customer_signature":null"#);
        o.fixed(r#""duplicate_charge_documentation":null,"duplicate_charge_explanation":null"#);
        o.fixed(r#""duplicate_charge_id":null,"enhanced_evidence":{}"#);
        o.fixed(r#""product_description":null,"receipt":null,"refund_policy":null"#);
        o.fixed(r#""refund_policy_disclosure":null,"refund_refusal_explanation":null"#);
        o.fixed(r#""service_date":null,"service_documentation":null,"shipping_address":null"#);
        o.fixed(r#""shipping_carrier":null,"shipping_date":null,"shipping_documentation":null"#);
        o.fixed(r#""shipping_tracking_number":null,"uncategorized_file":null"#);
        o.fixed(r#""uncategorized_text":null"#);
    });
}
