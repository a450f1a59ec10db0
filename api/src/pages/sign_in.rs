//! The page on which a person signs in with a token.
//!
//! It says the same of every token that is not valid, whatever is wrong with it.

use askama::Template;
use axum::extract::RawQuery;
use url::form_urlencoded;

use super::layout::{Layout, Page};

/// What is said of a token that nobody may sign in with.
#[cfg_attr(not(test), expect(dead_code, reason = "for the answer to the form"))]
pub(crate) const INVALID_TOKEN: &str = "This token is not valid.";

#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn {
    pub(crate) layout: Layout,
    /// Why the last attempt failed.
    pub(crate) error: Option<&'static str>,
    /// Whether there was a session, which has ended.
    pub(crate) expired: bool,
    /// The page to which signing in leads, by [`local_path`].
    pub(crate) return_to: String,
}

impl SignIn {
    /// The page as it is at first.
    pub(crate) fn new(return_to: &str) -> Self {
        Self {
            layout: Layout::signed_out("Sign in"),
            error: None,
            expired: false,
            return_to: local_path(return_to).to_owned(),
        }
    }

    /// The page after a token was not accepted.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the answer to the form"))]
    pub(crate) fn refused(return_to: &str, error: &'static str) -> Self {
        Self {
            layout: Layout::signed_out("Error: Sign in"),
            error: Some(error),
            ..Self::new(return_to)
        }
    }
}

/// `GET /sign-in`. `return_to` is the page that was asked for, `expired` that it needs another session.
pub(crate) async fn show(RawQuery(query): RawQuery) -> Page<SignIn> {
    let query = query.unwrap_or_default();
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(name, value)| (name == wanted).then_some(value))
    };
    Page(SignIn {
        expired: value("expired").is_some(),
        ..SignIn::new(&value("return_to").unwrap_or_default())
    })
}

/// The path, if it leads to a page of this server, otherwise the first page. A link to the sign-in page could
/// name anything.
pub(crate) fn local_path(path: &str) -> &str {
    // Browsers read a backslash as a slash and drop line breaks and tabs: `/\host` and `/<tab>/host` are other hosts.
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"'));
    let local = plain && path.starts_with('/') && !path.starts_with("//");
    if local { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_named_at_its_field_and_the_way_back_is_kept() {
        let page = SignIn::refused("/explore?a=1&b=\"2\"", INVALID_TOKEN);
        let page = page.render().unwrap();
        assert!(page.contains("aria-invalid=\"true\""), "{page}");
        assert!(page.contains("aria-describedby=\"token-hint token-error\""));
        assert!(page.contains(INVALID_TOKEN));
        assert!(page.contains("<title>Error: Sign in"));
        assert!(page.contains("value=\"/\""), "a quote is in no address");
        let first = SignIn::new("/explore?a=1&b=2").render().unwrap();
        assert!(first.contains("value=\"/explore?a=1&#38;b=2\""), "{first}");
        assert!(!first.contains("aria-invalid"), "{first}");
    }

    #[test]
    fn only_paths_of_this_server_are_returned_to() {
        for path in ["/", "/explore?from=2026-01-01#chart", "/connections/a%20b"] {
            assert_eq!(local_path(path), path);
        }
        for elsewhere in [
            "",
            "explore",
            "//example.com",
            "/\\example.com",
            "\\/example.com",
            "/\t/example.com",
            "/a\r\nLocation: x",
            "https://example.com",
            "javascript:alert(1)",
            "/ä",
        ] {
            assert_eq!(local_path(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
