//! What was done once because of how an organization stands.

use common::db::{Error, PgConnection};
use common::tenant::OrganizationId;
use sqlx::types::Json;

use crate::billing::announce::Announced;

/// Notes that an organization is given what comes with a plan; false if it was before.
#[tracing::instrument(name = "db.billing.note_seeded", level = "debug", skip_all)]
pub(in crate::billing) async fn note_seeded(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    plan: &str,
) -> Result<bool, Error> {
    let noted = sqlx::query!(
        "INSERT INTO billing_fulfilments AS fulfilment (organization_id, seeded_plans) VALUES ($1, ARRAY[$2::TEXT])
         ON CONFLICT (organization_id) DO UPDATE SET seeded_plans = fulfilment.seeded_plans || $2::TEXT
         WHERE $2 <> ALL(fulfilment.seeded_plans)",
        organization.as_str(),
        plan,
    )
    .execute(conn)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// What was last said of how an organization stands.
#[tracing::instrument(name = "db.billing.announced", level = "debug", skip_all)]
pub(in crate::billing) async fn announced(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<Announced>, Error> {
    let announced = sqlx::query_scalar!(
        r#"SELECT announced AS "announced: Json<Announced>" FROM billing_fulfilments WHERE organization_id = $1"#,
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(announced.flatten().map(|announced| announced.0))
}

/// Stores what is said now.
#[tracing::instrument(name = "db.billing.store_announced", level = "debug", skip_all)]
pub(in crate::billing) async fn store_announced(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    announced: &Announced,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO billing_fulfilments (organization_id, announced) VALUES ($1, $2)
         ON CONFLICT (organization_id) DO UPDATE SET announced = EXCLUDED.announced",
        organization.as_str(),
        Json(announced) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}
