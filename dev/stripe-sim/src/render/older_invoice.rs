//! Invoices and their lines as versions up to `2025-02-24.acacia` write them.

use super::invoice::Sums;
use super::lines::{period, taxes};
use super::metadata;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::Object;
use crate::ledger::{Invoice, InvoiceStatus, Line};
use crate::view::View;

impl View<'_> {
    pub(super) fn older_invoice_fields(
        &self,
        o: &mut Object<'_>,
        invoice: &Invoice,
        sums: &Sums,
        expand: &Expand,
    ) {
        self.older_invoice_head(o, invoice, sums, expand);
        self.older_invoice_tail(o, invoice, sums);
    }

    fn older_invoice_head(
        &self,
        o: &mut Object<'_>,
        invoice: &Invoice,
        sums: &Sums,
        expand: &Expand,
    ) {
        let reason = if invoice.subscription {
            "subscription_cycle"
        } else {
            "manual"
        };
        o.fixed(r#""account_country":"US","account_name":null,"account_tax_ids":null"#);
        o.int("amount_due", sums.total);
        o.int("amount_paid", sums.paid);
        o.int("amount_remaining", sums.total - sums.paid);
        o.fixed(r#""amount_shipping":0,"application":null,"application_fee_amount":null"#);
        o.int("attempt_count", invoice.charges.len() as i64);
        o.flag("attempted", !invoice.charges.is_empty());
        o.fixed(r#""auto_advance":false"#);
        o.object("automatic_tax", |o| {
            o.fixed(r#""disabled_reason":null,"enabled":false,"liability":null,"status":null"#);
        });
        o.fixed(r#""automatically_finalizes_at":null"#);
        o.text("billing_reason", reason);
        self.invoice_charge_field(o, invoice, expand);
        o.fixed(r#""collection_method":"charge_automatically""#);
        o.int("created", invoice.created);
        o.text("currency", invoice.currency.code());
        o.fixed(r#""custom_fields":null"#);
        self.customer_field(o, Some(invoice.customer), expand);
        o.fixed(r#""customer_address":null,"customer_email":null,"customer_name":null"#);
        o.fixed(r#""customer_phone":null,"customer_shipping":null,"customer_tax_exempt":"none""#);
        o.fixed(r#""customer_tax_ids":[],"default_payment_method":null,"default_source":null"#);
        o.fixed(r#""default_tax_rates":[],"description":null,"discount":null,"discounts":[]"#);
        o.null("due_date");
        o.int("effective_at", invoice.created);
        o.fixed(r#""ending_balance":null,"footer":null,"from_invoice":null"#);
        o.fixed(r#""hosted_invoice_url":null"#);
        self.id_field(o, "id", Kind::Invoice, invoice.index);
        o.fixed(r#""invoice_pdf":null,"issuer":{"type":"self"},"last_finalization_error":null"#);
        o.fixed(r#""latest_revision":null"#);
        self.lines_field(o, invoice, expand);
        o.flag("livemode", self.account.livemode);
        metadata(o, &invoice.metadata);
        o.null("next_payment_attempt");
        o.fixed(r#""number":null,"object":"invoice","on_behalf_of":null"#);
        o.flag("paid", sums.status == InvoiceStatus::Paid);
        o.fixed(r#""paid_out_of_band":false"#);
        self.invoice_payment_intent_field(o, invoice, expand);
    }

    fn older_invoice_tail(&self, o: &mut Object<'_>, invoice: &Invoice, sums: &Sums) {
        o.object("payment_settings", |o| {
            o.fixed(r#""default_mandate":null,"payment_method_options":null"#);
            o.fixed(r#""payment_method_types":null"#);
        });
        o.int("period_end", invoice.created);
        o.int("period_start", invoice.created);
        o.fixed(r#""post_payment_credit_notes_amount":0,"pre_payment_credit_notes_amount":0"#);
        o.fixed(r#""quote":null,"receipt_number":null,"rendering":null,"shipping_cost":null"#);
        o.fixed(r#""shipping_details":null,"starting_balance":0,"statement_descriptor":null"#);
        o.text("status", sums.status.name());
        o.object("status_transitions", |o| {
            o.int_or_null("finalized_at", sums.finalized);
            o.fixed(r#""marked_uncollectible_at":null"#);
            o.int_or_null("paid_at", sums.paid_at);
            o.fixed(r#""voided_at":null"#);
        });
        self.subscription_field(o, invoice);
        o.object("subscription_details", |o| {
            if invoice.subscription {
                metadata(o, &invoice.subscription_metadata);
            } else {
                o.null("metadata");
            }
        });
        o.int("subtotal", sums.subtotal);
        o.int("subtotal_excluding_tax", sums.subtotal);
        o.fixed(r#""tax":null,"test_clock":null"#);
        o.int("total", sums.total);
        self.discount_amounts(o, "total_discount_amounts", sums.discount, invoice.index);
        o.int("total_excluding_tax", sums.total - sums.tax);
        o.fixed(r#""total_pretax_credit_amounts":null"#);
        taxes(o, "total_tax_amounts", sums.tax);
        o.fixed(r#""transfer_data":null"#);
        o.int("webhooks_delivered_at", invoice.created);
    }

    /// `charge`: the last of several, as far as is known.
    fn invoice_charge_field(&self, o: &mut Object<'_>, invoice: &Invoice, expand: &Expand) {
        match invoice
            .charges
            .last()
            .and_then(|&index| self.book.charge(index))
        {
            Some(charge) => self.charge_field(o, &charge, expand),
            None => {
                o.null("charge");
            }
        }
    }

    fn invoice_payment_intent_field(&self, o: &mut Object<'_>, invoice: &Invoice, expand: &Expand) {
        match invoice
            .charges
            .last()
            .and_then(|&index| self.book.charge(index))
        {
            Some(charge) => self.payment_intent_field(o, &charge, expand),
            None => {
                o.null("payment_intent");
            }
        }
    }

    pub(super) fn older_line_fields(
        &self,
        o: &mut Object<'_>,
        invoice: &Invoice,
        (index, line): (u64, &Line),
        expand: &Expand,
    ) {
        let description = self.line_description(line);
        o.int("amount", line.amount);
        o.int("amount_excluding_tax", line.amount);
        o.text("currency", invoice.currency.code());
        o.text("description", &description);
        self.discount_amounts(o, "discount_amounts", line.discount, invoice.index);
        o.fixed(r#""discountable":true,"discounts":[]"#);
        self.id_field(o, "id", Kind::InvoiceLine, index);
        self.id_field(o, "invoice", Kind::Invoice, invoice.index);
        o.fixed(r#""invoice_item":null"#);
        o.flag("livemode", self.account.livemode);
        metadata(o, &line.metadata);
        o.fixed(r#""object":"line_item""#);
        period(o, invoice);
        o.null("plan");
        self.pretax_credit_amounts(o, line, invoice.index);
        self.price_object(o, line.price, expand);
        o.flag("proration", line.proration);
        self.proration_details(o, invoice, line);
        o.int_or_null("quantity", line.quantity);
        self.subscription_field(o, invoice);
        taxes(o, "tax_amounts", line.tax);
        o.fixed(r#""tax_rates":[]"#);
        o.text(
            "type",
            if invoice.subscription {
                "subscription"
            } else {
                "invoiceitem"
            },
        );
        o.null("unit_amount_excluding_tax");
    }
}
