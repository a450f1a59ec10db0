//! What the clock brings: renewals, ends of trials, attempts to charge again, and whatever else has an instant.
//!
//! Deadlines are met one by one, the earliest first, each as if the clock stood at its instant. Nothing here can fail.

use super::payment::Presence;
use super::{Change, SessionStatus, Status};
use crate::id::Kind;
use crate::webhook::Pictures;

const DAY: i64 = 86_400;

/// Before the end of a trial, when it is announced.
const TRIAL_NOTICE: i64 = 3 * DAY;

/// What has an instant; of two at the same one, the first here is met first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Deadline {
    SessionExpires(usize),
    DebitEnds(usize),
    InvoiceVoided(usize),
    TrialAnnounced(usize),
    RenewalAnnounced(usize),
    DraftFinalized(usize),
    InvoiceTried(usize),
    Cancelled(usize),
    PhaseBegins(usize),
    ScheduleEnds(usize),
    PeriodEnds(usize),
}

impl Change<'_> {
    /// Does what the time until now brings.
    pub(super) fn catch_up(&mut self) {
        let now = self.now;
        self.note_deliveries();
        while let Some((at, deadline)) = self.earliest().filter(|&(at, _)| at <= now) {
            self.now = at;
            self.meet(deadline);
        }
        self.now = now;
    }

    fn earliest(&self) -> Option<(i64, Deadline)> {
        let sessions = self.billing.sessions.iter().enumerate();
        let sessions = sessions.filter(|(_, it)| it.status == SessionStatus::Open);
        let sessions = sessions.map(|(place, it)| (it.expires_at, Deadline::SessionExpires(place)));
        let invoices = (0..self.billing.invoices.len()).flat_map(|it| self.of_invoice(it));
        let subscriptions =
            (0..self.billing.subscriptions.len()).flat_map(|it| self.of_subscription(it));
        let schedules = (0..self.billing.schedules.len()).flat_map(|it| self.of_schedule(it));
        sessions
            .chain(invoices)
            .chain(subscriptions)
            .chain(schedules)
            .min()
    }

    fn of_invoice(&self, place: usize) -> impl Iterator<Item = (i64, Deadline)> + use<> {
        let invoice = &self.billing.invoices[place];
        let debit = invoice.pending().and_then(|it| it.settles_at);
        let deadlines = [
            (invoice.finalizes_at, Deadline::DraftFinalized(place)),
            (debit, Deadline::DebitEnds(place)),
            (invoice.voids_at, Deadline::InvoiceVoided(place)),
            (invoice.next_attempt, Deadline::InvoiceTried(place)),
        ];
        let known = deadlines.into_iter();
        known.filter_map(|(at, deadline)| Some((at?, deadline)))
    }

    fn of_subscription(&self, place: usize) -> impl Iterator<Item = (i64, Deadline)> + use<> {
        let it = &self.billing.subscriptions[place];
        let renews = it.status.renews();
        let end = Some(it.period.end).filter(|_| renews);
        let cancel = it
            .cancel_at
            .filter(|_| !it.status.is_terminal() && it.status != Status::Incomplete);
        let trial = end.filter(|_| it.status == Status::Trialing && !it.trial_announced);
        let days = self.billing.switches.upcoming_days;
        let ends = it.cancel_at.is_some_and(|at| at <= it.period.end) || it.cancel_at_period_end;
        let upcoming = end.filter(|&end| days > 0 && !ends && it.announced < end);
        let deadlines = [
            (cancel, Deadline::Cancelled(place)),
            (
                trial.map(|at| at - TRIAL_NOTICE),
                Deadline::TrialAnnounced(place),
            ),
            (
                upcoming.map(|at| at - days * DAY),
                Deadline::RenewalAnnounced(place),
            ),
            (end, Deadline::PeriodEnds(place)),
        ];
        let known = deadlines.into_iter();
        // A notice that would have been due before the subscription began is due then.
        let earliest = it.period.start;
        known.filter_map(move |(at, deadline)| Some((at?.max(earliest), deadline)))
    }

    fn of_schedule(&self, place: usize) -> impl Iterator<Item = (i64, Deadline)> + use<> {
        let schedule = &self.billing.schedules[place];
        let subscription = schedule
            .subscription
            .map(|it| &self.billing.subscriptions[it]);
        let renewal = subscription.map(|it| it.period.end);
        // What begins with a period is done by its renewal.
        let begins = schedule.next_phase().filter(|&at| Some(at) != renewal);
        let deadlines = [
            (begins, Deadline::PhaseBegins(place)),
            (schedule.ends_at(), Deadline::ScheduleEnds(place)),
        ];
        let known = deadlines.into_iter();
        known.filter_map(|(at, deadline)| Some((at?, deadline)))
    }

    fn meet(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::SessionExpires(place) => self.expire_session(place),
            Deadline::DebitEnds(place) => {
                self.settle_debit(place, self.billing.switches.debit_succeeds);
            }
            Deadline::InvoiceVoided(place) => self.expire_payment(place),
            Deadline::TrialAnnounced(place) => {
                self.billing.subscriptions[place].trial_announced = true;
                self.record(
                    "customer.subscription.trial_will_end",
                    (Kind::Subscription, place),
                );
            }
            Deadline::RenewalAnnounced(place) => self.announce_renewal(place),
            Deadline::DraftFinalized(place) => {
                self.finalize(place);
                if self.billing.invoices[place].is_open() {
                    self.collect(place, Presence::Absent);
                }
            }
            Deadline::InvoiceTried(place) => {
                self.collect(place, Presence::Absent);
            }
            Deadline::Cancelled(place) => self.end_subscription(place, None),
            Deadline::PhaseBegins(place) => self.begin_phase(place),
            Deadline::ScheduleEnds(place) => self.end_schedule(place),
            Deadline::PeriodEnds(place) => self.renew(place),
        }
    }

    /// Nobody has paid an invoice on which a beginning, a resumption or a change waited.
    fn expire_payment(&mut self, place: usize) {
        let subscription = self.billing.invoices[place].subscription;
        self.billing.invoices[place].voids_at = None;
        self.void(place);
        let Some(subscription) = subscription else {
            return;
        };
        let it = &self.billing.subscriptions[subscription];
        if it.pending_update.is_some() {
            self.alter_subscription(subscription, |it| it.pending_update = None);
            let object = (Kind::Subscription, subscription);
            self.record("customer.subscription.pending_update_expired", object);
        } else if it.status == Status::Incomplete {
            let now = self.now;
            self.alter_subscription(subscription, |it| {
                it.status = Status::IncompleteExpired;
                it.ended_at = Some(now);
            });
        }
    }

    fn announce_renewal(&mut self, place: usize) {
        let end = self.billing.subscriptions[place].period.end;
        self.billing.subscriptions[place].announced = end;
        let Some(invoice) = self.upcoming(place) else {
            return;
        };
        let shown = Pictures::each(
            &[crate::ApiVersion::Dahlia, crate::ApiVersion::Acacia],
            |version| {
                let mut shown = self.invoice_shown(&invoice, version);
                // It has none in its event.
                if let Some(fields) = shown.as_object_mut() {
                    fields.remove("id");
                }
                shown.to_string()
            },
        );
        self.record_pictures("invoice.upcoming", &shown, None);
    }
}
