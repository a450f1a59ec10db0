//! A browser before the pages of an [`ApiOnly`]: it keeps the cookie, and says where its requests come from.

#![expect(clippy::missing_panics_doc, reason = "a harness panics by design")]

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use url::form_urlencoded;

use crate::api_only::{Answer, ApiOnly};

/// A person's browser.
#[derive(Debug, Default, Clone)]
pub struct Browser {
    /// Name and value of the cookie that it was given.
    pub cookie: Option<String>,
}

impl Browser {
    /// Opens a page.
    pub async fn get(&mut self, api: &ApiOnly, path: &str) -> Answer {
        self.send(api, Method::GET, path, &[], &[]).await
    }

    /// Opens a page that must be there; its text.
    pub async fn page(&mut self, api: &ApiOnly, path: &str) -> String {
        let answer = self.get(api, path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text
    }

    /// Sends a form of one of our own pages.
    pub async fn post(&mut self, api: &ApiOnly, path: &str, form: &[(&str, &str)]) -> Answer {
        let own = [("sec-fetch-site", "same-origin")];
        self.send(api, Method::POST, path, &own, form).await
    }

    /// Sends a request with these headers and no others.
    pub async fn send(
        &mut self,
        api: &ApiOnly,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .expect("a request");
        let answer = api.send(request).await;
        if let Some((cookie, _)) = answer.header("set-cookie").split_once(';') {
            let is_removal = cookie.ends_with('=');
            self.cookie = (!is_removal).then(|| cookie.to_owned());
        }
        answer
    }

    /// Signs in with a token, which must succeed.
    pub async fn signed_in(api: &ApiOnly, token: &str) -> Self {
        let mut browser = Self::default();
        let answer = browser.post(api, "/sign-in", &[("token", token)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert!(browser.cookie.is_some(), "{answer:?}");
        browser
    }

    /// Whether it is shown the start page, rather than led to the sign-in page.
    pub async fn is_signed_in(&mut self, api: &ApiOnly) -> bool {
        let answer = self.get(api, "/").await;
        match answer.status.as_u16() {
            200 => true,
            303 if answer.header("location").starts_with("/sign-in?") => false,
            _ => panic!("{answer:?}"),
        }
    }
}
