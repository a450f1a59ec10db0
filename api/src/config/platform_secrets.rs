//! The signing secrets of the platform's webhook endpoints, as they are set: each a list, since both the former and the new
//! one sign while a secret is exchanged.
//!
//! Neither needs to be set: `stripe-sync webhooks register` keeps the secrets of the endpoints that it makes.

use std::path::PathBuf;
use std::sync::Arc;

use common::config::{SettingErrors, secret};
use common::connector::Connector as _;
use common::webhook::platform::PlatformEndpoint;
use secrecy::{ExposeSecret as _, SecretString};
use stripe::StripeConnector;

/// What verifies the webhooks of the platform.
#[derive(Debug, Clone, clap::Args)]
pub struct PlatformSecretArgs {
    /// Signing secrets of the webhook endpoint of the platform's own Stripe account, separated by commas
    #[arg(
        long,
        env = "STRIPE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRETS"
    )]
    pub stripe_webhook_secret: Option<SecretString>,
    /// A file that holds the `STRIPE_WEBHOOK_SECRET`
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET_FILE", value_name = "PATH")]
    pub stripe_webhook_secret_file: Option<PathBuf>,
    /// Signing secrets of the Connect endpoint, which receives the webhooks of connected accounts, separated by commas
    #[arg(
        long,
        env = "STRIPE_CONNECT_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRETS"
    )]
    pub stripe_connect_webhook_secret: Option<SecretString>,
    /// A file that holds the `STRIPE_CONNECT_WEBHOOK_SECRET`
    #[arg(long, env = "STRIPE_CONNECT_WEBHOOK_SECRET_FILE", value_name = "PATH")]
    pub stripe_connect_webhook_secret_file: Option<PathBuf>,
}

/// The signing secrets of the platform's endpoints; none where none is set. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct PlatformSecrets {
    pub platform: Arc<[SecretString]>,
    pub connect: Arc<[SecretString]>,
}

impl PlatformSecrets {
    /// Those of an endpoint.
    pub fn of(&self, endpoint: PlatformEndpoint) -> &[SecretString] {
        match endpoint {
            PlatformEndpoint::Platform => &self.platform,
            PlatformEndpoint::Connect => &self.connect,
        }
    }
}

impl PlatformSecretArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<PlatformSecrets> {
        let platform = secrets(
            ("STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET_FILE"),
            (self.stripe_webhook_secret, self.stripe_webhook_secret_file),
            problems,
        );
        let connect = secrets(
            (
                "STRIPE_CONNECT_WEBHOOK_SECRET",
                "STRIPE_CONNECT_WEBHOOK_SECRET_FILE",
            ),
            (
                self.stripe_connect_webhook_secret,
                self.stripe_connect_webhook_secret_file,
            ),
            problems,
        );
        Some(PlatformSecrets {
            platform: platform?,
            connect: connect?,
        })
    }
}

/// The secrets of a list; what is wrong with one is said by its position, since the text itself may be secret.
fn secrets(
    names: (&'static str, &'static str),
    (value, file): (Option<SecretString>, Option<PathBuf>),
    problems: &mut SettingErrors,
) -> Option<Arc<[SecretString]>> {
    let format = StripeConnector.webhooks()?;
    let Some(list) = secret(names, value, file.as_deref(), problems)? else {
        return Some(Arc::default());
    };
    let parts = list.expose_secret().split(',').map(str::trim);
    let mut found = Vec::new();
    for (place, part) in parts.filter(|part| !part.is_empty()).enumerate() {
        if let Err(complaint) = format.check_secret(part) {
            problems.add(
                names.0,
                format!("is wrong: secret number {} {complaint}", place + 1),
            );
            return None;
        }
        found.push(SecretString::from(part));
    }
    Some(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(platform: &str, connect: &str) -> PlatformSecretArgs {
        PlatformSecretArgs {
            stripe_webhook_secret: Some(platform.into()),
            stripe_webhook_secret_file: None,
            stripe_connect_webhook_secret: Some(connect.into()),
            stripe_connect_webhook_secret_file: None,
        }
    }

    #[test]
    fn several_secrets_may_be_set_while_one_is_exchanged() {
        let mut problems = SettingErrors::default();
        let secrets = args(" whsec_a , whsec_b,", "").check(&mut problems);
        let secrets = secrets.expect("they are right");
        let of_platform = secrets.of(PlatformEndpoint::Platform).iter();
        let texts: Vec<&str> = of_platform.map(SecretString::expose_secret).collect();
        assert_eq!(texts, ["whsec_a", "whsec_b"]);
        assert!(secrets.of(PlatformEndpoint::Connect).is_empty());
    }

    #[test]
    fn a_wrong_secret_is_reported_by_its_position_only() {
        let mut problems = SettingErrors::default();
        let checked = args("whsec_a,sk_live_oops", "whsec_").check(&mut problems);
        assert!(checked.is_none());
        let error = problems.into_error();
        let named: Vec<_> = error.problems().iter().map(|p| p.setting).collect();
        assert_eq!(
            named,
            ["STRIPE_WEBHOOK_SECRET", "STRIPE_CONNECT_WEBHOOK_SECRET"]
        );
        assert!(error.to_string().contains("secret number 2"), "{error}");
        assert!(!error.to_string().contains("oops"), "{error}");
    }
}
