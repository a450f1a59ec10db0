//! What was set aside because it could not be read or stored, so that a person can see what figures lack and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::sync::List;
use common::sync::parked::{self, Code, Found};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Ids, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

/// An object that was set aside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParkedObject)]
pub(crate) struct ParkedBody {
    /// The list that it is of.
    #[schema(example = "charges")]
    resource: String,
    /// Stripe's id of it. One of more than 255 bytes is cut and ends in a digest.
    object_id: String,
    code: Code,
    /// The reason in words. It may quote a value of the object.
    #[schema(
        example = "`amount` cannot be read: invalid type: string \"a lot\", expected a whole number"
    )]
    detail: String,
    /// When it was last found so.
    parked_at: DateTime<Utc>,
    /// Its JSON as Stripe sent it, as text. Characters that cannot be stored are replaced by U+FFFD.
    raw: String,
}

impl From<Found> for ParkedBody {
    fn from(Found { object, parked_at }: Found) -> Self {
        Self {
            resource: object.list,
            object_id: object.object_id,
            code: object.code,
            detail: object.detail,
            parked_at,
            raw: object.raw,
        }
    }
}

/// A page of objects that were set aside.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedList {
    data: Vec<ParkedBody>,
    next_cursor: Option<String>,
}

/// Objects that were set aside
///
/// An object of Stripe's that could not be read, or that PostgreSQL refused to store, is kept here while everything
/// else is synced. Figures do not include it, or include what was last read of it. Every full sync tries again, and so
/// does every event of the object. Ordered by resource and id.
#[utoipa::path(get, path = "/v1/connectors/{id}/parked", tag = "connections",
    params(("id" = String, Path, description = "The connection"),
           ("resource" = Option<String>, Query, description = "Only objects of this list: `charges`, `customers`, \
            `disputes`, `events`, `invoices`, `checkout_sessions`, `prices` or `products`"),
           ("limit" = Option<i64>, Query, description = "1 to 1000, 50 unless given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = ParkedList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<ParkedList>, ApiError> {
    let resource = params.text("resource");
    if let Some(resource) = &resource
        && !is_resource(resource)
    {
        let detail = "must be one of charges, customers, disputes, events, invoices, checkout_sessions, prices, \
                      products";
        params.refuse("resource", detail);
    }
    let limit = params.limit();
    let after: Option<(String, String)> = params.cursor("parked")?;
    params.finish()?;
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    super::connection(&mut tx, organization, &connection_id).await?;
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
        (found.object.list.clone(), found.object.object_id.clone())
    })?;
    Ok(Json(ParkedList {
        data: found.into_iter().map(ParkedBody::from).collect(),
        next_cursor,
    }))
}

fn is_resource(name: &str) -> bool {
    List::ALL.iter().any(|list| list.as_str() == name) || matches!(name, "customers" | "events")
}
