//! How Stripe is reached: from flags and environment variables to checked values.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common::config::{SettingErrors, or_default, parse, parse_number, secret};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// How Stripe is reached and how hard it may be asked.
#[derive(Debug, Clone, Args)]
pub struct StripeArgs {
    /// Where Stripe's API is, without /v1; for the simulator or a proxy
    #[arg(
        long,
        env = "STRIPE_API_BASE",
        default_value = "https://api.stripe.com",
        value_name = "URL"
    )]
    pub stripe_api_base: String,
    /// Maximum requests per second for one Stripe account with a live key, all endpoints
    #[arg(
        long,
        env = "STRIPE_RATE_LIVE",
        default_value = "100",
        value_name = "N"
    )]
    pub stripe_rate_live: String,
    /// Maximum requests per second for one Stripe account with a test key, all endpoints
    #[arg(long, env = "STRIPE_RATE_TEST", default_value = "25", value_name = "N")]
    pub stripe_rate_test: String,
    /// Maximum requests per second for one endpoint of one Stripe account
    #[arg(
        long,
        env = "STRIPE_RATE_ENDPOINT",
        default_value = "25",
        value_name = "N"
    )]
    pub stripe_rate_endpoint: String,
    /// Maximum requests in flight for one Stripe account
    #[arg(
        long,
        env = "STRIPE_CONCURRENCY",
        default_value = "32",
        value_name = "N"
    )]
    pub stripe_concurrency: String,
    /// Seconds that an event may take to appear in Stripe's list of events
    #[arg(
        long,
        env = "STRIPE_EVENT_LAG",
        default_value = "60",
        value_name = "SECONDS"
    )]
    pub stripe_event_lag: String,
}

/// How Stripe is reached and how hard it may be asked, checked.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// Where Stripe's API is, without `/v1`.
    pub stripe_api_base: Url,
    /// Requests a second for one account with a live key.
    pub stripe_rate_live: NonZeroU32,
    /// Requests a second for one account with a test key.
    pub stripe_rate_test: NonZeroU32,
    /// Requests a second for one endpoint of one account.
    pub stripe_rate_endpoint: NonZeroU32,
    /// Requests in flight for one account.
    pub stripe_concurrency: NonZeroU32,
    /// How late Stripe may show an event.
    pub stripe_event_lag: Duration,
}

impl StripeArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<StripeConfig> {
        let base = stripe_base(&self.stripe_api_base, problems);
        let mut rate = |setting, text: &str, default| {
            let number = parse_number(setting, or_default(text, default), (1, 10_000), problems);
            number.and_then(NonZeroU32::new)
        };
        let live = rate("STRIPE_RATE_LIVE", &self.stripe_rate_live, "100");
        let test = rate("STRIPE_RATE_TEST", &self.stripe_rate_test, "25");
        let endpoint = rate("STRIPE_RATE_ENDPOINT", &self.stripe_rate_endpoint, "25");
        let concurrency = rate("STRIPE_CONCURRENCY", &self.stripe_concurrency, "32");
        let lag = or_default(&self.stripe_event_lag, "60");
        let lag = parse_number("STRIPE_EVENT_LAG", lag, (0, 3600), problems);
        Some(StripeConfig {
            stripe_api_base: base?,
            stripe_rate_live: live?,
            stripe_rate_test: test?,
            stripe_rate_endpoint: endpoint?,
            stripe_concurrency: concurrency?,
            stripe_event_lag: Duration::from_secs(lag?.into()),
        })
    }
}

fn stripe_base(text: &str, problems: &mut SettingErrors) -> Option<Url> {
    let setting = "STRIPE_API_BASE";
    let text = or_default(text, "https://api.stripe.com");
    let expected = "a URL such as https://api.stripe.com";
    let url: Url = parse(setting, text, expected, problems)?;
    let complaint = if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        "must begin with https:// or http:// and name a host"
    } else if url.path().trim_end_matches('/').ends_with("/v1") {
        "must not end with /v1, which is added to it"
    } else {
        return Some(url);
    };
    problems.add(setting, complaint);
    None
}

