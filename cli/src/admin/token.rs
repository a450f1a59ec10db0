//! `token create`, `token list`, `token revoke`: the bearer tokens of an organization, and those of operators, which belong to
//! none.
//!
//! A token is shown once, when it is made, alone on standard output; the database keeps its SHA-256.
//! Revoking takes the token itself or, when it is lost, its id from the list. A token is typed or pasted at a prompt that
//! does not show it, or piped in; as an argument other users of the machine see it and the shell keeps it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::clock::{Clock as _, SystemClock};
use common::db::Role;
use common::tenant::{self, OrganizationId, TOKEN_PREFIX, TokenRole, queries, token_hash};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Database, DatabaseAccess, Error, commit, require, tenant_transaction};
use crate::arguments;
use crate::output::{self, Column};
use crate::secret_input;

/// Create, list and revoke API tokens
#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Create a token and print it, and nothing else, on standard output
    Create(Create),
    /// Show an organization's tokens without their secrets
    List(List),
    /// Revoke a token
    Revoke(Revoke),
}

/// Whose tokens are meant.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Owner {
    /// The organization that the token gives access to
    #[arg(long = "org", value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Operators, who see all organizations' webhook events and set the platform's fees, and may use nothing else
    #[arg(long)]
    operator: bool,
}

impl Owner {
    /// The organization under which the tokens are stored; without one they are operators'.
    fn organization(self) -> OrganizationId {
        self.organization.unwrap_or_else(OrganizationId::platform)
    }
}

/// What to create.
#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    owner: Owner,
    /// A name that says what or whom the token is for
    #[arg(long, default_value = "stripe-sync")]
    name: String,
    /// admin may change everything; analyst may only read data and preview rules [default: admin]
    #[arg(long, value_name = "ROLE", conflicts_with = "operator",
          value_parser = arguments::one_of::<TokenRole>(&["admin", "analyst"]))]
    role: Option<TokenRole>,
    /// How long the token is valid, such as 90d or 12h [default: without limit]
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// Whose tokens to show.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// Which token to revoke.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The id of a token, as `token list` shows it, together with --org or --operator [default: read the token itself from
    /// a hidden prompt or a pipe]
    #[arg(value_name = "ID")]
    token: Option<SecretString>,
    /// The organization of the token with this id
    #[arg(long = "org", value_name = "ID")]
    organization: Option<OrganizationId>,
    /// The token with this id is an operator's
    #[arg(long, conflicts_with = "organization")]
    operator: bool,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Token {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Revoke(command) => command.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Error> {
        let now = SystemClock.now();
        let expires_at = self
            .expires_in
            .map(|after| expiry(now, after))
            .transpose()?;
        let mut conn = self.access.resolve().await?.connect().await?;
        let role = match self.role {
            _ if self.owner.operator => TokenRole::Operator,
            Some(role) => role,
            None => TokenRole::Admin,
        };
        let (organization, name) = (self.owner.organization(), self.name.as_str());
        let token = create(&mut conn, &organization, name, role, expires_at, now).await?;
        output::print(token.expose_secret())?;
        Ok(())
    }
}

fn expiry(now: DateTime<Utc>, after: Duration) -> Result<DateTime<Utc>, Error> {
    TimeDelta::from_std(after)
        .ok()
        .and_then(|after| now.checked_add_signed(after))
        // PostgreSQL and RFC 3339 both write years with four digits.
        .filter(|at| *at < DateTime::<Utc>::from_timestamp(253_402_300_800, 0).unwrap_or_default())
        .ok_or(Error::ExpiresTooLate)
}

/// Makes a token of an organization, of the reserved one for an operator, and returns it; it cannot be had again.
pub async fn create(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    name: &str,
    role: TokenRole,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<SecretString, Error> {
    let mut tx = tenant_transaction(conn, organization).await?;
    require(&mut tx, organization).await?;
    let token = tenant::create_token(&mut tx, organization, name, role, expires_at, now).await?;
    commit(tx).await?;
    Ok(token)
}

impl List {
    async fn run(self) -> Result<(), Error> {
        let now = SystemClock.now();
        let mut conn = self.access.resolve().await?.connect().await?;
        let organization = self.owner.organization();
        let mut tx = tenant_transaction(&mut conn, &organization).await?;
        require(&mut tx, &organization).await?;
        let tokens = queries::list_tokens(&mut tx, &organization).await?;
        commit(tx).await?;
        let day = output::instant;
        let rows = tokens.into_iter().map(|token| {
            let state = match (token.revoked_at, token.expires_at, token.suspended_at) {
                (Some(at), ..) => format!("revoked {}", day(at)),
                (None, Some(at), _) if at <= now => format!("expired {}", day(at)),
                (None, _, Some(at)) => format!("asleep since {}, without a subscription", day(at)),
                (None, Some(at), None) => format!("valid until {}", day(at)),
                (None, None, None) => "valid".to_owned(),
            };
            vec![
                token.token_id.to_string(),
                output::plain(&token.name),
                token.role.as_str().to_owned(),
                day(token.created_at),
                state,
            ]
        });
        let columns = [
            ("id", Column::Whole),
            ("name", Column::Text),
            ("role", Column::Whole),
            ("created", Column::Whole),
            ("state", Column::Whole),
        ];
        output::print(&output::table(&columns, rows))?;
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Error> {
        let token = match self.token {
            Some(token) => token,
            None => secret_input::read_line("Token").map_err(Error::ReadToken)?,
        };
        let text = token.expose_secret().trim();
        let target = if text.starts_with(TOKEN_PREFIX) {
            Target::Token(token_hash(text))
        } else {
            let id = Uuid::parse_str(text).map_err(|_| Error::NotAToken)?;
            let of_operator = self.operator.then(OrganizationId::platform);
            let organization = self.organization.or(of_operator);
            Target::Id(id, organization.ok_or(Error::TokenIdNeedsOrganization)?)
        };
        let database = self.access.resolve().await?;
        revoke(&database, &target, SystemClock.now()).await?;
        output::print("token revoked")?;
        Ok(())
    }
}

/// How a token is known.
#[derive(Debug, Clone)]
pub enum Target {
    /// By its hash, which says whose it is.
    Token([u8; 32]),
    /// By its id.
    Id(Uuid, OrganizationId),
}

/// Revokes a live token.
pub async fn revoke(database: &Database, target: &Target, now: DateTime<Utc>) -> Result<(), Error> {
    let mut conn = database.connect().await?;
    let (organization, token_id) = match target {
        Target::Id(token_id, organization) => (organization.clone(), *token_id),
        Target::Token(hash) => {
            let found = queries::authenticate(&database.pool(Role::Api)?, *hash, now).await?;
            let token = found.ok_or(Error::NoLiveToken)?;
            (token.organization_id, token.token_id)
        }
    };
    let mut tx = tenant_transaction(&mut conn, &organization).await?;
    let revoked = queries::revoke_token_by_id(&mut tx, &organization, token_id, now).await?;
    commit(tx).await?;
    if revoked {
        Ok(())
    } else {
        Err(Error::NoLiveToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expires_when_it_should_or_is_refused() {
        let now: DateTime<Utc> = "2026-11-21T06:00:00Z".parse().unwrap();
        let day = Duration::from_hours(24);
        assert_eq!(
            expiry(now, day * 90).unwrap().to_rfc3339(),
            "2027-02-19T06:00:00+00:00"
        );
        assert!(matches!(
            expiry(now, day * 365 * 9000),
            Err(Error::ExpiresTooLate)
        ));
        assert!(matches!(
            expiry(now, Duration::MAX),
            Err(Error::ExpiresTooLate)
        ));
    }
}
