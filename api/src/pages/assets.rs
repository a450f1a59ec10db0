//! The styles and scripts of the pages, compiled into the program.
//!
//! `scripts/css` makes the files in `api/assets/dist`, which are committed. The address of each names its content, so
//! browsers keep it for good and ask for another one after an upgrade. An address of another version is 404.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::problem::ApiError;

/// A year, the longest time that caches promise, and no question whether it has changed meanwhile.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Digits of the digest in an address. They tell versions apart and secure nothing.
const DIGEST_DIGITS: usize = 16;

/// A file that pages refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asset {
    /// Stripe's own loader of its script.
    ConnectLoader,
    Favicon,
    Htmx,
    Licenses,
    /// What shows Stripe's form in a page.
    Onboarding,
    Script,
    Styles,
}

struct File {
    asset: Asset,
    address: String,
    content_type: HeaderValue,
    content: &'static [u8],
}

static FILES: LazyLock<[File; 7]> = LazyLock::new(|| {
    [
        file(
            Asset::ConnectLoader,
            "connect-loader",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/dist/connect-loader.js"),
        ),
        file(
            Asset::Favicon,
            "favicon",
            "svg",
            "image/svg+xml",
            include_bytes!("../../assets/favicon.svg"),
        ),
        file(
            Asset::Htmx,
            "htmx",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/dist/htmx.js"),
        ),
        file(
            Asset::Licenses,
            "licenses",
            "txt",
            "text/plain; charset=utf-8",
            include_bytes!("../../assets/dist/licenses.txt"),
        ),
        file(
            Asset::Onboarding,
            "onboarding",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/onboarding.js"),
        ),
        file(
            Asset::Script,
            "app",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/app.js"),
        ),
        file(
            Asset::Styles,
            "app",
            "css",
            "text/css; charset=utf-8",
            include_bytes!("../../assets/dist/app.css"),
        ),
    ]
});

fn file(
    asset: Asset,
    name: &str,
    extension: &str,
    content_type: &'static str,
    content: &'static [u8],
) -> File {
    let mut digest = hex::encode(Sha256::digest(content));
    digest.truncate(DIGEST_DIGITS);
    File {
        asset,
        address: format!("/assets/{name}-{digest}.{extension}"),
        content_type: HeaderValue::from_static(content_type),
        content,
    }
}

impl Asset {
    /// Where it is served.
    pub(crate) fn address(self) -> &'static str {
        let mut files = FILES.iter();
        // Each has its file in the list above, which a test proves.
        files
            .find(|file| file.asset == self)
            .map_or("", |file| &file.address)
    }
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{name}", get(serve))
}

async fn serve(Path(name): Path<String>) -> Result<Response, ApiError> {
    let named = |file: &&File| file.address.strip_prefix("/assets/") == Some(name.as_str());
    let file = FILES.iter().find(named).ok_or(ApiError::UnknownPath)?;
    let headers = [
        (header::CONTENT_TYPE, file.content_type.clone()),
        (header::CACHE_CONTROL, IMMUTABLE),
    ];
    Ok((headers, file.content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_an_address_that_names_its_content() {
        for asset in [
            Asset::ConnectLoader,
            Asset::Favicon,
            Asset::Htmx,
            Asset::Licenses,
            Asset::Onboarding,
            Asset::Script,
            Asset::Styles,
        ] {
            let address = asset.address();
            let (_, digest) = address.rsplit_once('-').unwrap();
            let (digest, _) = digest.split_once('.').unwrap();
            assert_eq!(digest.len(), DIGEST_DIGITS, "{address}");
        }
    }

    #[test]
    fn styles_and_scripts_name_no_other_host() {
        // Stripe's loader names where Stripe's script is.
        let exempt = [Asset::Licenses, Asset::ConnectLoader];
        for file in FILES.iter().filter(|file| !exempt.contains(&file.asset)) {
            let text = String::from_utf8_lossy(file.content);
            for (start, _) in text.match_indices("://") {
                let rest = &text[start + 3..];
                // A namespace and a comment are no addresses that a browser asks for.
                let known = ["www.w3.org/", "tailwindcss.com", "daisyui.com"];
                assert!(
                    known.iter().any(|known| rest.starts_with(known)),
                    "{}: {}",
                    file.address,
                    &rest[..40.min(rest.len())]
                );
            }
        }
    }
}
