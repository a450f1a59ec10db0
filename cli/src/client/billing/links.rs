//! `billing checkout` and `portal`: links to Stripe's pages, on which the organization pays and changes how it pays.

use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::INTERVALS;
use crate::arguments;
use crate::client::requests::understood;
use crate::client::{Error, Server, print_json};
use crate::output;

const FLOWS: [&str; 2] = ["payment_method_update", "subscription_cancel"];

/// What to subscribe to.
#[derive(Debug, clap::Args)]
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
    success_url: Option<String>,
    /// Where Stripe redirects without a payment [default: a page of the engine]
    #[arg(long, value_name = "URL")]
    cancel_url: Option<String>,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What Stripe's page begins with.
#[derive(Debug, clap::Args)]
pub struct Portal {
    /// Begin with changing the payment method, or with cancelling [default: an overview]
    #[arg(long, value_name = "FLOW", value_parser = arguments::one_of::<String>(&FLOWS))]
    flow: Option<String>,
    /// Where Stripe's page leads back to [default: the page "Plan and billing"]
    #[arg(long, value_name = "URL")]
    return_url: Option<String>,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Serialize)]
struct AskedCheckout<'a> {
    plan: &'a str,
    interval: &'a str,
    seats: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct AskedPortal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
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
        let client = self.server.client().await?;
        let asked = AskedCheckout {
            plan: &self.plan,
            interval: &self.interval,
            seats: self.seats,
            success_url: self.success_url.as_deref(),
            cancel_url: self.cancel_url.as_deref(),
        };
        let path = ["v1", "billing", "checkout"];
        let (status, answer): (_, Value) = client.call(Method::POST, &path, Some(&asked)).await?;
        if self.json {
            return print_json(&answer);
        }
        let is_new = status == StatusCode::CREATED;
        Ok(output::print(&opened(is_new, &understood(answer)?))?)
    }
}

impl Portal {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let asked = AskedPortal {
            flow: self.flow.as_deref(),
            return_url: self.return_url.as_deref(),
        };
        let path = ["v1", "billing", "portal"];
        let (_, answer): (_, Value) = client.call(Method::POST, &path, Some(&asked)).await?;
        if self.json {
            return print_json(&answer);
        }
        let link: Link = understood(answer)?;
        let url = output::plain(&link.url);
        Ok(output::print(&format!(
            "open this page of Stripe's; the link expires soon:\n{url}"
        ))?)
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
