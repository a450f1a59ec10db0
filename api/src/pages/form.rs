//! Forms: what a browser sends, and what is wrong with it, field by field.
//!
//! Fields are checked by the readers of the REST API's bodies, so both refuse the same. An empty field counts as missing.
//! A form may hold a key, so it is never logged: it has no `Debug`.

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Number, Value};
use url::form_urlencoded;

use crate::input::{Fields, read_body};
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;
use crate::use_case_errors::sentence;

/// Bytes of the longest form that is taken: a name of 200 characters and a key.
const MAX_FORM_BYTES: usize = 16 << 10;

/// What a browser sent.
pub(super) struct Form(Vec<(String, String)>);

impl FromRequest<ApiState> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let body = read_body(request.into_body(), state, MAX_FORM_BYTES).await?;
        Ok(Self::parse(&body))
    }
}

impl Form {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A field without the space around it; empty where it is not given.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut pairs = self.0.iter();
        let found = pairs.find_map(|(other, value)| (other == name).then_some(value.trim()));
        found.unwrap_or_default()
    }

    /// All values of a field, such as the boxes that are ticked under one name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(other, _)| other == name);
        named.map(|(_, value)| value.as_str())
    }

    /// These fields as members of a body, the latter as numbers where they are some.
    pub(super) fn fields(&self, texts: &[&str], numbers: &[&str]) -> Fields {
        let mut members = Map::new();
        for name in texts {
            members.insert((*name).to_owned(), Value::from(self.get(name)));
        }
        for name in numbers {
            let text = self.get(name);
            let number = text.parse::<Number>();
            let value = number.map_or_else(|_| Value::from(text), Value::from);
            members.insert((*name).to_owned(), value);
        }
        members.retain(|_, value| value.as_str() != Some(""));
        Fields::of(Value::Object(members))
    }
}

/// What is wrong with the fields of a form.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(String, String)>);

impl Problems {
    pub(super) fn of_field(name: &str, detail: &str) -> Self {
        Self::of_pairs([(name, detail)].into_iter())
    }

    pub(super) fn of_pairs<'a>(problems: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let problems = problems.map(|(name, detail)| (name.to_owned(), sentence(detail)));
        Self(problems.collect())
    }

    /// What is wrong with fields.
    ///
    /// # Errors
    /// Any error that is not about fields.
    pub(super) fn of_fields(error: ApiError) -> Result<Self, ApiError> {
        let ApiError::Invalid { errors, .. } = error else {
            return Err(error);
        };
        let problems = errors.into_iter().map(
            |FieldError {
                 pointer, detail, ..
             }| {
                let name = pointer.unwrap_or_default();
                (name.trim_start_matches('/').to_owned(), sentence(&detail))
            },
        );
        Ok(Self(problems.collect()))
    }

    /// What is wrong with a field.
    pub(super) fn at(&self, name: &str) -> Option<&str> {
        let mut problems = self.0.iter();
        problems.find_map(|(other, detail)| (other == name).then_some(detail.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_empty_fields_are_missing() {
        let form = Form::parse(b"lookback_days=+90+&name=&timezone=Europe%2FBerlin&x=1");
        let mut fields = form.fields(&["name", "timezone"], &["lookback_days", "rate_share"]);
        assert_eq!(fields.integer("lookback_days", 1..=3650), Some(90));
        assert_eq!(fields.text("name", 200), None);
        assert!(fields.timezone("timezone").is_some());
        assert_eq!(fields.share("rate_share", 0.01), None);
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_at_its_field_in_a_sentence() {
        let form = Form::parse(b"lookback_days=many&timezone=Mars");
        let mut fields = form.fields(&["timezone"], &["lookback_days"]);
        fields.integer("lookback_days", 1..=3650);
        fields.timezone("timezone");
        let problems = Problems::of_fields(fields.finish().unwrap_err()).unwrap();
        assert_eq!(
            problems.at("lookback_days"),
            Some("Must be a whole number from 1 to 3650.")
        );
        assert!(
            problems
                .at("timezone")
                .is_some_and(|it| it.contains("Europe/Berlin"))
        );
        assert_eq!(problems.at("name"), None);
        assert!(Problems::of_fields(ApiError::NotFound).is_err());
    }
}
