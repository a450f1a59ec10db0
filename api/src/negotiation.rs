//! What a caller accepts and what it has already: `Accept` with its weights, and entity tags.
//!
//! Only calls that can answer in several types look at `Accept`; the others answer with JSON whatever it says, as HTTP
//! allows. Entity tags are weak, since the same answer may be sent compressed and not.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use headers_accept::Accept;
use mediatype::names::{APPLICATION, CSV, HTML, JSON, Q, TEXT};
use mediatype::{MediaType, MediaTypeBuf, ReadParams as _};

use crate::problem::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    Json,
    Csv,
}

/// The type that the caller likes best; JSON when it does not say or cannot be understood.
///
/// # Errors
/// [`ApiError::NotAcceptable`] when the caller accepts neither.
pub(crate) fn rows(headers: &HeaderMap) -> Result<Rows, ApiError> {
    let available = [MediaType::new(APPLICATION, JSON), MediaType::new(TEXT, CSV)];
    let Ok(Some(accept)) = headers.typed_try_get::<Accept>() else {
        return Ok(Rows::Json);
    };
    let accept: Accept = accept.media_types().map(without_parameters).collect();
    match accept.negotiate(&available) {
        Some(best) if best.ty == TEXT => Ok(Rows::Csv),
        Some(_) => Ok(Rows::Json),
        None => Err(ApiError::NotAcceptable {
            available: "application/json or text/csv".to_owned(),
        }),
    }
}

/// Whether the caller likes a page better than JSON, as browsers do when they open an address.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let available = [
        MediaType::new(APPLICATION, JSON),
        MediaType::new(TEXT, HTML),
    ];
    let Ok(Some(accept)) = headers.typed_try_get::<Accept>() else {
        return false;
    };
    accept
        .negotiate(&available)
        .is_some_and(|best| best.subty == HTML)
}

/// The range without its parameters but for the weight. `text/csv; charset=utf-8` asks for what there is, however its
/// character set is spelled.
fn without_parameters(range: &MediaTypeBuf) -> MediaTypeBuf {
    let weight = range.get_param(Q).map(|weight| (Q, weight));
    MediaTypeBuf::from_parts(range.ty(), range.subty(), range.suffix(), weight.as_slice())
}

/// How something that has a version may be cached.
#[derive(Debug, Clone)]
pub(crate) struct Validator {
    /// Text of `W/"…"`, which changes with what is answered.
    tag: String,
    cache_control: &'static str,
    vary: &'static str,
}

impl Validator {
    /// Of something that only the caller may see: it is asked for again each time, and sent only when it has changed.
    ///
    /// `version` is visible ASCII without quotes.
    pub(crate) fn private(version: &str) -> Self {
        Self {
            tag: format!("W/\"{version}\""),
            cache_control: "private, no-cache",
            vary: "authorization, accept-encoding",
        }
    }

    /// Of something public that changes only with the program: caches may keep it for five minutes.
    pub(crate) fn public(version: &str) -> Self {
        Self {
            tag: format!("W/\"{version}\""),
            cache_control: "public, max-age=300",
            vary: "accept-encoding",
        }
    }

    /// The answer 304 when the caller has this version already.
    pub(crate) fn not_modified(&self, request: &HeaderMap) -> Option<Response> {
        let tag: ETag = self.tag.parse().ok()?;
        let has = request.typed_get::<IfNoneMatch>()?;
        (!has.precondition_passes(&tag))
            .then(|| self.mark(StatusCode::NOT_MODIFIED.into_response()))
    }

    /// Adds the headers to an answer.
    pub(crate) fn mark(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        let cache_control = HeaderValue::from_static(self.cache_control);
        headers.insert(header::CACHE_CONTROL, cache_control);
        headers.insert(header::VARY, HeaderValue::from_static(self.vary));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn accept_weights_choose_json_or_csv() {
        for (accept, expected) in [
            (&[][..], Some(Rows::Json)),
            (&["*/*"], Some(Rows::Json)),
            (&["text/csv"], Some(Rows::Csv)),
            (&["TEXT/CSV; charset=utf-8"], Some(Rows::Csv)),
            (&["text/csv; header=present; q=0.9"], Some(Rows::Csv)),
            (&["text/*"], Some(Rows::Csv)),
            (&["text/csv;q=0.5, application/json"], Some(Rows::Json)),
            (&["application/json;q=0.5", "text/csv"], Some(Rows::Csv)),
            (&["application/json, text/csv"], Some(Rows::Json)),
            (&["text/csv, application/json"], Some(Rows::Csv)),
            (&["text/csv, */*;q=0.1"], Some(Rows::Csv)),
            (&["*/*;q=0.1, application/json;q=0"], Some(Rows::Csv)),
            (&["text/html, */*;q=0.8"], Some(Rows::Json)),
            (&["text/html"], None),
            (&["text/csv;q=0"], None),
            (&["not a media type"], Some(Rows::Json)),
        ] {
            let found = rows(&with(&header::ACCEPT, accept));
            assert_eq!(found.ok(), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_matching_etag_gets_304_with_the_response_headers() {
        let validator = Validator::private("7");
        for (known, modified) in [
            ("W/\"7\"", false),
            ("\"7\"", false),
            ("W/\"6\", W/\"7\"", false),
            ("*", false),
            ("W/\"6\"", true),
        ] {
            let answer = validator.not_modified(&with(&header::IF_NONE_MATCH, &[known]));
            assert_eq!(answer.is_none(), modified, "{known}");
        }
        let headers = with(&header::IF_NONE_MATCH, &["*"]);
        let answer = validator.not_modified(&headers).unwrap();
        assert_eq!(answer.status(), 304);
        assert_eq!(answer.headers()[header::ETAG], "W/\"7\"");
        assert_eq!(
            answer.headers()[header::VARY],
            "authorization, accept-encoding"
        );
        assert!(validator.not_modified(&HeaderMap::new()).is_none());
    }
}
