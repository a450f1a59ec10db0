//! Purchases in PostgreSQL: one row for each payment that a purchase names, so that a charge finds its
//! lines by its payment intent.
//!
//! Whatever changes here names the payments whose charges have other lines now; those rows are rebuilt
//! by the caller in the same transaction.

use chrono::{DateTime, Utc};
use common::db::{self, Error};
use common::tenant::OrganizationId;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Purchase, PurchaseKind, PurchaseLine};
use crate::sync::Span;

/// What charges are found by that have other lines than before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AffectedPayments {
    pub payments: Vec<String>,
    /// Purchases, which older charges name themselves.
    pub purchases: Vec<String>,
    /// When these were made, one by one.
    pub created_at: Vec<DateTime<Utc>>,
}

impl AffectedPayments {
    pub fn is_empty(&self) -> bool {
        self.purchases.is_empty()
    }

    pub fn extend(&mut self, other: Self) {
        self.payments.extend(other.payments);
        self.purchases.extend(other.purchases);
        self.created_at.extend(other.created_at);
    }
}

struct PaymentLink {
    payment_id: String,
    purchase_id: String,
    created_at: DateTime<Utc>,
}

/// What the charges are found by that show these purchases: of a session that had an invoice paid, also by what pays the
/// invoice.
async fn affected_by(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    links: Vec<PaymentLink>,
) -> Result<AffectedPayments, Error> {
    let mut affected = AffectedPayments::default();
    for link in links {
        affected.payments.push(link.payment_id);
        affected.purchases.push(link.purchase_id);
        affected.created_at.push(link.created_at);
    }
    let payments = affected.payments.iter();
    let invoices: Vec<String> = payments
        .filter(|payment| payment.starts_with(INVOICE_PREFIX))
        .cloned()
        .collect();
    if !invoices.is_empty() {
        let pay_invoices = sqlx::query_scalar!(
            "SELECT payment_id FROM stripe_purchases
             WHERE organization_id = $1 AND connection_id = $2 AND purchase_id = ANY($3)",
            organization.as_str(),
            connection_id,
            &invoices,
        )
        .fetch_all(conn)
        .await?;
        affected.payments.extend(pay_invoices);
        affected.purchases.extend(invoices);
    }
    Ok(affected)
}

/// How the ids of invoices begin, which stand for the payment of a session that had one paid.
const INVOICE_PREFIX: &str = "in_";
/// What stands for the payment of a purchase that names none.
const NO_PAYMENT: &str = "";

/// Stores purchases as just read, each id at most once.
#[tracing::instrument(name = "db.purchase.store", level = "debug", skip_all)]
pub async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    purchases: &[&Purchase],
) -> Result<AffectedPayments, Error> {
    let purchase_ids: Vec<&str> = purchases.iter().map(|p| p.purchase_id.as_str()).collect();
    let mut payment_ids = Vec::new();
    let mut owners = Vec::new();
    let mut kinds = Vec::new();
    let mut created = Vec::new();
    let mut lines = Vec::new();
    let mut metadata = Vec::new();
    let mut of_subscriptions = Vec::new();
    for purchase in purchases {
        let payments = purchase.payments.iter().map(String::as_str);
        let none = purchase.payments.is_empty().then_some(NO_PAYMENT);
        for payment_id in payments.chain(none) {
            payment_ids.push(payment_id);
            owners.push(purchase.purchase_id.as_str());
            kinds.push(purchase.kind.as_str());
            created.push(purchase.created_at);
            lines.push(Json(&purchase.lines));
            metadata.push(if_any(&purchase.metadata));
            of_subscriptions.push(if_any(&purchase.subscription_metadata));
        }
    }
    let mut changed = sqlx::query_as!(
        PaymentLink,
        "DELETE FROM stripe_purchases
         WHERE organization_id = $1 AND connection_id = $2 AND purchase_id = ANY($3)
           AND (payment_id, purchase_id) NOT IN (SELECT * FROM UNNEST($4::TEXT[], $5::TEXT[]))
         RETURNING payment_id, purchase_id, created_at",
        organization.as_str(),
        connection_id,
        &purchase_ids as &[&str],
        &payment_ids as &[&str],
        &owners as &[&str],
    )
    .fetch_all(&mut *conn)
    .await?;
    let written = sqlx::query_as!(
        PaymentLink,
        "INSERT INTO stripe_purchases AS stored
             (organization_id, connection_id, payment_id, purchase_id, kind, created_at, lines, metadata,
              subscription_metadata)
         SELECT $1, $2, incoming.* FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TIMESTAMPTZ[], $7::JSONB[],
             $8::JSONB[], $9::JSONB[]) AS incoming
         ON CONFLICT (organization_id, connection_id, payment_id, purchase_id) DO UPDATE
         SET created_at = EXCLUDED.created_at, lines = EXCLUDED.lines, metadata = EXCLUDED.metadata,
             subscription_metadata = EXCLUDED.subscription_metadata
         WHERE (stored.created_at, stored.lines, stored.metadata, stored.subscription_metadata)
             IS DISTINCT FROM (EXCLUDED.created_at, EXCLUDED.lines, EXCLUDED.metadata, EXCLUDED.subscription_metadata)
         RETURNING payment_id, purchase_id, created_at",
        organization.as_str(),
        connection_id,
        &payment_ids as &[&str],
        &owners as &[&str],
        &kinds as &[&str],
        &created,
        &lines as _,
        &metadata as _,
        &of_subscriptions as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    changed.extend(written);
    affected_by(conn, organization, connection_id, changed).await
}

