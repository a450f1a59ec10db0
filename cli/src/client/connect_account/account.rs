//! `connect-account onboard`, `status` and `disconnect`: the account itself.
//!
//! What Stripe asks for is given on Stripe's page, whose link is printed. Disconnecting cannot be undone, since onboarding
//! again creates another account, so it asks first.
//!
//! Deliberately absent: embedded onboarding, which needs a page.

use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arguments::{self, Confirmation};
use crate::client::confirm::confirm;
use crate::client::requests::NOTHING;
use crate::client::{Ask, Error};
use crate::output::{self, instant, optional, optional_instant, plain, text, whole, yes_or_no};

const PRESETS: [&str; 3] = ["express", "standard", "custom"];
const BUSINESS_TYPES: [&str; 4] = ["individual", "company", "non_profit", "government_entity"];

/// What a new account is to be. It counts for a new one only.
#[derive(Debug, clap::Args, Serialize)]
pub struct Onboard {
    /// express: Stripe onboards and shows a small dashboard; standard: a full account at Stripe; custom: the platform does
    /// everything [default: express]
    #[arg(long, value_name = "PRESET", value_parser = arguments::one_of::<String>(&PRESETS))]
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// The email address of the account's owner
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The country in two letters, such as DE; it cannot be changed later [default: the platform's own]
    #[arg(long, value_name = "COUNTRY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    /// The organization's legal form
    #[arg(long, value_name = "TYPE", value_parser = arguments::one_of::<String>(&BUSINESS_TYPES))]
    #[serde(skip_serializing_if = "Option::is_none")]
    business_type: Option<String>,
    /// Where Stripe redirects when the user leaves onboarding [default: the page "Get paid"]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<String>,
    /// Where Stripe redirects when the link has expired [default: a page that creates a new link, for signed-in users]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_url: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Read the account at Stripe again first
    #[arg(long)]
    refresh: bool,
    #[command(flatten)]
    ask: Ask,
}

/// Whether it is confirmed.
#[derive(Debug, clap::Args)]
pub struct Disconnect {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Serialize)]
struct Application {
    mode: &'static str,
    #[serde(flatten)]
    account: Onboard,
}

#[derive(Debug, Deserialize)]
struct Onboarded {
    account_id: String,
    status: String,
    url: String,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct StatusAnswer {
    account_id: Option<String>,
    status: String,
    next_step: String,
    charges_enabled: bool,
    payouts_enabled: bool,
    #[serde(default)]
    requirements: Vec<Requirement>,
    disabled_reason: Option<String>,
    as_of: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct Requirement {
    field: String,
    state: String,
    deadline: Option<DateTime<Utc>>,
    reason: Option<String>,
}

impl Onboard {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let application = Application {
            mode: "hosted",
            account: self,
        };
        let path = ["v1", "connect", "onboard"];
        let (status, answer) = client.call(Method::POST, &path, Some(&application)).await?;
        let created = status == StatusCode::CREATED;
        printer.print(answer, |onboarded| opened(created, onboarded))
    }
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let organization = client.token().await?.organization_id;
        let path = ["v1", "connect", "status", &organization];
        let refresh = [("refresh", "true")];
        let query = if self.refresh { &refresh[..] } else { &[] };
        let answer: Value = client.get(&path, query).await?;
        printer.print(answer, shown)
    }
}

impl Disconnect {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let organization = client.token().await?.organization_id;
        let what = format!(
            "disconnect the Stripe account of {organization}; onboarding again creates another one"
        );
        confirm(&what, self.confirmation)?;
        let path = ["v1", "connect", "disconnect"];
        let (_, answer) = client.call(Method::POST, &path, NOTHING).await?;
        printer.print(answer, |account: &StatusAnswer| {
            let id = plain(account.account_id.as_deref().unwrap_or("its account"));
            format!("disconnected {id}; nothing is deleted at Stripe, and its history stays")
        })
    }
}

/// Where to go on.
fn opened(created: bool, onboarded: &Onboarded) -> String {
    let id = output::plain(&onboarded.account_id);
    let status = output::plain(&onboarded.status);
    let what = if created {
        "created the Stripe account"
    } else {
        "there is already the Stripe account"
    };
    format!(
        "{what} {id}: {status}\nopen this page of Stripe's; it works once, until {}:\n{}",
        output::instant(onboarded.expires_at),
        output::plain(&onboarded.url)
    )
}

fn shown(account: &StatusAnswer) -> String {
    let status = plain(&account.status);
    let heading = match &account.account_id {
        Some(id) => format!("Stripe account {}: {status}", plain(id)),
        None => format!("Stripe account: {status}"),
    };
    let lines = output::known([
        ("next step", Some(plain(&account.next_step))),
        ("takes payments", Some(yes_or_no(account.charges_enabled))),
        ("is paid out", Some(yes_or_no(account.payouts_enabled))),
        ("turned off", account.disabled_reason.as_deref().map(plain)),
        ("as of", account.as_of.map(instant)),
    ]);
    let listed = output::listed(&heading, &lines);
    if account.requirements.is_empty() {
        return listed;
    }
    let fields = [
        whole("Stripe asks for", |it: &Requirement| plain(&it.field)),
        whole("state", |it| plain(&it.state)),
        whole("deadline", |it| optional_instant(it.deadline)),
        text("reason", |it| optional(it.reason.as_deref())),
    ];
    let requirements = output::table_of(&account.requirements, &fields);
    format!("{listed}\n\n{requirements}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    fn account() -> Value {
        json!({"account_id": "acct_1", "status": "restricted", "next_step": "Give what is missing.",
            "charges_enabled": true, "payouts_enabled": false, "disabled_reason": "requirements.past_due",
            "requirements": [{"field": "external_account", "state": "past_due", "deadline": "2026-12-01T00:00:00Z",
                              "reason": "The bank refused\u{1b} it."}],
            "as_of": "2026-11-21T06:00:00Z"})
    }

    #[test]
    fn an_account_is_shown_with_what_stripe_asks_for() {
        let text = shown(&understood(account()).unwrap());
        let beginning = "Stripe account acct_1: restricted\n  next step       Give what is missing.\n  \
                         takes payments  yes\n  is paid out     no\n  turned off      requirements.past_due\n";
        assert!(text.starts_with(beginning), "{text}");
        for part in [
            "external_account",
            "past_due",
            "2026-12-01T00:00:00Z",
            "The bank refused\u{fffd} it.",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn before_onboarding_there_is_only_the_next_step() {
        let mut none = account();
        none["account_id"] = Value::Null;
        none["status"] = json!("not_started");
        none["requirements"] = json!([]);
        none["disabled_reason"] = Value::Null;
        none["as_of"] = Value::Null;
        let text = shown(&understood(none).unwrap());
        assert!(text.starts_with("Stripe account: not_started\n"), "{text}");
        assert!(text.ends_with("is paid out     no"), "{text}");
    }

    #[test]
    fn a_link_says_how_long_it_works() {
        let onboarded = json!({"account_id": "acct_1", "status": "incomplete", "url": "https://connect.stripe.com/x",
                               "expires_at": "2026-11-21T06:05:00Z"});
        let text = opened(true, &understood(onboarded).unwrap());
        let said = "created the Stripe account acct_1: incomplete\nopen this page of Stripe's; it works once, until \
                    2026-11-21T06:05:00Z:\nhttps://connect.stripe.com/x";
        assert_eq!(text, said);
    }
}
