//! Sessions of another application: whoever is signed in there is signed in here, in the organization and role that it says.
//!
//! The application is asked whose session a token is, and its answer is believed for [`BELIEVED`]. Only a clear yes is one:
//! 401 and 404 say that there is no such session, and whatever else it answers, or does not, is an error. It is asked twice
//! at most. Requests that come meanwhile with the same token wait for the one answer.
//!
//! Tokens and cookies are kept only as hashes, and tokens of this engine are never sent to the application. Deliberately
//! absent: signing in and out, which happen there.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use common::clock::SharedClock;
use common::db::{self, Pool};
use common::error_chain::ErrorChain;
use common::tenant::{self, OrganizationId, TokenRole};
use moka::future::Cache;
use reqwest::{StatusCode, redirect};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tracing::{debug, info};
use uuid::Uuid;

use crate::config::SessionServiceConfig;
use crate::problem::ApiError;
use crate::request_cookie::cookie_value;

/// How long an answer is believed: so much later at most, whoever lost a session or a role has lost it here, too.
const BELIEVED: TimeDelta = TimeDelta::seconds(30);
/// How long the application may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
/// Bytes of the longest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Bytes of the longest token that is sent on.
const MAX_TOKEN_BYTES: usize = 8 << 10;
const MAX_SESSIONS: u64 = 100_000;
/// What browsers demand of the name of a cookie that is sent over TLS alone; Better Auth puts it before its own.
const SECURE_PREFIX: &str = "__Secure-";

/// A member of an organization, as the application says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) organization: OrganizationId,
    pub(crate) role: TokenRole,
    /// Stands for the user, whatever the application's ids look like.
    pub(crate) user: Uuid,
}

/// Why a token is no session.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the application knows no such session")]
    Unknown,
    /// The session is one, and gives no access.
    #[error("{0}")]
    NoAccess(String),
    #[error("the application answered {0}")]
    UnexpectedStatus(StatusCode),
    #[error("the application did not answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the application's answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("the application's answer is not understood")]
    NotUnderstood(#[source] serde_json::Error),
    #[error("the organization of a session could not be looked up")]
    Database(#[source] db::Error),
}

/// What the application answers of a session that is live. Other members are nothing to us.
#[derive(Deserialize)]
struct Answer {
    user_id: String,
    organization_id: Option<String>,
    role: String,
}

/// The way to the application; cloning is cheap.
#[derive(Debug, Clone)]
pub struct SessionService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SessionServiceConfig,
    http: reqwest::Client,
    pool: Pool,
    clock: SharedClock,
    /// By the hash of the token: who it is, and until when that is believed.
    known: Cache<[u8; 32], (Member, DateTime<Utc>)>,
}

