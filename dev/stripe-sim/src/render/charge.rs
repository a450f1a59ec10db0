//! Charges as Stripe writes them.

use super::metadata;
use crate::book::ENTRY_SLOTS;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Charge, ChargeStatus, Method, Purchase};
use crate::view::View;

/// Refunds that a charge shows inline, newest first.
const INLINE_REFUNDS: usize = 10;

impl View<'_> {
    pub(crate) fn write_charge(&self, out: &mut String, charge: &Charge, expand: &Expand) {
        json::object(out, |o| self.charge_fields(o, charge, expand));
    }

    fn charge_fields(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        let failed = charge.status == ChargeStatus::Failed;
        let refunded = charge.amount_refunded();
        o.int("amount", charge.amount);
        o.int("amount_captured", charge.amount_captured);
        o.int("amount_refunded", refunded);
        o.fixed(r#""application":null,"application_fee":null,"application_fee_amount":null"#);
        self.balance_transaction_field(o, charge, expand);
        self.billing_details(o, charge);
        o.fixed(r#""calculated_statement_descriptor":"Stripe""#);
        o.flag("captured", charge.captured);
        o.int("created", charge.created);
        o.text("currency", charge.currency.code());
        self.customer_field(o, charge.customer, expand);
        o.text_or_null("description", description(charge));
        o.flag("disputed", charge.dispute.is_some());
        o.fixed(r#""failure_balance_transaction":null"#);
        o.text_or_null("failure_code", failed.then_some("card_declined"));
        o.text_or_null(
            "failure_message",
            failed.then_some("Your card was declined."),
        );
        o.fixed(r#""fraud_details":{}"#);
        self.charge_id_field(o, "id", charge);
        o.flag("livemode", self.account.livemode);
        metadata(o, &charge.metadata);
        o.fixed(r#""object":"charge","on_behalf_of":null"#);
        outcome(o, charge);
        o.flag("paid", charge.paid());
        if self.older() {
            self.charge_invoice_field(o, charge, expand);
        }
        self.payment_intent_field(o, charge, expand);
        self.id_field(o, "payment_method", Kind::PaymentMethod, charge.index);
        method_details(o, charge, self.older());
        o.fixed(r#""receipt_email":null,"receipt_number":null,"receipt_url":null"#);
        o.flag("refunded", refunded >= charge.amount);
        self.refunds_field(o, charge, expand);
        o.fixed(r#""review":null,"shipping":null,"source":null"#);
        o.text_or_null("source_transfer", charge.source_transfer.as_deref());
        o.fixed(r#""statement_descriptor":null,"statement_descriptor_suffix":null"#);
        o.text("status", charge.status.name());
        o.fixed(r#""transfer_data":null,"transfer_group":null"#);
    }

    pub(super) fn charge_id_field(&self, o: &mut Object<'_>, key: &str, charge: &Charge) {
        o.with(key, |out| {
            out.push('"');
            self.write_charge_id(charge, out);
            out.push('"');
        });
    }

    /// `charge`, as an id or whole.
    pub(super) fn charge_field(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        match expand.get("charge") {
            Some(expand) => {
                o.with("charge", |out| self.write_charge(out, charge, expand));
            }
            None => self.charge_id_field(o, "charge", charge),
        }
    }

    fn balance_transaction_field(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        self.entry_field(
            o,
            charge.taken().then_some(charge.index * ENTRY_SLOTS),
            charge,
            expand,
        );
    }

    fn billing_details(&self, o: &mut Object<'_>, charge: &Charge) {
        o.object("billing_details", |o| {
            o.object("address", |o| {
                o.fixed(r#""city":null"#);
                let known = !charge.method.at_a_terminal();
                o.text_or_null("country", known.then_some(charge.method.country));
                o.fixed(r#""line1":null,"line2":null,"postal_code":null,"state":null"#);
            });
            o.fixed(r#""email":null,"name":null,"phone":null"#);
            if !self.older() {
                o.null("tax_id");
            }
        });
    }

    fn charge_invoice_field(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        let invoice = match charge.purchase {
            Purchase::Invoice(index) => self.book.invoice(index),
            Purchase::Nothing | Purchase::Session(_) => None,
        };
        match (invoice, expand.get("invoice")) {
            (None, _) => {
                o.null("invoice");
            }
            (Some(invoice), Some(expand)) => {
                o.with("invoice", |out| self.write_invoice(out, &invoice, expand));
            }
            (Some(invoice), None) => self.id_field(o, "invoice", Kind::Invoice, invoice.index),
        }
    }

    fn refunds_field(&self, o: &mut Object<'_>, charge: &Charge, expand: &Expand) {
        let Some(expand) = expand.get("refunds") else {
            return;
        };
        let url = format!("/v1/charges/{}/refunds", self.charge_id(charge));
        let expand = expand.at("data");
        let listed = charge.listed_refunds();
        let more = listed.len() > INLINE_REFUNDS;
        let newest = listed.into_iter().rev().take(INLINE_REFUNDS);
        super::sublist(o, "refunds", &url, more, newest, |out, slot| {
            self.write_refund(out, charge, slot, expand);
        });
    }
}

const fn description(charge: &Charge) -> Option<&'static str> {
    match charge.purchase {
        Purchase::Invoice(_) => Some("Payment for invoice"),
        Purchase::Session(_) => None,
        Purchase::Nothing => Some("One-off payment"),
    }
}

fn outcome(o: &mut Object<'_>, charge: &Charge) {
    o.object("outcome", |o| {
        o.fixed(r#""advice_code":null,"network_advice_code":null,"network_decline_code":null"#);
        if charge.status == ChargeStatus::Failed {
            o.fixed(r#""network_status":"declined_by_network","reason":"generic_decline""#);
            o.fixed(r#""risk_level":"normal""#);
            o.fixed(r#""seller_message":"The bank did not return any further details.""#);
            o.fixed(r#""type":"issuer_declined""#);
        } else {
            o.fixed(r#""network_status":"approved_by_network","reason":null"#);
            o.fixed(r#""risk_level":"normal","seller_message":"Payment complete.""#);
            o.fixed(r#""type":"authorized""#);
        }
    });
}

fn method_details(o: &mut Object<'_>, charge: &Charge, older: bool) {
    let method = charge.method;
    let last4 = format!("{:04}", method.last4);
    o.object("payment_method_details", |o| {
        o.object(method.kind, |o| match method.kind {
            "card" => card(o, method, &last4, older),
            "sepa_debit" => {
                o.fixed(r#""bank_code":"37040044","branch_code":null"#);
                o.text("country", method.country);
                o.fixed(r#""fingerprint":"qi2jWlSVcBdgH8yG""#);
                o.text("last4", &last4);
                o.null("mandate");
            }
            "card_present" | "interac_present" => {
                o.text("brand", method.brand);
                o.text("country", method.country);
                o.fixed(r#""exp_month":8,"exp_year":2030,"funding":"debit""#);
                o.text("last4", &last4);
                o.fixed(r#""read_method":"contact_emv","receipt":{"account_type":"checking"}"#);
            }
            "klarna" => {
                o.object("payer_details", |o| {
                    o.object("address", |o| {
                        o.text("country", method.country);
                    });
                });
                o.fixed(r#""payment_method_category":"pay_later","preferred_locale":"en-US""#);
            }
            "amazon_pay" => {
                o.object("funding", |o| {
                    o.object("card", |o| {
                        o.text("brand", method.brand);
                        o.text("country", method.country);
                        o.text("last4", &last4);
                    });
                    o.text("type", "card");
                });
            }
            "us_bank_account" => {
                o.fixed(r#""account_holder_type":"company","bank_name":"TEST BANK""#);
                o.text("last4", &last4);
            }
            _ => {
                o.text("country", method.country);
            }
        });
        o.text("type", method.kind);
    });
}

fn card(o: &mut Object<'_>, method: Method, last4: &str, older: bool) {
    o.fixed(r#""amount_authorized":null,"authorization_code":null"#);
    o.text("brand", method.brand);
    o.object("checks", |o| {
        o.fixed(r#""address_line1_check":null,"address_postal_code_check":null"#);
        o.fixed(r#""cvc_check":"pass""#);
    });
    o.text("country", method.country);
    o.fixed(r#""exp_month":8,"exp_year":2030"#);
    o.fixed(r#""extended_authorization":{"status":"disabled"}"#);
    o.fixed(r#""fingerprint":"AOB934RVNwzk6xtn","funding":"credit""#);
    o.fixed(r#""incremental_authorization":{"status":"unavailable"},"installments":null"#);
    o.text("last4", last4);
    o.fixed(r#""mandate":null,"multicapture":{"status":"unavailable"}"#);
    o.text("network", method.brand);
    o.fixed(r#""network_token":null,"network_transaction_id":null"#);
    o.fixed(r#""overcapture":{"maximum_amount_capturable":100,"status":"unavailable"}"#);
    o.fixed(r#""regulated_status":null"#);
    o.object("three_d_secure", |o| {
        o.fixed(r#""authentication_flow":null,"electronic_commerce_indicator":null"#);
        o.fixed(r#""exemption_indicator":null,"result":null,"result_reason":null"#);
        o.fixed(r#""transaction_id":null,"version":null"#);
    });
    if !older {
        o.null("transaction_link_id");
    }
    o.null("wallet");
}
