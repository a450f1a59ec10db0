//! Products, prices, coupons and promotion codes.

use serde_json::{Value, json};

use super::Shown;
use crate::billing::{Coupon, Discount, Off, Price, Product, PromotionCode};

impl Shown<'_> {
    pub(super) fn product(&self, product: &Product) -> Value {
        let price = product.default_price.map(|it| &self.billing.prices[it].id);
        json!({
            "active": product.active,
            "created": product.created,
            "default_price": price,
            "description": product.description,
            "id": product.id,
            "images": [],
            "livemode": self.livemode,
            "marketing_features": [],
            "metadata": product.metadata,
            "name": product.name,
            "object": "product",
            "package_dimensions": null,
            "shippable": null,
            "statement_descriptor": null,
            "tax_code": null,
            "type": "service",
            "unit_label": null,
            "updated": product.updated,
            "url": null,
        })
    }

    pub(crate) fn price(&self, price: &Price) -> Value {
        let recurring = price.recurring.map(|it| {
            let mut shown = json!({
                "interval": it.interval.name(),
                "interval_count": it.count,
                "meter": null,
                "trial_period_days": null,
                "usage_type": "licensed",
            });
            if self.older() {
                super::with(&mut shown, json!({ "aggregate_usage": null }));
            }
            shown
        });
        json!({
            "active": price.active,
            "billing_scheme": "per_unit",
            "created": price.created,
            "currency": price.currency.code(),
            "custom_unit_amount": null,
            "id": price.id,
            "livemode": self.livemode,
            "lookup_key": price.lookup_key,
            "metadata": price.metadata,
            "nickname": price.nickname,
            "object": "price",
            "product": self.billing.products[price.product].id,
            "recurring": recurring,
            "tax_behavior": "unspecified",
            "tiers_mode": null,
            "transform_quantity": null,
            "type": if price.recurring.is_some() { "recurring" } else { "one_time" },
            "unit_amount": price.unit_amount,
            "unit_amount_decimal": price.unit_amount.to_string(),
        })
    }

    /// The plan that a price was once.
    pub(super) fn plan(&self, price: &Price) -> Value {
        let Some(recurring) = price.recurring else {
            return Value::Null;
        };
        json!({
            "active": price.active,
            "aggregate_usage": null,
            "amount": price.unit_amount,
            "amount_decimal": price.unit_amount.to_string(),
            "billing_scheme": "per_unit",
            "created": price.created,
            "currency": price.currency.code(),
            "id": price.id,
            "interval": recurring.interval.name(),
            "interval_count": recurring.count,
            "livemode": self.livemode,
            "metadata": price.metadata,
            "meter": null,
            "nickname": price.nickname,
            "object": "plan",
            "product": self.billing.products[price.product].id,
            "tiers_mode": null,
            "transform_usage": null,
            "trial_period_days": null,
            "usage_type": "licensed",
        })
    }

    pub(crate) fn coupon(&self, coupon: &Coupon) -> Value {
        let (share, amount, currency) = match coupon.off {
            Off::Share(share) => (Some(share as f64 / 100.0), None, None),
            Off::Amount(amount, currency) => (None, Some(amount), Some(currency)),
        };
        json!({
            "amount_off": amount,
            "created": coupon.created,
            "currency": currency.as_ref().map(crate::ledger::Currency::code),
            "duration": if coupon.forever { "forever" } else { "once" },
            "duration_in_months": null,
            "id": coupon.id,
            "livemode": self.livemode,
            "max_redemptions": null,
            "metadata": coupon.metadata,
            "name": coupon.name,
            "object": "coupon",
            "percent_off": share,
            "redeem_by": null,
            "times_redeemed": 0,
            "valid": true,
        })
    }

    pub(super) fn promotion_code(&self, code: &PromotionCode) -> Value {
        let coupon = &self.billing.coupons[code.coupon];
        let mut shown = json!({
            "active": code.active,
            "code": code.code,
            "created": code.created,
            "customer": null,
            "expires_at": null,
            "id": code.id,
            "livemode": self.livemode,
            "max_redemptions": null,
            "metadata": {},
            "object": "promotion_code",
            "restrictions": {
                "first_time_transaction": false,
                "minimum_amount": null,
                "minimum_amount_currency": null,
            },
            "times_redeemed": 0,
        });
        if self.older() {
            super::with(&mut shown, json!({ "coupon": self.coupon(coupon) }));
        } else {
            let promotion = json!({ "coupon": coupon.id, "type": "coupon" });
            super::with(&mut shown, json!({ "promotion": promotion }));
        }
        shown
    }

    pub(crate) fn discount(&self, discount: &Discount, subscription: &str) -> Value {
        let coupon = &self.billing.coupons[discount.coupon];
        let code = discount.promotion_code;
        let mut shown = json!({
            "checkout_session": null,
            "end": null,
            "id": discount.id,
            "object": "discount",
            "promotion_code": code.map(|it| &self.billing.promotion_codes[it].id),
            "start": discount.start,
            "subscription": subscription,
        });
        if self.older() {
            super::with(&mut shown, json!({ "coupon": self.coupon(coupon) }));
        } else {
            let source = json!({ "coupon": coupon.id, "type": "coupon" });
            super::with(&mut shown, json!({ "source": source }));
        }
        shown
    }
}
