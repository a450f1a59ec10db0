//! How the platform's own Stripe account is reached: from flags and environment variables to checked values.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use common::config::{SettingErrors, or_default, parse, parse_api_base, secret};
use common::named;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::account::AccountGateway;
use crate::billing::plan::Plans;
use crate::ledger::fee::BasisPoints;
use crate::stripe::{AccountsV2, StripeClient};

const ACCOUNTS_VERSION: &str = "CONNECT_ACCOUNTS_VERSION";
const KEY: &str = "STRIPE_PLATFORM_KEY";
const PLANS: &str = "PLANS_FILE";
const FEE: &str = "PLATFORM_FEE_PERCENT";
/// [`BasisPoints::DEFAULT`].
const DEFAULT_FEE: &str = "10";

/// The key of the platform's own Stripe account.
#[derive(Debug, Clone, Args)]
pub struct PlatformKeyArgs {
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
}

impl PlatformKeyArgs {
    /// The key; the inner `None` is that it is not given.
    pub fn check_optional(self, problems: &mut SettingErrors) -> Option<Option<SecretString>> {
        let names = (KEY, "STRIPE_PLATFORM_KEY_FILE");
        let file = self.stripe_platform_key_file.as_deref();
        let Some(key) = secret(names, self.stripe_platform_key, file, problems)? else {
            return Some(None);
        };
        let text = key.expose_secret().trim();
        if !(text.starts_with("sk_") || text.starts_with("rk_")) {
            problems.add(
                KEY,
                "must be a secret key, which begins with sk_, or a restricted one, which begins with rk_",
            );
            return None;
        }
        Some(Some(text.into()))
    }
}

named! {
    /// The version of Stripe's API for connected accounts.
    AccountsVersion {
        V1 = "v1",
        /// Has to be enabled for the platform at Stripe.
        V2 = "v2",
    }
}

/// How connected accounts are made and read.
#[derive(Debug, Clone, Args)]
pub struct AccountsArgs {
    /// The version of Stripe's API for connected accounts: v1, or v2 where Stripe has enabled it for the platform
    #[arg(long, env = ACCOUNTS_VERSION, default_value = "v1", value_name = "VERSION")]
    pub connect_accounts_version: String,
}

impl AccountsArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<AccountsVersion> {
        let text = or_default(&self.connect_accounts_version, "v1");
        parse(ACCOUNTS_VERSION, text, "v1 or v2", problems)
    }
}

/// The accounts of the platform that this client speaks for.
pub fn accounts(version: AccountsVersion, client: StripeClient) -> Arc<dyn AccountGateway> {
    match version {
        AccountsVersion::V1 => Arc::new(client),
        AccountsVersion::V2 => Arc::new(AccountsV2(client)),
    }
}

/// What the platform keeps of transfers.
#[derive(Debug, Clone, Args)]
pub struct FeeArgs {
    /// What the platform keeps of a transfer, in percent with at most two decimals, of organizations without a percentage of
    /// their own
    #[arg(long, env = FEE, default_value = DEFAULT_FEE, value_name = "PERCENT")]
    pub platform_fee_percent: String,
}

impl FeeArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<BasisPoints> {
        let text = or_default(&self.platform_fee_percent, DEFAULT_FEE);
        match text.trim().parse() {
            Ok(fee) => Some(fee),
            Err(cause) => {
                problems.add(FEE, format!("{cause}"));
                None
            }
        }
    }
}

/// What the platform sells.
#[derive(Debug, Clone, Args)]
pub struct PlansArgs {
    /// A JSON file with the plans that organizations may subscribe to; an example when not set
    #[arg(long, env = PLANS, value_name = "PATH")]
    pub plans_file: Option<PathBuf>,
}

impl PlansArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<Arc<Plans>> {
        let file = self.plans_file.filter(|file| !file.as_os_str().is_empty());
        let plans = match &file {
            None => Plans::built_in(),
            Some(file) => match fs::read_to_string(file) {
                Ok(text) => Plans::parse(&text),
                Err(cause) => {
                    let file = file.display();
                    problems.add(
                        PLANS,
                        format!("names `{file}`, which cannot be read: {cause}"),
                    );
                    return None;
                }
            },
        };
        match plans {
            Ok(plans) => Some(Arc::new(plans)),
            Err(cause) => {
                problems.add(PLANS, format!("names plans with a mistake: {cause}"));
                None
            }
        }
    }
}

/// How the platform's own account is reached, to change something there.
#[derive(Debug, Clone, Args)]
pub struct PlatformArgs {
    #[command(flatten)]
    pub key: PlatformKeyArgs,
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
    /// The settings of a command that needs the key.
    pub fn check(self, problems: &mut SettingErrors) -> Option<PlatformConfig> {
        let key = self.key.check_optional(problems);
        let base = or_default(&self.stripe_api_base, "https://api.stripe.com");
        let base = parse_api_base("STRIPE_API_BASE", base, problems);
        let Some(key) = key? else {
            problems.add(
                KEY,
                "is missing; give the secret key of the platform's own Stripe account",
            );
            return None;
        };
        Some(PlatformConfig {
            stripe_api_base: base?,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(key: &str, base: &str) -> (Option<PlatformConfig>, String) {
        let mut problems = SettingErrors::default();
        let args = PlatformArgs {
            key: PlatformKeyArgs {
                stripe_platform_key: Some(key.into()),
                stripe_platform_key_file: None,
            },
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
    fn the_fee_is_a_percentage_with_a_default() {
        let fee = |text: &str| {
            let mut problems = SettingErrors::default();
            let platform_fee_percent = text.to_owned();
            let fee = FeeArgs {
                platform_fee_percent,
            };
            fee.check(&mut problems)
        };
        assert_eq!(fee(""), Some(BasisPoints::DEFAULT));
        assert_eq!(fee("12.5").map(BasisPoints::get), Some(1_250));
        assert_eq!(fee("101"), None);
    }

    #[test]
    fn stripe_is_known_from_a_simulator_by_its_host() {
        let is_stripe = |base| platform("sk_test_1", base).0.unwrap().is_stripe();
        assert!(is_stripe("") && is_stripe("https://api.stripe.com"));
        assert!(!is_stripe("http://127.0.0.1:1") && !is_stripe("https://notstripe.com"));
    }
}
