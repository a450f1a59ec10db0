//! The metadata keys that a connection's objects have, which nobody had to declare.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::catalogue::{MAX_KEYS, ObjectType, ValueType};
use common::connection::lookup;
use serde::Serialize;
use stripe::metadata::queries::{self, DiscoveredKey};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Ids, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

/// A metadata key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscoveredKey)]
pub(crate) struct KeyBody {
    /// Type of object that has the key.
    object_type: ObjectType,
    /// Path of the key, ready to use as `metadata_key`: dotted for values inside JSON, with `[]` for array elements. It is a
    /// JSONPath where the dotted form would be ambiguous.
    #[schema(example = "order.items[].sku")]
    key_path: String,
    /// Type of the values.
    value_type: ValueType,
    /// Number of objects that have the key.
    occurrences: i64,
    /// Share of the objects of this type that have the key, 0 to 1.
    coverage: f64,
    /// Sample values, shortened, and redacted where they look confidential.
    #[schema(max_items = 10)]
    sample_values: Vec<String>,
    /// Creation time of the oldest charge with the key.
    first_seen: DateTime<Utc>,
    /// Creation time of the newest charge with the key.
    last_seen: DateTime<Utc>,
}

impl From<DiscoveredKey> for KeyBody {
    fn from(DiscoveredKey { key, coverage }: DiscoveredKey) -> Self {
        Self {
            object_type: key.object_type,
            key_path: key.key_path,
            value_type: key.entry.value_type,
            occurrences: key.entry.occurrences,
            coverage,
            sample_values: key.entry.samples.into_iter().collect(),
            first_seen: key.entry.first_seen,
            last_seen: key.entry.last_seen,
        }
    }
}

/// Page of metadata keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscoveredKeyList)]
pub(crate) struct KeyList {
    data: Vec<KeyBody>,
    next_cursor: Option<String>,
}

/// Discover metadata keys
///
/// Lists the metadata keys of all stored charges and of what they refer to: products, prices, customers, invoices with their
/// lines and subscriptions, checkout sessions, and payment intents if the connection reads them. Returns all keys unless
/// `limit` is given.
#[utoipa::path(get, path = "/v1/connectors/{id}/filters/discover", operation_id = "discover_metadata_keys",
    tag = "rules",
    params(("id" = String, Path, description = "Connection id"),
           ("object_type" = Option<ObjectType>, Query, description = "Only keys of this type of object"),
           ("limit" = Option<i64>, Query, description = "Items per page; all keys by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of metadata keys", body = KeyList)))]
pub(crate) async fn discover(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<KeyList>, ApiError> {
    let object_type = params.text("object_type").and_then(|text| {
        let object_type = ObjectType::parse(&text);
        if object_type.is_none() {
            let detail = format!("must be one of {}", ObjectType::names());
            params.refuse("object_type", detail);
        }
        object_type
    });
    let all = (MAX_KEYS * ObjectType::ALL.len()) as i64;
    let limit = params.limit_or(all);
    let after: Option<(String, String)> = params.cursor("keys")?;
    params.finish()?;
    let after = match &after {
        Some((name, path)) => {
            let object_type = ObjectType::parse(name).ok_or(ApiError::CursorInvalid)?;
            Some((object_type, path.as_str()))
        }
        None => None,
    };
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    lookup::find(&mut tx, organization, &connection_id).await?;
    let (org, limit_and_one) = (organization.as_str(), page(limit));
    let mut keys = queries::discover(
        &mut tx,
        org,
        &connection_id,
        object_type,
        after,
        limit_and_one,
    )
    .await?;
    tx.commit().await?;
    let next_cursor = next_cursor("keys", &mut keys, limit, |key| {
        (
            key.key.object_type.as_str().to_owned(),
            key.key.key_path.clone(),
        )
    })?;
    Ok(Json(KeyList {
        data: keys.into_iter().map(KeyBody::from).collect(),
        next_cursor,
    }))
}
