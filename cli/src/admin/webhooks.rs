//! `webhooks register`: makes the platform's own endpoint and its Connect endpoint at Stripe, or finds them.
//!
//! It needs what no client has: the platform's key, the encryption keys and the database. Both endpoints are tried, whatever
//! becomes of the first; what failed is the command's error, and running it again goes on from there. A signing secret is
//! never printed. What is done is decided by [`common::webhook::registration`].

use std::sync::Arc;

use common::clock::SystemClock;
use common::config::{EncryptionArgs, SettingErrors, parse_public_url};
use common::credential::Keyring;
use common::credential::vault::Vault;
use common::db::Role;
use common::lifecycle::keys as encryption_keys;
use common::webhook::platform::PlatformEndpoint;
use common::webhook::registration::{self, Done, Registered, RegistrationServices, register};
use platform::config::{PlatformArgs, PlatformConfig};
use platform::stripe::{StripeClient, StripeEndpoints};
use stripe::webhook::StripeWebhooks;
use url::Url;

use super::keys::configured;
use super::{Database, DatabaseAccess, Error};
use crate::output;

/// What to register, and with which keys.
#[derive(Debug, clap::Args)]
pub struct Register {
    /// Create other endpoints in place of those that exist, which are deleted afterwards
    #[arg(long)]
    replace: bool,
    /// The URL at which Stripe reaches the API, such as <https://sync.example.com>
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    encryption: EncryptionArgs,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// The settings, checked.
struct Settings {
    public_url: Url,
    platform: PlatformConfig,
    keyring: Arc<Keyring>,
    database: Database,
}

impl Register {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let replace = self.replace;
        let settings = self.check().await?;
        // Connecting as oneself tells best what is wrong with the database.
        drop(settings.database.connect().await?);
        let pool = settings.database.pool(Role::Api)?;
        encryption_keys::check(&pool, &settings.keyring).await?;
        let PlatformConfig {
            stripe_api_base,
            key,
        } = settings.platform;
        let registry = StripeEndpoints {
            client: StripeClient::new(&stripe_api_base, key).map_err(Error::Stripe)?,
            format: &StripeWebhooks,
        };
        let vault = Vault::new(settings.keyring);
        let services = RegistrationServices {
            pool: &pool,
            vault: &vault,
            clock: &SystemClock,
            registry: &registry,
        };
        let base = settings.public_url.as_str().trim_end_matches('/');
        let mut failed = None;
        for endpoint in PlatformEndpoint::ALL {
            let url = format!("{base}/{}", endpoint.path());
            match register(services, endpoint, &url, replace).await {
                Ok(registered) => output::print(&said(&registered))?,
                Err(cause) => failed = failed.or(Some(failure(endpoint, cause))),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn check(self) -> Result<Settings, Error> {
        let mut problems = SettingErrors::default();
        let platform = self.platform.check(&mut problems);
        let public_url = parse_public_url(self.public_url.as_deref(), &mut problems);
        if public_url == Some(None) {
            problems.add(
                "PUBLIC_URL",
                "is missing; give the URL at which Stripe reaches the API, such as https://sync.example.com",
            );
        }
        let public_url = public_url.flatten();
        let is_stripe = platform.as_ref().is_some_and(PlatformConfig::is_stripe);
        if is_stripe
            && public_url
                .as_ref()
                .is_some_and(|url| url.scheme() != "https")
        {
            problems.add(
                "PUBLIC_URL",
                "must begin with https://, since Stripe sends webhooks to nothing else",
            );
        }
        let keyring = configured(self.encryption, &self.access.local, &mut problems)?;
        if matches!(keyring, Some(None)) {
            problems.add(
                "ENCRYPTION_KEYS",
                format!(
                    "is missing, and there is no {}; give the keys of the running programs",
                    self.access.local.encryption_keys().display()
                ),
            );
        }
        let database = self.access.find(&mut problems).await?;
        let settings = (|| {
            Some(Settings {
                public_url: public_url?,
                platform: platform?,
                keyring: keyring.flatten()?,
                database: database?,
            })
        })();
        Ok(problems.finish(settings)?)
    }
}

fn failure(endpoint: PlatformEndpoint, cause: registration::Error) -> Error {
    let setting = match endpoint {
        PlatformEndpoint::Platform => "STRIPE_WEBHOOK_SECRET",
        PlatformEndpoint::Connect => "STRIPE_CONNECT_WEBHOOK_SECRET",
    };
    let endpoint = endpoint.as_str();
    match cause {
        registration::Error::SecretNotKept { external_ids } => Error::SecretNotKept {
            endpoint,
            external_ids,
            setting,
        },
        cause => Error::NotRegistered {
            endpoint,
            cause: Box::new(cause),
        },
    }
}

/// What was done to an endpoint, and what a person should know of it.
fn said(registered: &Registered) -> String {
    let Registered {
        endpoint,
        done,
        external_id,
        url,
        enabled,
        other_version,
        others,
    } = registered;
    let endpoint = endpoint.as_str();
    let done = match done {
        Done::Created => "created",
        Done::CreatedAgain => "the former one is gone at Stripe, so another one was created:",
        Done::Completed => "an earlier run was interrupted, and is now completed:",
        Done::Updated => "brought up to date:",
        Done::Unchanged => "found, unchanged:",
        Done::Replaced => "created in place of the former one:",
    };
    let mut lines = vec![format!("{endpoint}: {done} {external_id} at {url}")];
    if !enabled {
        lines.push(format!(
            "{endpoint}: {external_id} is disabled at Stripe and receives nothing; enable it in Stripe's dashboard"
        ));
    }
    if let Some(version) = other_version {
        lines.push(format!(
            "{endpoint}: {external_id} is sent events in the API version {version}, which cannot be changed; --replace \
             creates one with the version of this engine"
        ));
    }
    if !others.is_empty() {
        lines.push(format!(
            "{endpoint}: Stripe has other endpoints at the same address: {}; delete them in Stripe's dashboard",
            others.join(", ")
        ));
    }
    let lines: Vec<String> = lines.iter().map(|line| output::plain(line)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_an_endpoint_from_receiving_is_said() {
        let registered = Registered {
            endpoint: PlatformEndpoint::Connect,
            done: Done::Unchanged,
            external_id: "we_1".to_owned(),
            url: "https://sync.example.com/webhooks/stripe/connect".to_owned(),
            enabled: false,
            other_version: Some("2025-02-24.acacia".to_owned()),
            others: vec!["we_2".to_owned()],
        };
        let text = said(&registered);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.starts_with("connect: ")));
        assert!(lines[1].contains("disabled") && lines[2].contains("acacia"));
        assert!(lines[3].contains("we_2"));
        let fine = Registered {
            enabled: true,
            other_version: None,
            others: Vec::new(),
            ..registered
        };
        assert_eq!(said(&fine).lines().count(), 1);
    }
}
