//! The endpoints of the platform: what verifies their events, and what was registered at the vendor.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::Error;
use crate::id::OrganizationId;
use crate::webhook::platform::PlatformEndpoint;

/// The sealed signing secrets of an endpoint that serve now; needs the role that receives webhooks.
#[tracing::instrument(name = "db.webhook.platform_secrets", level = "debug", skip_all)]
pub async fn sealed_secrets(
    conn: &mut PgConnection,
    endpoint: PlatformEndpoint,
    now: DateTime<Utc>,
) -> Result<Vec<Vec<u8>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT sealed FROM connection_credentials
         WHERE organization_id = $1 AND connection_id = $2 AND purpose <> 'api_key'
           AND (expires_at IS NULL OR expires_at > $3)
         ORDER BY purpose DESC",
        OrganizationId::PLATFORM,
        endpoint.as_str(),
        now
    )
    .fetch_all(conn)
    .await?)
}

/// An endpoint as it was registered, or is being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Names it at the vendor.
    pub registration_id: Uuid,
    /// The request that creates it, in the vendor's form.
    pub request: String,
    /// When that was first sent.
    pub requested_at: DateTime<Utc>,
    /// The vendor's id of it; none until the vendor has answered.
    pub external_endpoint_id: Option<String>,
}

/// The registration of an endpoint, in a transaction of the reserved organization.
#[tracing::instrument(name = "db.webhook.registration", level = "debug", skip_all)]
pub(in crate::webhook) async fn registration(
    conn: &mut PgConnection,
    endpoint: PlatformEndpoint,
) -> Result<Option<Registration>, Error> {
    Ok(sqlx::query_as!(
        Registration,
        "SELECT registration_id, request, requested_at, external_endpoint_id FROM platform_webhook_endpoints
         WHERE organization_id = $1 AND endpoint_id = $2",
        OrganizationId::PLATFORM,
        endpoint.as_str()
    )
    .fetch_optional(conn)
    .await?)
}

/// Begins a registration in place of the former one, if that is still `former`; whether it was.
#[tracing::instrument(name = "db.webhook.begin_registration", level = "debug", skip_all)]
pub(in crate::webhook) async fn begin_registration(
    conn: &mut PgConnection,
    endpoint: PlatformEndpoint,
    new: &Registration,
    former: Option<Uuid>,
) -> Result<bool, Error> {
    let begun = sqlx::query!(
        "INSERT INTO platform_webhook_endpoints AS endpoint
             (organization_id, endpoint_id, registration_id, request, requested_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (organization_id, endpoint_id)
         DO UPDATE SET registration_id = EXCLUDED.registration_id, request = EXCLUDED.request,
                       requested_at = EXCLUDED.requested_at, external_endpoint_id = NULL
         WHERE endpoint.registration_id = $6",
        OrganizationId::PLATFORM,
        endpoint.as_str(),
        new.registration_id,
        new.request,
        new.requested_at,
        former
    )
    .execute(conn)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Notes what the vendor calls an endpoint, if its registration is still this one; whether it is.
#[tracing::instrument(name = "db.webhook.finish_registration", level = "debug", skip_all)]
pub(in crate::webhook) async fn finish_registration(
    conn: &mut PgConnection,
    endpoint: PlatformEndpoint,
    registration_id: Uuid,
    external_endpoint_id: &str,
) -> Result<bool, Error> {
    let finished = sqlx::query!(
        "UPDATE platform_webhook_endpoints SET external_endpoint_id = $4
         WHERE organization_id = $1 AND endpoint_id = $2 AND registration_id = $3",
        OrganizationId::PLATFORM,
        endpoint.as_str(),
        registration_id,
        external_endpoint_id
    )
    .execute(conn)
    .await?;
    Ok(finished.rows_affected() == 1)
}
