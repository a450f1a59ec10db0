//! What onboarding an organization shows browsers, and where it may lead them.

use common::config::SettingErrors;
use url::{Origin, Url};

const PUBLISHABLE_KEY: &str = "STRIPE_PUBLISHABLE_KEY";
const ORIGINS: &str = "RETURN_URL_ORIGINS";

/// What onboarding needs in addition to the platform's key.
#[derive(Debug, Clone, clap::Args)]
pub struct OnboardingArgs {
    /// The publishable key of the platform's own Stripe account, which browsers are given
    #[arg(long, env = PUBLISHABLE_KEY, default_value = "", value_name = "KEY")]
    pub stripe_publishable_key: String,
    /// Comma-separated origins to which onboarding may redirect browsers; that of --public-url when not set
    #[arg(long, env = ORIGINS, default_value = "", value_name = "ORIGINS")]
    pub return_url_origins: String,
}

/// The same, checked.
#[derive(Debug, Clone, Default)]
pub struct OnboardingConfig {
    pub publishable_key: Option<String>,
    /// None where only the API's own origin counts.
    pub return_url_origins: Option<Vec<Origin>>,
}

impl OnboardingArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<OnboardingConfig> {
        let key = self.stripe_publishable_key.trim();
        let is_key = key.is_empty() || key.starts_with("pk_");
        if !is_key {
            // What stands there may be a secret key.
            problems.add(PUBLISHABLE_KEY, "must begin with pk_");
        }
        let origins = self.return_url_origins.split(',').map(str::trim);
        let origins = origins.filter(|text| !text.is_empty());
        let parsed: Option<Vec<Origin>> = origins.map(|text| origin(text, problems)).collect();
        let parsed = parsed?;
        is_key.then(|| OnboardingConfig {
            publishable_key: (!key.is_empty()).then(|| key.to_owned()),
            return_url_origins: (!parsed.is_empty()).then_some(parsed),
        })
    }
}

fn origin(text: &str, problems: &mut SettingErrors) -> Option<Origin> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.path() == "/" && url.query().is_none());
    if url.is_none() {
        problems.add(
            ORIGINS,
            format!("`{text}` must be an origin such as https://app.example.com"),
        );
    }
    url.map(|url| url.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, origins: &str) -> Result<OnboardingConfig, String> {
        let mut problems = SettingErrors::default();
        let args = OnboardingArgs {
            stripe_publishable_key: key.to_owned(),
            return_url_origins: origins.to_owned(),
        };
        let config = args.check(&mut problems);
        config.ok_or_else(|| problems.into_error().to_string())
    }

    #[test]
    fn a_secret_key_is_not_taken_for_a_publishable_one_and_not_shown() {
        let error = check("sk_live_something", "").unwrap_err();
        assert!(
            error.contains(PUBLISHABLE_KEY) && !error.contains("something"),
            "{error}"
        );
        assert_eq!(
            check(" pk_test_1 ", "").unwrap().publishable_key.as_deref(),
            Some("pk_test_1")
        );
    }

    #[test]
    fn only_an_origin_is_one() {
        let origins = check("", "https://app.example.com, http://localhost:3000/").unwrap();
        assert_eq!(origins.return_url_origins.unwrap().len(), 2);
        assert!(check("", "").unwrap().return_url_origins.is_none());
        for wrong in [
            "app.example.com",
            "https://app.example.com/back",
            "javascript:alert(1)",
        ] {
            assert!(check("", wrong).unwrap_err().contains(ORIGINS), "{wrong}");
        }
    }
}
