//! The metadata catalogue of stored rows in PostgreSQL.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use common::catalogue::queries::CatalogueKey;
use common::catalogue::{self, Catalogue, ObjectType};
use common::db::Error;
use futures::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::{PgConnection, QueryBuilder};

/// Rebuilds the keys of these kinds of objects from all stored rows.
///
/// # Errors
///
/// When the database does not answer, or a stored key is not one that this program writes.
pub async fn rebuild(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    of: &BTreeSet<ObjectType>,
) -> Result<(), Error> {
    let mut found = Catalogue::default();
    for object_type in of {
        match columns_of(*object_type) {
            None => add_charges(conn, organization, connection, &mut found).await?,
            Some(columns) => {
                let owner = (organization, connection);
                add_objects(conn, owner, *object_type, columns, &mut found).await?;
            }
        }
    }
    catalogue::queries::replace(conn, organization, connection, of, found).await
}

async fn add_charges(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    catalogue: &mut Catalogue,
) -> Result<(), Error> {
    let mut rows = sqlx::query!(
        r#"SELECT charge_metadata AS "metadata: sqlx::types::Json<Map<String, Value>>", created_at
           FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND line_no = 0 AND charge_metadata <> '{}'"#,
        organization,
        connection,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        catalogue.add(ObjectType::Charge, &row.metadata.0, row.created_at);
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct ReferencedMetadata {
    metadata: sqlx::types::Json<Map<String, Value>>,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

/// The objects of a type that rows refer to; all rows of one object have its metadata.
async fn add_objects(
    conn: &mut PgConnection,
    (organization, connection): (&str, &str),
    object_type: ObjectType,
    (id, metadata): (&str, &str),
    catalogue: &mut Catalogue,
) -> Result<(), Error> {
    let mut query = QueryBuilder::new("SELECT (array_agg(");
    query.push(metadata);
    query.push(
        "))[1] AS metadata, MIN(created_at) AS first_seen, MAX(created_at) AS last_seen
         FROM stripe_revenue_data WHERE organization_id = ",
    );
    query.push_bind(organization).push(" AND connection_id = ");
    query.push_bind(connection).push(" AND ").push(id);
    query.push(" IS NOT NULL AND ").push(metadata);
    query.push(" <> '{}' GROUP BY ").push(id);
    let mut rows = query.build_query_as::<ReferencedMetadata>().fetch(conn);
    while let Some(row) = rows.try_next().await? {
        catalogue.add_with_range(object_type, &row.metadata.0, row.first_seen, row.last_seen);
    }
    Ok(())
}

/// The columns of a row that name an object and keep its metadata; a charge's own is read with the charge.
pub(crate) fn columns_of(object_type: ObjectType) -> Option<(&'static str, &'static str)> {
    match object_type {
        ObjectType::Charge => None,
        ObjectType::Product => Some(("product_id", "product_metadata")),
        ObjectType::Price => Some(("price_id", "price_metadata")),
        ObjectType::Customer => Some(("customer_id", "customer_metadata")),
        ObjectType::Invoice => Some(("invoice_id", "invoice_metadata")),
        ObjectType::InvoiceLine => Some(("line_id", "invoice_line_metadata")),
        // Each invoice shows its subscription as it was, so each has a metadata of its own.
        ObjectType::Subscription => Some(("invoice_id", "subscription_metadata")),
        ObjectType::CheckoutSession => Some(("checkout_session_id", "checkout_session_metadata")),
        ObjectType::PaymentIntent => Some(("payment_intent_id", "payment_intent_metadata")),
    }
}

/// A key, and the share of the objects of its type, stored or referred to, that have it: 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscoveredKey {
    pub key: CatalogueKey,
    pub coverage: f64,
}

/// The keys of a connection as [`catalogue::queries::list`] has them, with their coverage.
///
/// # Errors
///
/// As [`rebuild`].
pub async fn discover(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: Option<ObjectType>,
    after: Option<(ObjectType, &str)>,
    limit: i64,
) -> Result<Vec<DiscoveredKey>, Error> {
    let keys =
        catalogue::queries::list(conn, organization, connection, object_type, after, limit).await?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let any_of_purchases = keys.iter().any(|key| !key.object_type.is_summed());
    let objects = count_objects(conn, organization, connection, any_of_purchases).await?;
    let with_coverage = |key: CatalogueKey| {
        let total = objects
            .of(key.object_type)
            .max(key.entry.occurrences)
            .max(1);
        let coverage = key.entry.occurrences as f64 / total as f64;
        DiscoveredKey { key, coverage }
    };
    Ok(keys.into_iter().map(with_coverage).collect())
}

/// Stored charges and the objects that they refer to, by kind. Of what few rows have metadata, the objects are counted only
/// where some do.
#[derive(Debug, Clone, Copy, Default)]
struct Objects {
    charges: i64,
    products: i64,
    prices: i64,
    customers: i64,
    invoices: i64,
    invoice_lines: i64,
    checkout_sessions: i64,
    payment_intents: i64,
}

impl Objects {
    fn of(self, object_type: ObjectType) -> i64 {
        match object_type {
            ObjectType::Charge => self.charges,
            ObjectType::Product => self.products,
            ObjectType::Price => self.prices,
            ObjectType::Customer => self.customers,
            ObjectType::Invoice | ObjectType::Subscription => self.invoices,
            ObjectType::InvoiceLine => self.invoice_lines,
            ObjectType::CheckoutSession => self.checkout_sessions,
            ObjectType::PaymentIntent => self.payment_intents,
        }
    }
}

async fn count_objects(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    of_purchases: bool,
) -> Result<Objects, Error> {
    let objects = sqlx::query_as!(
        Objects,
        r#"WITH stored AS NOT MATERIALIZED (
               SELECT line_no, product_id, price_id, customer_id, invoice_id, line_id, checkout_session_id,
                      payment_intent_id
               FROM stripe_revenue_data
               WHERE organization_id = $1 AND connection_id = $2
           )
           SELECT
               (SELECT COUNT(*) FROM stored WHERE line_no = 0) AS "charges!",
               (SELECT COUNT(*) FROM (SELECT product_id FROM stored WHERE product_id IS NOT NULL
                    GROUP BY product_id) AS products) AS "products!",
               (SELECT COUNT(*) FROM (SELECT price_id FROM stored WHERE price_id IS NOT NULL
                    GROUP BY price_id) AS prices) AS "prices!",
               (SELECT COUNT(*) FROM (SELECT customer_id FROM stored WHERE customer_id IS NOT NULL
                    GROUP BY customer_id) AS customers) AS "customers!",
               CASE WHEN $3 THEN (SELECT COUNT(*) FROM (SELECT invoice_id FROM stored
                    WHERE invoice_id IS NOT NULL GROUP BY invoice_id) AS invoices) ELSE 0 END AS "invoices!",
               CASE WHEN $3 THEN (SELECT COUNT(*) FROM (SELECT line_id FROM stored
                    WHERE line_id IS NOT NULL AND invoice_id IS NOT NULL GROUP BY line_id) AS lines) ELSE 0 END
                    AS "invoice_lines!",
               CASE WHEN $3 THEN (SELECT COUNT(*) FROM (SELECT checkout_session_id FROM stored
                    WHERE checkout_session_id IS NOT NULL GROUP BY checkout_session_id) AS sessions) ELSE 0 END
                    AS "checkout_sessions!",
               CASE WHEN $3 THEN (SELECT COUNT(*) FROM (SELECT payment_intent_id FROM stored
                    WHERE payment_intent_id IS NOT NULL GROUP BY payment_intent_id) AS intents) ELSE 0 END
                    AS "payment_intents!""#,
        organization,
        connection,
        of_purchases,
    )
    .fetch_one(conn)
    .await?;
    Ok(objects)
}
