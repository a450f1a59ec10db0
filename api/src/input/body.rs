//! JSON bodies.

use std::ops::RangeInclusive;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use common::lifecycle::http::Limit;
use common::money::Currency;
use http_body_util::LengthLimitError;
use platform::ledger::fee::{BasisPoints, InvalidPercent};
use serde_json::{Map, Value};

use super::{INSTANT, date, instant};
use crate::SERVER;
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;

/// The longest body that is read. 50 conditions of 1,000 values of 500 characters would be longer; a
/// rule that long belongs into metadata.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The largest amount of money in a request, in minor units: Stripe takes twelve digits at most.
pub(crate) const MAX_AMOUNT: i64 = 999_999_999_999;

#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<ApiState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        parse(&read_body(request.into_body(), state, MAX_BODY_BYTES).await?).map(Self)
    }
}

/// The whole body. The limit on its time is for all of it, since a client that sends a byte now and then is never
/// idle.
pub(crate) async fn read_body(
    body: Body,
    state: &ApiState,
    max_bytes: usize,
) -> Result<Bytes, ApiError> {
    let limit = state.limits.body;
    let read = tokio::time::timeout(limit, axum::body::to_bytes(body, max_bytes)).await;
    let Ok(read) = read else {
        Limit::Body.count(SERVER);
        return Err(ApiError::BodyTimeout {
            limit_secs: limit.as_secs(),
        });
    };
    read.map_err(|cause| {
        if cause.into_inner().is::<LengthLimitError>() {
            return too_large(max_bytes);
        }
        ApiError::MalformedJson {
            detail: "it ended before its declared length".to_owned(),
        }
    })
}

/// Refuses a body that says that it is too long before any of it is read.
pub(crate) fn check_content_length(body: &Body, max_bytes: usize) -> Result<(), ApiError> {
    let announced = body.size_hint().lower();
    if announced > max_bytes as u64 {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

fn too_large(limit_bytes: usize) -> ApiError {
    Limit::BodyBytes.count(SERVER);
    ApiError::TooLarge { limit_bytes }
}

fn parse(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Err(ApiError::MalformedJson {
            detail: "it is empty".to_owned(),
        });
    }
    serde_json::from_slice(body).map_err(|cause| ApiError::MalformedJson {
        detail: cause.to_string(),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
    else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads the members of a body that is an object, collecting what is wrong with them.
#[derive(Debug)]
#[must_use = "problems are reported by `finish`"]
pub(crate) struct Fields {
    members: Map<String, Value>,
    problems: Vec<FieldError>,
}

impl FromRequest<ApiState> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let JsonBody(value) = JsonBody::from_request(request, state).await?;
        Ok(Self::of(value))
    }
}

/// The same, where no body at all means an empty object.
#[derive(Debug)]
pub(crate) struct OptionalFields(pub(crate) Fields);

impl FromRequest<ApiState> for OptionalFields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let body = read_body(request.into_body(), state, MAX_BODY_BYTES).await?;
        if body.is_empty() {
            return Ok(Self(Fields::of(Value::Object(Map::new()))));
        }
        if !json {
            return Err(ApiError::UnsupportedMediaType);
        }
        parse(&body).map(|value| Self(Fields::of(value)))
    }
}

