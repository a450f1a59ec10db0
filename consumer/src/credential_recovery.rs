//! Connections that stopped because their credential could not be decrypted, and that can go on.
//!
//! Such a problem is the operator's to mend, for all connections at once, by giving the programs the right
//! encryption keys. So nobody has to start a sync by hand for each: a consumer that starts looks which of these
//! credentials it can open, and clears their problem. What fails here is left to the next start; it holds
//! nobody up.

use common::connection;
use common::credential::{self, CredentialBinding};
use common::db;
use common::error_chain::ErrorChain;
use common::tenant::OrganizationId;
use tracing::{info, warn};

use crate::Engine;

/// Clears the problem of every connection whose credential opens now.
pub(crate) async fn clear(engine: &Engine) {
    if let Err(cause) = try_clear(engine).await {
        warn!(error = %ErrorChain(&cause), "connections whose key can be decrypted again were not looked for");
    }
}

async fn try_clear(engine: &Engine) -> Result<(), db::Error> {
    let mut tx = db::role_transaction(&engine.services.pool, db::Role::Scheduler).await?;
    let stopped =
        connection::queries::with_problem(&mut tx, credential::CREDENTIAL_UNREADABLE).await?;
    tx.commit().await?;
    for (organization, connection_id) in stopped {
        if clear_one(engine, &organization, &connection_id).await? {
            info!(
                connection.id = connection_id,
                "the stored key can be decrypted again"
            );
        }
    }
    Ok(())
}

async fn clear_one(
    engine: &Engine,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<bool, db::Error> {
    let mut tx = db::tenant_transaction(&engine.services.pool, organization).await?;
    let binding = CredentialBinding::api_key(organization, connection_id);
    let sealed = credential::queries::load(&mut tx, binding).await?;
    let opens = sealed.is_some_and(|sealed| engine.services.keyring.open(&sealed, binding).is_ok());
    if opens {
        connection::queries::clear_problem(&mut tx, organization, connection_id).await?;
    }
    tx.commit().await?;
    Ok(opens)
}
