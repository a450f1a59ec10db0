//! Subscription schedules: which items a subscription has from which instant on.
//!
//! A schedule is made from a subscription and then given its phases. A phase that begins with a period is put in by that
//! renewal, without proration. What is refused is a [`StripeError`]. Deliberately absent: schedules that begin a
//! subscription, and phases with anything but items.

use super::{
    Change, ItemChange, Metadata, NewItem, Period, Proration, Refusal, SubscriptionChange,
};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ScheduleStatus {
    Active,
    Completed,
    Released,
    Canceled,
}

impl ScheduleStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Canceled => "canceled",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PhaseItem {
    pub(crate) price: usize,
    pub(crate) quantity: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) period: Period,
    pub(crate) items: Vec<PhaseItem>,
    pub(crate) proration: Proration,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) id: String,
    /// Unix seconds, as all its instants.
    pub(crate) created: i64,
    pub(crate) customer: usize,
    /// The place of the subscription, while the schedule manages it.
    pub(crate) subscription: Option<usize>,
    pub(crate) released: Option<usize>,
    pub(crate) status: ScheduleStatus,
    pub(crate) phases: Vec<Phase>,
    /// Which phase applies.
    pub(crate) current: usize,
    /// Whether the subscription goes on after the last phase.
    pub(crate) release_at_end: bool,
    pub(crate) ended_at: Option<i64>,
    pub(crate) metadata: Metadata,
}

impl Schedule {
    /// When the next phase begins.
    pub(super) fn next_phase(&self) -> Option<i64> {
        let next = self.phases.get(self.current + 1);
        next.filter(|_| self.status == ScheduleStatus::Active)
            .map(|it| it.period.start)
    }

    /// When the last phase ends.
    pub(super) fn ends_at(&self) -> Option<i64> {
        let last = self.current + 1 == self.phases.len();
        let last = self
            .phases
            .last()
            .filter(|_| last && self.status == ScheduleStatus::Active);
        last.map(|it| it.period.end)
    }
}

