//! Query parameters.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, Utc};
use serde::de::DeserializeOwned;

use super::{INSTANT, cursor, instant};
use crate::problem::{ApiError, FieldError};

/// Items of a page by default.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 1000;

/// Reads query parameters, collecting what is wrong with them.
#[derive(Debug, Default)]
#[must_use = "problems are reported by `finish`"]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    problems: Vec<FieldError>,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// That there are no query parameters.
#[derive(Debug)]
pub(crate) struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Params::from_request_parts(parts, state).await?.finish()?;
        Ok(Self)
    }
}

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        let mut params = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.contains('\0') || name.contains('\0') {
                params.refuse(&name, "must not have the character U+0000");
            } else {
                params.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        params
    }

    pub(crate) fn refuse(&mut self, parameter: &str, detail: impl Into<String>) {
        self.problems.push(FieldError::of(parameter, detail));
    }

    pub(crate) fn refuse_all(&mut self, problems: impl IntoIterator<Item = FieldError>) {
        self.problems.extend(problems);
    }

    /// Takes a parameter that may be given once.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let given = self.pairs.extract_if(.., |(other, _)| other == name);
        let mut values: Vec<String> = given.map(|(_, value)| value).collect();
        if values.len() > 1 {
            self.refuse(name, "is given more than once");
            return None;
        }
        values.pop()
    }

    /// Takes a parameter that must be given.
    pub(crate) fn required(&mut self, name: &str) -> Option<String> {
        let before = self.problems.len();
        let text = self.text(name);
        match text.as_deref() {
            None if self.problems.len() == before => self.refuse(name, "is missing"),
            Some("") => self.refuse(name, "must not be empty"),
            _ => {}
        }
        text.filter(|text| !text.is_empty())
    }

    pub(crate) fn date(&mut self, name: &str) -> Option<NaiveDate> {
        let text = self.text(name)?;
        match date(&text) {
            Ok(date) => Some(date),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// Takes an instant.
    pub(crate) fn instant(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let instant = instant(&self.text(name)?);
        if instant.is_none() {
            self.refuse(name, INSTANT);
        }
        instant
    }

    /// Takes one of these names.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = choices.iter().find(|(choice, _)| *choice == text);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(name, format!("must be one of {}", names.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// Takes `limit`.
    pub(crate) fn limit(&mut self) -> i64 {
        self.limit_or(DEFAULT_LIMIT)
    }

    /// Takes `limit`, which is `default` unless given.
    pub(crate) fn limit_or(&mut self, default: i64) -> i64 {
        let Some(text) = self.text("limit") else {
            return default;
        };
        let detail = match text.parse::<i64>() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => return limit,
            Ok(limit) => format!("must be from 1 to {MAX_LIMIT} and is {limit}"),
            Err(_) => format!("must be a whole number from 1 to {MAX_LIMIT}"),
        };
        self.refuse("limit", detail);
        default
    }

    /// Takes `cursor`, a position in the list `list`.
    ///
    /// # Errors
    /// [`ApiError::CursorInvalid`] when it is none.
    pub(crate) fn cursor<T: DeserializeOwned>(
        &mut self,
        list: &str,
    ) -> Result<Option<T>, ApiError> {
        self.text("cursor")
            .map(|cursor| cursor::decode(list, &cursor))
            .transpose()
    }

    /// Takes every parameter whose name begins with `prefix`: the rest of the name, and the value.
    pub(crate) fn prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let given = self
            .pairs
            .extract_if(.., |(name, _)| name.starts_with(prefix));
        given
            .map(|(name, value)| (name[prefix.len()..].to_owned(), value))
            .collect()
    }

    /// Tells all problems; what nobody took is unknown.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.refuse(&name, "unknown parameter");
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.problems))
        }
    }
}

/// Reads `YYYY-MM-DD` and nothing else.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn date(text: &str) -> Result<NaiveDate, &'static str> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return Err("must be a date written as YYYY-MM-DD");
    }
    // PostgreSQL has no year 0.
    match text.parse() {
        Ok(date) if !text.starts_with("0000") => Ok(date),
        _ => Err("must be a date that exists"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(params: Params) -> Vec<String> {
        match params.finish() {
            Ok(()) => Vec::new(),
            Err(ApiError::Invalid { errors, .. }) => errors
                .into_iter()
                .map(|e| format!("{}: {}", e.parameter.unwrap(), e.detail))
                .collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_parameter_errors_are_reported_at_once() {
        let mut params = Params::parse("date_from=2026-02-30&limit=0&x=1&x=2&name=a%20b");
        assert_eq!(params.date("date_from"), None);
        assert_eq!(params.limit(), DEFAULT_LIMIT);
        assert_eq!(params.text("name").as_deref(), Some("a b"));
        assert_eq!(params.required("connection_id"), None);
        assert_eq!(
            problems(params),
            [
                "date_from: must be a date that exists",
                "limit: must be from 1 to 1000 and is 0",
                "connection_id: is missing",
                "x: unknown parameter",
                "x: unknown parameter",
            ]
        );
    }

    #[test]
    fn a_parameter_is_given_once() {
        let mut params = Params::parse("limit=1&limit=2");
        params.limit();
        assert_eq!(problems(params), ["limit: is given more than once"]);
    }

    #[test]
    fn dates_have_one_format() {
        for (text, valid) in [
            ("2026-03-08", true),
            ("2024-02-29", true),
            ("2026-3-8", false),
            ("+026-03-08", false),
            ("0000-01-01", false),
            ("2026-03-08T00:00:00Z", false),
            ("", false),
        ] {
            assert_eq!(date(text).is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn prefixed_parameters_keep_the_rest_of_their_names() {
        let mut params = Params::parse("metadata.charge.tier=gold&metadata.product.a.b=");
        let found = params.prefixed("metadata.");
        assert_eq!(
            found,
            [
                ("charge.tier".into(), "gold".into()),
                ("product.a.b".into(), String::new())
            ]
        );
        assert!(problems(params).is_empty());
    }
}
