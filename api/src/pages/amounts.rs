//! The amounts of conditions as people write them: in major units, such as 20.00.
//!
//! REST compares an amount in minor units, whatever the currency of a charge: 2000 is 20.00 of a currency with two decimals, and
//! 2,000 of one without any. Pages write it with the decimals of the currency in which the account has most charges, and say in
//! brackets what it is in those of its currencies that have other decimals.
//!
//! Which these are is asked only where something is about amounts. Fails when PostgreSQL does.

use common::connection::Connection;
use common::filter::{Condition, Field, Operator, Scalar};
use common::money::{Currency, Money};
use common::tenant::OrganizationId;
use stripe::analytics::{RefundsBy, Selection, report};

use super::address::Address;
use super::entered_amount::{InvalidAmount, parse_any, written};
use super::format::LocaleFormat;
use super::question::{self, CONNECTION};
use crate::problem::ApiError;
use crate::state::ApiState;

/// The short form of a condition on the amount.
pub(super) const PARAMETER: &str = "field.amount";

/// How amounts of an account are written and read for one reader.
#[derive(Debug, Clone)]
pub(super) struct Amounts {
    locale: LocaleFormat,
    /// Whose decimals amounts have.
    unit: Currency,
    /// The account's currencies with other decimals.
    others: Vec<Currency>,
}

impl Amounts {
    /// Of an account with charges in these currencies, the one with most of them first.
    pub(super) fn new(currencies: &[Currency], locale: LocaleFormat) -> Self {
        let unit = currencies.first().cloned();
        let unit = unit.unwrap_or_else(|| Currency::new("usd"));
        let others = currencies
            .iter()
            .filter(|it| it.exponent() != unit.exponent());
        Self {
            others: others.cloned().collect(),
            locale,
            unit,
        }
    }

    /// Of the charges of a connection.
    pub(super) async fn of_account(
        state: &ApiState,
        connection: &Connection,
        locale: &LocaleFormat,
    ) -> Result<Self, ApiError> {
        let all = Selection {
            organization_id: connection.organization_id.clone(),
            connection_id: connection.connection_id.clone(),
            date_from: None,
            date_to: None,
            currency: None,
            predicates: Vec::new(),
            refunds_by: RefundsBy::Charge,
        };
        let mut totals = report::report(&state.pool, &all, None, None, &[])
            .await?
            .totals;
        totals.sort_by_key(|total| std::cmp::Reverse(total.charges));
        let currencies = totals.iter().map(|total| Currency::new(&total.currency));
        Ok(Self::new(&currencies.collect::<Vec<_>>(), locale.clone()))
    }

    /// Of the connection that an address is about; those of two decimals where none of its conditions is about amounts.
    pub(super) async fn in_conditions(
        state: &ApiState,
        organization: &OrganizationId,
        address: &Address,
        locale: &LocaleFormat,
    ) -> Result<Self, ApiError> {
        if address
            .pairs()
            .iter()
            .any(|(name, value)| is_about_amounts(name, value))
        {
            let connection = address.retaining(|name| name == CONNECTION);
            let read = question::read(state, organization, &connection, |_| ()).await?;
            if let Some((question, ())) = read {
                return Self::of_account(state, question.connection(), locale).await;
            }
        }
        Ok(Self::new(&[], locale.clone()))
    }

    /// The same with the decimals of this currency.
    pub(super) fn in_unit(&self, unit: &Currency) -> Self {
        let mut all = vec![unit.clone(), self.unit.clone()];
        all.extend(self.others.iter().cloned());
        Self::new(&all, self.locale.clone())
    }

    /// Whose decimals amounts have.
    pub(super) fn unit(&self) -> &Currency {
        &self.unit
    }

    /// The minor units that a text means.
    pub(super) fn read(&self, text: &str) -> Result<i64, InvalidAmount> {
        parse_any(text, &self.unit, &self.locale)
    }

    /// Minor units as a field has them, which [`Self::read`] reads.
    pub(super) fn written(&self, minor: i64) -> String {
        written(minor, &self.unit, &self.locale)
    }