impl Change<'_> {
    /// Makes a schedule of a subscription as it is; returns its place.
    pub(crate) fn create_schedule(
        &mut self,
        subscription: usize,
        metadata: Metadata,
    ) -> Result<usize, StripeError> {
        let it = &self.billing.subscriptions[subscription];
        if let Some(schedule) = it.schedule {
            let id = self.billing.schedules[schedule].id.clone();
            return Err(Refusal::HasSchedule(id).into());
        }
        if !it.status.renews() {
            return Err(Refusal::NotUpdatable(it.status.name()).into());
        }
        let items = it.items.iter().map(|it| PhaseItem {
            price: it.price,
            quantity: it.quantity,
        });
        let phase = Phase {
            period: it.period,
            items: items.collect(),
            proration: Proration::Create,
            metadata: Metadata::new(),
        };
        let place = self.billing.schedules.len();
        let schedule = Schedule {
            id: self.id(Kind::SubscriptionSchedule, place),
            created: self.now,
            customer: it.customer,
            subscription: Some(subscription),
            released: None,
            status: ScheduleStatus::Active,
            phases: vec![phase],
            current: 0,
            release_at_end: true,
            ended_at: None,
            metadata,
        };
        self.billing.schedules.push(schedule);
        self.record(
            "subscription_schedule.created",
            (Kind::SubscriptionSchedule, place),
        );
        self.alter_subscription(subscription, |it| it.schedule = Some(place));
        Ok(place)
    }

    /// Replaces the phases, the first of which is the current one.
    pub(crate) fn update_schedule(
        &mut self,
        place: usize,
        (phases, release_at_end): (Option<Vec<Phase>>, Option<bool>),
        metadata: Metadata,
    ) -> Result<(), StripeError> {
        self.check_schedule(place, "update")?;
        self.alter_schedule(place, |it| {
            if let Some(phases) = phases {
                (it.phases, it.current) = (phases, 0);
            }
            it.release_at_end = release_at_end.unwrap_or(it.release_at_end);
            merge_metadata(&mut it.metadata, metadata);
        });
        Ok(())
    }

    fn check_schedule(&self, place: usize, what: &'static str) -> Result<(), StripeError> {
        let status = self.billing.schedules[place].status;
        if status == ScheduleStatus::Active {
            return Ok(());
        }
        let status = status.name();
        Err(Refusal::ScheduleEnded { what, status }.into())
    }

    fn alter_schedule(&mut self, place: usize, make: impl FnOnce(&mut Schedule)) {
        let object = (Kind::SubscriptionSchedule, place);
        self.alter("subscription_schedule.updated", object, |it| {
            make(&mut it.billing.schedules[place]);
        });
    }

    /// Leaves the subscription as it is.
    pub(crate) fn release_schedule(&mut self, place: usize) -> Result<(), StripeError> {
        self.check_schedule(place, "release")?;
        let subscription = self.billing.schedules[place].subscription;
        self.finish_schedule(
            place,
            ScheduleStatus::Released,
            "subscription_schedule.released",
        );
        if let Some(subscription) = subscription {
            self.alter_subscription(subscription, |it| it.schedule = None);
        }
        Ok(())
    }

    /// Ends the subscription as well.
    pub(crate) fn cancel_schedule(&mut self, place: usize) -> Result<(), StripeError> {
        self.check_schedule(place, "cancel")?;
        if let Some(subscription) = self.billing.schedules[place].subscription {
            self.end_subscription(subscription, Some("cancellation_requested"));
        }
        Ok(())
    }

    /// The subscription of a schedule has ended.
    pub(super) fn cancel_schedule_of_ended(&mut self, place: usize) {
        if self.billing.schedules[place].status == ScheduleStatus::Active {
            self.finish_schedule(
                place,
                ScheduleStatus::Canceled,
                "subscription_schedule.canceled",
            );
        }
    }

    fn finish_schedule(&mut self, place: usize, status: ScheduleStatus, event: &str) {
        let now = self.now;
        let schedule = &mut self.billing.schedules[place];
        schedule.status = status;
        schedule.ended_at = Some(now);
        let subscription = schedule.subscription.take();
        if status == ScheduleStatus::Released {
            schedule.released = subscription;
        }
        self.record(event, (Kind::SubscriptionSchedule, place));
    }

    /// What happens after the last phase.
    pub(super) fn end_schedule(&mut self, place: usize) {
        let schedule = &self.billing.schedules[place];
        let (subscription, releases) = (schedule.subscription, schedule.release_at_end);
        if releases {
            // It is active, which is all that releasing asks for.
            let done = self.release_schedule(place);
            debug_assert!(done.is_ok(), "an active schedule can be released");
            return;
        }
        self.finish_schedule(
            place,
            ScheduleStatus::Completed,
            "subscription_schedule.completed",
        );
        if let Some(subscription) = subscription {
            self.billing.subscriptions[subscription].schedule = None;
            self.end_subscription(subscription, None);
        }
    }

    /// Begins the next phase in the middle of a period.
    pub(super) fn begin_phase(&mut self, place: usize) {
        let Some((subscription, phase)) = self.next_phase(place) else {
            return;
        };
        let old = self.billing.subscriptions[subscription].items.clone();
        let mut items: Vec<_> = old
            .iter()
            .map(|it| ItemChange {
                id: Some(it.id.clone()),
                deleted: true,
                ..ItemChange::default()
            })
            .collect();
        for (at, new) in phase.items.iter().enumerate() {
            let change = ItemChange {
                id: items.get(at).and_then(|it| it.id.clone()),
                price: Some(new.price),
                quantity: Some(new.quantity),
                ..ItemChange::default()
            };
            match items.get_mut(at) {
                Some(kept) => *kept = change,
                None => items.push(change),
            }
        }
        let change = SubscriptionChange {
            items,
            proration: phase.proration,
            metadata: phase.metadata,
            ..SubscriptionChange::default()
        };
        if let Err(error) = self.update_subscription(subscription, change) {
            tracing::debug!(%error, "a phase cannot begin");
        }
    }

    /// Begins a phase that begins with the period that is about to begin.
    pub(super) fn begin_phase_at_renewal(&mut self, place: usize) {
        let subscription = &self.billing.subscriptions[place];
        let end = subscription.period.end;
        let Some(schedule) = subscription.schedule else {
            return;
        };
        if self.billing.schedules[schedule].next_phase() != Some(end) {
            return;
        }
        let Some((_, phase)) = self.next_phase(schedule) else {
            return;
        };
        let old = self.billing.subscriptions[place].items.clone();
        let intervals = |change: &Self, prices: Vec<usize>| change.interval_of(prices).ok();
        let before = intervals(self, old.iter().map(|it| it.price).collect());
        let after = intervals(self, phase.items.iter().map(|it| it.price).collect());
        let items = phase.items.iter().enumerate().map(|(at, new)| {
            let item = self.item(NewItem {
                price: new.price,
                quantity: new.quantity,
                metadata: Metadata::new(),
            });
            let kept = old.get(at).map(|it| (it.id.clone(), it.created));
            let (id, created) = kept.unwrap_or((item.id.clone(), item.created));
            super::Item {
                id,
                created,
                ..item
            }
        });
        let items = items.collect();
        let subscription = &mut self.billing.subscriptions[place];
        subscription.items = items;
        if before != after {
            subscription.anchor = end;
        }
        merge_metadata(&mut subscription.metadata, phase.metadata);
    }

    /// Makes the next phase the current one.
    fn next_phase(&mut self, place: usize) -> Option<(usize, Phase)> {
        let schedule = &self.billing.schedules[place];
        let subscription = schedule.subscription?;
        let phase = schedule.phases.get(schedule.current + 1)?.clone();
        self.alter_schedule(place, |it| it.current += 1);
        Some((subscription, phase))
    }
}
