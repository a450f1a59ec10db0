//! Restatements in PostgreSQL.

use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::db::{self, Error};
use common::money::Currency;
use common::tenant::OrganizationId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewRestatement, RestatedDay, Restatement};
use crate::analytics::Selection;
use crate::purchase::Units;

/// Stores restatements, in the transaction that changes the rows.
#[tracing::instrument(name = "db.restatement.store", level = "debug", skip_all)]
pub(crate) async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    restatements: &[NewRestatement],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if restatements.is_empty() {
        return Ok(());
    }
    let new = restatements.iter();
    let ids: Vec<Uuid> = new.clone().map(|_| new_id(now)).collect();
    let dates: Vec<_> = new.clone().map(|it| it.date).collect();
    let currencies: Vec<&str> = new.clone().map(|it| it.currency.as_str()).collect();
    let charges: Vec<i64> = new.clone().map(|it| it.change.charges).collect();
    let units: Vec<i64> = new.clone().map(|it| it.change.units.rounded()).collect();
    let fractions: Vec<Option<i64>> = new.clone().map(|it| it.change.units.fraction()).collect();
    let gross: Vec<i64> = new.clone().map(|it| it.change.gross).collect();
    let refunded: Vec<i64> = new.clone().map(|it| it.change.refunded).collect();
    let causes: Vec<&str> = new.clone().map(|it| it.cause.as_str()).collect();
    let charge_ids: Vec<Option<&str>> = new.clone().map(|it| it.charge_id.as_deref()).collect();
    let object_ids: Vec<Option<&str>> = new.clone().map(|it| it.object_id.as_deref()).collect();
    let (event_ids, event_types): (Vec<Option<&str>>, Vec<Option<&str>>) = new
        .map(|it| {
            it.event
                .as_ref()
                .map(|(id, kind)| (id.as_str(), kind.as_str()))
                .unzip()
        })
        .unzip();
    sqlx::query!(
        "INSERT INTO stripe_restatements (organization_id, connection_id, restatement_id, date, currency, charges,
             units, units_fraction, gross, refunded, cause, charge_id, object_id, event_id, event_type, restated_at)
         SELECT $1, $2, new.*, $16 FROM UNNEST($3::UUID[], $4::DATE[], $5::TEXT[], $6::BIGINT[], $7::BIGINT[],
             $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::TEXT[], $12::TEXT[], $13::TEXT[], $14::TEXT[],
             $15::TEXT[]) AS new",
        organization.as_str(),
        connection_id,
        &ids,
        &dates,
        &currencies as &[&str],
        &charges,
        &units,
        &fractions as _,
        &gross,
        &refunded,
        &causes as &[&str],
        &charge_ids as _,
        &object_ids as _,
        &event_ids as _,
        &event_types as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The restatements of a selection's days, newest first: `limit` of them after the one given, and none from before
/// `since`.
#[tracing::instrument(name = "db.restatement.list", level = "debug", skip_all)]
pub(super) async fn list(
    conn: &mut PgConnection,
    selection: &Selection,
    since: Option<DateTime<Utc>>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Restatement>, Error> {
    let rows = sqlx::query!(
        r#"SELECT restatement_id, date, currency, restated_at, charges, units, units_fraction, gross, refunded,
                  cause, charge_id, object_id, event_id, event_type
           FROM stripe_restatements
           WHERE organization_id = $1 AND connection_id = $2
             AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
             AND ($5::TEXT IS NULL OR currency = $5) AND ($6::TIMESTAMPTZ IS NULL OR restated_at >= $6)
             AND ($7::UUID IS NULL OR restatement_id < $7)
           ORDER BY restatement_id DESC LIMIT $8"#,
        selection.organization_id.as_str(),
        selection.connection_id,
        selection.date_from,
        selection.date_to,
        selection.currency,
        since,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let read = rows.into_iter().map(|row| {
        Ok(Restatement {
            restatement_id: row.restatement_id,
            date: row.date,
            currency: Currency::new(&row.currency),
            restated_at: row.restated_at,
            cause: db::parse_stored("stripe_restatements.cause", &row.cause)?,
            charge_id: row.charge_id,
            object_id: row.object_id,
            event_id: row.event_id,
            event_type: row.event_type,
            charges: row.charges,
            units: row.units,
            units_decimal: Units::of_row(row.units, row.units_fraction),
            gross: row.gross,
            refunded: row.refunded,
            net: net(row.gross, row.refunded)?,
        })
    });
    read.collect()
}

/// What the restatements of a selection's days add up to, by day and currency, without those from before `since`.
#[tracing::instrument(name = "db.restatement.days", level = "debug", skip_all)]
pub(super) async fn days(
    conn: &mut PgConnection,
    selection: &Selection,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<RestatedDay>, Error> {
    let rows = sqlx::query!(
        r#"SELECT date, currency, COUNT(*) AS "restatements!", SUM(charges)::BIGINT AS "charges!",
                  trim_scale(SUM(units) + COALESCE(SUM(units_fraction) * 0.000000000001, 0))::TEXT AS "units!",
                  SUM(gross)::BIGINT AS "gross!", SUM(refunded)::BIGINT AS "refunded!"
           FROM stripe_restatements
           WHERE organization_id = $1 AND connection_id = $2
             AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
             AND ($5::TEXT IS NULL OR currency = $5) AND ($6::TIMESTAMPTZ IS NULL OR restated_at >= $6)
           GROUP BY date, currency ORDER BY date, currency COLLATE "C""#,
        selection.organization_id.as_str(),
        selection.connection_id,
        selection.date_from,
        selection.date_to,
        selection.currency,
        since,
    )
    .fetch_all(conn)
    .await?;
    let read = rows.into_iter().map(|row| {
        let units = Units::try_from(row.units).map_err(|cause| Error::Inconsistent {
            column: "stripe_restatements.units",
            cause: Box::new(cause),
        })?;
        Ok(RestatedDay {
            date: row.date,
            currency: Currency::new(&row.currency),
            restatements: row.restatements,
            charges: row.charges,
            units: units.rounded(),
            units_decimal: units,
            gross: row.gross,
            refunded: row.refunded,
            net: net(row.gross, row.refunded)?,
        })
    });
    read.collect()
}

fn net(gross: i64, refunded: i64) -> Result<i64, Error> {
    gross.checked_sub(refunded).ok_or(Error::Inconsistent {
        column: "stripe_restatements.gross",
        cause: "the net amount is out of range".into(),
    })
}

/// Forgets all restatements of a connection: its days are others from now on.
#[tracing::instrument(name = "db.restatement.forget_all", level = "debug", skip_all)]
pub(crate) async fn forget_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_restatements WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` restatements of any tenant from before `before`; how many. Needs the scheduler's role.
#[tracing::instrument(name = "db.restatement.delete_old", level = "debug", skip_all)]
pub async fn delete_old(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let deleted = sqlx::query!(
        "DELETE FROM stripe_restatements
         WHERE (organization_id, connection_id, restatement_id) IN (
             SELECT organization_id, connection_id, restatement_id FROM stripe_restatements
             WHERE restated_at < $1 ORDER BY restated_at LIMIT $2)",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
