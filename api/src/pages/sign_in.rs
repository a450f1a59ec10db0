//! The page on which a person signs in with a token.
//!
//! Who may sign in is decided by [`super::session`]; this is what it looks like.

use askama::Template;

use super::layout::{Layout, Page};
use super::return_path::ReturnPath;

#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn {
    layout: Layout,
    /// Why the last attempt failed.
    error: Option<&'static str>,
    /// Whether there was a session, which has ended.
    expired: bool,
    /// The page to which signing in leads.
    return_to: String,
}

impl SignIn {
    /// The page as it is at first.
    pub(super) fn new(return_to: &ReturnPath, expired: bool) -> Page<Self> {
        Page(Self {
            layout: Layout::signed_out("Sign in"),
            error: None,
            expired,
            return_to: return_to.as_str().to_owned(),
        })
    }

    /// The page after something was refused.
    pub(super) fn refused(return_to: &ReturnPath, error: &'static str) -> Page<Self> {
        Page(Self {
            layout: Layout::signed_out("Error: Sign in"),
            error: Some(error),
            expired: false,
            return_to: return_to.as_str().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_named_at_its_field_and_the_way_back_is_kept() {
        let return_to = ReturnPath::parse("/explore?a=1&b=2");
        let Page(refused) = SignIn::refused(&return_to, "This token is not valid.");
        let page = refused.render().unwrap();
        assert!(page.contains("aria-invalid=\"true\""), "{page}");
        assert!(page.contains("aria-describedby=\"token-hint token-error\""));
        assert!(page.contains("This token is not valid."));
        assert!(page.contains("<title>Error: Sign in"));
        assert!(page.contains("value=\"/explore?a=1&#38;b=2\""), "{page}");
        let Page(first) = SignIn::new(&return_to, false);
        let first = first.render().unwrap();
        assert!(!first.contains("aria-invalid"), "{first}");
        assert!(!first.contains("has ended"), "{first}");
    }
}
