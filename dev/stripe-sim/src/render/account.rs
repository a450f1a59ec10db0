//! The account itself as Stripe writes it.

use crate::json::{self, Object};
use crate::view::View;

impl View<'_> {
    pub(crate) fn write_account(&self, out: &mut String) {
        json::object(out, |o| self.account_fields(o));
    }

    fn account_fields(&self, o: &mut Object<'_>) {
        o.object("business_profile", |o| {
            o.fixed(r#""annual_revenue":null,"estimated_worker_count":null,"mcc":null"#);
            o.fixed(r#""minority_owned_business_designation":null,"name":null"#);
            o.fixed(r#""product_description":null"#);
            o.object("support_address", |o| {
                o.fixed(
                    r#""city":null,"country":null,"line1":null,"line2":null,"postal_code":null"#,
                );
                o.fixed(r#""state":null"#);
            });
            o.fixed(r#""support_email":null,"support_phone":null,"support_url":null,"url":null"#);
        });
        o.fixed(r#""business_type":null"#);
        o.fixed(r#""capabilities":{"card_payments":"active","transfers":"active"}"#);
        o.fixed(r#""charges_enabled":true"#);
        o.object("controller", |o| {
            o.fixed(r#""fees":{"payer":"account"},"is_controller":true"#);
            o.fixed(r#""losses":{"payments":"stripe"},"requirement_collection":"stripe""#);
            o.fixed(r#""stripe_dashboard":{"type":"full"},"type":"application""#);
        });
        o.fixed(r#""country":"US""#);
        o.int("created", self.account.created);
        o.fixed(r#""default_currency":"usd","details_submitted":true,"email":"site@stripe.com""#);
        o.object("external_accounts", |o| {
            o.fixed(r#""data":[],"has_more":false,"object":"list""#);
            o.text(
                "url",
                &format!("/v1/accounts/{}/external_accounts", self.account.id),
            );
        });
        o.object("future_requirements", |o| {
            o.fixed(r#""alternatives":[],"current_deadline":null,"currently_due":[]"#);
            o.fixed(r#""disabled_reason":null,"errors":[],"eventually_due":[],"past_due":[]"#);
            o.fixed(r#""pending_verification":[]"#);
        });
        o.text("id", &self.account.id);
        o.fixed(r#""metadata":{},"object":"account","payouts_enabled":true"#);
        o.object("requirements", |o| {
            o.fixed(r#""alternatives":[],"current_deadline":null,"currently_due":[]"#);
            o.fixed(r#""disabled_reason":null,"errors":[],"eventually_due":[],"past_due":[]"#);
            o.fixed(r#""pending_verification":[]"#);
        });
        settings(o);
        o.fixed(r#""tos_acceptance":{"date":null,"ip":null,"user_agent":null}"#);
        o.fixed(r#""type":"standard""#);
    }
}

fn settings(o: &mut Object<'_>) {
    o.object("settings", |o| {
        o.fixed(r#""bacs_debit_payments":{"display_name":null,"service_user_number":null}"#);
        o.fixed(
            r#""branding":{"icon":null,"logo":null,"primary_color":null,"secondary_color":null}"#,
        );
        o.fixed(r#""card_issuing":{"tos_acceptance":{"date":null,"ip":null}}"#);
        o.object("card_payments", |o| {
            o.fixed(r#""decline_on":{"avs_failure":true,"cvc_failure":true}"#);
            o.fixed(
                r#""statement_descriptor_prefix":null,"statement_descriptor_prefix_kana":null"#,
            );
            o.fixed(r#""statement_descriptor_prefix_kanji":null"#);
        });
        o.fixed(r#""dashboard":{"display_name":null,"timezone":"Etc/UTC"}"#);
        o.fixed(r#""invoices":{"default_account_tax_ids":null,"hosted_payment_method_save":null}"#);
        o.object("payments", |o| {
            o.fixed(r#""statement_descriptor":null,"statement_descriptor_kana":null"#);
            o.fixed(r#""statement_descriptor_kanji":null,"statement_descriptor_prefix_kana":null"#);
            o.fixed(r#""statement_descriptor_prefix_kanji":null"#);
        });
        o.object("payouts", |o| {
            o.fixed(r#""debit_negative_balances":true"#);
            o.fixed(
                r#""schedule":{"delay_days":2,"interval":"daily"},"statement_descriptor":null"#,
            );
        });
        o.fixed(r#""sepa_debit_payments":{}"#);
    });
}
