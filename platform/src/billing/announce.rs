//! Announcing to an internal handler how organizations stand, by events of our own.
//!
//! An event is made of what was read, never of an event of the vendor's, and stored in the transaction that stores the change, with
//! its delivery. What was said last is stored next to it, so a change is said once, whoever reads first and however often.
//! Events have the form of the vendor's: `id` (`evt_sync_…`), `object`, `type` (`stripe_sync.…`), `created`, `livemode`, `data`.
//!
//! Fails with PostgreSQL. Deliberately absent: events where nothing forwards them; delivering them, which is the consumer's.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, Utc};
use common::clock::new_id;
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use common::webhook::forward::ForwardTypes;
use common::webhook::queries::own;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::standing::Standing;
use super::status::StandingStatus;
use super::{Billing, queries};

/// What begins the type of each event of ours.
const FAMILY: &str = "stripe_sync.subscription";

/// What is forwarded, as far as events of ours are concerned.
#[derive(Debug, Clone)]
pub struct Announcing {
    pub types: Arc<ForwardTypes>,
    /// Whether the platform's key is one of live mode.
    pub livemode: bool,
}

/// How an organization stood when that was last said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announced {
    /// What an event's object says.
    standing: Map<String, Value>,
    /// What was said in addition and is still so.
    said: BTreeSet<String>,
}

/// Stores the events that follow from how an organization stands now and did when that was last said.
pub(super) async fn announce(
    billing: &Billing,
    conn: &mut PgConnection,
    organization: &OrganizationId,
    standing: &Standing<'_>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let before = queries::announced(conn, organization).await?;
    let before = before.unwrap_or_else(|| Announced {
        standing: nothing(&billing.plans.free().id),
        said: BTreeSet::new(),
    });
    let now_said = Announced {
        standing: compared(standing),
        said: extras(standing, now).map(|extra| extra.key).collect(),
    };
    if now_said == before {
        return Ok(());
    }
    queries::store_announced(conn, organization, &now_said).await?;
    let Some(announcing) = &billing.announcing else {
        return Ok(());
    };
    let body = object(organization, standing);
    let previous = differences(&before.standing, &now_said.standing);
    let updated = (!previous.is_empty()).then_some(("updated", Some(previous)));
    let new = extras(standing, now).filter(|extra| !before.said.contains(&extra.key));
    let new = new.map(|extra| (extra.name, None));
    for (name, previous) in updated.into_iter().chain(new) {
        let event = event(name, announcing.livemode, &body, previous, now);
        own::store(conn, organization, &event, &announcing.types, now).await?;
    }
    Ok(())
}

/// Something that is said apart from how the organization stands.
struct Extra {
    /// Ends the type of the event.
    name: &'static str,
    /// The same for as long as it is the same.
    key: String,
}

fn extras<'a>(standing: &'a Standing<'_>, now: DateTime<Utc>) -> impl Iterator<Item = Extra> + 'a {
    let warnings = standing.warnings.iter().map(|warning| Extra {
        name: warning.code,
        key: format!("{} {}", warning.code, warning.subject),
    });
    let trial = standing.trial_will_end(now).map(|ends| Extra {
        name: "trial_will_end",
        key: format!("trial_will_end {}", ends.to_rfc3339()),
    });
    warnings.chain(trial)
}

/// What makes another standing when it changes.
fn compared(standing: &Standing<'_>) -> Map<String, Value> {
    let subscription = standing.subscription;
    let change = standing.coming_change.map(|change| {
        json!({"plan": change.plan.id, "interval": change.interval.as_str(), "at": change.at.trunc_subsecs(0)})
    });
    let interval = standing.subscribed.map(|(_, interval)| interval.as_str());
    members([
        ("plan", json!(standing.plan.id)),
        ("status", json!(standing.status.as_str())),
        ("access", json!(standing.access)),
        ("interval", json!(interval)),
        ("seats", json!(subscription.map(|it| it.seats))),
        ("cancel_at", json!(subscription.and_then(|it| it.cancel_at))),
        ("scheduled_change", json!(change)),
    ])
}

/// How an organization stands of which nothing was ever read.
fn nothing(free: &str) -> Map<String, Value> {
    members([
        ("plan", json!(free)),
        ("status", json!(StandingStatus::None.as_str())),
        ("access", json!(false)),
        ("interval", Value::Null),
        ("seats", Value::Null),
        ("cancel_at", Value::Null),
        ("scheduled_change", Value::Null),
    ])
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let named = members.into_iter();
    named
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The members that changed, as they were.
fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let changed = after
        .keys()
        .filter(|name| before.get(*name) != after.get(*name));
    let as_they_were = changed.map(|name| {
        let value = before.get(name).cloned();
        (name.clone(), value.unwrap_or(Value::Null))
    });
    as_they_were.collect()
}

/// The object of an event: how the organization stands.
fn object(organization: &OrganizationId, standing: &Standing<'_>) -> Value {
    let subscription = standing.subscription;
    let warnings = standing.warnings.iter();
    let warnings = warnings.map(|it| json!({"code": it.code, "message": it.message}));
    let mut object = compared(standing);
    object.extend(members([
        ("object", json!("stripe_sync.subscription")),
        ("organization_id", json!(organization.as_str())),
        (
            "subscription_id",
            json!(subscription.map(|it| &it.subscription_id)),
        ),
        (
            "current_period_end",
            json!(subscription.and_then(|it| it.current_period_end)),
        ),
        ("trial_end", json!(subscription.and_then(|it| it.trial_end))),
        ("grace_ends", json!(standing.grace_ends())),
        ("warnings", warnings.collect()),
    ]));
    Value::Object(object)
}

fn event(
    name: &str,
    livemode: bool,
    object: &Value,
    previous: Option<Map<String, Value>>,
    now: DateTime<Utc>,
) -> own::OwnEvent {
    let event_id = new_id(now);
    let external_event_id = format!("evt_sync_{}", event_id.simple());
    let event_type = format!("{FAMILY}.{name}");
    let mut data = json!({"object": object});
    if let Some(previous) = previous {
        data["previous_attributes"] = Value::Object(previous);
    }
    let payload = json!({
        "id": external_event_id,
        "object": "event",
        "type": event_type,
        "created": now.timestamp(),
        "livemode": livemode,
        "data": data,
    });
    own::OwnEvent {
        event_id,
        external_event_id,
        event_type,
        livemode,
        payload: payload.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plans;
    use super::super::standing::Stored;
    use super::*;

    #[test]
    fn an_organization_of_which_nothing_is_stored_stands_as_if_nothing_was_ever_read() {
        let plans = Plans::built_in().unwrap();
        let stored = Stored::default();
        let standing = Standing::of(&plans, &stored, DateTime::UNIX_EPOCH);
        assert_eq!(compared(&standing), nothing(&plans.free().id));
        assert_eq!(extras(&standing, DateTime::UNIX_EPOCH).count(), 0);
    }

    #[test]
    fn only_what_changed_is_named_with_what_it_was() {
        let before = members([("plan", json!("free")), ("seats", Value::Null)]);
        let after = members([("plan", json!("pro")), ("seats", Value::Null)]);
        assert_eq!(
            differences(&before, &after),
            members([("plan", json!("free"))])
        );
    }
}
