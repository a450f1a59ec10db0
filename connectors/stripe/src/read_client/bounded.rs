//! Reads the values that rows are made of within bounds that every later step can hold: sums of many rows in 64 bits,
//! index entries, days that have a date.
//!
//! Stripe's own bounds are far narrower, so what lies beyond is a fault or an attack, and an object that shows it is
//! parked like one of an unknown shape. Fails with words that name what was expected, but for what is only shown: that is
//! missing then. Deliberately absent: a bound for the length of text that is only shown.

use common::money::Currency;
use serde::de::{DeserializeOwned, Error, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::purchase::Units;

/// Minor units. Stripe's largest amounts have twelve digits, and 900,000 of these still add up within 64 bits.
pub(super) const MAX_AMOUNT: i64 = 10_000_000_000_000;
/// Bytes of an id. "Object IDs will never exceed 255 characters" (docs.stripe.com/upgrades).
const MAX_ID_BYTES: usize = 255;
/// The last second of the year 9999, the last that RFC 3339 can write.
const MAX_TIMESTAMP: i64 = 253_402_300_799;

/// An id, which is never empty.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    check_id(String::deserialize(deserializer)?)
}

pub(super) fn check_id<E: Error>(id: String) -> Result<String, E> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        let found = format!("one of {} bytes", id.len());
        return Err(E::invalid_value(
            Unexpected::Other(&found),
            &"an id of 1 to 255 bytes",
        ));
    }
    Ok(id)
}

/// The id of what an event is about. An upcoming invoice has none.
pub(super) fn optional_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let id = Option::<String>::deserialize(deserializer)?;
    id.map(check_id).transpose()
}

/// An amount in minor units, 0 or more.
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let amount = i64::deserialize(deserializer)?;
    if (0..=MAX_AMOUNT).contains(&amount) {
        return Ok(amount);
    }
    Err(D::Error::invalid_value(
        Unexpected::Signed(amount),
        &"an amount of 0 to 10,000,000,000,000 minor units",
    ))
}

/// An amount in minor units that may be negative: a credit.
pub(super) fn signed_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    within_most(i64::deserialize(deserializer)?)
}

/// How many of something, where that is said.
pub(super) fn quantity<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let quantity = Option::<i64>::deserialize(deserializer)?;
    quantity.map(within_most).transpose()
}

/// The same with decimals.
pub(super) fn decimal_quantity<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Units>, D::Error> {
    let quantity = Option::<Units>::deserialize(deserializer)?;
    if let Some(quantity) = quantity {
        within_most::<D::Error>(quantity.rounded())?;
    }
    Ok(quantity)
}

fn within_most<E: Error>(number: i64) -> Result<i64, E> {
    if number.unsigned_abs() <= MAX_AMOUNT.unsigned_abs() {
        return Ok(number);
    }
    Err(E::invalid_value(
        Unexpected::Signed(number),
        &"a number of at most 10,000,000,000,000 either way",
    ))
}

/// When something was created, in seconds since 1970, UTC.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    within_time(i64::deserialize(deserializer)?)
}

/// The same where it may be missing.
pub(super) fn optional_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let seconds = Option::<i64>::deserialize(deserializer)?;
    seconds.map(within_time).transpose()
}

fn within_time<E: Error>(seconds: i64) -> Result<i64, E> {
    if (0..=MAX_TIMESTAMP).contains(&seconds) {
        return Ok(seconds);
    }
    Err(E::invalid_value(
        Unexpected::Signed(seconds),
        &"seconds since 1970, before the year 10000",
    ))
}

/// The same in the payload of an event, where it is a hint: what cannot be one is taken for missing.
pub(super) fn seconds_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let seconds = Value::deserialize(deserializer)?.as_i64();
    Ok(seconds.filter(|seconds| (0..=MAX_TIMESTAMP).contains(seconds)))
}

/// A value that is only shown. What cannot be one is taken for missing: an object is not worth parking for its name.
pub(super) fn shown<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    // Raw, since a number that nothing can hold would be an error.
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// An instant that is only shown, in seconds since 1970, UTC.
pub(super) fn shown_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let seconds: Option<i64> = shown(deserializer)?;
    Ok(seconds.filter(|seconds| (0..=MAX_TIMESTAMP).contains(seconds)))
}

