//! Headers that keep a browser from doing more with an answer than showing it.
//!
//! Every answer has them, since a browser shows whatever it is pointed at, a problem document too. Only pages
//! and the documentation under `/docs` bring scripts and styles, all of them files of this server, and name a policy of
//! their own for them; the page of embedded onboarding alone brings a script of Stripe's. `Strict-Transport-Security` is absent on purpose: it belongs to whatever ends TLS in front of this server.

use axum::http::header::{self, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::stripe_origins::StripeOrigins;

/// Other files of Stripe's script.
const STRIPE_JS: &str = "https://js.stripe.com";

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

const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                    font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The policy of pages: scripts, styles and pictures are files of this server, and nothing inside of a page is run or
/// applied.
pub(crate) const PAGE_POLICY: HeaderValue = HeaderValue::from_static(PAGE);

/// The policy of a page whose forms are answered with a way to Stripe's own pages, of these origins: a browser applies
/// `form-action` to where the answer leads, too.
pub(crate) fn policy_of_forms_to(origins: &[String]) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::try_from(PAGE.replace("form-action 'self'", &form_action(origins)))
}

fn form_action(origins: &[String]) -> String {
    format!("form-action 'self' {}", origins.join(" "))
}

/// The policy of the page in which Stripe's script shows frames of Stripe's. What it allows in addition is what Stripe asks
/// for, with the styles that the script writes into the page.
pub(crate) fn policy_of_embedded(
    stripe: &StripeOrigins,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let script = &stripe.script;
    let policy = [
        (
            "script-src 'self'",
            format!("script-src 'self' {script} {STRIPE_JS}"),
        ),
        (
            "style-src 'self'",
            "style-src 'self' 'unsafe-inline'".to_owned(),
        ),
        (
            "img-src 'self' data:",
            "img-src 'self' data: https://*.stripe.com".to_owned(),
        ),
        (
            "connect-src 'self'",
            format!("connect-src 'self' {script} https://api.stripe.com"),
        ),
        ("form-action 'self'", form_action(&stripe.pages)),
    ]
    .into_iter()
    .fold(PAGE.to_owned(), |policy, (ours, stripes)| {
        policy.replace(ours, &stripes)
    });
    HeaderValue::try_from(format!("{policy}; frame-src {script} {STRIPE_JS}"))
}

/// What the same page says of windows that it opens: Stripe's script signs people in to Stripe in one, and waits for its
/// answer.
pub(crate) const EMBEDDED_OPENER_POLICY: (HeaderName, HeaderValue) = (
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderValue::from_static("unsafe-none"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stripe() -> StripeOrigins {
        StripeOrigins::of(&"https://api.stripe.com".parse().unwrap())
    }

    #[test]
    fn only_forms_lead_to_stripe_from_most_pages() {
        assert_eq!(
            policy_of_forms_to(&stripe().pages).unwrap(),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             font-src 'self'; form-action 'self' https://connect.stripe.com; frame-ancestors 'none'; base-uri 'none'"
        );
    }

    #[test]
    fn embedded_onboarding_allows_what_stripes_script_needs_and_no_script_in_the_page() {
        assert_eq!(
            policy_of_embedded(&stripe()).unwrap(),
            "default-src 'none'; script-src 'self' https://connect-js.stripe.com https://js.stripe.com; \
             style-src 'self' 'unsafe-inline'; img-src 'self' data: https://*.stripe.com; \
             connect-src 'self' https://connect-js.stripe.com https://api.stripe.com; font-src 'self'; \
             form-action 'self' https://connect.stripe.com; frame-ancestors 'none'; base-uri 'none'; \
             frame-src https://connect-js.stripe.com https://js.stripe.com"
        );
    }
}
