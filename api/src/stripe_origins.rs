//! Where Stripe's own pages and its script are, which the policies of our pages have to name.
//!
//! No setting: they follow from the address of Stripe's API. Tests give those of a stand-in.

use url::Url;

const API: &str = "https://api.stripe.com";
/// The pages that onboard an account, and the dashboard of an express account.
const PAGES: &str = "https://connect.stripe.com";
/// The pages on which organizations subscribe and change how they pay, of an account without a domain of its own for them.
const BILLING_PAGES: [&str; 2] = ["https://checkout.stripe.com", "https://billing.stripe.com"];
const SCRIPT: &str = "https://connect-js.stripe.com";

/// Origins of Stripe's, such as `https://connect.stripe.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeOrigins {
    /// To which the forms of "Get paid" lead.
    pub pages: Vec<String>,
    /// To which the forms of billing lead.
    pub billing_pages: Vec<String>,
    /// From which the script of embedded onboarding comes.
    pub script: String,
}

impl StripeOrigins {
    /// Of the Stripe whose API has this address; a stand-in for the API serves pages of its own.
    pub fn of(api: &Url) -> Self {
        let api = api.origin().ascii_serialization();
        let stand_in = Some(api).filter(|origin| origin != API);
        let with_stand_in = |pages: &[&str]| {
            let pages = pages.iter().map(|page| (*page).to_owned());
            pages.chain(stand_in.clone()).collect()
        };
        Self {
            pages: with_stand_in(&[PAGES]),
            billing_pages: with_stand_in(&BILLING_PAGES),
            script: SCRIPT.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_stand_in_are_reached_as_well() {
        let origins = |api: &str| StripeOrigins::of(&api.parse().unwrap());
        let pages = |api: &str| origins(api).pages;
        assert_eq!(pages("https://api.stripe.com"), [PAGES]);
        assert_eq!(
            pages("http://127.0.0.1:12111/x"),
            [PAGES, "http://127.0.0.1:12111"]
        );
        assert_eq!(
            origins("https://api.stripe.com").billing_pages,
            BILLING_PAGES
        );
    }
}