/// Metadata as it is kept: null takes no space.
fn if_any(metadata: &Map<String, Value>) -> Option<Json<&Map<String, Value>>> {
    Some(metadata).filter(|it| !it.is_empty()).map(Json)
}

/// Removes purchases that Stripe no longer has, by id.
#[tracing::instrument(name = "db.purchase.remove", level = "debug", skip_all)]
pub async fn remove(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    purchase_ids: &[String],
) -> Result<AffectedPayments, Error> {
    let removed = sqlx::query_as!(
        PaymentLink,
        "DELETE FROM stripe_purchases
         WHERE organization_id = $1 AND connection_id = $2 AND purchase_id = ANY($3)
         RETURNING payment_id, purchase_id, created_at",
        organization.as_str(),
        connection_id,
        purchase_ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    affected_by(conn, organization, connection_id, removed).await
}

/// Removes the purchases of one kind and of these spans that are stored and not among the listed ones.
#[tracing::instrument(name = "db.purchase.remove_unlisted", level = "debug", skip_all)]
pub async fn remove_unlisted(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    kind: PurchaseKind,
    spans: &[Span],
    listed: &[String],
) -> Result<AffectedPayments, Error> {
    let (from, to) = Span::bounds(spans);
    let removed = sqlx::query_as!(
        PaymentLink,
        "DELETE FROM stripe_purchases
         USING UNNEST($4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[]) AS span (from_at, to_at)
         WHERE organization_id = $1 AND connection_id = $2 AND kind = $3
           AND created_at >= span.from_at AND created_at < span.to_at
           AND NOT EXISTS (SELECT FROM UNNEST($6::TEXT[]) AS listed (id) WHERE listed.id = purchase_id)
         RETURNING payment_id, purchase_id, created_at",
        organization.as_str(),
        connection_id,
        kind.as_str(),
        &from,
        &to,
        listed,
    )
    .fetch_all(&mut *conn)
    .await?;
    affected_by(conn, organization, connection_id, removed).await
}

/// How many stored purchases of a kind were made in each of these spans; a page's worth at most is counted.
#[tracing::instrument(name = "db.purchase.count_between", level = "debug", skip_all)]
pub async fn count_between(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    kind: PurchaseKind,
    spans: &[Span],
) -> Result<Vec<i64>, Error> {
    let (from, to) = Span::bounds(spans);
    Ok(sqlx::query_scalar!(
        r#"SELECT (SELECT COUNT(*) FROM (
                       SELECT FROM stripe_purchases
                       WHERE organization_id = $1 AND connection_id = $2 AND kind = $3
                         AND created_at >= span.from_at AND created_at < span.to_at
                       LIMIT 100) AS made) AS "count!"
           FROM UNNEST($4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[]) WITH ORDINALITY AS span (from_at, to_at, place)
           ORDER BY span.place"#,
        organization.as_str(),
        connection_id,
        kind.as_str(),
        &from,
        &to,
    )
    .fetch_all(conn)
    .await?)
}

