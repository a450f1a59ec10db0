//! What was parked because it could not be read or stored, so that a person can see what figures lack and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::connection::lookup;
use serde::Serialize;
use stripe::sync::parked::{self, Code, Found};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Ids, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

/// The lists whose objects may be parked.
pub(crate) const RESOURCES: [&str; 9] = [
    "charges",
    "checkout_sessions",
    "customers",
    "disputes",
    "events",
    "invoices",
    "payment_intents",
    "prices",
    "products",
];

/// Parked object.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParkedObject)]
pub(crate) struct ParkedBody {
    /// Name of the list that the object belongs to.
    #[schema(example = "charges")]
    resource: String,
    /// Stripe's id of the object. An id of more than 255 bytes is cut and ends in a digest.
    object_id: String,
    code: Code,
    /// Description of the problem; may quote a value of the object.
    #[schema(
        example = "`amount` cannot be read: invalid type: string \"a lot\", expected a whole number"
    )]
    detail: String,
    /// When the object was last parked.
    parked_at: DateTime<Utc>,
    /// JSON of the object as Stripe sent it, as text. Characters that cannot be stored are replaced by U+FFFD.
    raw: String,
}

impl From<Found> for ParkedBody {
    fn from(Found { object, parked_at }: Found) -> Self {
        Self {
            resource: object.resource,
            object_id: object.object_id,
            code: object.code,
            detail: object.detail,
            parked_at,
            raw: object.raw,
        }
    }
}

/// Page of parked objects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedList {
    data: Vec<ParkedBody>,
    next_cursor: Option<String>,
}

/// List parked objects
///
/// Stripe objects that could not be read or stored while everything else was synced. The figures omit them or use the version
/// that was last read. Every full sync tries them again, as does an incremental sync that finds an event of the object.
/// Ordered by resource and id.
#[utoipa::path(get, path = "/v1/connectors/{id}/parked", operation_id = "list_parked_objects",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id"),
           ("resource" = Option<String>, Query, description = "Only objects of this list: `charges`, `customers`, \
            `disputes`, `events`, `invoices`, `checkout_sessions`, `payment_intents`, `prices` or `products`"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of parked objects", body = ParkedList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<ParkedList>, ApiError> {
    let resource = params.text("resource");
    if let Some(resource) = &resource
        && !RESOURCES.contains(&resource.as_str())
    {
        params.refuse(
            "resource",
            format!("must be one of {}", RESOURCES.join(", ")),
        );
    }
    let limit = params.limit();
    let after: Option<(String, String)> = params.cursor("parked")?;
    params.finish()?;
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    lookup::find(&mut tx, organization, &connection_id).await?;
    let after = after
        .as_ref()
        .map(|(list, id)| (list.as_str(), id.as_str()));
    let mut found = parked::list(
        &mut tx,
        organization,
        &connection_id,
        resource.as_deref(),
        after,
        page(limit),
    )
    .await?;
    tx.commit().await?;
    let next_cursor = next_cursor("parked", &mut found, limit, |found| {
        (
            found.object.resource.clone(),
            found.object.object_id.clone(),
        )
    })?;
    Ok(Json(ParkedList {
        data: found.into_iter().map(ParkedBody::from).collect(),
        next_cursor,
    }))
}
