//! What access brings: an API key of the organization, which sleeps while there is none, the limits of the plan, the questions that
//! come with it, and what is announced of it.
//!
//! It follows from what was read, in the transaction that stores it, so it is done once, whoever reads first. Fails with
//! PostgreSQL. Deliberately absent: taking anything away but access; all data stays.

use chrono::{DateTime, Utc};
use common::db::{self, PgConnection};
use common::plan_limit::{self, InForce};
use common::saved_question;
use common::tenant::OrganizationId;
use tracing::info;

use super::announce::announce;
use super::standing::Standing;
use super::{Billing, queries};

/// Brings what an organization has to what it is entitled to.
pub(super) async fn fulfil(
    billing: &Billing,
    conn: &mut PgConnection,
    organization: &OrganizationId,
    standing: &Standing<'_>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let plan = standing.plan;
    let (organization_id, plan_id) = (organization.as_str(), plan.id.as_str());
    if standing.access && queries::issue_key(conn, organization, now).await? {
        info!(
            organization_id,
            plan = plan_id,
            "an organization has access for the first time"
        );
    }
    queries::suspend_key(conn, organization, !standing.access, now).await?;
    let in_force = InForce {
        plan: plan_id,
        limits: plan.limits,
        is_subscribed: standing.access,
    };
    plan_limit::apply(conn, organization, in_force, now).await?;
    if standing.access && queries::note_seeded(conn, organization, plan_id).await? {
        saved_question::seed(conn, organization, &plan.seed.questions, now).await?;
    }
    announce(billing, conn, organization, standing, now).await
}