    /// The same in a list, which is separated by commas.
    pub(super) fn written_in_list(&self, minor: i64) -> String {
        let currency = self.unit.clone();
        Money { minor, currency }.decimal()
    }

    /// An amount that is compared with charges of every currency: `20.00 (2,000 JPY)`.
    pub(super) fn words(&self, minor: i64) -> String {
        let amount = self.locale.amount(minor.into(), self.unit.exponent());
        let others = self.others.iter();
        let others: Vec<String> = others.map(|it| self.locale.minor(minor, it)).collect();
        if others.is_empty() {
            amount
        } else {
            format!("{amount} ({})", others.join(", "))
        }
    }

    /// What a value of a condition is, in words.
    pub(super) fn scalar_words(&self, scalar: &Scalar) -> String {
        match minor_of(scalar) {
            Some(minor) => self.words(minor),
            None => format!("{} of the smallest unit", scalar.text()),
        }
    }

    /// What to enter.
    pub(super) fn hint(&self) -> String {
        format!("In the charge’s currency, such as {}.", self.words(1000))
    }
}

/// The minor units of a value; none of one that is no whole number.
pub(super) fn minor_of(scalar: &Scalar) -> Option<i64> {
    scalar.text().parse().ok()
}

/// Whether a comparison is one of amounts, and not one of their digits.
pub(super) fn compares_amounts(subject: &str, operator: Operator) -> bool {
    let by_digits = matches!(
        operator,
        Operator::Contains
            | Operator::NotContains
            | Operator::StartsWith
            | Operator::EndsWith
            | Operator::Regex
    );
    subject == Field::Amount.as_str() && !by_digits && !operator.takes_no_value()
}

/// Whether a condition is about amounts.
pub(super) fn is_of_amounts(condition: &Condition) -> bool {
    matches!(condition, Condition::Field(it) if it.field == Field::Amount)
}

/// Whether a parameter of an address can be about amounts.
fn is_about_amounts(name: &str, value: &str) -> bool {
    name == PARAMETER || value == PARAMETER || (name == "filter" && value.contains("\"amount\""))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn amounts(codes: &[&str]) -> Amounts {
        let currencies: Vec<Currency> = codes.iter().map(|code| Currency::new(code)).collect();
        Amounts::new(&currencies, LocaleFormat::of_reader(&HeaderMap::new()))
    }

    #[test]
    fn an_amount_is_said_in_the_decimals_of_each_currency_of_the_account() {
        for (codes, said) in [
            (&[][..], "20.00"),
            (&["usd", "eur", "gbp"], "20.00"),
            (&["usd", "eur", "jpy"], "20.00 (2,000\u{a0}JPY)"),
            (
                &["usd", "jpy", "kwd"],
                "20.00 (2,000\u{a0}JPY, 2.000\u{a0}KWD)",
            ),
            (&["jpy"], "2,000"),
            (
                &["jpy", "usd", "eur"],
                "2,000 (20.00\u{a0}USD, 20.00\u{a0}EUR)",
            ),
        ] {
            assert_eq!(amounts(codes).words(2000), said);
        }
    }

    #[test]
    fn an_amount_is_read_with_the_decimals_in_which_it_is_written() {
        for (codes, text, minor) in [
            (&["usd", "jpy"][..], "20.00", 2000),
            (&["usd", "jpy"], "20", 2000),
            (&["usd"], "0", 0),
            (&["jpy", "usd"], "2000", 2000),
            (&["kwd"], "2", 2000),
        ] {
            assert_eq!(amounts(codes).read(text), Ok(minor), "{text}");
        }
        assert!(amounts(&["jpy", "usd"]).read("20.00").is_err());
        let fixed = amounts(&["jpy", "usd"]).in_unit(&Currency::new("usd"));
        assert_eq!(fixed.read("20.00"), Ok(2000));
        assert_eq!(fixed.words(2000), "20.00 (2,000\u{a0}JPY)");
    }
}
