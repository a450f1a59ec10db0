//! `connect`: hands a customer's Stripe key to the engine.
//!
//! The key comes from `STRIPE_API_KEY`, a file, a prompt that does not echo, or a pipe; never from an
//! argument, which every user of the machine can read and the shell remembers. The engine asks Stripe
//! what the key may read and stores nothing unless it may read enough.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use common::config::{self, Problems};
use common::connection::Permission;
use common::tenant::OrganizationId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::answers::Connected;
use super::{Client, Error, Server, follow, print_json};
use crate::output::{self, Align};

/// Connect a Stripe account: hand over its read-only key and start the first sync
///
/// The key comes from the environment variable `STRIPE_API_KEY`, from a file, or from standard input.
#[derive(Debug, clap::Args)]
pub struct Connect {
    /// The organization [default: the token's, once it has a connection]
    #[arg(long = "org", value_name = "ID")]
    organization: Option<OrganizationId>,
    /// A file that holds the Stripe key
    #[arg(
        long,
        visible_alias = "stripe-api-key-file",
        env = "STRIPE_API_KEY_FILE",
        value_name = "PATH"
    )]
    api_key_file: Option<PathBuf>,
    /// Days of history to cover [default: 30]
    #[arg(long, value_name = "DAYS")]
    lookback_days: Option<u32>,
    /// The time zone by which charges are dated, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Watch the first job until it ends
    #[arg(long)]
    follow: bool,
    /// Print the engine's answer as JSON
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
        let from_environment = std::env::var("STRIPE_API_KEY").ok().map(SecretString::from);
        let key = self.key(from_environment)?;
        let organization = self.organization(&client).await?;
        let request = Request {
            organization_id: &organization,
            api_key: key.expose_secret(),
            lookback_days: self.lookback_days,
            timezone: self.timezone.as_deref(),
            name: self.name.as_deref(),
        };
        let path = ["v1", "connectors", "stripe", "connect"];
        let connected: Connected = client.post(&path, &request).await?;
        if self.json {
            return print_json(&connected);
        }
        output::print(&describe(&connected))?;
        if self.follow {
            follow::follow(&client, &connected.job_id).await
        } else {
            Ok(())
        }
    }

    async fn organization(&self, client: &Client) -> Result<String, Error> {
        if let Some(organization) = &self.organization {
            return Ok(organization.to_string());
        }
        let known = client.connections().await?.into_iter().next();
        known
            .map(|connection| connection.organization_id)
            .ok_or_else(|| {
                Error::Usage(
                    "the organization has no connection yet to be known by; give --org ID"
                        .to_owned(),
                )
            })
    }

    /// The key from where there is one.
    fn key(&self, from_environment: Option<SecretString>) -> Result<SecretString, Error> {
        let mut problems = Problems::default();
        let names = ("STRIPE_API_KEY", "STRIPE_API_KEY_FILE");
        let found = config::secret(
            names,
            from_environment,
            self.api_key_file.as_deref(),
            &mut problems,
        );
        if let Some(key) = problems.finish(found)? {
            return Ok(key.expose_secret().trim().into());
        }
        let typed = if std::io::stdin().is_terminal() {
            eprint!("Stripe key (not shown): ");
            console::Term::stderr()
                .read_secure_line()
                .map_err(Error::ReadKey)?
        } else {
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(Error::ReadKey)?;
            line
        };
        if typed.trim().is_empty() {
            return Err(Error::Usage(
                "no Stripe key was given; set STRIPE_API_KEY, give --api-key-file, or pipe it in"
                    .to_owned(),
            ));
        }
        Ok(typed.trim().into())
    }
}

fn describe(connected: &Connected) -> String {
    let mode = if connected.livemode { "live" } else { "test" };
    let Connected {
        connection_id,
        stripe_account_id,
        job_id,
        permissions,
        ..
    } = connected;
    let mut text = format!(
        "connected {connection_id}\naccount   {stripe_account_id} ({mode} mode)\nfirst job {job_id}\n\n"
    );
    let rows = permissions.iter().map(|permission| {
        let granted = if permission.granted { "yes" } else { "MISSING" };
        let needed_for = output::plain(&permission.needed_for);
        vec![
            output::plain(&permission.resource),
            granted.to_owned(),
            needed_for,
        ]
    });
    let columns = ["permission", "granted", "needed for"].map(|name| (name, Align::Left));
    text += &output::table(&columns, rows);
    text + &missing(permissions)
}

/// What the key may not read, with what to do about it.
fn missing(permissions: &[Permission]) -> String {
    let missing = permissions.iter().filter(|permission| !permission.granted);
    let lines = missing.map(|permission| {
        let advice = permission
            .hint
            .as_deref()
            .unwrap_or("allow reading it in Stripe's dashboard");
        format!(
            "\nmissing {}: {}",
            output::plain(&permission.resource),
            output::plain(advice)
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
        let text = describe(&connected);
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
