//! Where Stripe's own pages and its script are, which the policies of our pages have to name.
//!
//! No setting: they follow from the address of Stripe's API. Tests give those of a stand-in.

use url::Url;

const API: &str = "https://api.stripe.com";
/// The pages that onboard an account, and the dashboard of an express account.
const PAGES: &str = "https://connect.stripe.com";
const SCRIPT: &str = "https://connect-js.stripe.com";

/// Origins of Stripe's, such as `https://connect.stripe.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeOrigins {
    /// To which forms of ours lead.
    pub pages: Vec<String>,
    /// From which the script of embedded onboarding comes.
    pub script: String,
}

impl StripeOrigins {
    /// Of the Stripe whose API has this address; a stand-in for the API serves pages of its own.
    pub fn of(api: &Url) -> Self {
        let api = api.origin().ascii_serialization();
        let stand_in = Some(api).filter(|origin| origin != API);
        Self {
            pages: [PAGES.to_owned()].into_iter().chain(stand_in).collect(),
            script: SCRIPT.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_stand_in_are_reached_as_well() {
        let pages = |api: &str| StripeOrigins::of(&api.parse().unwrap()).pages;
        assert_eq!(pages("https://api.stripe.com"), [PAGES]);
        assert_eq!(
            pages("http://127.0.0.1:12111/x"),
            [PAGES, "http://127.0.0.1:12111"]
        );
    }
}
