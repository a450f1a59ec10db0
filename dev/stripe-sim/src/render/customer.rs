//! Customers as Stripe writes them, deleted ones as the stub that is left of them.

use super::metadata;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::Customer;
use crate::view::View;

impl View<'_> {
    pub(crate) fn write_customer(&self, out: &mut String, customer: &Customer) {
        json::object(out, |o| {
            if customer.deleted {
                o.flag("deleted", true);
                self.id_field(o, "id", Kind::Customer, customer.index);
                o.text("object", "customer");
            } else {
                self.customer_fields(o, customer);
            }
        });
    }

    fn customer_fields(&self, o: &mut Object<'_>, customer: &Customer) {
        let email = format!("customer{}@example.com", customer.index);
        o.object("address", |o| {
            o.fixed(r#""city":null"#);
            o.text("country", customer.country);
            o.fixed(r#""line1":null,"line2":null,"postal_code":null,"state":null"#);
        });
        o.fixed(r#""balance":0"#);
        o.int("created", customer.created);
        o.fixed(r#""currency":"usd","default_source":null,"delinquent":false"#);
        o.fixed(r#""description":null,"discount":null"#);
        o.text("email", &email);
        self.id_field(o, "id", Kind::Customer, customer.index);
        o.fixed(r#""invoice_prefix":"7FE1103""#);
        o.object("invoice_settings", |o| {
            o.fixed(r#""custom_fields":null,"default_payment_method":null,"footer":null"#);
            o.fixed(r#""rendering_options":{"amount_tax_display":null,"template":null}"#);
        });
        o.flag("livemode", self.account.livemode);
        metadata(o, &customer.metadata);
        o.text("name", &customer.name);
        o.fixed(r#""next_invoice_sequence":1,"object":"customer","phone":null"#);
        o.fixed(r#""preferred_locales":[],"shipping":null,"tax_exempt":"none""#);
        o.fixed(r#""test_clock":null"#);
    }

    /// `customer`, as an id or whole.
    pub(super) fn customer_field(
        &self,
        o: &mut Object<'_>,
        customer: Option<u64>,
        expand: &Expand,
    ) {
        let Some(index) = customer else {
            o.null("customer");
            return;
        };
        match expand
            .get("customer")
            .and_then(|_| self.book.customer(index))
        {
            Some(customer) => {
                o.with("customer", |out| self.write_customer(out, &customer));
            }
            None => self.id_field(o, "customer", Kind::Customer, index),
        }
    }
}
