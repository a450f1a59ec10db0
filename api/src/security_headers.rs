//! Headers that keep a browser from doing more with an answer than showing it.
//!
//! Every answer has them, since a browser shows whatever it is pointed at, a problem document too. Only pages
//! and the documentation under `/docs` bring scripts and styles, all of them files of this server, and name a policy of
//! their own for them. `Strict-Transport-Security` is absent on purpose: it belongs to whatever ends TLS in front of this server.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The policy of the documentation: its own scripts and styles, the styles and pictures that they make, and calls to
/// this API.
pub(crate) const DOCUMENTATION_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The policy of pages: scripts, styles and pictures are files of this server, and nothing inside of a page is run or
/// applied.
pub(crate) const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// What pages tell this server, and no other, of where a request comes from. A browser that may not say it sends
/// `Origin: null` with forms, so that nobody could check which page a form was on.
pub(crate) const PAGE_REFERRER_POLICY: HeaderValue = HeaderValue::from_static("same-origin");

/// Adds those that the answer does not have.
pub(crate) fn add(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
}
