//! Which other application vouches for sessions, and how it knows who asks.

use std::path::PathBuf;

use common::config::{SettingErrors, or_default, parse, parse_called_url, secret};
use secrecy::SecretString;
use url::Url;

const URL: &str = "AUTH_VERIFY_URL";
const KEY: (&str, &str) = ("AUTH_VERIFY_KEY", "AUTH_VERIFY_KEY_FILE");
const COOKIE: &str = "AUTH_COOKIE";
const DEFAULT_COOKIE: &str = "better-auth.session_token";
const PROVISION: &str = "AUTH_PROVISION";

/// How sessions of another application are verified.
#[derive(Debug, Clone, clap::Args)]
pub struct SessionServiceArgs {
    /// URL at which another application verifies its sessions; without it, only this engine's tokens and sessions are accepted
    #[arg(long, env = URL, value_name = "URL")]
    pub auth_verify_url: Option<String>,
    /// The key that is sent there as a bearer token
    #[arg(long, env = KEY.0, hide_env_values = true, value_name = "KEY")]
    pub auth_verify_key: Option<SecretString>,
    /// A file that holds the `AUTH_VERIFY_KEY`
    #[arg(long, env = KEY.1, value_name = "PATH")]
    pub auth_verify_key_file: Option<PathBuf>,
    /// The cookie in which browsers send the application's session
    #[arg(long, env = COOKIE, default_value = DEFAULT_COOKIE, value_name = "NAME")]
    pub auth_cookie: String,
    /// Whether to create an organization that a verified session names and that does not exist yet: true or false
    #[arg(long, env = PROVISION, default_value = "false", value_name = "BOOL")]
    pub auth_provision: String,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct SessionServiceConfig {
    pub verify_url: Url,
    pub key: SecretString,
    pub cookie: String,
    /// Whether organizations that sessions name are created.
    pub provision: bool,
}

impl SessionServiceArgs {
    /// None where no application is set; the outer `None` means a problem.
    pub fn check(self, problems: &mut SettingErrors) -> Option<Option<SessionServiceConfig>> {
        let key = secret(
            KEY,
            self.auth_verify_key,
            self.auth_verify_key_file.as_deref(),
            problems,
        );
        let provision = or_default(&self.auth_provision, "false");
        let provision = parse(PROVISION, provision, "true or false", problems);
        let cookie = or_default(&self.auth_cookie, DEFAULT_COOKIE)
            .trim()
            .to_owned();
        let is_name = cookie
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte));
        if !is_name {
            problems.add(COOKIE, "must be the name of a cookie");
        }
        let verify_url = parse_called_url(
            URL,
            self.auth_verify_url.as_deref(),
            "http://localhost:3000/api/verify-session",
            KEY.0,
            problems,
        );
        let (key, provision) = (key?, provision?);
        is_name.then_some(())?;
        let Some(verify_url) = verify_url? else {
            return Some(None);
        };
        if key.is_none() {
            problems.add(
                KEY.0,
                "is missing: AUTH_VERIFY_URL is set, and the application could not know who asks",
            );
        }
        Some(Some(SessionServiceConfig {
            verify_url,
            key: key?,
            cookie,
            provision,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(
        url: &str,
        key: Option<&str>,
        provision: &str,
    ) -> Result<Option<SessionServiceConfig>, String> {
        let mut problems = SettingErrors::default();
        let args = SessionServiceArgs {
            auth_verify_url: Some(url.to_owned()),
            auth_verify_key: key.map(|key| key.to_owned().into()),
            auth_verify_key_file: None,
            auth_cookie: String::new(),
            auth_provision: provision.to_owned(),
        };
        let config = args.check(&mut problems);
        problems.finish(config).map_err(|cause| cause.to_string())
    }

    #[test]
    fn an_application_needs_a_key_and_none_is_needed_without_one() {
        assert!(checked("", None, "").unwrap().is_none());
        let config = checked("http://app:3000/verify", Some("k"), "true").unwrap();
        let config = config.unwrap();
        assert_eq!(config.cookie, DEFAULT_COOKIE);
        assert!(config.provision);
        let missing = checked("http://app:3000/verify", None, "").unwrap_err();
        assert!(missing.contains("AUTH_VERIFY_KEY is missing"), "{missing}");
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        for (url, provision, named) in [
            ("app/verify", "false", "AUTH_VERIFY_URL must be a URL"),
            (
                "http://u:hunter2@app/",
                "false",
                "AUTH_VERIFY_URL must have no user",
            ),
            ("http://app/", "perhaps", "AUTH_PROVISION must be"),
        ] {
            let refused = checked(url, Some("k"), provision).unwrap_err();
            assert!(refused.contains(named), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
