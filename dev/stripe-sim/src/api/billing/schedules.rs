//! `/v1/subscription_schedules`.

use serde_json::Value;

use super::subscriptions::take_proration;
use super::{Request, take_place};
use crate::billing::{Change, Metadata, Period, Phase, PhaseItem, Proration};
use crate::error::StripeError;
use crate::id::Kind;
use crate::parameters::Parameters;

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let from = take_place(
        change,
        parameters,
        ("from_subscription", Kind::Subscription),
    )?;
    let from = from.ok_or_else(|| StripeError::missing("from_subscription"))?;
    let metadata = parameters.take_map("metadata");
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_schedule(from, metadata)?;
    Ok(request.shown(change, Kind::SubscriptionSchedule, place))
}

pub(super) fn update(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::SubscriptionSchedule)?;
    let parameters = &mut request.parameters;
    let phases = take_phases(change, place, parameters)?;
    let release = match parameters.take("end_behavior").as_deref() {
        None => None,
        Some("release") => Some(true),
        Some("cancel") => Some(false),
        Some(_) => return Err(StripeError::invalid("end_behavior", "Invalid end_behavior")),
    };
    take_proration(parameters)?;
    let metadata = parameters.take_map("metadata");
    std::mem::take(&mut request.parameters).finish()?;
    change.update_schedule(place, (phases, release), metadata)?;
    Ok(request.shown(change, Kind::SubscriptionSchedule, place))
}

/// The phases that are to be, each from the end of the one before.
fn take_phases(
    change: &Change<'_>,
    place: usize,
    parameters: &mut Parameters,
) -> Result<Option<Vec<Phase>>, StripeError> {
    let given = parameters.take_list("phases");
    if given.is_empty() {
        return Ok(None);
    }
    let schedule = &change.billing.schedules[place];
    let mut start = schedule
        .phases
        .get(schedule.current)
        .map_or(change.now, |it| it.period.start);
    let mut phases = Vec::new();
    for mut phase in given {
        let at = phase.take("start_date");
        let at = match at.as_deref() {
            Some("now") => Some(change.now),
            Some(text) => Some(integer("phases[0][start_date]", text)?),
            None => None,
        };
        start = at.unwrap_or(start);
        let phase = take_phase(change, phase, start)?;
        start = phase.period.end;
        phases.push(phase);
    }
    Ok(Some(phases))
}

fn integer(param: &str, text: &str) -> Result<i64, StripeError> {
    text.parse()
        .map_err(|_| StripeError::invalid_integer(param, text))
}

fn take_phase(
    change: &Change<'_>,
    mut phase: Parameters,
    start: i64,
) -> Result<Phase, StripeError> {
    let mut items = Vec::new();
    for mut item in phase.take_list("items") {
        let price = take_place(change, &mut item, ("price", Kind::Price))?;
        items.push(PhaseItem {
            price: price.ok_or_else(|| StripeError::missing("phases[0][items][0][price]"))?,
            quantity: item.take_integer("quantity")?.unwrap_or(1),
        });
        drop(item.take_map("metadata"));
        item.finish()?;
    }
    let end = phase.take_integer("end_date")?;
    let count = phase.take_integer("iterations")?;
    let mut duration = phase.take_group("duration");
    let proration = if phase.clone().take("proration_behavior").is_some() {
        take_proration(&mut phase)?
    } else {
        Proration::Create
    };
    let metadata: Metadata = phase.take_map("metadata");
    drop(phase.take("trial_end"));
    phase.finish()?;
    let (interval, every) = change.interval_of(items.iter().map(|it| it.price))?;
    let end = match end {
        Some(end) if end <= start => {
            let message = "The end date of a phase must be after its start date.";
            return Err(StripeError::invalid("phases[0][end_date]", message));
        }
        Some(end) => end,
        None => {
            let (interval, count) = match duration.take("interval") {
                None => (interval, i64::from(every) * count.unwrap_or(1)),
                Some(name) => {
                    let interval = crate::billing::Interval::parse(&name);
                    let invalid =
                        || StripeError::invalid("phases[0][duration]", "Invalid duration");
                    let count = duration.take_integer("interval_count")?.unwrap_or(1);
                    (interval.ok_or_else(invalid)?, count)
                }
            };
            Period::from(start, start, interval, count.clamp(1, 1_000) as u32).end
        }
    };
    Ok(Phase {
        period: Period { start, end },
        items,
        proration,
        metadata,
    })
}

pub(super) fn release(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::SubscriptionSchedule)?;
    drop(request.parameters.take("preserve_cancel_date"));
    std::mem::take(&mut request.parameters).finish()?;
    change.release_schedule(place)?;
    Ok(request.shown(change, Kind::SubscriptionSchedule, place))
}

pub(super) fn cancel(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::SubscriptionSchedule)?;
    for name in ["invoice_now", "prorate"] {
        drop(request.parameters.take(name));
    }
    std::mem::take(&mut request.parameters).finish()?;
    change.cancel_schedule(place)?;
    Ok(request.shown(change, Kind::SubscriptionSchedule, place))
}
