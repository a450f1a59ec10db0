//! Which engine a command talks to, and how it makes sure of that before it sends a token or a Stripe key.
//!
//! The address is `STRIPE_SYNC_URL`, else the one that a running `stripe-sync up` left in `.local` (`running_engines`).
//! There is no default address: any program on this machine can listen there and give the engine's name. Whatever answers
//! is first asked for its name, without any secret. An engine that was found in `.local` must also prove that it is the
//! one that left the address (`common::identity`); about one that the user named nothing more is known.
//!
//! # Failure modes
//!
//! - Something else answers, or nothing: the error says what, and nothing was sent but the question.
//! - No `up` runs in the directory: after a short wait for one started at the same moment, nothing is sent at all.
//! - An `up` is starting: it is waited for, within bounds.
//! - The engine restarts while a command runs: it is asked again after each failed request and before each stream.
//!
//! Deliberately absent: certainty about a remote engine, which is what `https://` gives. A plain `http://` to another
//! machine is warned about.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::identity::{self, EngineSecret};
use serde::Deserialize;
use url::Url;

use super::{Error, is_this_machine};
use crate::local_files::LocalFiles;
use crate::running_engines::{RunningEngines, Wait};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An engine, and whether it has been recognised.
#[derive(Debug)]
pub(super) struct Engine {
    base: Url,
    /// What it must prove to know, and the directory in which that was found.
    left_in: Option<(EngineSecret, PathBuf)>,
    recognised: AtomicBool,
}

/// What `/healthz` says. Everything may be missing: something else may have answered.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    proof: String,
}

impl Engine {
    /// The engine of the setting, else the one that runs in the directory.
    pub(super) async fn find(setting: Option<Url>, local: &LocalFiles) -> Result<Self, Error> {
        if let Some(base) = setting {
            if base.scheme() == "http" && !is_this_machine(&base) {
                eprintln!(
                    "warning: {base} is not encrypted: anyone on the network path can read the token and the Stripe key; \
                     use https://"
                );
            }
            return Ok(Self::at(base));
        }
        let mut wait = Wait::begin();
        loop {
            let running = RunningEngines::find(&local.engines())?;
            if let Some(engine) = running.ready {
                return Ok(Self {
                    left_in: Some((engine.secret, local.local_dir.clone())),
                    ..Self::at(engine.url)
                });
            }
            if running.starting {
                if !wait.for_readiness(&local.local_dir).await {
                    return Err(Error::UpNotReady(local.local_dir.clone()));
                }
            } else if !wait.for_appearance().await {
                let directory = &local.local_dir;
                return Err(Error::NoEngine(
                    std::path::absolute(directory).unwrap_or_else(|_| directory.clone()),
                ));
            }
        }
    }

    fn at(base: Url) -> Self {
        Self {
            base,
            left_in: None,
            recognised: AtomicBool::new(false),
        }
    }

    /// Where it answers.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Makes sure that the engine answers, unless that is known already.
    pub(super) async fn recognise(&self, http: &reqwest::Client) -> Result<(), Error> {
        if self.recognised.load(Ordering::Relaxed) {
            return Ok(());
        }
        let challenge = identity::new_challenge();
        let answer = self.ask(http, &challenge).await?;
        let url = self.base.clone();
        if answer.name != identity::NAME {
            return Err(Error::AnotherProgram(url));
        }
        if let Some((secret, directory)) = &self.left_in
            && !secret.is_proven(&challenge, &answer.proof)
        {
            return Err(Error::AnotherEngine {
                url,
                directory: directory.clone(),
            });
        }
        self.recognised.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Has the engine recognised again before the next request.
    pub(super) fn doubt(&self) {
        self.recognised.store(false, Ordering::Relaxed);
    }

    async fn ask(&self, http: &reqwest::Client, challenge: &str) -> Result<Answer, Error> {
        let mut url = self.base.clone();
        // Only URLs that cannot have a path have no segments; those have no host either.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("healthz");
        }
        let request = http
            .get(url.clone())
            .query(&[("challenge", challenge)])
            .timeout(ANSWER_WITHIN);
        let response = request.send().await.map_err(|cause| Error::Unreachable {
            url: self.base.clone(),
            cause: cause.without_url(),
        })?;
        let status = response.status();
        if status.is_server_error() {
            return Err(Error::Strange {
                base: self.base.clone(),
                status,
            });
        }
        if !status.is_success() {
            return Err(Error::AnotherProgram(self.base.clone()));
        }
        // What is no such document names no engine.
        Ok(response.json().await.unwrap_or_default())
    }
}