/// How the platform's own account is reached, to change something there.
#[derive(Debug, Clone, Args)]
pub struct PlatformArgs {
    /// The secret key of the platform's own Stripe account
    #[arg(
        long,
        env = "STRIPE_PLATFORM_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub stripe_platform_key: Option<SecretString>,
    /// A file that holds the `STRIPE_PLATFORM_KEY`
    #[arg(long, env = "STRIPE_PLATFORM_KEY_FILE", value_name = "PATH")]
    pub stripe_platform_key_file: Option<PathBuf>,
    /// Where Stripe's API is, without /v1; for the simulator or a proxy
    #[arg(
        long,
        env = "STRIPE_API_BASE",
        default_value = "https://api.stripe.com",
        value_name = "URL"
    )]
    pub stripe_api_base: String,
}

#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// Where Stripe's API is, without `/v1`.
    pub stripe_api_base: Url,
    pub key: SecretString,
}

impl PlatformConfig {
    /// Whether it is Stripe itself that is reached, rather than a simulator.
    pub fn is_stripe(&self) -> bool {
        let host = self.stripe_api_base.host_str();
        host.is_some_and(|host| host == "stripe.com" || host.ends_with(".stripe.com"))
    }
}

impl PlatformArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<PlatformConfig> {
        let names = ("STRIPE_PLATFORM_KEY", "STRIPE_PLATFORM_KEY_FILE");
        let file = self.stripe_platform_key_file.as_deref();
        let key = secret(names, self.stripe_platform_key, file, problems);
        let base = stripe_base(&self.stripe_api_base, problems);
        let Some(key) = key? else {
            problems.add(
                names.0,
                "is missing; give the secret key of the platform's own Stripe account",
            );
            return None;
        };
        let text = key.expose_secret().trim();
        if !(text.starts_with("sk_") || text.starts_with("rk_")) {
            problems.add(
                names.0,
                "must be a secret key, which begins with sk_, or a restricted one, which begins with rk_",
            );
            return None;
        }
        Some(PlatformConfig {
            stripe_api_base: base?,
            key: text.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(key: &str, base: &str) -> (Option<PlatformConfig>, String) {
        let mut problems = SettingErrors::default();
        let args = PlatformArgs {
            stripe_platform_key: Some(key.into()),
            stripe_platform_key_file: None,
            stripe_api_base: base.to_owned(),
        };
        let config = args.check(&mut problems);
        (config, problems.into_error().to_string())
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_shown() {
        for key in ["", "pk_live_something", "whsec_something"] {
            let (config, error) = platform(key, "");
            assert!(config.is_none() && error.contains("STRIPE_PLATFORM_KEY"));
            assert!(!error.contains("something"), "{error}");
        }
    }

    #[test]
    fn stripe_is_known_from_a_simulator_by_its_host() {
        let is_stripe = |base| platform("sk_test_1", base).0.unwrap().is_stripe();
        assert!(is_stripe("") && is_stripe("https://api.stripe.com"));
        assert!(!is_stripe("http://127.0.0.1:1") && !is_stripe("https://notstripe.com"));
    }

    fn args() -> StripeArgs {
        StripeArgs {
            stripe_api_base: String::new(),
            stripe_rate_live: String::new(),
            stripe_rate_test: String::new(),
            stripe_rate_endpoint: String::new(),
            stripe_concurrency: String::new(),
            stripe_event_lag: String::new(),
        }
    }

    #[test]
    fn empty_settings_have_the_documented_defaults() {
        let mut problems = SettingErrors::default();
        let config = args().check(&mut problems).unwrap();
        assert_eq!(problems, SettingErrors::default());
        assert_eq!(config.stripe_api_base.as_str(), "https://api.stripe.com/");
        assert_eq!(config.stripe_rate_live.get(), 100);
        assert_eq!(config.stripe_rate_test.get(), 25);
        assert_eq!(config.stripe_rate_endpoint.get(), 25);
        assert_eq!(config.stripe_concurrency.get(), 32);
        assert_eq!(config.stripe_event_lag, Duration::from_mins(1));
    }

    #[test]
    fn all_invalid_settings_are_reported_at_once() {
        let mut problems = SettingErrors::default();
        let stripe = StripeArgs {
            stripe_api_base: "https://api.stripe.com/v1/".to_owned(),
            stripe_rate_live: "0".to_owned(),
            stripe_concurrency: "many".to_owned(),
            ..args()
        };
        assert!(stripe.check(&mut problems).is_none());
        let error = problems.into_error();
        let named: Vec<_> = error.problems().iter().map(|p| p.setting).collect();
        assert_eq!(
            named,
            ["STRIPE_API_BASE", "STRIPE_RATE_LIVE", "STRIPE_CONCURRENCY"]
        );
    }
}
