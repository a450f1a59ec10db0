//! `operator`: what whoever runs the engine for everybody asks of it, with an operator's token: which organizations there are, and
//! what the platform keeps of their transfers.

use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use platform::ledger::fee::BasisPoints;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::requests::understood;
use super::{Error, Server, print_json};
use crate::output::{self, Column};

/// List all organizations and set what the platform keeps of their transfers; needs an operator's token
///
/// `stripe-sync token create --operator` creates one.
#[derive(Debug, clap::Subcommand)]
pub enum Operator {
    /// List organizations with the platform's fee
    Organizations(Organizations),
    /// Set the platform's fee of an organization's transfers, from the next one on
    SetFee(SetFee),
}

/// How to show them.
#[derive(Debug, clap::Args)]
pub struct Organizations {
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which fee.
#[derive(Debug, clap::Args)]
pub struct SetFee {
    /// The organization
    #[arg(value_name = "ID")]
    organization: OrganizationId,
    /// In percent, 0 to 100 with at most two decimals, such as 12.5
    #[arg(long, value_name = "PERCENT", required_unless_present = "default")]
    percent: Option<BasisPoints>,
    /// Use `PLATFORM_FEE_PERCENT` of the engine again
    #[arg(long, conflicts_with = "percent")]
    default: bool,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Deserialize)]
struct OrganizationAnswer {
    organization_id: String,
    name: String,
    platform_fee_percent: Option<f64>,
    created_at: DateTime<Utc>,
}

impl Operator {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Organizations(command) => command.run().await,
            Self::SetFee(command) => command.run().await,
        }
    }
}

impl Organizations {
    async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let path = ["v1", "operator", "organizations"];
        let found: Vec<Value> = client.all(&path, &[]).await.map_err(explained)?;
        if self.json {
            return print_json(&found);
        }
        let found: Vec<OrganizationAnswer> = understood(found.into())?;
        Ok(output::print(&as_table(&found))?)
    }
}

impl SetFee {
    async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let organization = self.organization.as_str();
        let path = ["v1", "operator", "organizations", organization];
        let body = json!({"platform_fee_percent": self.percent.map(BasisPoints::percent)});
        let changed = client.call(Method::PATCH, &path, Some(&body)).await;
        let (_, answer): (_, Value) = changed.map_err(|error| match error {
            Error::Refused(problem) if problem.code.as_deref() == Some("not_found") => {
                Error::NoSuchOrganization(self.organization.clone())
            }
            other => explained(other),
        })?;
        if self.json {
            return print_json(&answer);
        }
        let changed: OrganizationAnswer = understood(answer)?;
        let text = format!(
            "the platform keeps {} of the transfers of {}",
            fee(&changed),
            output::plain(&changed.organization_id)
        );
        Ok(output::print(&text)?)
    }
}

/// A token that is no operator's is refused like a role that is too small.
fn explained(error: Error) -> Error {
    match error {
        Error::Refused(problem) if problem.code.as_deref() == Some("forbidden") => {
            Error::NoOperator
        }
        other => other,
    }
}

fn fee(organization: &OrganizationAnswer) -> String {
    match organization.platform_fee_percent {
        Some(percent) => format!("{percent} %"),
        None => "PLATFORM_FEE_PERCENT".to_owned(),
    }
}

fn as_table(organizations: &[OrganizationAnswer]) -> String {
    let rows = organizations.iter().map(|it| {
        vec![
            output::plain(&it.organization_id),
            output::plain(&it.name),
            fee(it),
            output::instant(it.created_at),
        ]
    });
    let columns = [
        ("organization", Column::Whole),
        ("name", Column::Text),
        ("platform fee", Column::Number),
        ("created", Column::Whole),
    ];
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organizations_are_shown_with_their_fee_or_that_it_is_the_default() {
        let organizations = json!([
            {"organization_id": "acme", "name": "Acme", "platform_fee_percent": 12.5, "created_at": "2026-11-21T06:00:00Z"},
            {"organization_id": "globex", "name": "Globex", "platform_fee_percent": null,
             "created_at": "2026-11-21T06:00:00Z"}]);
        let text = as_table(&understood::<Vec<OrganizationAnswer>>(organizations).unwrap());
        for part in ["acme", "12.5 %", "globex", "PLATFORM_FEE_PERCENT"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
