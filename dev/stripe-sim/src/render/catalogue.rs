//! Products and prices as Stripe writes them.

use super::metadata;
use crate::expand::Expand;
use crate::id::Kind;
use crate::json::{self, Object};
use crate::ledger::{Price, Product};
use crate::view::View;

impl View<'_> {
    pub(crate) fn write_product(&self, out: &mut String, product: &Product, expand: &Expand) {
        json::object(out, |o| {
            if product.deleted {
                o.flag("deleted", true);
                self.id_field(o, "id", Kind::Product, product.index);
                o.text("object", "product");
            } else {
                self.product_fields(o, product, expand);
            }
        });
    }

    fn product_fields(&self, o: &mut Object<'_>, product: &Product, expand: &Expand) {
        o.flag("active", product.active);
        o.int("created", product.created);
        self.default_price_field(o, product, expand);
        o.fixed(r#""description":null"#);
        self.id_field(o, "id", Kind::Product, product.index);
        o.fixed(r#""images":[]"#);
        o.flag("livemode", self.account.livemode);
        o.fixed(r#""marketing_features":[]"#);
        metadata(o, &product.metadata);
        o.text("name", &product.name);
        o.fixed(r#""object":"product","package_dimensions":null,"shippable":null"#);
        o.fixed(r#""statement_descriptor":null,"tax_code":null,"type":"good","unit_label":null"#);
        o.int("updated", product.updated);
        o.fixed(r#""url":null"#);
    }

    fn default_price_field(&self, o: &mut Object<'_>, product: &Product, expand: &Expand) {
        let index = product.index * 2;
        let price = self.book.price(index);
        // A product made at run time has no place for a default price of its own.
        let price = price.filter(|price| price.product == product.index);
        match (price, expand.get("default_price")) {
            (Some(price), Some(expand)) => {
                o.with("default_price", |out| self.write_price(out, &price, expand));
            }
            (Some(_), None) => self.id_field(o, "default_price", Kind::Price, index),
            (None, _) => {
                o.null("default_price");
            }
        }
    }

    pub(crate) fn write_price(&self, out: &mut String, price: &Price, expand: &Expand) {
        json::object(out, |o| self.price_fields(o, price, expand));
    }

    fn price_fields(&self, o: &mut Object<'_>, price: &Price, expand: &Expand) {
        o.flag("active", price.active);
        o.fixed(r#""billing_scheme":"per_unit""#);
        o.int("created", price.created);
        o.text("currency", price.currency.code());
        o.fixed(r#""custom_unit_amount":null"#);
        self.id_field(o, "id", Kind::Price, price.index);
        o.flag("livemode", self.account.livemode);
        o.fixed(r#""lookup_key":null"#);
        metadata(o, &price.metadata);
        o.text(
            "nickname",
            if price.recurring {
                "Monthly"
            } else {
                "One-time"
            },
        );
        o.fixed(r#""object":"price""#);
        self.product_field(o, price.product, expand);
        self.recurring_field(o, price);
        o.fixed(r#""tax_behavior":"unspecified","tiers_mode":null,"transform_quantity":null"#);
        o.text(
            "type",
            if price.recurring {
                "recurring"
            } else {
                "one_time"
            },
        );
        o.int("unit_amount", price.unit_amount);
        o.text("unit_amount_decimal", &price.unit_amount.to_string());
    }

    fn recurring_field(&self, o: &mut Object<'_>, price: &Price) {
        if !price.recurring {
            o.null("recurring");
            return;
        }
        o.object("recurring", |o| {
            if self.older() {
                o.null("aggregate_usage");
            }
            o.fixed(r#""interval":"month","interval_count":1,"meter":null"#);
            o.fixed(r#""trial_period_days":null,"usage_type":"licensed""#);
        });
    }

    fn product_field(&self, o: &mut Object<'_>, index: u64, expand: &Expand) {
        match (self.book.product(index), expand.get("product")) {
            (Some(product), Some(expand)) => {
                o.with("product", |out| self.write_product(out, &product, expand));
            }
            _ => self.id_field(o, "product", Kind::Product, index),
        }
    }

    /// A line's `price`, always whole; null for a line without one.
    pub(super) fn price_object(&self, o: &mut Object<'_>, price: Option<u64>, expand: &Expand) {
        match price.and_then(|index| self.book.price(index)) {
            Some(price) => {
                o.with("price", |out| {
                    self.write_price(out, &price, expand.at("price"));
                });
            }
            None => {
                o.null("price");
            }
        }
    }
}