impl SessionService {
    /// Prepares to ask the application; sends nothing. `pool` is in the API's role.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(
        config: SessionServiceConfig,
        pool: Pool,
        clock: SharedClock,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("stripe-sync/", env!("CARGO_PKG_VERSION")))
            // A session must reach nobody but the application.
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()?;
        let known = Cache::builder()
            .max_capacity(MAX_SESSIONS)
            .time_to_live(BELIEVED.to_std().unwrap_or_default());
        Ok(Self(Arc::new(Inner {
            config,
            http,
            pool,
            clock,
            known: known.build(),
        })))
    }

    /// The session in the cookies of a request.
    pub(crate) fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let name = &self.0.config.cookie;
        cookie_value(headers, |found| {
            found == name || found.strip_prefix(SECURE_PREFIX) == Some(name)
        })
    }

    /// Whose session a token is; none where it is not one.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`] where the session gives no access here, [`ApiError::SessionServiceUnavailable`] where the
    /// application does not clearly say.
    pub(crate) async fn member(&self, token: &str) -> Result<Option<Member>, ApiError> {
        if token.is_empty()
            || token.len() > MAX_TOKEN_BYTES
            || token.starts_with(tenant::TOKEN_PREFIX)
        {
            return Ok(None);
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = self.0.clock.now();
        let known = &self.0.known;
        if known
            .get(&hash)
            .await
            .is_some_and(|(_, until)| until <= now)
        {
            known.invalidate(&hash).await;
        }
        let asked =
            known.try_get_with(hash, async { Ok((self.ask(token).await?, now + BELIEVED)) });
        match asked.await {
            Ok((member, _)) => Ok(Some(member)),
            Err(refusal) => match &*refusal {
                Refusal::Unknown => Ok(None),
                Refusal::NoAccess(detail) => Err(ApiError::Forbidden {
                    detail: detail.clone(),
                }),
                _ => Err(ApiError::SessionServiceUnavailable(Box::new(refusal))),
            },
        }
    }

    async fn ask(&self, token: &str) -> Result<Member, Refusal> {
        let mut answer = self.ask_once(token).await;
        for _ in 1..ATTEMPTS {
            match answer {
                Err(Refusal::Unknown) | Ok(_) => break,
                Err(cause) => debug!(error = %ErrorChain(&cause), "a session is asked about again"),
            }
            answer = self.ask_once(token).await;
        }
        let answer = answer?;
        let organization = self.organization(answer.organization_id).await?;
        let role = match answer.role.as_str() {
            "owner" | "admin" => TokenRole::Admin,
            _ => TokenRole::Analyst,
        };
        Ok(Member {
            user: user_of(&organization, &answer.user_id),
            organization,
            role,
        })
    }

    async fn ask_once(&self, token: &str) -> Result<Answer, Refusal> {
        let SessionServiceConfig {
            verify_url, key, ..
        } = &self.0.config;
        let request = self.0.http.post(verify_url.clone());
        let request = request.bearer_auth(key.expose_secret());
        let request = request.json(&json!({ "token": token }));
        let mut answer = request.send().await.map_err(Refusal::NoAnswer)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => return Err(Refusal::Unknown),
            other => return Err(Refusal::UnexpectedStatus(other)),
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(Refusal::NoAnswer)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(Refusal::TooLong);
            }
        }
        serde_json::from_slice(&body).map_err(Refusal::NotUnderstood)
    }

    /// The organization of a session, which has to exist here, or is created where that is wanted.
    async fn organization(&self, id: Option<String>) -> Result<OrganizationId, Refusal> {
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return Err(Refusal::NoAccess(
                "Your session is in no organization; choose one in the application that you signed in to.".to_owned(),
            ));
        };
        let Ok(organization) = OrganizationId::new(id.as_str()) else {
            return Err(Refusal::NoAccess(format!(
                "The organization of your session, {id:?}, cannot exist here: ids have at most 63 lower-case letters, \
                 digits, `_` and `-`."
            )));
        };
        let exists = self
            .exists(&organization)
            .await
            .map_err(Refusal::Database)?;
        if !exists {
            return Err(Refusal::NoAccess(format!(
                "The organization of your session, `{organization}`, does not exist here; `stripe-sync org create` \
                 creates it."
            )));
        }
        Ok(organization)
    }

    async fn exists(&self, organization: &OrganizationId) -> Result<bool, db::Error> {
        let mut tx = db::tenant_transaction(&self.0.pool, organization).await?;
        let found = tenant::queries::organization_name(&mut tx, organization).await?;
        let mut exists = found.is_some();
        if !exists && self.0.config.provision {
            let name = organization.as_str();
            let now = self.0.clock.now();
            match tenant::queries::create_organization(&mut tx, organization, name, now).await {
                Ok(true) => {
                    info!(%organization, "an organization is created, as a session names it");
                }
                // By another request, or with a name since.
                Ok(false) | Err(db::Error::Conflict { .. }) => {}
                Err(cause) => return Err(cause),
            }
            exists = true;
        }
        db::commit(tx).await?;
        Ok(exists)
    }
}

/// An id of a user that is the same for the same user of the same organization, and of nobody else.
fn user_of(organization: &OrganizationId, user: &str) -> Uuid {
    let named = Sha256::new()
        .chain_update(organization.as_str())
        .chain_update([0])
        .chain_update(user)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&named[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
