//! Checkout sessions and their items as Stripe writes them.

use super::{metadata, sublist};
use crate::book::LINE_SLOTS;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Line, Session};
use crate::view::View;

impl View<'_> {
    pub(crate) fn write_session(&self, out: &mut String, session: &Session, expand: &Expand) {
        let paid = self.book.session_paid(session);
        json::object(out, |o| {
            self.session_head(o, session, expand);
            self.session_tail(o, session, paid, expand);
        });
    }

    fn session_head(&self, o: &mut Object<'_>, session: &Session, expand: &Expand) {
        let subtotal: i64 = session.items.iter().map(|item| item.amount).sum();
        o.fixed(r#""adaptive_pricing":{"enabled":true},"after_expiration":null"#);
        o.fixed(r#""allow_promotion_codes":null"#);
        o.int("amount_subtotal", subtotal);
        o.int("amount_total", session.total());
        o.object("automatic_tax", |o| {
            o.fixed(r#""enabled":false,"liability":{"type":"account"},"provider":null"#);
            o.fixed(r#""status":null"#);
        });
        o.fixed(r#""billing_address_collection":null,"cancel_url":"https://example.com/cancel""#);
        o.fixed(r#""client_reference_id":null"#);
        o.fixed(r#""client_secret":null,"collected_information":null,"consent":null"#);
        o.fixed(r#""consent_collection":null"#);
        o.int("created", session.created);
        o.text("currency", session.currency.code());
        o.fixed(r#""currency_conversion":null,"custom_fields":[]"#);
        o.object("custom_text", |o| {
            o.fixed(r#""after_submit":null,"shipping_address":null,"submit":null"#);
            o.fixed(r#""terms_of_service_acceptance":null"#);
        });
        self.customer_field(o, session.customer, expand);
        o.fixed(r#""customer_account":null,"customer_creation":null"#);
        customer_details(o);
        o.fixed(r#""customer_email":null,"discounts":null"#);
        o.int("expires_at", session.created + 86_400);
        self.id_field(o, "id", Kind::Session, session.index);
        o.null("integration_identifier");
        match session.invoice {
            Some(invoice) => self.id_field(o, "invoice", Kind::Invoice, invoice),
            None => {
                o.null("invoice");
            }
        }
        o.null("invoice_creation");
        o.flag("livemode", self.account.livemode);
        o.fixed(r#""locale":null,"managed_payments":{"enabled":true}"#);
        metadata(o, &session.metadata);
        let mode = if session.invoice.is_some() {
            "subscription"
        } else {
            "payment"
        };
        o.text("mode", mode);
        o.fixed(r#""object":"checkout.session","origin_context":null"#);
        self.session_payment_intent(o, session, expand);
    }

    fn session_tail(&self, o: &mut Object<'_>, session: &Session, paid: bool, expand: &Expand) {
        let discount: i64 = session.items.iter().map(|item| item.discount).sum();
        o.fixed(r#""payment_link":null,"payment_method_collection":null"#);
        o.fixed(r#""payment_method_configuration_details":null,"payment_method_options":{}"#);
        o.fixed(r#""payment_method_types":["card"]"#);
        o.text("payment_status", if paid { "paid" } else { "unpaid" });
        o.fixed(r#""permissions":{"update_shipping_details":null}"#);
        o.fixed(r#""phone_number_collection":{"enabled":false},"recovered_from":null"#);
        o.object("saved_payment_method_options", |o| {
            o.fixed(r#""allow_redisplay_filters":null,"payment_method_remove":null"#);
            o.fixed(r#""payment_method_save":null"#);
        });
        o.fixed(r#""setup_intent":null,"shipping_address_collection":null,"shipping_cost":null"#);
        o.fixed(r#""shipping_options":[]"#);
        o.text("status", if paid { "complete" } else { "expired" });
        o.fixed(r#""submit_type":null,"subscription":null"#);
        o.fixed(r#""success_url":"https://example.com/success""#);
        o.object("total_details", |o| {
            o.int("amount_discount", discount);
            o.int("amount_shipping", session.shipping);
            o.fixed(r#""amount_tax":0"#);
        });
        o.fixed(r#""ui_mode":null"#);
        o.null("url");
        o.fixed(r#""wallet_options":{}"#);
        if let Some(expand) = expand.get("line_items") {
            let id = self.account.codec.encode(Kind::Session, session.index);
            let url = format!("/v1/checkout/sessions/{id}/line_items");
            let expand = expand.at("data");
            sublist(
                o,
                "line_items",
                &url,
                false,
                0..session.items.len(),
                |out, place| {
                    self.write_item(out, session, place, expand);
                },
            );
        }
    }

    fn session_payment_intent(&self, o: &mut Object<'_>, session: &Session, expand: &Expand) {
        match session.charge.and_then(|index| self.book.charge(index)) {
            Some(charge) => self.payment_intent_field(o, &charge, expand),
            None => {
                o.null("payment_intent");
            }
        }
    }

    /// Item `place` of `session`, which has it.
    pub(crate) fn write_item(
        &self,
        out: &mut String,
        session: &Session,
        place: usize,
        expand: &Expand,
    ) {
        let index = session.index * LINE_SLOTS + place as u64;
        let item = &session.items[place];
        json::object(out, |o| self.item_fields(o, session, (index, item), expand));
    }

    fn item_fields(
        &self,
        o: &mut Object<'_>,
        session: &Session,
        (index, item): (u64, &Line),
        expand: &Expand,
    ) {
        let description = self.line_description(item);
        o.fixed(r#""adjustable_quantity":{"enabled":true,"maximum":null,"minimum":null}"#);
        o.int("amount_discount", item.discount);
        o.int("amount_subtotal", item.amount);
        o.int("amount_tax", item.tax);
        o.int("amount_total", item.total());
        o.text("currency", session.currency.code());
        o.text("description", &description);
        self.id_field(o, "id", Kind::SessionItem, index);
        o.fixed(r#""metadata":null,"object":"item""#);
        self.price_object(o, item.price, expand);
        o.int_or_null("quantity", item.quantity);
        if let Some(decimal) = &item.quantity_decimal {
            o.text("quantity_decimal", decimal);
        }
    }
}

fn customer_details(o: &mut Object<'_>) {
    o.object("customer_details", |o| {
        o.object("address", |o| {
            o.fixed(r#""city":null,"country":null,"line1":null,"line2":null,"postal_code":null"#);
            o.fixed(r#""state":null"#);
        });
        o.fixed(r#""business_name":null,"email":"buyer@example.com","individual_name":null"#);
        o.fixed(r#""name":null,"phone":null,"tax_exempt":"none","tax_ids":null"#);
    });
}
