//! The products and prices that every generated account sells.
//!
//! Forty products with two prices each: one in US dollars and one in another currency. Some are
//! archived and two are deleted, and still stand on invoices. Nothing here can fail.

use std::borrow::Cow;

use super::Generator;
use crate::draw::{Domain, Draw};
use crate::ledger::{Currency, Price, Product};

pub(crate) const PRODUCTS: u64 = 40;
/// Generated prices; price `2p` and `2p + 1` belong to product `p`.
pub(crate) const PRICES: u64 = 80;
/// Seconds before the first charge at which the catalogue was made.
pub(crate) const CATALOGUE_AGE: i64 = 90 * 86_400;

const NAMES: [&str; 10] = [
    "Starter plan",
    "Team plan",
    "Enterprise plan",
    "T-shirt",
    "Café blend",
    "寿司セット",
    "Consulting hour",
    "Data add-on",
    "Support retainer",
    "Gift card 🎁",
];
const SLUGS: [&str; 10] = [
    "starter",
    "team",
    "enterprise",
    "t-shirt",
    "cafe-blend",
    "sushi-set",
    "consulting",
    "data",
    "support",
    "gift-card",
];
const CATEGORIES: [&str; 4] = ["software", "goods", "services", "food"];
const OTHER_CURRENCIES: [Currency; 3] = [Currency::EUR, Currency::GBP, Currency::JPY];

impl Generator {
    /// Product `index`, which is below [`PRODUCTS`].
    pub(crate) fn product(&self, index: u64) -> Product {
        let mut draw = self.draw(Domain::Product, index);
        let kind = (index % 10) as usize;
        let created = self.timeline.start() - CATALOGUE_AGE + index as i64 * 60;
        let deleted = index % 20 == 19;
        let mut metadata = Vec::new();
        if !deleted && index % 7 != 6 {
            let slug = format!("{}-{}", SLUGS[kind], index / 10);
            metadata.push((Cow::Borrowed("slug"), Cow::Owned(slug)));
            metadata.push((
                Cow::Borrowed("category"),
                Cow::Borrowed(draw.pick(&CATEGORIES)),
            ));
        }
        Product {
            index,
            created,
            updated: created,
            deleted,
            active: index % 9 != 8,
            name: Cow::Owned(format!("{} {}", NAMES[kind], index / 10 + 1)),
            metadata,
        }
    }

    /// Price `index`, which is below [`PRICES`].
    pub(crate) fn price(&self, index: u64) -> Price {
        let mut draw = self.draw(Domain::Price, index);
        let product = index / 2;
        let unit_amount = Self::draw_unit_amount(&mut draw);
        let tier = draw.pick(&["free", "pro", "enterprise"]);
        let mut metadata = Vec::new();
        if draw.chance(80) {
            metadata.push((Cow::Borrowed("tier"), Cow::Borrowed(tier)));
        }
        Price {
            index,
            created: self.timeline.start() - CATALOGUE_AGE + index as i64 * 30,
            product,
            active: index % 11 != 10 && product % 20 != 19,
            currency: price_currency(index),
            unit_amount,
            recurring: !product.is_multiple_of(3),
            metadata,
        }
    }

    /// What one unit costs at price `index`, without making the rest of the price.
    pub(crate) const fn unit_amount(&self, index: u64) -> i64 {
        Self::draw_unit_amount(&mut self.draw(Domain::Price, index))
    }

    const fn draw_unit_amount(draw: &mut Draw) -> i64 {
        draw.between(2, 120) * 100 - draw.below(2) as i64
    }

    /// A price in `currency` for a line.
    pub(crate) fn price_in(currency: Currency, draw: &mut Draw) -> u64 {
        let Some(place) = OTHER_CURRENCIES.iter().position(|&other| other == currency) else {
            return draw.below(PRODUCTS) * 2;
        };
        let candidates = (PRODUCTS - place as u64).div_ceil(3);
        (draw.below(candidates) * 3 + place as u64) * 2 + 1
    }
}

const fn price_currency(index: u64) -> Currency {
    if index.is_multiple_of(2) {
        Currency::USD
    } else {
        OTHER_CURRENCIES[((index / 2) % 3) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_a_price_in_its_currency() {
        let mut draw = Draw::new(1, Domain::Price, 0);
        for currency in [Currency::USD, Currency::EUR, Currency::GBP, Currency::JPY] {
            for _ in 0..200 {
                let price = Generator::price_in(currency, &mut draw);
                assert!(price < PRICES);
                assert_eq!(price_currency(price), currency);
            }
        }
    }
}
