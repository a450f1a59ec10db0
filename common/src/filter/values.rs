//! Which values a condition may compare with.
//!
//! A value that a field can never have is a mistake: the condition would hold for no charge, or for every one,
//! and the answer would look like a fact. Such a value is refused when a rule or a filter is written. It is not
//! refused in a rule that an earlier version stored; such a rule is read, and matches nothing, as before.
//!
//! `currency`, `country`, `livemode` and `disputed` take any case, and `amount` any spelling of a whole number. Their values are
//! written here as charges store them, once, before either interpreter sees them.
//!
//! Deliberately absent: lists of the currencies and countries that exist, which change, and of the values of
//! `status`, `dispute_status` and `payment_method`, which Stripe extends.

use bigdecimal::ToPrimitive as _;

use super::{
    Condition, Field, FieldCondition, INVALID_REQUEST, Invalid, Operand, Operator, Scalar, number,
};

/// Digits of the largest amount that is looked for; any number of so many digits is an `i64`.
const MAX_AMOUNT_DIGITS: u32 = 18;

impl Field {
    /// Whether some value of the field may be a number, so that `gt` and its like can hold.
    fn can_be_number(self) -> bool {
        match self {
            Self::Amount
            | Self::Description
            | Self::CustomerId
            | Self::ProductId
            | Self::PriceId => true,
            Self::Currency
            | Self::Status
            | Self::Country
            | Self::PaymentMethod
            | Self::Livemode
            | Self::SourceTransfer
            | Self::Disputed
            | Self::DisputeStatus => false,
        }
    }

    /// What a value must be, where the text is none that the field can have.
    fn refusal(self, operator: Operator, text: &str) -> Option<&'static str> {
        let part = operator.compares_parts();
        let letters = |most: usize| {
            let least = if part { 1 } else { most };
            (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic())
        };
        let (possible, wanted) = match (self, part) {
            (Self::Currency, false) => (
                letters(3),
                "must be a currency code of three letters, such as usd",
            ),
            (Self::Currency, true) => (
                letters(3),
                "must be one to three letters of a currency code, such as us",
            ),
            (Self::Country, false) => (
                letters(2),
                "must be a country code of two letters, such as DE",
            ),
            (Self::Country, true) => (
                letters(2),
                "must be one or two letters of a country code, such as D",
            ),
            (Self::Livemode | Self::Disputed, _) => (
                text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
                "must be true or false",
            ),
            (Self::Amount, false) => (
                whole_number(text).is_some(),
                "must be a whole number of minor units, such as 1000",
            ),
            (Self::Amount, true) => (is_digits(text), "must be digits, such as 99"),
            (
                Self::Status
                | Self::Description
                | Self::CustomerId
                | Self::ProductId
                | Self::PriceId
                | Self::PaymentMethod
                | Self::SourceTransfer
                | Self::DisputeStatus,
                _,
            ) => return None,
        };
        (!possible).then_some(wanted)
    }

    /// The text of a value as charges store the field.
    pub(super) fn stored_text(self, operator: Operator, value: &Scalar) -> String {
        let text = value.text();
        match self {
            Self::Currency | Self::Livemode | Self::Disputed => text.to_ascii_lowercase(),
            Self::Country => text.to_ascii_uppercase(),
            // A part that is text may begin with zeros.
            Self::Amount if !operator.compares_parts() || !matches!(value, Scalar::Text(_)) => {
                whole_number(&text).map_or(text, |number| number.to_string())
            }
            _ => text,
        }
    }

    /// Whether the case of a value does not matter.
    pub(super) fn takes_any_case(self) -> bool {
        matches!(
            self,
            Self::Currency | Self::Country | Self::Livemode | Self::Disputed
        )
    }
}

impl Operator {
    fn compares_numbers(self) -> bool {
        matches!(self, Self::Gt | Self::Gte | Self::Lt | Self::Lte)
    }

    /// Whether its value is compared with a part of the text.
    fn compares_parts(self) -> bool {
        matches!(
            self,
            Self::Contains | Self::NotContains | Self::StartsWith | Self::EndsWith
        )
    }
}

/// The whole number that a text is in any spelling; 1000.0 and 1e3 are 1000.
fn whole_number(text: &str) -> Option<i64> {
    let number = number::parse(text)?;
    let bounded = number.abs() < 10_i64.pow(MAX_AMOUNT_DIGITS);
    (bounded && number.is_integer())
        .then(|| number.to_i64())
        .flatten()
}

fn is_digits(text: &str) -> bool {
    (1..=MAX_AMOUNT_DIGITS as usize).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
}

/// What is wrong with the value of a condition that someone wrote just now.
pub(super) fn check(condition: &Condition, pointer: &str) -> Vec<Invalid> {
    let (field, operator, value) = match condition {
        Condition::Field(FieldCondition {
            field,
            operator,
            value,
        }) => (Some(*field), *operator, value),
        Condition::Metadata(metadata) => (None, metadata.operator, &metadata.value),
    };
    let refuse = |member: &str, detail: String| Invalid {
        pointer: format!("{pointer}/{member}"),
        code: INVALID_REQUEST,
        detail,
    };
    if operator.compares_numbers() {
        if let Some(field) = field.filter(|field| !field.can_be_number()) {
            let detail = format!(
                "`{}` compares numbers, and `{}` is never a number",
                operator.as_str(),
                field.as_str()
            );
            return vec![refuse("operator", detail)];
        }
        let is_number = match value {
            Some(Operand::One(value)) => number::is_number(&value.text()),
            _ => true,
        };
        return (!is_number)
            .then(|| refuse("value", "must be a number, such as 99.5".to_owned()))
            .into_iter()
            .collect();
    }
    let Some(field) = field.filter(|_| operator != Operator::Regex) else {
        return Vec::new();
    };
    let check = |member: &str, value: &Scalar| {
        let wanted = field.refusal(operator, &field.stored_text(operator, value))?;
        Some(refuse(member, wanted.to_owned()))
    };
    match value {
        Some(Operand::One(value)) => check("value", value).into_iter().collect(),
        Some(Operand::Many(values)) => values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| check(&format!("value/{index}"), value))
            .collect(),
        None => Vec::new(),
    }
}
