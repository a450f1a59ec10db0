//! How Stripe is reached: from flags and environment variables to checked values.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use common::config::{SettingErrors, or_default, parse_api_base, parse_number};
use url::Url;

/// How Stripe is reached and how hard it may be asked.
#[derive(Debug, Clone, Args)]
pub struct StripeArgs {
    /// Where Stripe's API is, without /v1; for the simulator or a proxy
    #[arg(
        long,
        env,
        default_value = "https://api.stripe.com",
        value_name = "URL"
    )]
    pub stripe_api_base: String,
    /// Maximum requests per second for one Stripe account with a live key, all endpoints
    #[arg(long, env, default_value = "100", value_name = "N")]
    pub stripe_rate_live: String,
    /// Maximum requests per second for one Stripe account with a test key, all endpoints
    #[arg(long, env, default_value = "25", value_name = "N")]
    pub stripe_rate_test: String,
    /// Maximum requests per second for one endpoint of one Stripe account
    #[arg(long, env, default_value = "25", value_name = "N")]
    pub stripe_rate_endpoint: String,
    /// Maximum requests in flight for one Stripe account
    #[arg(long, env, default_value = "32", value_name = "N")]
    pub stripe_concurrency: String,
    /// Seconds that an event may take to appear in Stripe's list of events
    #[arg(long, env, default_value = "60", value_name = "SECONDS")]
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
        let base = parse_api_base(
            "STRIPE_API_BASE",
            or_default(&self.stripe_api_base, "https://api.stripe.com"),
            problems,
        );
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

#[cfg(test)]
mod tests {
    use super::*;

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
