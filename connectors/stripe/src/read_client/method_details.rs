//! How a charge was paid, as far as it is kept: the type of the method, and the country that its details tell.
//!
//! Stripe keeps the details of a method under its type's name (`card`, `card_present`, `sepa_debit`, …), and more types come
//! with every version. A country stands in the details themselves, in the card that funds a wallet,
//! or in the payer's address. What the details show otherwise is never a reason to park a charge.
//! Source: `stripe/_charge.py` of stripe-python 16.1.0.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::bounded;

/// The type of a payment method, and its country.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MethodDetails {
    /// `card`, `sepa_debit`, …
    pub kind: Option<String>,
    /// Two-letter code: of the card's issuer, the bank account, or the payer.
    pub country: Option<String>,
}

/// What is read of an object; of anything that is no object, nothing.
trait FromObject: Default {
    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Self, A::Error>;
}

struct AnyShape<T>(PhantomData<T>);

impl<'de, T: FromObject> Visitor<'de> for AnyShape<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::from_object(object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Ok(T::default())
    }
}

/// A country where it stands in details, or deeper in them.
#[derive(Default)]
struct Country {
    own: Option<String>,
    deeper: Option<String>,
}

impl FromObject for Country {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut found = Self::default();
        while let Some(key) = object.next_key()? {
            match key {
                Key::Country => found.own = object.next_value::<Text>()?.0,
                Key::Deeper => {
                    let Self { own, deeper } = object.next_value()?;
                    found.deeper = found.deeper.or(own).or(deeper);
                }
                Key::Other => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape(PhantomData))
    }
}

/// Keys of details, none of which is copied.
enum Key {
    Country,
    /// What may have a country in it: the card that funds a wallet, the payer's address.
    Deeper,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "country" => Key::Country,
                    "funding" | "card" | "payer_details" | "address" => Key::Deeper,
                    _ => Key::Other,
                })
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

/// Text that is not empty; anything else is none.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = bounded::shown::<String, D>(deserializer)?;
        Ok(Self(text.filter(|text| !text.is_empty())))
    }
}

impl FromObject for MethodDetails {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut found = Self::default();
        let mut of_others = None;
        let mut countries: Vec<(String, Option<String>)> = Vec::new();
        while let Some(key) = object.next_key::<String>()? {
            if key == "type" {
                found.kind = object.next_value::<Text>()?.0;
            } else {
                let Country { own, deeper } = object.next_value()?;
                let country = own.or(deeper);
                of_others = of_others.or_else(|| country.clone());
                countries.push((key, country));
            }
        }
        // Details of several types would be an oddity; those of the charge's own are meant then.
        let own = countries
            .into_iter()
            .find(|(key, _)| found.kind.as_ref() == Some(key));
        found.country = own.and_then(|(_, country)| country).or(of_others);
        Ok(found)
    }
}

impl<'de> Deserialize<'de> for MethodDetails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_country_is_found_wherever_a_method_has_it() {
        let country = |details: Value| {
            let details: MethodDetails = serde_json::from_str(&details.to_string()).unwrap();
            details.country
        };
        for (kind, details) in [
            ("card", json!({"country": "DE", "brand": "visa"})),
            (
                "card_present",
                json!({"country": "DE", "receipt": {"account_type": "credit"}}),
            ),
            ("interac_present", json!({"country": "DE"})),
            ("sepa_debit", json!({"country": "DE", "mandate": null})),
            ("link", json!({"country": "DE"})),
            ("paypal", json!({"country": "DE", "payer_id": "1"})),
            (
                "amazon_pay",
                json!({"funding": {"type": "card", "card": {"country": "DE"}}}),
            ),
            (
                "revolut_pay",
                json!({"country": null, "funding": {"card": {"country": "DE"}}}),
            ),
            (
                "klarna",
                json!({"payer_details": {"address": {"country": "DE"}}}),
            ),
            ("invented_pay", json!({"country": "DE", "moods": [1, 2]})),
        ] {
            let found = country(json!({kind: details, "type": kind}));
            assert_eq!(found.as_deref(), Some("DE"), "{kind}");
        }
        for none in [
            json!({"type": "us_bank_account", "us_bank_account": {"bank_name": "B"}}),
            json!({"type": "card", "card": null}),
            json!({"type": "card", "card": {"country": ""}}),
            json!({"type": "card", "card": {"country": 7}}),
            json!({"type": "odd", "odd": "text"}),
            json!({}),
        ] {
            assert_eq!(country(none.clone()), None, "{none}");
        }
        let two = json!({"ideal": {"country": "NL"}, "sepa_debit": {"country": "DE"}, "type": "sepa_debit"});
        assert_eq!(country(two).as_deref(), Some("DE"));
    }
}
