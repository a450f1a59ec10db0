//! `billing checkout` and `portal`: links to Stripe's pages, on which the organization pays and changes how it pays.

use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::INTERVALS;
use crate::arguments;
use crate::client::{Ask, Error};
use crate::output;

const FLOWS: [&str; 2] = ["payment_method_update", "subscription_cancel"];

/// What to subscribe to, which is also what the engine is asked.
#[derive(Debug, clap::Args, Serialize)]
pub struct Checkout {
    /// The plan; `stripe-sync billing plans` shows them
    #[arg(value_name = "PLAN")]
    plan: String,
    /// How often it is paid
    #[arg(long, value_name = "INTERVAL", default_value = "month", value_parser = arguments::one_of::<String>(&INTERVALS))]
    interval: String,
    /// How many of the plan are paid for, 1 to 10000
    #[arg(long, value_name = "N", default_value = "1", value_parser = arguments::whole_number(1..=10_000))]
    seats: u32,
    /// Where Stripe redirects after the payment [default: a page of the engine]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    success_url: Option<String>,
    /// Where Stripe redirects without a payment [default: a page of the engine]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_url: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

/// What Stripe's page begins with, which is also what the engine is asked.
#[derive(Debug, clap::Args, Serialize)]
pub struct Portal {
    /// Begin with changing the payment method, or with cancelling [default: an overview]
    #[arg(long, value_name = "FLOW", value_parser = arguments::one_of::<String>(&FLOWS))]
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<String>,
    /// Where Stripe's page leads back to [default: the page "Plan and billing"]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

#[derive(Debug, Deserialize)]
struct Opened {
    url: String,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct Link {
    url: String,
}

impl Checkout {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let path = ["v1", "billing", "checkout"];
        let (status, answer) = client.call(Method::POST, &path, Some(&self)).await?;
        let is_new = status == StatusCode::CREATED;
        printer.print(answer, |page| opened(is_new, page))
    }
}

impl Portal {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let path = ["v1", "billing", "portal"];
        let (_, answer) = client.call(Method::POST, &path, Some(&self)).await?;
        printer.print(answer, |link: &Link| {
            let url = output::plain(&link.url);
            format!("open this page of Stripe's; the link expires soon:\n{url}")
        })
    }
}

fn opened(is_new: bool, opened: &Opened) -> String {
    let what = if is_new {
        "subscribe on this page of Stripe's"
    } else {
        "the same page is open already; subscribe on it"
    };
    format!(
        "{what}, until {}:\n{}",
        output::instant(opened.expires_at),
        output::plain(&opened.url)
    )
}

#[cfg(test)]
mod tests {
    use platform::billing::portal::PortalFlow;
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    #[test]
    fn flows_are_those_of_the_engine() {
        assert_eq!(FLOWS, PortalFlow::ALL.map(PortalFlow::as_str));
    }

    #[test]
    fn a_link_says_until_when_it_works() {
        let answer = json!({"session_id": "cs_1", "url": "https://checkout.stripe.com/x", "expires_at": "2026-11-22T06:00:00Z"});
        let text = opened(true, &understood(answer.clone()).unwrap());
        let said = "subscribe on this page of Stripe's, until 2026-11-22T06:00:00Z:\nhttps://checkout.stripe.com/x";
        assert_eq!(text, said);
        let again = opened(false, &understood(answer).unwrap());
        assert!(
            again.starts_with("the same page is open already"),
            "{again}"
        );
    }
}
