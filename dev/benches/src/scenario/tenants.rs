//! Many tenants made of one: its rows are copied under other ids, straight in the database.
//!
//! Connecting ten thousand accounts one by one would measure the connecting. So one is connected and synced
//! by the engine, and every table that knows connections is copied, whichever there are; each key is sealed
//! for its own place. Fails when a statement does.

use common::clock::{Clock as _, SystemClock};
use common::credential::{CredentialBinding, Keyring};
use common::tenant::OrganizationId;
use sqlx::{AssertSqlSafe, PgPool};
use stripe_sim::AccountHandle;

use crate::stage::Stage;

/// Copied otherwise (keys, jobs) or not at all.
const NOT_COPIED: [&str; 4] = [
    "platform_connections",
    "connection_credentials",
    "sync_jobs",
    "api_tokens",
];

/// Copies the one connection of the stage to further accounts, each in an organization of its own.
pub(super) async fn copy_to(
    stage: &Stage,
    connection_id: &str,
    accounts: &[AccountHandle],
) -> anyhow::Result<()> {
    let pool = stage.database.admin();
    let copies: Vec<(String, String, &AccountHandle)> = accounts
        .iter()
        .enumerate()
        .map(|(number, account)| {
            let organization = format!("tenant-{number}");
            let id = format!("{organization}-stripe-{}", account.id());
            (organization, id, account)
        })
        .collect();
    sqlx::query(
        "CREATE TABLE copies AS
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[])
             AS copy (organization_id, connection_id, external_account_id)",
    )
    .bind(copies.iter().map(|copy| copy.0.clone()).collect::<Vec<_>>())
    .bind(copies.iter().map(|copy| copy.1.clone()).collect::<Vec<_>>())
    .bind(
        copies
            .iter()
            .map(|copy| copy.2.id().to_owned())
            .collect::<Vec<_>>(),
    )
    .execute(pool)
    .await?;
    sqlx::query(
        "INSERT INTO organizations (organization_id, name, created_at)
         SELECT organization_id, organization_id, now() FROM copies",
    )
    .execute(pool)
    .await?;
    copy_table(pool, "platform_connections", connection_id).await?;
    for table in tables_of_connections(pool).await? {
        copy_table(pool, &table, connection_id).await?;
    }
    seal_keys(stage, &copies).await?;
    sqlx::query("DROP TABLE copies").execute(pool).await?;
    sqlx::query("VACUUM ANALYZE").execute(pool).await?;
    stage.settle().await
}

async fn tables_of_connections(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT columns.table_name::TEXT FROM information_schema.columns
         JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'copies'
           AND column_name IN ('organization_id', 'connection_id')
         GROUP BY columns.table_name HAVING COUNT(*) = 2",
    )
    .fetch_all(pool)
    .await?;
    let copied = tables
        .into_iter()
        .filter(|table| !NOT_COPIED.contains(&table.as_str()));
    Ok(copied.collect())
}

/// Columns of a table that are given, not computed, in their order.
async fn given_columns(pool: &PgPool, table: &str) -> anyhow::Result<Vec<String>> {
    let columns = sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute
         WHERE attrelid = $1::REGCLASS AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
         ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(pool)
    .await?;
    Ok(columns)
}

async fn copy_table(pool: &PgPool, table: &str, connection_id: &str) -> anyhow::Result<()> {
    let columns = given_columns(pool, table).await?;
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            "organization_id" | "connection_id" | "external_account_id" => {
                format!("copies.{column}")
            }
            other => format!("original.{other}"),
        })
        .collect();
    let statement = format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {table} AS original CROSS JOIN copies
         WHERE original.connection_id = $1",
        columns.join(", "),
        values.join(", ")
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(connection_id)
        .execute(pool)
        .await?;
    Ok(())
}

async fn seal_keys(
    stage: &Stage,
    copies: &[(String, String, &AccountHandle)],
) -> anyhow::Result<()> {
    let keys = stage.engine.setting("ENCRYPTION_KEYS").unwrap_or_default();
    let keyring = Keyring::parse(keys)?;
    let mut sealed = Vec::with_capacity(copies.len());
    for (organization, connection_id, account) in copies {
        let organization = OrganizationId::new(organization.as_str())?;
        let binding = CredentialBinding::api_key(&organization, connection_id);
        sealed.push(keyring.seal(account.key(), binding)?.envelope);
    }
    sqlx::query(
        "INSERT INTO connection_credentials (organization_id, connection_id, purpose, key_id, sealed, updated_at)
         SELECT organization_id, connection_id, 'api_key', $4, sealed, $5
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BYTEA[]) AS key (organization_id, connection_id, sealed)",
    )
    .bind(copies.iter().map(|copy| copy.0.clone()).collect::<Vec<_>>())
    .bind(copies.iter().map(|copy| copy.1.clone()).collect::<Vec<_>>())
    .bind(sealed)
    .bind(keyring.sealing_key_id())
    .bind(SystemClock.now())
    .execute(stage.database.admin())
    .await?;
    Ok(())
}
