//! Remarks on valid requests whose answer may not be what was meant.

use common::catalogue::queries::unknown_keys;
use common::catalogue::unknown::NamedKey;
use common::filter::CompiledPredicate;
use common::tenant::OrganizationId;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::problem::ApiError;

/// A remark on a valid request whose answer may not be what was meant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Note {
    /// Stable code: `unknown_metadata_key`.
    code: &'static str,
    /// Name of the query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "group_by")]
    parameter: Option<String>,
    /// JSON Pointer (RFC 6901) to the value in the request body or in the parameter's JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/conditions/0/metadata_key")]
    pointer: Option<String>,
    /// What was noticed.
    detail: String,
}

/// The metadata keys that a request names, and where.
#[derive(Debug, Default)]
pub(crate) struct NamedKeys {
    keys: Vec<NamedKey>,
    pointers: Vec<(Option<String>, Option<String>)>,
}

impl NamedKeys {
    /// The keys of a rule in a body.
    pub(crate) fn of_body(predicate: &CompiledPredicate) -> Self {
        let mut named = Self::default();
        named.add_conditions(predicate, None);
        named
    }

    /// Adds the keys of conditions in a parameter that is JSON, or in the body.
    pub(crate) fn add_conditions(
        &mut self,
        predicate: &CompiledPredicate,
        parameter: Option<&str>,
    ) {
        for (index, key) in predicate.named_keys() {
            let pointer = format!("/conditions/{index}/metadata_key");
            self.keys.push(key);
            self.pointers
                .push((parameter.map(ToOwned::to_owned), Some(pointer)));
        }
    }

    /// Adds a key that a parameter names by itself.
    pub(crate) fn add(&mut self, key: NamedKey, parameter: &str) {
        self.keys.push(key);
        self.pointers.push((Some(parameter.to_owned()), None));
    }

    /// A note for each key that no stored object has.
    pub(crate) async fn unknown(
        self,
        conn: &mut PgConnection,
        organization: &OrganizationId,
        connection_id: &str,
    ) -> Result<Vec<Note>, ApiError> {
        let organization = organization.as_str();
        let found = unknown_keys(conn, organization, connection_id, &self.keys).await?;
        let notes = found.into_iter().map(|(index, detail)| {
            let (parameter, pointer) = self.pointers.get(index).cloned().unwrap_or_default();
            Note {
                code: "unknown_metadata_key",
                parameter,
                pointer,
                detail,
            }
        });
        Ok(notes.collect())
    }
}
