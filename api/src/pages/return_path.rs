//! Where a browser goes after signing in: a path of this server, or the start page.
//!
//! The path comes out of a URL that anybody can write and send to a person, so one that leads to another site counts as
//! none. Browsers read `//host` and `/\host` as another host, and drop tabs and line breaks before they look. A path and query
//! as a browser sends them are visible ASCII characters, so whatever else is in a text is refused as well.

use axum::http::Uri;
use url::form_urlencoded;

/// The name of the query parameter and form field.
const RETURN_TO: &str = "return_to";

/// The name of the query parameter that says that there was a session.
pub(super) const EXPIRED: &str = "expired";

/// A path of this server, with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReturnPath(String);

impl ReturnPath {
    /// The start page.
    pub(super) fn start() -> Self {
        Self("/".to_owned())
    }

    /// The path that a text is; the start page when it is none.
    pub(super) fn parse(text: &str) -> Self {
        let is_local = text.starts_with('/')
            && !text.starts_with("//")
            && text.chars().all(|c| c.is_ascii_graphic() && c != '\\');
        if is_local {
            Self(text.to_owned())
        } else {
            Self::start()
        }
    }

    /// The path and query of a URL, of whatever host.
    pub(super) fn of(uri: &Uri) -> Self {
        Self::parse(uri.path_and_query().map_or("/", |path| path.as_str()))
    }

    /// The one in a query or form.
    pub(super) fn in_form(form: &[u8]) -> Self {
        let mut fields = form_urlencoded::parse(form);
        let given = fields.find(|(name, _)| name == RETURN_TO);
        given.map_or_else(Self::start, |(_, text)| Self::parse(&text))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the sign-in page that leads back here; `expired` has it say that the session has ended.
    pub(super) fn sign_in(&self, expired: bool) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(RETURN_TO, &self.0);
        if expired {
            query.append_pair(EXPIRED, "1");
        }
        format!("/sign-in?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_believed() {
        for path in [
            "/",
            "/connections",
            "/connections/a%20b?from=2026-01-01&by=charge.tier#top",
            "/.//evil.example",
            "/?next=//evil.example",
        ] {
            assert_eq!(ReturnPath::parse(path).as_str(), path);
        }
        for elsewhere in [
            "",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example/",
            "https:evil.example",
            "javascript:alert(1)",
            "evil.example",
            "?x",
            "/a b",
            "/ä",
        ] {
            assert_eq!(ReturnPath::parse(elsewhere), ReturnPath::start());
        }
    }

    #[test]
    fn a_path_survives_the_way_through_the_sign_in_page() {
        let path = ReturnPath::parse("/revenue?by=a%26b&to=1");
        let sign_in = path.sign_in(true);
        let (_, query) = sign_in.split_once('?').unwrap();
        assert_eq!(ReturnPath::in_form(query.as_bytes()), path);
    }
}
