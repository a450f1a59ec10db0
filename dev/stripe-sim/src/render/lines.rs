//! The lines of invoices and what hangs on them.

use super::{metadata, sublist};
use crate::book::LINE_SLOTS;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Invoice, Line};
use crate::view::View;

/// Lines that an invoice shows inline.
const INLINE: usize = 10;

impl View<'_> {
    pub(super) fn lines_field(&self, o: &mut Object<'_>, invoice: &Invoice, expand: &Expand) {
        let id = self.account.codec.encode(Kind::Invoice, invoice.index);
        let url = format!("/v1/invoices/{id}/lines");
        let expand = expand.at("lines").at("data");
        let shown = invoice.lines.len().min(INLINE);
        let more = invoice.lines.len() > shown;
        sublist(o, "lines", &url, more, 0..shown, |out, place| {
            self.write_line(out, invoice, place, expand);
        });
    }

    /// Line `place` of `invoice`, which has it.
    pub(crate) fn write_line(
        &self,
        out: &mut String,
        invoice: &Invoice,
        place: usize,
        expand: &Expand,
    ) {
        let index = invoice.index * LINE_SLOTS + place as u64;
        let line = (index, &invoice.lines[place]);
        json::object(out, |o| {
            if self.older() {
                self.older_line_fields(o, invoice, line, expand);
            } else {
                self.line_fields(o, invoice, line, expand);
            }
        });
    }

    fn line_fields(
        &self,
        o: &mut Object<'_>,
        invoice: &Invoice,
        (index, line): (u64, &Line),
        expand: &Expand,
    ) {
        let description = self.line_description(line);
        o.int("amount", line.amount);
        o.text("currency", invoice.currency.code());
        o.text("description", &description);
        self.discount_amounts(o, "discount_amounts", line.discount, invoice.index);
        o.fixed(r#""discountable":true,"discounts":[]"#);
        self.id_field(o, "id", Kind::InvoiceLine, index);
        self.id_field(o, "invoice", Kind::Invoice, invoice.index);
        o.flag("livemode", self.account.livemode);
        metadata(o, &line.metadata);
        o.fixed(r#""object":"line_item""#);
        self.line_parent(o, invoice, line, index);
        period(o, invoice);
        self.pretax_credit_amounts(o, line, invoice.index);
        self.pricing(o, line, expand);
        o.int_or_null("quantity", line.quantity);
        o.text_or_null("quantity_decimal", line.quantity_decimal.as_deref());
        self.subscription_field(o, invoice);
        o.int("subtotal", line.amount);
        taxes(o, "taxes", line.tax);
    }

    pub(super) fn line_description(&self, line: &Line) -> String {
        let product = line
            .price
            .and_then(|price| self.book.price(price))
            .and_then(|price| self.book.product(price.product));
        match product {
            Some(product) => format!("{} × {}", line.quantity.unwrap_or(1), product.name),
            None => "Manual adjustment".to_owned(),
        }
    }

    fn line_parent(&self, o: &mut Object<'_>, invoice: &Invoice, line: &Line, index: u64) {
        o.object("parent", |o| {
            if invoice.subscription {
                o.null("invoice_item_details");
                o.object("subscription_item_details", |o| {
                    o.null("invoice_item").flag("proration", line.proration);
                    self.proration_details(o, invoice, line);
                    self.subscription_field(o, invoice);
                    self.id_field(o, "subscription_item", Kind::SubscriptionItem, index);
                });
                o.text("type", "subscription_item_details");
            } else {
                o.object("invoice_item_details", |o| {
                    self.id_field(o, "invoice_item", Kind::InvoiceItem, index);
                    o.flag("proration", line.proration);
                    self.proration_details(o, invoice, line);
                    o.null("subscription");
                });
                o.null("subscription_item_details");
                o.text("type", "invoice_item_details");
            }
        });
    }

    fn pricing(&self, o: &mut Object<'_>, line: &Line, expand: &Expand) {
        let Some(price) = line.price.and_then(|price| self.book.price(price)) else {
            o.null("pricing");
            return;
        };
        let expand = expand.at("pricing").at("price_details").get("price");
        o.object("pricing", |o| {
            o.object("price_details", |o| {
                match expand {
                    Some(expand) => {
                        o.with("price", |out| self.write_price(out, &price, expand));
                    }
                    None => self.id_field(o, "price", Kind::Price, price.index),
                }
                self.id_field(o, "product", Kind::Product, price.product);
            });
            o.text("type", "price_details");
            o.text("unit_amount_decimal", &price.unit_amount.to_string());
        });
    }

    pub(super) fn subscription_field(&self, o: &mut Object<'_>, invoice: &Invoice) {
        if invoice.subscription {
            self.id_field(o, "subscription", Kind::Subscription, invoice.customer);
        } else {
            o.null("subscription");
        }
    }

    pub(super) fn discount_amounts(
        &self,
        o: &mut Object<'_>,
        key: &str,
        amount: i64,
        invoice: u64,
    ) {
        o.with(key, |out| {
            json::array(out, (amount != 0).then_some(amount), |out, amount| {
                json::object(out, |o| {
                    o.int("amount", amount);
                    let id = self.account.codec.encode(Kind::InvoiceItem, invoice);
                    o.text("discount", &id.replacen("ii_", "di_", 1));
                });
            });
        });
    }
}

impl View<'_> {
    /// What a proration credits: here, a line of the invoice itself stands for the earlier one.
    pub(super) fn proration_details(&self, o: &mut Object<'_>, invoice: &Invoice, line: &Line) {
        o.object("proration_details", |o| {
            if !line.credits {
                o.null("credited_items");
                return;
            }
            o.object("credited_items", |o| {
                self.id_field(o, "invoice", Kind::Invoice, invoice.index);
                let first = self
                    .account
                    .codec
                    .encode(Kind::InvoiceLine, invoice.index * LINE_SLOTS);
                o.with("invoice_line_items", |out| {
                    out.push_str("[\"");
                    out.push_str(&first);
                    out.push_str("\"]");
                });
            });
        });
    }

    /// Discounts stand here once more.
    pub(super) fn pretax_credit_amounts(&self, o: &mut Object<'_>, line: &Line, invoice: u64) {
        let entries = [
            ("discount", line.discount),
            ("credit_balance_transaction", line.credit),
        ];
        let entries = entries.into_iter().filter(|(_, amount)| *amount != 0);
        let id = self.account.codec.encode(Kind::InvoiceItem, invoice);
        o.with("pretax_credit_amounts", |out| {
            json::array(out, entries, |out, (kind, amount)| {
                let prefix = if kind == "discount" { "di_" } else { "cbtxn_" };
                json::object(out, |o| {
                    o.int("amount", amount);
                    o.text(kind, &id.replacen("ii_", prefix, 1));
                    o.text("type", kind);
                });
            });
        });
    }
}

pub(super) fn taxes(o: &mut Object<'_>, key: &str, amount: i64) {
    o.with(key, |out| {
        json::array(out, (amount != 0).then_some(amount), |out, amount| {
            json::object(out, |o| {
                o.int("amount", amount);
                o.fixed(r#""tax_behavior":"exclusive","tax_rate_details":null"#);
                o.fixed(r#""taxability_reason":"standard_rated","taxable_amount":null"#);
                o.fixed(r#""type":"tax_rate_details""#);
            });
        });
    });
}

pub(super) fn period(o: &mut Object<'_>, invoice: &Invoice) {
    o.object("period", |o| {
        let days = if invoice.subscription { 30 } else { 0 };
        o.int("end", invoice.created + days * 86_400)
            .int("start", invoice.created);
    });
}
