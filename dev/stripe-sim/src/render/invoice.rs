//! Invoices as Stripe writes them, in the newest shape.

use super::lines::taxes;
use super::metadata;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Charge, Invoice, InvoiceStatus};
use crate::view::View;

/// What both shapes of an invoice say, worked out once.
pub(super) struct Sums {
    pub(super) total: i64,
    pub(super) paid: i64,
    pub(super) subtotal: i64,
    pub(super) discount: i64,
    pub(super) tax: i64,
    pub(super) status: InvoiceStatus,
    pub(super) finalized: Option<i64>,
    pub(super) paid_at: Option<i64>,
}

impl View<'_> {
    pub(crate) fn write_invoice(&self, out: &mut String, invoice: &Invoice, expand: &Expand) {
        let sums = self.invoice_sums(invoice);
        json::object(out, |o| {
            if self.older() {
                self.older_invoice_fields(o, invoice, &sums, expand);
            } else {
                self.invoice_head(o, invoice, &sums, expand);
                self.invoice_tail(o, invoice, &sums, expand);
            }
        });
    }

    fn invoice_sums(&self, invoice: &Invoice) -> Sums {
        let status = self.book.invoice_status(invoice);
        let last = invoice
            .charges
            .last()
            .and_then(|&index| self.book.charge(index));
        let lines = &invoice.lines;
        Sums {
            total: invoice.total(),
            paid: self.book.invoice_paid(invoice),
            subtotal: lines.iter().map(|line| line.amount).sum(),
            discount: lines.iter().map(|line| line.discount).sum(),
            tax: lines.iter().map(|line| line.tax).sum(),
            status,
            finalized: (status != InvoiceStatus::Draft).then_some(invoice.created),
            paid_at: last
                .filter(|_| status == InvoiceStatus::Paid)
                .map(|charge| charge.created + 3),
        }
    }

    fn invoice_head(&self, o: &mut Object<'_>, invoice: &Invoice, sums: &Sums, expand: &Expand) {
        let number = format!("7FE1103-{:06}", invoice.index);
        let reason = if invoice.subscription {
            "subscription_cycle"
        } else {
            "manual"
        };
        o.fixed(r#""account_country":"US""#);
        o.null("account_name");
        o.fixed(r#""account_tax_ids":null"#);
        o.int("amount_due", sums.total);
        o.fixed(r#""amount_overpaid":0"#);
        o.int("amount_paid", sums.paid);
        o.int("amount_remaining", sums.total - sums.paid);
        o.fixed(r#""amount_shipping":0,"application":null"#);
        o.int("attempt_count", invoice.charges.len() as i64);
        o.flag("attempted", !invoice.charges.is_empty());
        o.fixed(r#""auto_advance":false"#);
        o.object("automatic_tax", |o| {
            o.fixed(r#""disabled_reason":null,"enabled":false,"liability":{"type":"account"}"#);
            o.fixed(r#""provider":null,"status":null"#);
        });
        o.fixed(r#""automatically_finalizes_at":null"#);
        o.text("billing_reason", reason);
        o.fixed(r#""collection_method":"charge_automatically""#);
        o.int("created", invoice.created);
        o.text("currency", invoice.currency.code());
        o.fixed(r#""custom_fields":null"#);
        self.customer_field(o, Some(invoice.customer), expand);
        o.fixed(r#""customer_account":null"#);
        o.object("customer_address", |o| {
            o.fixed(r#""city":null,"country":null,"line1":null,"line2":null,"postal_code":null"#);
            o.fixed(r#""state":null"#);
        });
        o.fixed(r#""customer_email":null,"customer_name":null,"customer_phone":null"#);
        o.fixed(r#""customer_shipping":null,"customer_tax_exempt":"none","customer_tax_ids":[]"#);
        o.fixed(r#""default_payment_method":null,"default_source":null,"default_tax_rates":[]"#);
        o.fixed(r#""description":null,"discounts":[],"due_date":null"#);
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
        o.text("number", &number);
        o.fixed(r#""object":"invoice","on_behalf_of":null"#);
    }

    fn invoice_tail(&self, o: &mut Object<'_>, invoice: &Invoice, sums: &Sums, expand: &Expand) {
        self.invoice_parent(o, invoice);
        o.object("payment_settings", |o| {
            o.fixed(r#""default_mandate":null"#);
            o.object("payment_method_options", |o| {
                o.fixed(r#""acss_debit":{},"bancontact":{"preferred_language":"fr"}"#);
                o.fixed(r#""card":{"request_three_d_secure":null}"#);
                o.fixed(r#""customer_balance":{"funding_type":null},"konbini":{},"payto":{}"#);
                o.fixed(r#""pix":{"amount_includes_iof":null},"sepa_debit":{},"upi":{}"#);
                o.fixed(r#""us_bank_account":{}"#);
            });
            o.fixed(r#""payment_method_types":null"#);
        });
        o.int("period_end", invoice.created);
        o.int("period_start", invoice.created);
        o.fixed(r#""post_payment_credit_notes_amount":0,"pre_payment_credit_notes_amount":0"#);
        o.fixed(r#""receipt_number":null"#);
        o.object("rendering", |o| {
            o.fixed(r#""amount_tax_display":null,"pdf":{"page_size":null},"template":null"#);
            o.fixed(r#""template_version":null"#);
        });
        o.fixed(r#""shipping_cost":null,"shipping_details":{},"starting_balance":0"#);
        o.fixed(r#""statement_descriptor":null"#);
        o.text("status", sums.status.name());
        o.object("status_transitions", |o| {
            o.int_or_null("finalized_at", sums.finalized);
            o.fixed(r#""marked_uncollectible_at":null"#);
            o.int_or_null("paid_at", sums.paid_at);
            o.fixed(r#""voided_at":null"#);
        });
        o.int("subtotal", sums.subtotal);
        o.int("subtotal_excluding_tax", sums.subtotal);
        o.fixed(r#""test_clock":null"#);
        o.int("total", sums.total);
        self.discount_amounts(o, "total_discount_amounts", sums.discount, invoice.index);
        o.int("total_excluding_tax", sums.total - sums.tax);
        o.fixed(r#""total_pretax_credit_amounts":null"#);
        taxes(o, "total_taxes", sums.tax);
        o.int("webhooks_delivered_at", invoice.created);
        if let Some(expand) = expand.get("payments") {
            self.payments_field(o, invoice, expand.at("data"));
        }
    }

    fn payments_field(&self, o: &mut Object<'_>, invoice: &Invoice, expand: &Expand) {
        let id = self.account.codec.encode(Kind::Invoice, invoice.index);
        let url = format!("/v1/invoice_payments?invoice={id}");
        let charges = invoice
            .charges
            .iter()
            .filter_map(|&index| self.book.charge(index));
        super::sublist(o, "payments", &url, false, charges, |out, charge| {
            self.write_invoice_payment(out, &charge, invoice, expand);
        });
    }

    pub(crate) fn write_invoice_payment(
        &self,
        out: &mut String,
        charge: &Charge,
        invoice: &Invoice,
        expand: &Expand,
    ) {
        json::object(out, |o| {
            self.invoice_payment_fields(o, charge, invoice, expand);
        });
    }

    fn invoice_payment_fields(
        &self,
        o: &mut Object<'_>,
        charge: &Charge,
        invoice: &Invoice,
        expand: &Expand,
    ) {
        let paid = charge.paid();
        let first = invoice.charges.first() == Some(&charge.index);
        o.int_or_null("amount_paid", paid.then_some(charge.amount));
        o.int("amount_requested", charge.amount);
        o.int("created", charge.created);
        o.text("currency", charge.currency.code());
        self.id_field(o, "id", Kind::InvoicePayment, charge.index);
        self.invoice_field(o, invoice, expand);
        o.flag("is_default", first);
        o.flag("livemode", self.account.livemode);
        o.fixed(r#""object":"invoice_payment""#);
        self.payment_field(o, charge, expand.at("payment"));
        o.text("status", if paid { "paid" } else { "open" });
        o.object("status_transitions", |o| {
            o.fixed(r#""canceled_at":null"#);
            o.int_or_null("paid_at", paid.then_some(charge.created + 3));
        });
    }

    fn invoice_field(&self, o: &mut Object<'_>, invoice: &Invoice, expand: &Expand) {
        match expand.get("invoice") {
            Some(expand) => {
                o.with("invoice", |out| self.write_invoice(out, invoice, expand));
            }
            None => self.id_field(o, "invoice", Kind::Invoice, invoice.index),
        }
    }

    fn payment_field(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        o.object("payment", |o| {
            if charge.payment_intent.is_some() {
                self.payment_intent_field(o, charge, expand);
                o.text("type", "payment_intent");
            } else {
                self.charge_id_field(o, "charge", charge);
                o.text("type", "charge");
            }
        });
    }

    fn invoice_parent(&self, o: &mut Object<'_>, invoice: &Invoice) {
        if !invoice.subscription {
            o.null("parent");
            return;
        }
        o.object("parent", |o| {
            o.null("quote_details");
            o.object("subscription_details", |o| {
                metadata(o, &invoice.subscription_metadata);
                self.subscription_field(o, invoice);
            });
            o.text("type", "subscription_details");
        });
    }
}
