//! Why a charge counts or not, and what is known of its refunds and its dispute, from what is stored; Stripe is not asked.

use chrono::{DateTime, Utc};
use common::connection::lookup;
use common::db::{self, Pool};
use common::money::{Currency, Money};
use common::rule;
use common::tenant::OrganizationId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::charge_lines::{self, ChargeRow};
use crate::charge::out_of_range;
use crate::dispute::{self, Dispute};
use crate::refund::{self, Refund};
use crate::sync::List;
use crate::sync::parked::{self, Found};
use crate::sync::state::{self as sync_state, SyncState};

/// Reason why a charge counts or does not count: `counted`; `excluded` by the rules; `outside_range`: created before the
/// synced range; `not_succeeded`: failed or pending; `not_captured`: authorized only, nothing captured; `parked`: it could not be read or
/// stored; `never_seen`: Stripe has not reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The charge counts.
    Counted,
    /// A rule excludes the charge.
    Excluded,
    /// The charge was created before the synced range.
    OutsideRange,
    /// The charge failed or is pending.
    NotSucceeded,
    /// The charge was authorized and not captured.
    NotCaptured,
    /// The charge could not be read or stored and was parked; nothing of it is stored.
    Parked,
    /// The charge is unknown.
    NeverSeen,
}

/// Explanation of a charge.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    pub charge_id: String,
    /// Whether the charge is stored.
    pub stored: bool,
    /// Whether the charge counts as revenue.
    pub counted: bool,
    pub reason: Reason,
    /// Id of the `exclude` rule that matches the charge or, if no `include` rule matches it, of the oldest `include` rule.
    pub filter_id: Option<Uuid>,
    /// Description of the reason.
    pub detail: String,
    /// Lines of the charge.
    pub rows: Vec<ChargeRow>,
    /// Refunds of the charge, newest first. Empty if they have not been read yet, or may not be read.
    pub refunds: Vec<Refund>,
    /// Newest dispute of the charge.
    pub dispute: Option<Dispute>,
}

/// Explains from what is stored why a charge counts or not.
pub async fn explain(
    pool: &Pool,
    organization: &OrganizationId,
    connection_id: &str,
    charge_id: String,
) -> Result<Explanation, lookup::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    let rows =
        charge_lines::list_by_charge(&mut tx, organization, connection_id, &charge_id).await?;
    let stored = sync_state::get(&mut tx, organization, connection_id).await?;
    let filter_id = rows.first().and_then(|row| row.excluded_by);
    let rule = match filter_id {
        Some(id) => rule::queries::get(&mut tx, organization.as_str(), connection_id, id).await?,
        None => None,
    };
    let covered_from = stored.covered_from.unwrap_or(connection.covered_from());
    let ids = std::slice::from_ref(&charge_id);
    let out_of_range =
        out_of_range::find(&mut tx, organization, connection_id, ids, covered_from).await?;
    let list = List::Charges.as_str();
    let parked = parked::find(&mut tx, organization, connection_id, list, &charge_id).await?;
    let refunds =
        refund::queries::list_by_charge(&mut tx, organization, connection_id, &charge_id).await?;
    let dispute =
        dispute::queries::newest_of_charge(&mut tx, organization, connection_id, &charge_id)
            .await?;
    db::commit(tx).await?;
    let (reason, detail) = match (rows.first(), &parked) {
        (None, Some(parked)) => (Reason::Parked, parked_detail(parked)),
        (None, None) => match out_of_range.first() {
            Some((_, created_at)) => (
                Reason::OutsideRange,
                outside_range(*created_at, covered_from),
            ),
            None => (Reason::NeverSeen, never_seen(&stored)),
        },
        (Some(row), parked) => {
            let rule = rule.as_ref().map(|rule| rule.name.as_str());
            let (reason, mut detail) = reason_of(row, &rows, rule);
            if let Some(transfer) = &row.source_transfer {
                detail.push_str(&mirrored(transfer));
            }
            if let Some(parked) = parked {
                detail.push_str(&as_last_read(parked));
            }
            (reason, detail)
        }
    };
    Ok(Explanation {
        charge_id,
        stored: !rows.is_empty(),
        counted: reason == Reason::Counted,
        reason,
        filter_id: filter_id.filter(|_| reason == Reason::Excluded),
        detail,
        rows,
        refunds,
        dispute,
    })
}

/// What counts of a charge that does.
fn counted(row: &ChargeRow, rows: &[ChargeRow]) -> String {
    let shown = |of: fn(&ChargeRow) -> i64| {
        let money = Money {
            minor: rows.iter().map(of).sum(),
            currency: Currency::new(&row.currency),
        };
        money.display()
    };
    let (captured, amount) = (shown(|row| row.gross), shown(|row| row.amount));
    if captured == amount {
        return "It succeeded, and no rule excludes it.".to_owned();
    }
    let rest = if row.partly_captured {
        " The rest may still be captured, or has lapsed."
    } else {
        ""
    };
    format!(
        "It succeeded and was partly captured: {captured} of {amount} count, and no rule excludes it.{rest}"
    )
}

fn outside_range(created_at: DateTime<Utc>, covered_from: DateTime<Utc>) -> String {
    format!(
        "The charge was created at {}, before the covered range, which begins at {}; a larger `lookback_days` \
         covers it.",
        created_at.format("%FT%TZ"),
        covered_from.format("%FT%TZ")
    )
}

fn parked_detail(parked: &Found) -> String {
    format!(
        "The charge was parked at {} because it could not be read or stored, and is in no figure: {}. The list of \
         parked objects has its JSON.",
        parked.parked_at.format("%FT%TZ"),
        parked.object.detail
    )
}

fn as_last_read(parked: &Found) -> String {
    format!(
        " What is shown was read before {}, when the charge was parked because it could not be read or stored: {}.",
        parked.parked_at.format("%FT%TZ"),
        parked.object.detail
    )
}

/// What a payment is that a platform's transfer made, next to the customer's charge in the platform's own account.
fn mirrored(transfer: &str) -> String {
    format!(
        " It is the payment that a platform's transfer, {transfer}, made in this account; what the customer paid is a charge of \
         the platform's account. A rule with `source_transfer` `exists` excludes such payments."
    )
}

fn never_seen(stored: &SyncState) -> String {
    match (stored.covered_from, stored.covered_to) {
        (Some(from), Some(to)) => format!(
            "No charge of this id is stored. Covered are charges created from {} to before {}.",
            from.format("%FT%TZ"),
            to.format("%FT%TZ")
        ),
        _ => "No charge of this id is stored, and nothing is covered yet.".to_owned(),
    }
}

/// Why a charge counts or not, by its first row and by all of them.
fn reason_of(row: &ChargeRow, rows: &[ChargeRow], rule: Option<&str>) -> (Reason, String) {
    if row.status != "succeeded" {
        let detail = format!(
            "The charge's status is `{}`; only succeeded charges count.",
            row.status
        );
        return (Reason::NotSucceeded, detail);
    }
    if !row.captured && !row.partly_captured {
        let detail = "The charge was authorized and not captured; only captured charges count.";
        return (Reason::NotCaptured, detail.to_owned());
    }
    match (row.excluded_by, rule) {
        (None, _) => (Reason::Counted, counted(row, rows)),
        (Some(_), Some(name)) => (
            Reason::Excluded,
            format!("The rule `{name}` excludes the charge."),
        ),
        (Some(_), None) => {
            let detail = "A rule that has since been deleted excludes the charge until the remaining rules \
                          have been applied.";
            (Reason::Excluded, detail.to_owned())
        }
    }
}
