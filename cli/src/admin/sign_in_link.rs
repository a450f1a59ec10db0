//! `sign-in-link`: a link by which a person signs in to the pages once, without a token to paste or keep.
//!
//! The link is the secret: it is shown once, alone on standard output, and the database keeps the SHA-256 of its code. Whoever
//! opens it first is signed in. The session that it makes belongs to no token and has the role that is given here.

use chrono::TimeDelta;
use common::clock::{Clock as _, SystemClock};
use common::config::{SettingErrors, parse_public_url};
use common::session;
use common::tenant::{OrganizationId, TokenRole};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{Database, DatabaseAccess, Error, commit, require, tenant_transaction};
use crate::arguments;
use crate::output;
use crate::running_engines::RunningEngines;

/// Create a link that signs a person in to the web pages once, and print it, and nothing else, on standard output
#[derive(Debug, clap::Args)]
pub struct SignInLink {
    /// The organization whose pages the link opens
    #[arg(long = "org", value_name = "ID")]
    organization: OrganizationId,
    /// admin may change everything; analyst may only read data and preview rules
    #[arg(long, value_name = "ROLE", default_value = "admin",
          value_parser = arguments::one_of::<TokenRole>(&["admin", "analyst"]))]
    role: TokenRole,
    /// How many minutes the link is valid, 1 to 1440
    #[arg(long, value_name = "N", default_value = "15", value_parser = arguments::whole_number(1..=1440))]
    minutes: u32,
    /// The URL at which people reach the API [default: that of the `stripe-sync up` in this directory]
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl SignInLink {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let Self {
            organization,
            role,
            minutes,
            public_url,
            access,
        } = self;
        let (database, base) = find(public_url.as_deref(), access).await?;
        let now = SystemClock.now();
        let expires_at = now + TimeDelta::minutes(minutes.into());
        let mut conn = database.connect().await?;
        let mut tx = tenant_transaction(&mut conn, &organization).await?;
        require(&mut tx, &organization).await?;
        let code = session::create_link(&mut tx, &organization, role, expires_at, now).await?;
        commit(tx).await?;
        let base = base.as_str().trim_end_matches('/');
        output::print(&format!("{base}/sign-in/{}", code.expose_secret()))?;
        Ok(())
    }
}

/// The database, and where the API is reached: at the setting, else at the engine that runs in the directory.
async fn find(public_url: Option<&str>, access: DatabaseAccess) -> Result<(Database, Url), Error> {
    let mut problems = SettingErrors::default();
    let given = parse_public_url(public_url, &mut problems);
    let engines = access.local.engines();
    let database = access.find(&mut problems).await?;
    // After the database, whose search waits for an engine that is starting.
    let base = match given {
        Some(None) => {
            let running = RunningEngines::find(&engines)?.ready;
            if running.is_none() {
                problems.add(
                    "PUBLIC_URL",
                    "is missing, and no `stripe-sync up` runs here; give the URL at which people reach the API, such \
                     as https://sync.example.com",
                );
            }
            running.map(|engine| engine.url)
        }
        given => given.flatten(),
    };
    Ok(problems.finish(database.zip(base))?)
}
