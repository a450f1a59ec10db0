//! What was read of a customer, which replaces what was stored.

use chrono::{DateTime, Utc};
use common::db::{Error, PgConnection};
use common::tenant::OrganizationId;

use crate::billing::{CheckoutReading, InvoiceReading, ItemReading, Payment, SubscriptionReading};

/// A subscription with what our plans say of it.
#[derive(Debug)]
pub(in crate::billing) struct SubscriptionRow<'a> {
    pub(in crate::billing) subscription: &'a SubscriptionReading,
    /// The item that is a plan's.
    pub(in crate::billing) item: Option<&'a ItemReading>,
    pub(in crate::billing) lookup_key: Option<&'a str>,
    /// The item whose period is the subscription's.
    pub(in crate::billing) period: Option<&'a ItemReading>,
    pub(in crate::billing) scheduled_lookup_key: Option<&'a str>,
    pub(in crate::billing) scheduled_seats: Option<i64>,
}

/// Makes these the subscriptions of an organization.
#[tracing::instrument(name = "db.billing.replace_subscriptions", level = "debug", skip_all)]
pub(in crate::billing) async fn replace_subscriptions(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    rows: &[SubscriptionRow<'_>],
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM billing_subscriptions WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(&mut *conn)
    .await?;
    for row in rows {
        insert_subscription(conn, organization, row).await?;
    }
    Ok(())
}

async fn insert_subscription(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    row: &SubscriptionRow<'_>,
) -> Result<(), Error> {
    let subscription = row.subscription;
    sqlx::query!(
        "INSERT INTO billing_subscriptions
             (organization_id, subscription_id, status, item_id, price_id, lookup_key, seats, current_period_start,
              current_period_end, trial_end, cancel_at, created_at, ended_at, latest_invoice_id, schedule_id,
              scheduled_lookup_key, scheduled_at, is_ours, scheduled_seats)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        organization.as_str(),
        subscription.subscription_id,
        subscription.status.as_str(),
        row.item.map(|item| item.item_id.as_str()),
        row.item.map(|item| item.price.price_id.as_str()),
        row.lookup_key,
        row.period.map_or(1, |item| item.seats),
        row.period.and_then(|item| item.current_period_start),
        row.period.and_then(|item| item.current_period_end),
        subscription.trial_end,
        subscription.cancel_at,
        subscription.created_at,
        subscription.ended_at,
        subscription.latest_invoice_id,
        subscription.schedule_id,
        row.scheduled_lookup_key,
        subscription.scheduled.as_ref().map(|change| change.at),
        subscription.is_ours,
        row.scheduled_seats,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The values of one member of all rows.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Makes these the invoices of an organization.
#[tracing::instrument(name = "db.billing.replace_invoices", level = "debug", skip_all)]
pub(in crate::billing) async fn replace_invoices(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    invoices: &[InvoiceReading],
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM billing_invoices WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO billing_invoices
             (organization_id, invoice_id, subscription_id, number, status, currency, amount_due, amount_paid,
              amount_remaining, attempts, next_attempt_at, created_at, paid_at, hosted_url, pdf_url)
         SELECT $1, * FROM UNNEST($2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[], $8::BIGINT[],
             $9::BIGINT[], $10::INTEGER[], $11::TIMESTAMPTZ[], $12::TIMESTAMPTZ[], $13::TIMESTAMPTZ[], $14::TEXT[],
             $15::TEXT[])",
        organization.as_str(),
        &column(invoices, |it| it.invoice_id.as_str()) as &[&str],
        &column(invoices, |it| it.subscription_id.as_deref()) as &[Option<&str>],
        &column(invoices, |it| it.number.as_deref()) as &[Option<&str>],
        &column(invoices, |it| it.status.as_str()) as &[&str],
        &column(invoices, |it| it.currency.as_str()) as &[&str],
        &column(invoices, |it| it.amount_due),
        &column(invoices, |it| it.amount_paid),
        &column(invoices, |it| it.amount_remaining),
        &column(invoices, |it| it.attempts),
        &column(invoices, |it| it.next_attempt_at) as &[Option<DateTime<Utc>>],
        &column(invoices, |it| it.created_at),
        &column(invoices, |it| it.paid_at) as &[Option<DateTime<Utc>>],
        &column(invoices, |it| it.hosted_url.as_deref()) as &[Option<&str>],
        &column(invoices, |it| it.pdf_url.as_deref()) as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes these the payments of an organization.
#[tracing::instrument(name = "db.billing.replace_payments", level = "debug", skip_all)]
pub(in crate::billing) async fn replace_payments(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    payments: &[Payment],
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM billing_payments WHERE organization_id = $1",
        organization.as_str(),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO billing_payments
             (organization_id, payment_id, status, currency, amount, amount_refunded, failure_code, failure_message,
              receipt_url, created_at)
         SELECT $1, * FROM UNNEST($2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::TEXT[], $8::TEXT[],
             $9::TEXT[], $10::TIMESTAMPTZ[])",
        organization.as_str(),
        &column(payments, |it| it.payment_id.as_str()) as &[&str],
        &column(payments, |it| it.status.as_str()) as &[&str],
        &column(payments, |it| it.money.currency.as_str()) as &[&str],
        &column(payments, |it| it.money.minor),
        &column(payments, |it| it.amount_refunded),
        &column(payments, |it| it.failure_code.as_deref()) as &[Option<&str>],
        &column(payments, |it| it.failure_message.as_deref()) as &[Option<&str>],
        &column(payments, |it| it.receipt_url.as_deref()) as &[Option<&str>],
        &column(payments, |it| it.created_at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores how the sessions of an organization stand. One that is over never opens again, whatever an older answer says.
#[tracing::instrument(name = "db.billing.update_checkouts", level = "debug", skip_all)]
pub(in crate::billing) async fn update_checkouts(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    checkouts: &[CheckoutReading],
) -> Result<(), Error> {
    for checkout in checkouts {
        let Some(checkout_id) = checkout.checkout_id else {
            continue;
        };
        sqlx::query!(
            "UPDATE billing_checkouts
             SET status = $3, session_id = $4, url = $5, expires_at = $6, payment_pending = $7, subscription_id = $8
             WHERE organization_id = $1 AND checkout_id = $2
               AND (status IN ('asked', 'open') OR status = 'complete' AND $3 = 'complete')",
            organization.as_str(),
            checkout_id,
            checkout.status.as_str(),
            checkout.session_id,
            checkout.url,
            checkout.expires_at,
            checkout.payment_pending,
            checkout.subscription_id,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}
