//! Where events are forwarded to, which, and how the handler knows the sender. The API needs the first two, the consumer the
//! first and the last, so each is a section of its own.

use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{SettingErrors, or_default, parse_called_url, secret};
use crate::webhook::forward::ForwardTypes;
use crate::webhook::forward_signature::ForwardSecret;

const URL: &str = "WEBHOOK_FORWARD_URL";
const SECRET: (&str, &str) = ("WEBHOOK_FORWARD_SECRET", "WEBHOOK_FORWARD_SECRET_FILE");
const DEFAULT_TYPES: &str = "*";

/// Where events are forwarded to.
#[derive(Debug, Clone, Args)]
pub struct ForwardUrlArgs {
    /// An internal handler that is sent every verified webhook event; without it nothing is forwarded
    #[arg(long, env, value_name = "URL")]
    pub webhook_forward_url: Option<String>,
}

impl ForwardUrlArgs {
    /// The URL, or none when it is not set; the outer `None` means a problem.
    pub fn check(self, problems: &mut SettingErrors) -> Option<Option<Url>> {
        parse_called_url(
            URL,
            self.webhook_forward_url.as_deref(),
            "http://localhost:3000/webhooks",
            SECRET.0,
            problems,
        )
    }
}

/// Which events are forwarded.
#[derive(Debug, Clone, Args)]
pub struct ForwardTypesArgs {
    /// Types of the events that are forwarded, separated by commas; charge.* is every type that begins with charge.
    #[arg(
        long,
        env,
        default_value = DEFAULT_TYPES,
        value_name = "TYPES"
    )]
    pub webhook_forward_types: String,
}

impl ForwardTypesArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<ForwardTypes> {
        match or_default(&self.webhook_forward_types, DEFAULT_TYPES).parse() {
            Ok(types) => Some(types),
            Err(cause) => {
                problems.add("WEBHOOK_FORWARD_TYPES", format!("cannot be used: {cause}"));
                None
            }
        }
    }
}

/// How the handler knows the sender.
#[derive(Debug, Clone, Args)]
pub struct ForwardSecretArgs {
    /// The secret that forwarded events carry and are signed with: whsec_ and a key in base64, or printable ASCII text
    /// without spaces
    #[arg(long, env, hide_env_values = true, value_name = "SECRET")]
    pub webhook_forward_secret: Option<SecretString>,
    /// A file that holds the `WEBHOOK_FORWARD_SECRET`
    #[arg(long, env, value_name = "PATH")]
    pub webhook_forward_secret_file: Option<PathBuf>,
}

/// Where events are forwarded to, checked.
#[derive(Debug, Clone)]
pub struct ForwardTarget {
    pub url: Url,
    pub secret: ForwardSecret,
}

impl ForwardSecretArgs {
    /// What forwards to this URL; none without one. A URL needs a secret. The outer `None` means a problem.
    pub fn check(
        self,
        url: Option<Option<Url>>,
        problems: &mut SettingErrors,
    ) -> Option<Option<ForwardTarget>> {
        let file = self.webhook_forward_secret_file.as_deref();
        let given = secret(SECRET, self.webhook_forward_secret, file, problems)?;
        let secret = match given {
            Some(given) => {
                let trimmed = SecretString::from(given.expose_secret().trim().to_owned());
                match ForwardSecret::new(trimmed) {
                    Ok(secret) => Some(secret),
                    Err(cause) => {
                        problems.add(SECRET.0, cause.to_string());
                        return None;
                    }
                }
            }
            None => None,
        };
        let Some(url) = url? else { return Some(None) };
        if secret.is_none() {
            problems.add(
                SECRET.0,
                "is missing: WEBHOOK_FORWARD_URL is set, and the handler could not know who asks",
            );
        }
        Some(Some(ForwardTarget {
            url,
            secret: secret?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, secret: Option<&str>) -> Result<Option<ForwardTarget>, String> {
        let mut problems = SettingErrors::default();
        let url = ForwardUrlArgs {
            webhook_forward_url: Some(url.to_owned()),
        };
        let url = url.check(&mut problems);
        let secret = ForwardSecretArgs {
            webhook_forward_secret: secret.map(|text| text.to_owned().into()),
            webhook_forward_secret_file: None,
        };
        let target = secret.check(url, &mut problems);
        problems.finish(target).map_err(|cause| cause.to_string())
    }

    #[test]
    fn a_forward_url_needs_a_secret_and_nothing_needs_a_url() {
        assert!(checked("", None).unwrap().is_none());
        assert!(checked("", Some("secret")).unwrap().is_none());
        let target = checked("http://app:3000/hook", Some(" secret\n")).unwrap();
        assert_eq!(target.unwrap().secret.text().expose_secret(), "secret");
        let missing = checked("http://app:3000/hook", None).unwrap_err();
        assert!(
            missing.contains("WEBHOOK_FORWARD_SECRET is missing"),
            "{missing}"
        );
    }

    #[test]
    fn what_cannot_be_forwarded_to_is_refused_without_showing_it() {
        for (url, secret, named) in [
            ("app/hook", "secret", "WEBHOOK_FORWARD_URL must be a URL"),
            ("ftp://app/", "secret", "WEBHOOK_FORWARD_URL must be a URL"),
            (
                "http://u:hunter2@app/",
                "secret",
                "WEBHOOK_FORWARD_URL must have no user",
            ),
            (
                "http://app/",
                "whsec_hunter2!",
                "WEBHOOK_FORWARD_SECRET must be base64",
            ),
        ] {
            let refused = checked(url, Some(secret)).unwrap_err();
            assert!(refused.contains(named), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let mut problems = SettingErrors::default();
        let types = |text: &str| ForwardTypesArgs {
            webhook_forward_types: text.to_owned(),
        };
        assert!(types("charge*").check(&mut problems).is_none());
        assert!(problems.into_error().to_string().contains("`charge*`"));
        let all = types("").check(&mut SettingErrors::default()).unwrap();
        assert!(all.contain("anything"));
    }
}
