//! Whether a request comes from a page of this server, and not from another site in the same browser, which sends the cookies
//! along (CSRF).
//!
//! A browser says where a request comes from, and no site can make it say otherwise: `Sec-Fetch-Site`, and where a browser
//! does not send that (an old one, or plain http to another machine), `Origin`. A request with neither comes from none of our
//! pages. Nothing is kept, so there is no token that a form could forget.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use url::Url;

pub(crate) fn is_same_origin(headers: &HeaderMap, uri: &Uri, public_url: &Url) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        // `none`: the person did it without a page, for example by loading it again.
        return site == "same-origin" || site == "none";
    }
    let origin = headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| Url::parse(origin.to_str().ok()?).ok());
    let Some(origin) = origin else { return false };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    // HTTP/2 has the host in the address.
    let host = uri.authority().map(Authority::as_str).or(host);
    // A proxy in front may end TLS, so the scheme of the request is not known here and taken from the origin.
    let requested = host.and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    origin.origin().is_tuple()
        && (origin.origin() == public_url.origin()
            || requested.is_some_and(|requested| requested.origin() == origin.origin()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let public_url = "https://sync.example.com".parse().unwrap();
        is_same_origin(&map, &Uri::from_static("/sign-out"), &public_url)
    }

    #[test]
    fn what_a_browser_says_of_the_site_decides() {
        for (site, may) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("nonsense", false),
        ] {
            assert_eq!(allowed(&[("sec-fetch-site", site)]), may, "{site}");
            let both = [
                ("sec-fetch-site", site),
                ("origin", "https://sync.example.com"),
            ];
            assert_eq!(allowed(&both), may, "{site} and our origin");
        }
    }

    #[test]
    fn without_that_the_origin_decides() {
        for (origin, host, may) in [
            ("https://sync.example.com", "10.0.0.7:8080", true),
            ("https://sync.example.com:443", "10.0.0.7:8080", true),
            ("http://10.0.0.7:8080", "10.0.0.7:8080", true),
            ("http://inside.example", "inside.example:80", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://sync.example.com", "10.0.0.7:8080", false),
            ("https://evil.example", "10.0.0.7:8080", false),
            ("http://10.0.0.7:9090", "10.0.0.7:8080", false),
            (
                "https://sync.example.com.evil.example",
                "10.0.0.7:8080",
                false,
            ),
            ("null", "null", false),
            ("file://", "", false),
        ] {
            let headers = [("origin", origin), ("host", host)];
            assert_eq!(allowed(&headers), may, "{origin} at {host}");
        }
        assert!(!allowed(&[("host", "sync.example.com")]));
        assert!(!allowed(&[]));
    }
}
