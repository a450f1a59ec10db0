//! The customers, products and prices that rows refer to, with their present metadata.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use common::catalogue::ObjectType;
use common::db::Error;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::ReferencedObject;
use crate::sync::Span;

type Metadata = Map<String, Value>;

/// The name of an object.
#[derive(Debug)]
pub struct StoredName {
    pub object_type: String,
    pub object_id: String,
    pub name: String,
}

/// Stores customers, products, prices or payment intents as just read, each id at most once; the ids of those that are
/// new or changed. Of payment intents, which are as many as charges, those without metadata are not kept.
#[tracing::instrument(name = "db.referenced.upsert_objects", level = "debug", skip_all)]
pub async fn upsert_objects(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    objects: &[&ReferencedObject],
) -> Result<BTreeSet<String>, Error> {
    let ids: Vec<String> = objects.iter().map(|o| o.object_id.clone()).collect();
    let metadata: Vec<Value> = objects
        .iter()
        .map(|o| Value::Object(o.metadata.clone()))
        .collect();
    let names: Vec<Option<String>> = objects.iter().map(|o| o.name.clone()).collect();
    let deleted: Vec<bool> = objects.iter().map(|o| o.deleted).collect();
    let created: Vec<Option<DateTime<Utc>>> = objects.iter().map(|o| o.created_at).collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO stripe_referenced_objects AS stored
             (organization_id, connection_id, object_type, object_id, metadata, deleted, created_at, name)
         SELECT $1, $2, $3, object.id, object.metadata, object.deleted, object.created_at, object.name
         FROM UNNEST($4::TEXT[], $5::JSONB[], $6::BOOL[], $7::TIMESTAMPTZ[], $8::TEXT[])
             AS object (id, metadata, deleted, created_at, name)
         WHERE $3 <> 'payment_intent' OR object.metadata <> '{}' OR EXISTS (
             SELECT FROM stripe_referenced_objects
             WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3 AND object_id = object.id)
         ON CONFLICT (organization_id, connection_id, object_type, object_id) DO UPDATE
         SET metadata = EXCLUDED.metadata, deleted = EXCLUDED.deleted,
             created_at = COALESCE(EXCLUDED.created_at, stored.created_at),
             name = CASE WHEN EXCLUDED.deleted THEN stored.name ELSE EXCLUDED.name END
         WHERE (stored.metadata, stored.deleted) IS DISTINCT FROM (EXCLUDED.metadata, EXCLUDED.deleted)
            OR stored.created_at IS NULL AND EXCLUDED.created_at IS NOT NULL
            OR stored.name IS DISTINCT FROM EXCLUDED.name AND NOT EXCLUDED.deleted
         RETURNING object_id"#,
        organization,
        connection,
        object_type.as_str(),
        &ids,
        &metadata,
        &deleted,
        &created as _,
        &names as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(written.into_iter().collect())
}

/// The products, prices or payment intents of these spans that are not among the listed ones, as what they have become: Stripe has
/// deleted them. Only those that were not known to be deleted.
#[tracing::instrument(name = "db.referenced.unlisted", level = "debug", skip_all)]
pub async fn unlisted(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    spans: &[Span],
    listed: &[String],
) -> Result<Vec<ReferencedObject>, Error> {
    let (from, to) = Span::bounds(spans);
    let unlisted = sqlx::query!(
        "SELECT object_id, created_at FROM stripe_referenced_objects
         JOIN UNNEST($4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[]) AS span (from_at, to_at)
           ON created_at >= span.from_at AND created_at < span.to_at
         WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3 AND NOT deleted
           AND NOT EXISTS (SELECT FROM UNNEST($6::TEXT[]) AS listed (id) WHERE listed.id = object_id)",
        organization,
        connection,
        object_type.as_str(),
        &from,
        &to,
        listed,
    )
    .fetch_all(conn)
    .await?;
    Ok(unlisted
        .into_iter()
        .map(|row| ReferencedObject::deleted(row.object_id, row.created_at))
        .collect())
}

/// Those of a type that were made before `from`, as a full job that does not list them leaves them: without metadata.
#[tracing::instrument(name = "db.referenced.made_before", level = "debug", skip_all)]
pub async fn made_before(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    from: DateTime<Utc>,
) -> Result<Vec<ReferencedObject>, Error> {
    let found = sqlx::query!(
        "SELECT object_id, created_at FROM stripe_referenced_objects
         WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3 AND created_at < $4",
        organization,
        connection,
        object_type.as_str(),
        from,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| ReferencedObject::deleted(row.object_id, row.created_at))
        .collect())
}

/// Forgets all objects of a type that the key may not read, or that the connection does not. The rows are left as they are: the full job that
/// calls this makes them again.
#[tracing::instrument(
    name = "db.referenced.clear_metadata_of_type",
    level = "debug",
    skip_all
)]
pub async fn clear_metadata_of_type(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_referenced_objects
         WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3",
        organization,
        connection,
        object_type.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The present metadata of those of these objects that are known.
#[tracing::instrument(name = "db.referenced.metadata_of", level = "debug", skip_all)]
pub async fn metadata_of(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    ids: &[String],
) -> Result<Vec<(String, Metadata)>, Error> {
    let known = sqlx::query!(
        r#"SELECT object_id, metadata AS "metadata: sqlx::types::Json<Metadata>"
           FROM stripe_referenced_objects
           WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3 AND object_id = ANY($4)"#,
        organization,
        connection,
        object_type.as_str(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(known
        .into_iter()
        .map(|row| (row.object_id, row.metadata.0))
        .collect())
}

/// The names of those of these objects, `(type, id)`, that have one.
#[tracing::instrument(name = "db.referenced.names_of", level = "debug", skip_all)]
pub async fn names_of(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    objects: &[(ObjectType, &str)],
) -> Result<Vec<StoredName>, Error> {
    let types: Vec<&str> = objects.iter().map(|(of, _)| of.as_str()).collect();
    let ids: Vec<&str> = objects.iter().map(|(_, id)| *id).collect();
    Ok(sqlx::query_as!(
        StoredName,
        r#"SELECT object_type AS "object_type!", object_id AS "object_id!", name AS "name!"
           FROM UNNEST($3::TEXT[], $4::TEXT[]) AS asked (object_type, object_id)
           JOIN stripe_referenced_objects USING (object_type, object_id)
           WHERE organization_id = $1 AND connection_id = $2 AND name IS NOT NULL"#,
        organization,
        connection,
        &types as &[&str],
        &ids as &[&str],
    )
    .fetch_all(conn)
    .await?)
}