impl Fields {
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::Object(members) => Self {
                members,
                problems: Vec::new(),
            },
            _ => Self {
                members: Map::new(),
                problems: vec![FieldError::at("", "must be an object")],
            },
        }
    }

    /// Notes a problem with a member.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        let name = name.replace('~', "~0").replace('/', "~1");
        self.problems
            .push(FieldError::at(format!("/{name}"), detail));
    }

    /// Takes a member; null is as good as missing.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text of 1 to `max_chars` characters.
    pub(crate) fn text(&mut self, name: &str, max_chars: usize) -> Option<String> {
        let value = self.take(name)?;
        let Value::String(text) = value else {
            self.refuse(name, "must be a string");
            return None;
        };
        let chars = text.chars().count();
        let problem = if chars == 0 {
            "must not be empty".to_owned()
        } else if chars > max_chars {
            format!("must have at most {max_chars} characters and has {chars}")
        } else if text.contains('\0') {
            "must not have the character U+0000".to_owned()
        } else {
            return Some(text);
        };
        self.refuse(name, problem);
        None
    }

    /// Takes a text that may be cleared: the outer option says whether it was given.
    #[expect(
        clippy::option_option,
        reason = "missing, cleared and given are three answers"
    )]
    pub(crate) fn text_or_null(&mut self, name: &str, max_chars: usize) -> Option<Option<String>> {
        if self.members.get(name).is_some_and(Value::is_null) {
            self.members.remove(name);
            return Some(None);
        }
        self.text(name, max_chars).map(Some)
    }

    /// Takes a text that must be given.
    pub(crate) fn required_text(&mut self, name: &str, max_chars: usize) -> Option<String> {
        if self.is_missing(name) {
            return None;
        }
        self.text(name, max_chars)
    }

    /// Takes a whole number within a range.
    pub(crate) fn integer(&mut self, name: &str, range: RangeInclusive<i32>) -> Option<i32> {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        let number = self.whole_number(name, "a whole number", range)?;
        i32::try_from(number).ok()
    }

    /// Takes an amount of money in minor units, which is more than 0.
    pub(crate) fn amount(&mut self, name: &str) -> Option<i64> {
        self.whole_number(name, "a whole number of minor units", 1..=MAX_AMOUNT)
    }

    /// Takes what is called `kind`, within a range of which an `f64` holds every whole number exactly.
    fn whole_number(&mut self, name: &str, kind: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.take(name)?;
        let (min, max) = (range.start(), range.end());
        // JSON has one number type, so 30.0 is the whole number 30.
        let whole = value.as_f64().filter(|number| number.fract() == 0.0);
        let Some(whole) = whole else {
            self.refuse(name, format!("must be {kind} from {min} to {max}"));
            return None;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole, and out of range it is refused"
        )]
        let number = whole as i64;
        if !range.contains(&number) {
            self.refuse(name, format!("must be from {min} to {max} and is {value}"));
            return None;
        }
        Some(number)
    }

    /// Takes an amount of money that must be given.
    pub(crate) fn required_amount(&mut self, name: &str) -> Option<i64> {
        if self.is_missing(name) {
            return None;
        }
        self.amount(name)
    }

    /// Takes a currency that must be given, in lower case as it is answered.
    pub(crate) fn required_currency(&mut self, name: &str) -> Option<Currency> {
        let code = self.required_text(name, 3)?;
        if code.len() != 3 || !code.bytes().all(|letter| letter.is_ascii_lowercase()) {
            self.refuse(
                name,
                "must be a currency's three letters in lower case, such as usd",
            );
            return None;
        }
        Some(Currency::new(&code))
    }

    /// Takes a percentage that must be given, and that null clears.
    pub(crate) fn percent_or_null(&mut self, name: &str) -> Option<BasisPoints> {
        let percent = match self.members.remove(name) {
            Some(Value::Null) => return None,
            Some(Value::Number(number)) => number.to_string().parse(),
            Some(_) => Err(InvalidPercent),
            None => {
                self.refuse(name, "is missing");
                return None;
            }
        };
        if let Err(cause) = &percent {
            self.refuse(name, format!("{cause}, or null"));
        }
        percent.ok()
    }

    /// Takes a list whose items `read` understands.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        detail: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(name)?;
        let items = value.as_array();
        let items = items.and_then(|items| items.iter().map(read).collect());
        if items.is_none() {
            self.refuse(name, detail);
        }
        items
    }

    /// Whether a member that must be given is not, which is noted.
    pub(crate) fn is_missing(&mut self, name: &str) -> bool {
        if self.members.get(name).is_some_and(|value| !value.is_null()) {
            return false;
        }
        self.members.remove(name);
        self.refuse(name, "is missing");
        true
    }

    /// Takes a number from `least` to 1.
    pub(crate) fn share(&mut self, name: &str, least: f64) -> Option<f64> {
        let value = self.take(name)?;
        let Some(share) = value.as_f64() else {
            self.refuse(name, format!("must be a number from {least} to 1"));
            return None;
        };
        if !(least..=1.0).contains(&share) {
            self.refuse(name, format!("must be from {least} to 1 and is {value}"));
            return None;
        }
        Some(share)
    }

    /// Takes an instant.
    pub(crate) fn instant(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let value = self.take(name)?;
        let instant = value.as_str().and_then(instant);
        if instant.is_none() {
            self.refuse(name, INSTANT);
        }
        instant
    }

    /// Takes a date that must be given.
    pub(crate) fn required_date(&mut self, name: &str) -> Option<NaiveDate> {
        let text = self.required_text(name, 100)?;
        match date(&text) {
            Ok(date) => Some(date),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_bool().is_none() {
            self.refuse(name, "must be true or false");
        }
        value.as_bool()
    }

    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        let found = choices
            .iter()
            .find(|(text, _)| value.as_str() == Some(text));
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
            self.refuse(name, format!("must be one of {}", names.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// Takes the name of a time zone.
    pub(crate) fn timezone(&mut self, name: &str) -> Option<chrono_tz::Tz> {
        let text = self.text(name, 64)?;
        let zone = text.parse().ok();
        if zone.is_none() {
            self.refuse(
                name,
                "must be the name of an IANA time zone, such as Europe/Berlin",
            );
        }
        zone
    }

    /// Tells all problems; what nobody took is unknown.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        let unknown: Vec<String> = self.members.keys().cloned().collect();
        for name in unknown {
            self.refuse(&name, "unknown field");
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_errors_are_reported_with_pointers() {
        let mut fields = Fields::of(json!({
            "days": 0, "zone": "Mars/Base", "on": "yes", "share": 0, "kind": "c", "a/b~": 1, "name": ""
        }));
        fields.integer("days", 1..=3650);
        fields.timezone("zone");
        fields.boolean("on");
        fields.share("share", 0.01);
        fields.choice("kind", &[("a", 1), ("b", 2)]);
        fields.text("name", 10);
        fields.required_text("key", 10);
        let Err(ApiError::Invalid { errors, .. }) = fields.finish() else {
            panic!("must be invalid")
        };
        let pointers: Vec<_> = errors.iter().filter_map(|e| e.pointer.as_deref()).collect();
        assert_eq!(
            pointers,
            [
                "/days", "/zone", "/on", "/share", "/kind", "/name", "/key", "/a~1b~0"
            ]
        );
    }

    #[test]
    fn each_refusal_has_one_cause() {
        let long = "x".repeat(11);
        for (member, detail) in [
            (json!({"name": ""}), "must not be empty"),
            (
                json!({"name": long}),
                "must have at most 10 characters and has 11",
            ),
            (
                json!({"name": "a\u{0}"}),
                "must not have the character U+0000",
            ),
            (json!({"name": 1}), "must be a string"),
            (json!({"days": "3"}), "must be a whole number from 1 to 5"),
            (json!({"days": 1.5}), "must be a whole number from 1 to 5"),
            (json!({"days": 6}), "must be from 1 to 5 and is 6"),
            (json!({"share": "x"}), "must be a number from 0.01 to 1"),
            (json!({"share": 0}), "must be from 0.01 to 1 and is 0"),
        ] {
            let mut fields = Fields::of(member.clone());
            fields.text("name", 10);
            fields.integer("days", 1..=5);
            fields.share("share", 0.01);
            let Err(ApiError::Invalid { errors, .. }) = fields.finish() else {
                panic!("{member} is refused")
            };
            assert_eq!(errors[0].detail, detail, "{member}");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_decimal() {
        let mut fields = Fields::of(json!({"days": 30.0}));
        assert_eq!(fields.integer("days", 1..=3650), Some(30));
    }

    #[test]
    fn an_amount_is_a_whole_number_of_minor_units_and_a_currency_lower_case() {
        let read = |amount: Value, currency: &str| {
            let mut fields = Fields::of(json!({"amount": amount, "currency": currency}));
            let amount = fields.required_amount("amount");
            let currency = fields.required_currency("currency");
            fields
                .finish()
                .ok()
                .map(|()| (amount.unwrap(), currency.unwrap()))
        };
        let usd = Currency::new("usd");
        assert_eq!(read(json!(1), "usd"), Some((1, usd.clone())));
        assert_eq!(read(json!(MAX_AMOUNT), "usd"), Some((MAX_AMOUNT, usd)));
        for amount in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!("1"),
            json!(1e30),
            json!(null),
        ] {
            assert_eq!(read(amount.clone(), "usd"), None, "{amount}");
        }
        for currency in ["", "USD", "us", "usdd", "u1d"] {
            assert_eq!(read(json!(1), currency), None, "{currency}");
        }
    }

    #[test]
    fn a_percentage_is_given_or_cleared() {
        let read = |body: Value| {
            let mut fields = Fields::of(body);
            let percent = fields.percent_or_null("percent");
            fields.finish().ok().map(|()| percent.map(BasisPoints::get))
        };
        assert_eq!(read(json!({})), None);
        assert_eq!(read(json!({"percent": null})), Some(None));
        for (percent, basis_points) in [(json!(12.5), 1_250), (json!(10), 1_000), (json!(0.01), 1)]
        {
            assert_eq!(read(json!({"percent": percent})), Some(Some(basis_points)));
        }
        for percent in [json!(100.01), json!(-1), json!("10"), json!(1.234)] {
            assert_eq!(read(json!({"percent": percent})), None);
        }
    }

    #[test]
    fn null_means_missing_unless_it_clears_a_field() {
        let mut fields = Fields::of(json!({"days": null, "name": null}));
        assert_eq!(fields.integer("days", 1..=2), None);
        assert_eq!(fields.text_or_null("name", 5), Some(None));
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        for (value, json) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("application/jsonp", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
