//! Writing to Stripe with the platform's own key. Nothing is posted or deleted without an idempotency key.
//!
//! A request is sent once. Where no answer comes, it may or may not have been done, and [`Error`] says so; whoever sends the
//! same one again under the same idempotency key within a day gets the first one's answer
//! (`docs.stripe.com/api/idempotent_requests`). Deliberately absent: retries, and any knowledge of our tables.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::Error;
use crate::idempotency::IdempotencyKey;

/// The version that every request names, so that shapes do not change under us.
pub const API_VERSION: &str = "2026-07-29.dahlia";

/// How long Stripe may take for an answer, as in its SDKs.
const TIMEOUT: Duration = Duration::from_secs(80);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer of which only its being one matters.
#[derive(Deserialize)]
struct Acknowledged {}

/// Asks Stripe as the platform, or as the platform for an account that is connected to it.
#[derive(Clone)]
pub struct StripeClient {
    http: reqwest::Client,
    /// Without a slash at the end.
    api_base: String,
    key: SecretString,
    /// The connected account that is asked about, in the header `Stripe-Account`; none asks about the platform's own.
    account: Option<String>,
}

impl std::fmt::Debug for StripeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StripeClient")
            .field("api_base", &self.api_base)
            .finish_non_exhaustive()
    }
}

impl StripeClient {
    /// Prepares to reach Stripe at `api_base`, which ends before `/v1`; sends nothing. Needs the process's TLS provider to be
    /// installed.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(api_base: &Url, key: SecretString) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("stripe-sync/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            api_base: api_base.as_str().trim_end_matches('/').to_owned(),
            key,
            account: None,
        })
    }

    /// Whether the key is one of live mode (`docs.stripe.com/keys`).
    pub fn livemode(&self) -> bool {
        !self.key.expose_secret().contains("_test_")
    }

    /// The same for a connected account (`docs.stripe.com/connect/authentication`).
    #[must_use]
    pub(super) fn for_account(&self, account_id: &str) -> Self {
        Self {
            account: Some(account_id.to_owned()),
            ..self.clone()
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let request = self.request(Method::GET, path).query(query);
        self.send(request, path).await
    }

    /// Posts a form.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: String,
        key: &IdempotencyKey,
    ) -> Result<T, Error> {
        let request = self
            .writing(Method::POST, path, key)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        self.send(request, path).await
    }

    /// Posts a form, where of the answer only its being one matters.
    pub(super) async fn post_only(
        &self,
        path: &str,
        form: String,
        key: &IdempotencyKey,
    ) -> Result<(), Error> {
        let Acknowledged {} = self.post(path, form, key).await?;
        Ok(())
    }

    /// Posts JSON, as version 2 of the API takes it.
    pub(super) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        key: &IdempotencyKey,
    ) -> Result<T, Error> {
        let request = self.writing(Method::POST, path, key).json(body);
        self.send(request, path).await
    }

    /// Deletes. Version 1 of the API does not look at the key: what is deleted cannot be deleted twice.
    pub(super) async fn delete(&self, path: &str, key: &IdempotencyKey) -> Result<(), Error> {
        let request = self.writing(Method::DELETE, path, key);
        let Acknowledged {} = self.send(request, path).await?;
        Ok(())
    }

    fn writing(&self, method: Method, path: &str, key: &IdempotencyKey) -> RequestBuilder {
        let request = self.request(method, path);
        request.header("Idempotency-Key", key.to_string())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.api_base))
            .bearer_auth(self.key.expose_secret())
            .header("Stripe-Version", API_VERSION);
        match &self.account {
            Some(account) => request.header("Stripe-Account", account),
            None => request,
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        path: &str,
    ) -> Result<T, Error> {
        let unanswered = |cause: reqwest::Error| Error::Unanswered {
            path: path.to_owned(),
            cause: cause.without_url(),
        };
        let answer = request.send().await.map_err(unanswered)?;
        let status = answer.status();
        let header = answer.headers().get("request-id");
        let request_id = header.and_then(|id| Some(id.to_str().ok()?.to_owned()));
        let body = answer.bytes().await.map_err(unanswered)?;
        if !status.is_success() {
            return Err(Error::refused(status.as_u16(), path, request_id, &body));
        }
        serde_json::from_slice(&body).map_err(|cause| Error::Unreadable {
            path: path.to_owned(),
            cause,
        })
    }
}

/// Fields as a form.
pub(super) fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut form = Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish()
}
