//! The metadata keys that a connection's objects have, which nobody had to declare.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::catalogue::queries::{self, DiscoveredKey};
use common::catalogue::{MAX_KEYS, ObjectType, ValueType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Ids, Params, next_cursor, page};
use crate::problem::ApiError;
use crate::state::ApiState;

/// A metadata key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscoveredKey)]
pub(crate) struct KeyBody {
    /// Whose metadata it belongs to.
    object_type: ObjectType,
    /// Dotted, with `[]` for elements of arrays, into values that hold JSON; a `JSONPath` where that would be read
    /// otherwise. It can be used as a metadata key as it is.
    #[schema(example = "order.items[].sku")]
    key_path: String,
    /// What its values look like.
    value_type: ValueType,
    /// Objects that have it.
    occurrences: i64,
    /// The share of objects of its type that have it, 0 to 1.
    coverage: f64,
    /// Some of its values, shortened, and replaced where they look confidential.
    #[schema(max_items = 10)]
    sample_values: Vec<String>,
    /// When the oldest charge was made that has it, or refers to an object that has it.
    first_seen: DateTime<Utc>,
    /// When the newest was.
    last_seen: DateTime<Utc>,
}

impl From<DiscoveredKey> for KeyBody {
    fn from(key: DiscoveredKey) -> Self {
        Self {
            object_type: key.object_type,
            key_path: key.key_path,
            value_type: key.entry.value_type,
            occurrences: key.entry.occurrences,
            coverage: key.coverage,
            sample_values: key.entry.samples.into_iter().collect(),
            first_seen: key.entry.first_seen,
            last_seen: key.entry.last_seen,
        }
    }
}

/// Metadata keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    data: Vec<KeyBody>,
    next_cursor: Option<String>,
}

/// The metadata keys that objects have
///
/// Over all stored charges and the products, prices and customers that they refer to. All keys at once
/// unless `limit` is given.
#[utoipa::path(get, path = "/v1/connectors/{id}/filters/discover", tag = "rules",
    params(("id" = String, Path, description = "The connection"),
           ("object_type" = Option<ObjectType>, Query, description = "Only keys of its metadata"),
           ("limit" = Option<i64>, Query, description = "1 to 1000; all keys unless given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = KeyList)))]
pub(crate) async fn discover(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(connection_id): Ids<String>,
    mut params: Params,
) -> Result<Json<KeyList>, ApiError> {
    let object_type = params.text("object_type").and_then(|text| {
        let object_type = ObjectType::parse(&text);
        if object_type.is_none() {
            params.refuse(
                "object_type",
                "must be one of charge, product, price, customer",
            );
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
    super::connection(&mut tx, organization, &connection_id).await?;
    let (org, limit_and_one) = (organization.as_str(), page(limit));
    let mut keys = queries::list(
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
        (key.object_type.as_str().to_owned(), key.key_path.clone())
    })?;
    Ok(Json(KeyList {
        data: keys.into_iter().map(KeyBody::from).collect(),
        next_cursor,
    }))
}
