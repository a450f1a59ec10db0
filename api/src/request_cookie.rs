//! The cookies of a request.

use axum::http::{HeaderMap, header};
use cookie::Cookie;

/// The value, as it was sent, of the first cookie with such a name.
pub(crate) fn cookie_value(
    headers: &HeaderMap,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<String> {
    let sent = headers.get_all(header::COOKIE).iter();
    let mut cookies = sent
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok);
    let found = cookies.find(|cookie| is_wanted(cookie.name()))?;
    Some(found.value().to_owned())
}
