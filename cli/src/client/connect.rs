//! `connect`: hands a customer's Stripe key to the engine.
//!
//! The engine asks Stripe what the key may read and stores nothing unless it may read enough. Whose
//! account it becomes is the token's organization; `--org` only makes sure that it is the expected one.

use common::connection::Permission;
use common::tenant::OrganizationId;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::responses::Connected;
use super::stripe_key::KeySource;
use super::{Client, Error, Server, follow, print_json, words};
use crate::arguments;
use crate::output::{self, plain, text, whole};

/// Connect a Stripe account with its read-only key and start the first sync
///
/// The key comes from the environment variable `STRIPE_API_KEY`, from a file, or from standard input.
#[derive(Debug, clap::Args)]
pub struct Connect {
    /// Fail unless the token belongs to this organization
    #[arg(long = "org", value_name = "ID")]
    organization: Option<OrganizationId>,
    #[command(flatten)]
    key: KeySource,
    /// Days of history to cover, 1 to 3650 [default: 30]
    #[arg(long, value_name = "DAYS", value_parser = arguments::lookback_days)]
    lookback_days: Option<u32>,
    /// The time zone that decides the date of a charge, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// A display name
    #[arg(long)]
    name: Option<String>,
    /// Watch the first job until it ends
    #[arg(long)]
    follow: bool,
    /// Print the engine's response as JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Serialize)]
struct Request<'a> {
    organization_id: &'a str,
    api_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookback_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl Connect {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let client = self.server.clone().client().await?;
        let organization = organization(&client, self.organization.as_ref()).await?;
        let key = self.key.read()?;
        let request = Request {
            organization_id: &organization,
            api_key: key.expose_secret(),
            lookback_days: self.lookback_days,
            timezone: self.timezone.as_deref(),
            name: self.name.as_deref(),
        };
        let path = ["v1", "connectors", "stripe", "connect"];
        let (_, connected): (_, Connected) = client
            .call(reqwest::Method::POST, &path, Some(&request))
            .await?;
        if self.json {
            return print_json(&connected);
        }
        output::print(&describe("connected", "first job", &connected))?;
        follow::follow_if(self.follow, &client, &connected.job_id).await
    }
}

/// The token's organization, which must be the expected one where one is.
pub(super) async fn organization(
    client: &Client,
    expected: Option<&OrganizationId>,
) -> Result<String, Error> {
    let token = client.token().await?;
    match expected {
        Some(expected) if expected.as_str() != token.organization_id => {
            Err(Error::OtherOrganization {
                token: token.organization_id,
                given: expected.to_string(),
            })
        }
        _ => Ok(token.organization_id),
    }
}

/// What became of a key: `done` says what was done, `job` what the job is.
pub(super) fn describe(done: &str, job: &str, connected: &Connected) -> String {
    let mode = if connected.livemode { "live" } else { "test" };
    let Connected {
        connection_id,
        stripe_account_id,
        job_id,
        permissions,
        ..
    } = connected;
    format!(
        "{done} {connection_id}\n{:<9} {stripe_account_id} ({mode} mode)\n{job:<9} {job_id}\n\n{}",
        "account",
        permission_table(permissions)
    )
}

/// What a key may read, and what to do about the rest.
pub(super) fn permission_table(permissions: &[Permission]) -> String {
    let fields = [
        whole("permission", |it: &Permission| plain(&it.resource)),
        whole("granted", |it| {
            if it.granted { "yes" } else { "MISSING" }.to_owned()
        }),
        text("needed for", |it| plain(&it.needed_for)),
    ];
    output::table_of(permissions, &fields) + &missing(permissions)
}

/// What the key may not read, with what to do about it.
fn missing(permissions: &[Permission]) -> String {
    let missing = permissions.iter().filter(|permission| !permission.granted);
    let lines = missing.map(|permission| {
        let advice = "allow reading it in Stripe's dashboard";
        let hint = permission.hint.as_deref().unwrap_or(advice);
        format!(
            "\nmissing {}: {}",
            output::plain(&permission.resource),
            words::text_or(hint, advice)
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_lacks_stands_out() {
        let connected: Connected = serde_json::from_str(
            r#"{"connection_id": "acme-stripe-acct_1", "stripe_account_id": "acct_1", "livemode": false,
                "job_id": "0190", "permissions": [
                  {"resource": "charges", "granted": true, "needed_for": "everything"},
                  {"resource": "invoices", "granted": false, "needed_for": "revenue by product",
                   "hint": "grant rak_invoice_read"}]}"#,
        )
        .unwrap();
        let text = describe("connected", "first job", &connected);
        assert!(
            text.starts_with("connected acme-stripe-acct_1\naccount   acct_1 (test mode)\n"),
            "{text}"
        );
        assert!(text.contains("MISSING"), "{text}");
        assert!(
            text.ends_with("\nmissing invoices: grant rak_invoice_read"),
            "{text}"
        );
    }
}