/// Removes the purchases from before `from`, whose lines are not known any more.
#[tracing::instrument(name = "db.purchase.remove_before", level = "debug", skip_all)]
pub async fn remove_before(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    from: DateTime<Utc>,
) -> Result<AffectedPayments, Error> {
    let removed = sqlx::query_as!(
        PaymentLink,
        "DELETE FROM stripe_purchases
         WHERE organization_id = $1 AND connection_id = $2 AND created_at < $3
         RETURNING payment_id, purchase_id, created_at",
        organization.as_str(),
        connection_id,
        from,
    )
    .fetch_all(&mut *conn)
    .await?;
    affected_by(conn, organization, connection_id, removed).await
}

/// Forgets all purchases of a kind that the key may not list. The rows are left as they are: the full job
/// that calls this makes them again.
#[tracing::instrument(name = "db.purchase.delete_kind", level = "debug", skip_all)]
pub async fn delete_kind(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    kind: PurchaseKind,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_purchases WHERE organization_id = $1 AND connection_id = $2 AND kind = $3",
        organization.as_str(),
        connection_id,
        kind.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The purchases that name one of these payments, or that are one of these, and the sessions that had these invoices paid.
#[tracing::instrument(name = "db.purchase.list_by_payments", level = "debug", skip_all)]
pub async fn list_by_payments(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    payments: &[&str],
    purchases: &[&str],
) -> Result<Vec<Purchase>, Error> {
    let rows = sqlx::query!(
        r#"WITH direct AS MATERIALIZED (
               SELECT payment_id, purchase_id, kind, created_at, lines, metadata, subscription_metadata
               FROM stripe_purchases
               WHERE organization_id = $1 AND connection_id = $2 AND payment_id = ANY($3)
               UNION ALL
               SELECT payment_id, purchase_id, kind, created_at, lines, metadata, subscription_metadata
               FROM stripe_purchases
               WHERE organization_id = $1 AND connection_id = $2 AND purchase_id = ANY($4)
                 AND payment_id <> ALL($3)
           )
           SELECT payment_id AS "payment_id!", purchase_id AS "purchase_id!", kind AS "kind!",
                  created_at AS "created_at!", lines AS "lines!: Json<Vec<PurchaseLine>>",
                  metadata AS "metadata?: Json<Map<String, Value>>",
                  subscription_metadata AS "subscription_metadata?: Json<Map<String, Value>>"
           FROM direct
           UNION ALL
           SELECT session.payment_id, session.purchase_id, session.kind, session.created_at, session.lines,
                  session.metadata, session.subscription_metadata
           FROM (SELECT DISTINCT purchase_id FROM direct WHERE kind = 'invoice') AS invoice
           CROSS JOIN LATERAL (
               SELECT * FROM stripe_purchases
               WHERE organization_id = $1 AND connection_id = $2 AND payment_id = invoice.purchase_id
               OFFSET 0) AS session"#,
        organization.as_str(),
        connection_id,
        payments as &[&str],
        purchases as &[&str],
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Purchase {
                purchase_id: row.purchase_id,
                kind: db::parse_stored("stripe_purchases.kind", &row.kind)?,
                created_at: row.created_at,
                payments: Some(row.payment_id)
                    .into_iter()
                    .filter(|id| id != NO_PAYMENT)
                    .collect(),
                lines: row.lines.0,
                metadata: row.metadata.map(|it| it.0).unwrap_or_default(),
                subscription_metadata: row.subscription_metadata.map(|it| it.0).unwrap_or_default(),
            })
        })
        .collect()
}
