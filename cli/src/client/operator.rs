//! `operator`: what whoever runs the engine for everybody asks of it, with an operator's token: which organizations there are, and
//! what the platform keeps of their transfers.

use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use platform::ledger::fee::BasisPoints;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ask, Error};
use crate::output::{self, instant, number, plain, text, whole};

/// List all organizations and set what the platform keeps of their transfers; needs an operator's token
///
/// `stripe-sync token create --operator` creates one.
#[derive(Debug, clap::Subcommand)]
pub enum Operator {
    /// List organizations with the platform's fee
    Organizations(Ask),
    /// Set the platform's fee of an organization's transfers, from the next one on
    SetFee(SetFee),
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
    #[command(flatten)]
    ask: Ask,
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
            Self::Organizations(ask) => organizations(ask).await,
            Self::SetFee(command) => command.run().await,
        }
    }
}

async fn organizations(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let path = ["v1", "operator", "organizations"];
    let found: Vec<Value> = client.all(&path, &[]).await.map_err(explained)?;
    printer.print_list(found, as_table)
}

impl SetFee {
    async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let organization = self.organization.as_str();
        let path = ["v1", "operator", "organizations", organization];
        let body = json!({"platform_fee_percent": self.percent.map(BasisPoints::percent)});
        let changed = client.call(Method::PATCH, &path, Some(&body)).await;
        let (_, answer) = changed.map_err(|error| match error {
            Error::Refused(problem) if problem.code.as_deref() == Some("not_found") => {
                Error::NoSuchOrganization(self.organization.clone())
            }
            other => explained(other),
        })?;
        printer.print(answer, |changed: &OrganizationAnswer| {
            format!(
                "the platform keeps {} of the transfers of {}",
                fee(changed),
                plain(&changed.organization_id)
            )
        })
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
    let fields = [
        whole("organization", |it: &OrganizationAnswer| {
            plain(&it.organization_id)
        }),
        text("name", |it| plain(&it.name)),
        number("platform fee", fee),
        whole("created", |it| instant(it.created_at)),
    ];
    output::table_of(organizations, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::requests::understood;

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