/// A currency's code. ISO codes have three letters; room is left for codes to come.
pub(super) fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
    let code = String::deserialize(deserializer)?;
    let is_code = (3..=10).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_code {
        return Ok(Currency::new(&code));
    }
    let found = format!("one of {} bytes", code.len());
    Err(D::Error::invalid_value(
        Unexpected::Other(&found),
        &"a currency's code of three letters",
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Charge, Event, Invoice};
    use super::*;

    /// A charge with one field changed; what is wrong with it.
    fn charge_with(field: &str, value: Value) -> Option<String> {
        let mut charge: Value =
            serde_json::from_str(include_str!("../../fixtures/charge.json")).unwrap();
        charge[field] = value;
        let charge: Result<Charge, _> = serde_json::from_value(charge);
        charge.err().map(|error| error.to_string())
    }

    #[test]
    fn out_of_bounds_values_are_refused_with_the_expected_range() {
        for (field, value, expected) in [
            ("id", json!(""), "an id of 1 to 255 bytes"),
            ("id", json!("x".repeat(256)), "an id of 1 to 255 bytes"),
            ("payment_intent", json!("x".repeat(10_000)), "an id of 1"),
            ("customer", json!({"id": "x".repeat(10_000)}), "an id of 1"),
            ("amount", json!(i64::MAX), "an amount of 0 to"),
            ("amount_captured", json!(-1), "an amount of 0 to"),
            ("amount_refunded", json!(u64::MAX), "expected i64"),
            ("amount", json!(1e3), "expected i64"),
            ("created", json!(i64::MAX), "seconds since 1970"),
            ("created", json!(-1), "seconds since 1970"),
            ("currency", json!("a".repeat(100)), "a currency's code"),
            ("currency", json!(""), "a currency's code"),
            ("currency", json!("u$d"), "a currency's code"),
        ] {
            let error = charge_with(field, value.clone());
            let error = error.unwrap_or_else(|| panic!("{field} took {value}"));
            assert!(error.contains(expected), "{field}: {error}");
            assert!(error.len() < 200, "the value is not repeated: {error}");
        }
        for (field, value) in [
            ("id", json!("x".repeat(255))),
            ("amount", json!(MAX_AMOUNT)),
            ("created", json!(MAX_TIMESTAMP)),
            ("currency", json!("USD")),
            ("description", json!("x".repeat(100_000))),
        ] {
            assert_eq!(charge_with(field, value), None, "{field}");
        }
    }

    #[test]
    fn a_line_of_an_invoice_is_bounded_as_a_charge_is() {
        let invoice = |line: Value| {
            let invoice = json!({"id": "in_1", "created": 1, "lines": {"data": [line]}});
            serde_json::from_value::<Invoice>(invoice)
        };
        assert!(invoice(json!({"id": "il_1", "amount": -MAX_AMOUNT, "quantity": 0})).is_ok());
        assert!(invoice(json!({"id": "il_1", "amount": -MAX_AMOUNT - 1})).is_err());
        assert!(invoice(json!({"id": "il_1", "amount": 1, "quantity": i64::MAX})).is_err());
        let decimal = |quantity: &str| {
            invoice(json!({"id": "il_1", "amount": 1, "quantity_decimal": quantity}))
        };
        assert!(decimal("0.000000000001").is_ok());
        assert!(decimal("0.0000000000001").is_err());
        assert!(decimal("99999999999999").is_err());
        let price = "x".repeat(300);
        assert!(invoice(json!({"id": "il_1", "amount": 1, "price": {"id": price}})).is_err());
    }

    #[test]
    fn an_event_is_understood_whatever_its_payload_says_of_time() {
        for created in [
            json!(i64::MAX),
            json!(-1),
            json!("soon"),
            json!(null),
            json!(7),
        ] {
            let known = created.as_i64().filter(|seconds| *seconds == 7);
            let event = json!({"id": "evt_1", "created": 1, "type": "charge.updated",
                               "data": {"object": {"object": "charge", "id": "ch_1", "created": created}}});
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(event.data.object.created, known);
        }
    }
}
