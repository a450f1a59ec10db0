//! What decides how an organization stands.

use chrono::{DateTime, Utc};
use common::db::{self, Error, PgConnection};
use common::money::{Currency, Money};
use common::tenant::OrganizationId;
use sqlx::types::Json;

use crate::billing::standing::Stored;
use crate::billing::subscription::{Invoice, Subscription};
use crate::billing::{Payment, PaymentMethod};

/// Everything that decides how an organization stands.
#[tracing::instrument(name = "db.billing.stored", level = "debug", skip_all)]
pub(in crate::billing) async fn stored(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Stored, Error> {
    let connections = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM platform_connections WHERE organization_id = $1 AND deleting_at IS NULL"#,
        organization.as_str(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let payment_pending = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM billing_checkouts AS checkout
                          WHERE organization_id = $1 AND status = 'complete' AND payment_pending
                            AND NOT EXISTS (SELECT FROM billing_subscriptions AS subscription
                                            WHERE subscription.organization_id = $1
                                              AND subscription.subscription_id = checkout.subscription_id
                                              AND subscription.status IN ('canceled', 'incomplete_expired'))) AS "pending!""#,
        organization.as_str(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let customer = sqlx::query!(
        r#"SELECT payment_method AS "payment_method: Json<PaymentMethod>", read_at FROM billing_customers
           WHERE organization_id = $1 AND read_at IS NOT NULL"#,
        organization.as_str(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let (payment_method, read_at) = match customer {
        None => (None, None),
        Some(row) => (row.payment_method.map(|method| method.0), row.read_at),
    };
    Ok(Stored {
        subscriptions: subscriptions(&mut *conn, organization).await?,
        repairs: super::repairs(&mut *conn, organization).await?,
        last_invoice: invoices(conn, organization, None, 1).await?.pop(),
        payment_method,
        read_at,
        connections,
        payment_pending,
    })
}

async fn subscriptions(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Vec<Subscription>, Error> {
    let rows = sqlx::query!(
        "SELECT subscription_id, is_ours, status, item_id, price_id, lookup_key, seats, current_period_start, current_period_end,
                trial_end, cancel_at, created_at, schedule_id, scheduled_lookup_key, scheduled_seats, scheduled_at,
                (SELECT MIN(invoice.created_at) FROM billing_invoices AS invoice
                 WHERE invoice.organization_id = subscription.organization_id
                   AND invoice.subscription_id = subscription.subscription_id
                   AND invoice.status = 'open' AND invoice.attempts > 0) AS failing_since
         FROM billing_subscriptions AS subscription
         WHERE organization_id = $1 ORDER BY created_at, subscription_id",
        organization.as_str(),
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| {
        Ok(Subscription {
            subscription_id: row.subscription_id,
            is_ours: row.is_ours,
            status: db::parse_stored("billing_subscriptions.status", &row.status)?,
            item_id: row.item_id,
            price_id: row.price_id,
            lookup_key: row.lookup_key,
            seats: row.seats,
            current_period_start: row.current_period_start,
            current_period_end: row.current_period_end,
            trial_end: row.trial_end,
            cancel_at: row.cancel_at,
            created_at: row.created_at,
            schedule_id: row.schedule_id,
            scheduled_lookup_key: row.scheduled_lookup_key,
            scheduled_seats: row.scheduled_seats,
            scheduled_at: row.scheduled_at,
            failing_since: row.failing_since,
        })
    });
    all.collect()
}

/// A page of an organization's invoices, newest first, after a position.
#[tracing::instrument(name = "db.billing.invoices", level = "debug", skip_all)]
pub(in crate::billing) async fn invoices(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> Result<Vec<Invoice>, Error> {
    let rows = sqlx::query!(
        "SELECT invoice_id, number, status, currency, amount_due, amount_paid, amount_remaining, next_attempt_at, created_at,
                paid_at, hosted_url, pdf_url
         FROM billing_invoices
         WHERE organization_id = $1 AND ($2::TIMESTAMPTZ IS NULL OR (created_at, invoice_id) < ($2, $3))
         ORDER BY created_at DESC, invoice_id DESC LIMIT $4",
        organization.as_str(),
        after.map(|(created_at, _)| created_at),
        after.map(|(_, invoice_id)| invoice_id),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| {
        Ok(Invoice {
            invoice_id: row.invoice_id,
            number: row.number,
            status: db::parse_stored("billing_invoices.status", &row.status)?,
            currency: Currency::new(&row.currency),
            amount_due: row.amount_due,
            amount_paid: row.amount_paid,
            amount_remaining: row.amount_remaining,
            next_attempt_at: row.next_attempt_at,
            created_at: row.created_at,
            paid_at: row.paid_at,
            hosted_url: row.hosted_url,
            pdf_url: row.pdf_url,
        })
    });
    all.collect()
}

/// A page of an organization's payments, newest first, after a position.
#[tracing::instrument(name = "db.billing.payments", level = "debug", skip_all)]
pub(in crate::billing) async fn payments(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> Result<Vec<Payment>, Error> {
    let rows = sqlx::query!(
        "SELECT payment_id, status, currency, amount, amount_refunded, failure_code, failure_message, receipt_url, created_at
         FROM billing_payments
         WHERE organization_id = $1 AND ($2::TIMESTAMPTZ IS NULL OR (created_at, payment_id) < ($2, $3))
         ORDER BY created_at DESC, payment_id DESC LIMIT $4",
        organization.as_str(),
        after.map(|(created_at, _)| created_at),
        after.map(|(_, payment_id)| payment_id),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| {
        Ok(Payment {
            payment_id: row.payment_id,
            status: db::parse_stored("billing_payments.status", &row.status)?,
            money: Money {
                minor: row.amount,
                currency: Currency::new(&row.currency),
            },
            amount_refunded: row.amount_refunded,
            failure_code: row.failure_code,
            failure_message: row.failure_message,
            receipt_url: row.receipt_url,
            created_at: row.created_at,
        })
    });
    all.collect()
}
