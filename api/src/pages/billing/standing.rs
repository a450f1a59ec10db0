//! How an organization stands, in words: which plan is in force and until when, what went wrong, and what to do next.
//!
//! Made of what was read last and of the plans. Nothing here fails or asks anybody.

use askama::Template;
use chrono::{DateTime, Utc};
use platform::billing::plan::{Interval, Plan, Plans};
use platform::billing::price::Prices;
use platform::billing::standing::{Standing, Stored};
use platform::billing::status::StandingStatus;
use platform::billing::subscription::{Invoice, Subscription};
use platform::billing::{InvoiceStatus, Payment, PaymentStatus, PriceReading};

use super::words;
use super::{Known, ZONE};
use crate::pages::format::LocaleFormat;
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::moment::Moment;

/// What an admin can do next; the first of several is the most useful one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Pay an invoice on this page of Stripe's.
    Pay(String),
    /// Give Stripe another payment method.
    UpdateMethod(&'static str),
    /// Take a cancellation back, or go on after a pause.
    Resume(String),
    /// Take a change back that is to come.
    Stay {
        label: String,
        plan: String,
        interval: Interval,
        seats: i64,
    },
    /// Look at the plans.
    Plans(&'static str),
}

/// The part of a page that says how an organization stands.
#[derive(Debug, Template)]
#[template(path = "billing_standing.html")]
pub(super) struct StandingPart {
    pub(super) mark: Mark,
    /// The plan that this is about.
    pub(super) plan: String,
    pub(super) sentences: Vec<String>,
    steps: Vec<Step>,
    facts: Vec<(&'static str, String)>,
    /// What else should be known.
    warnings: Vec<String>,
    read: Option<Moment>,
    may_change: bool,
}

/// What is known when the words are chosen.
struct Words<'a> {
    plans: &'a Plans,
    stored: &'a Stored,
    prices: &'a Prices,
    newest_payment: Option<&'a Payment>,
    standing: &'a Standing<'a>,
    now: DateTime<Utc>,
    locale: &'a LocaleFormat,
}

impl StandingPart {
    pub(super) fn of(
        known: &Known,
        now: DateTime<Utc>,
        locale: &LocaleFormat,
        may_change: bool,
    ) -> Self {
        let standing = known.standing(now);
        let words = Words {
            plans: &known.billing.plans,
            stored: &known.stored,
            prices: &known.prices,
            newest_payment: known.newest_payment.as_ref(),
            standing: &standing,
            now,
            locale,
        };
        let (mark, sentences, steps) = words.said();
        let shown = standing.subscribed.filter(|_| !words.is_over());
        let plan = shown.map_or(standing.plan, |(plan, _)| plan);
        let warnings = standing.warnings.iter();
        // A failed payment is what the sentences are about.
        let warnings = warnings.filter(|warning| warning.code != "payment_failed");
        Self {
            mark,
            plan: plan.name.clone(),
            sentences,
            steps,
            facts: words.facts(),
            warnings: warnings.map(|warning| warning.message.clone()).collect(),
            read: known.stored.read_at.map(|at| Moment::new(at, locale, ZONE)),
            may_change,
        }
    }
}

impl StandingPart {
    /// The same on a page that has something more useful to do.
    pub(super) fn without_steps(self) -> Self {
        let steps = Vec::new();
        Self { steps, ..self }
    }
}

impl Words<'_> {
    fn is_over(&self) -> bool {
        matches!(
            self.standing.status,
            StandingStatus::None | StandingStatus::Canceled
        )
    }

    /// The mark, the sentences and the steps.
    fn said(&self) -> (Mark, Vec<String>, Vec<Step>) {
        let free = &self.plans.free().name;
        let plan = self
            .standing
            .subscribed
            .map_or(free.as_str(), |(plan, _)| plan.name.as_str());
        if self.stored.payment_pending && !self.standing.access {
            return (
                Mark::new("Payment on its way", Shape::Clock, Tone::Quiet),
                vec![
                    "A payment for a plan is on its way. A bank debit can take some days."
                        .to_owned(),
                    format!(
                        "The plan begins when the money has arrived, and {free} is in force until then. Nothing has to be paid again."
                    ),
                ],
                Vec::new(),
            );
        }
        match self.standing.status {
            StandingStatus::None => (
                Mark::new("Nothing to pay", Shape::Circle, Tone::Quiet),
                vec![format!("{free} is in force. It costs nothing.")],
                vec![Step::Plans("See the plans")],
            ),
            StandingStatus::Canceled => (
                Mark::new("Subscription ended", Shape::Dash, Tone::Quiet),
                vec![format!(
                    "The subscription to {plan} has ended, and {free} is in force. All data stays."
                )],
                vec![Step::Plans("See the plans")],
            ),
            StandingStatus::Incomplete => (
                Mark::new("First payment missing", Shape::Triangle, Tone::Warning),
                vec![
                    format!(
                        "The first payment for {plan} has not gone through, so {free} is in force."
                    ),
                    "Pay the open invoice, or choose a plan again.".to_owned(),
                ],
                self.to_pay(vec![Step::Plans("See the plans")]),
            ),
            StandingStatus::Trialing => self.trial(plan),
            StandingStatus::Active => self.active(plan),
            StandingStatus::PastDue => self.past_due(plan, free),
            StandingStatus::Unpaid => (
                Mark::new("Unpaid", Shape::Cross, Tone::Error),
                vec![
                    format!(
                        "Payments failed too often, and Stripe tries no more. {free} is in force."
                    ),
                    format!(
                        "When the open invoice is paid, {plan} is in force again. All data stays."
                    ),
                ],
                self.to_pay(vec![Step::UpdateMethod("Change the payment method")]),
            ),
            StandingStatus::Paused => (
                Mark::new("Paused", Shape::Dash, Tone::Warning),
                vec![format!(
                    "The trial of {plan} ended without a payment method, so {free} is in force. Add one, and resume the plan."
                )],
                vec![
                    Step::UpdateMethod("Add a payment method"),
                    Step::Resume("Resume".to_owned()),
                ],
            ),
        }
    }

    fn trial(&self, plan: &str) -> (Mark, Vec<String>, Vec<Step>) {
        if let Some(ends) = self.cancelled(plan) {
            return ends;
        }
        let until = self.subscribed_until(|it| it.trial_end);
        let mut sentences = vec![format!("You try {plan} free of charge until {until}.")];
        let mut steps = vec![Step::Plans("Change the plan")];
        match (&self.stored.payment_method, self.price()) {
            (None, _) => {
                sentences.push(
                    "There is no payment method yet. Without one, the plan ends with the trial."
                        .to_owned(),
                );
                steps.insert(0, Step::UpdateMethod("Add a payment method"));
            }
            (Some(_), Some(price)) => sentences.push(format!("After that it costs {price}.")),
            (Some(_), None) => {}
        }
        self.add_coming_change(&mut sentences, &mut steps);
        (
            Mark::new("Free trial", Shape::Check, Tone::Good),
            sentences,
            steps,
        )
    }

    fn active(&self, plan: &str) -> (Mark, Vec<String>, Vec<Step>) {
        if let Some(ends) = self.cancelled(plan) {
            return ends;
        }
        let until = self.subscribed_until(|it| it.current_period_end);
        let mut sentences = vec![format!(
            "{plan} is paid until {until}, and goes on from then by itself."
        )];
        let mut steps = vec![Step::Plans("Change the plan")];
        if self.standing.coming_change.is_some() {
            sentences = vec![format!("{plan} is paid until {until}.")];
        }
        self.add_coming_change(&mut sentences, &mut steps);
        (
            Mark::new("Active", Shape::Check, Tone::Good),
            sentences,
            steps,
        )
    }

    /// Of a subscription whose cancellation is pending.
    fn cancelled(&self, plan: &str) -> Option<(Mark, Vec<String>, Vec<Step>)> {
        let at = self.standing.subscription?.cancel_at?;
        let free = &self.plans.free().name;
        let day = self.day(at);
        Some((
            Mark::new("Cancelled", Shape::Clock, Tone::Warning),
            vec![format!(
                "{plan} is in force until {day}, and {free} from then on. Nothing more is charged, and all data stays."
            )],
            vec![Step::Resume(format!("Keep {plan}"))],
        ))
    }

    fn past_due(&self, plan: &str, free: &str) -> (Mark, Vec<String>, Vec<Step>) {
        let in_force = match self.standing.grace_ends() {
            Some(ends) => format!(
                "{plan} stays in force until {}. If the payment is not made by then, {free} is in force until it is.",
                self.day(ends)
            ),
            None if self.standing.access => format!("{plan} is still in force."),
            None => format!("{free} is in force until the payment is made. All data stays."),
        };
        let mut sentences = vec![in_force];
        sentences.extend(self.failure());
        let next = self.open_invoice().and_then(|it| it.next_attempt_at);
        if let Some(at) = next.filter(|at| *at > self.now) {
            sentences.push(format!("Stripe tries again on {}.", self.day(at)));
        }
        let mark = if self.standing.access {
            Mark::new("Payment failed", Shape::Triangle, Tone::Warning)
        } else {
            Mark::new("Payment overdue", Shape::Cross, Tone::Error)
        };
        let mut steps = vec![Step::UpdateMethod("Change the payment method")];
        steps.extend(self.pay());
        (mark, sentences, steps)
    }

    /// Why the newest payment failed, in Stripe's words.
    fn failure(&self) -> Option<String> {
        let newest = self.newest_payment?;
        let failed = newest.status == PaymentStatus::Failed;
        let message = newest.failure_message.as_ref().filter(|_| failed)?;
        Some(format!("Stripe says: {message}"))
    }

    fn add_coming_change(&self, sentences: &mut Vec<String>, steps: &mut Vec<Step>) {
        let (Some(coming), Some((plan, interval)), Some(subscription)) = (
            &self.standing.coming_change,
            self.standing.subscribed,
            self.standing.subscription,
        ) else {
            return;
        };
        sentences.push(format!(
            "From {} on it is {}, paid {}.",
            self.day(coming.at),
            coming.plan.name,
            words::by(coming.interval)
        ));
        steps.insert(
            0,
            Step::Stay {
                label: format!("Stay with {}", stays(plan, interval, coming.plan)),
                plan: plan.id.clone(),
                interval,
                seats: subscription.seats,
            },
        );
    }

    /// Paying the open invoice, and then the rest.
    fn to_pay(&self, rest: Vec<Step>) -> Vec<Step> {
        self.pay().into_iter().chain(rest).collect()
    }

    fn pay(&self) -> Option<Step> {
        let invoice = self.open_invoice()?;
        invoice.hosted_url.clone().map(Step::Pay)
    }

    /// The invoice that is still to be paid.
    fn open_invoice(&self) -> Option<&Invoice> {
        let last = self.stored.last_invoice.as_ref();
        last.filter(|it| it.status == InvoiceStatus::Open && it.amount_remaining > 0)
    }

    fn subscribed_until(&self, when: impl Fn(&Subscription) -> Option<DateTime<Utc>>) -> String {
        let at = self.standing.subscription.and_then(when);
        at.map_or_else(|| "the end of the period".to_owned(), |at| self.day(at))
    }

    fn day(&self, at: DateTime<Utc>) -> String {
        self.locale.day(at.date_naive())
    }

    /// The price that is paid, which may be one that is sold no more.
    fn price_paid(&self) -> Option<&PriceReading> {
        let price_id = self.standing.subscription?.price_id.as_deref()?;
        self.prices.find(price_id)
    }

    /// The same with the seats, in words.
    fn price(&self) -> Option<String> {
        let price = words::price(self.price_paid()?, self.locale)?;
        let seats = self.standing.subscription?.seats;
        if seats == 1 {
            return Some(price);
        }
        Some(format!("{price} for each of {seats} seats"))
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        if !self.is_over()
            && let (Some(price), Some(subscription)) = (self.price(), self.standing.subscription)
        {
            facts.push(("Price", price));
            facts.push(("Seats", subscription.seats.to_string()));
        }
        if let Some(method) = &self.stored.payment_method {
            facts.push(("Paid with", words::method(method)));
        }
        facts
    }
}

/// What stays, where a change to something else is taken back.
fn stays(plan: &Plan, interval: Interval, coming: &Plan) -> String {
    if plan.id == coming.id {
        format!("{}, paid {}", plan.name, words::by(interval))
    } else {
        plan.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use chrono::TimeDelta;
    use common::money::Currency;
    use platform::billing::status::SubscriptionStatus;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn subscription(status: SubscriptionStatus) -> Subscription {
        Subscription {
            subscription_id: "sub_1".to_owned(),
            is_ours: true,
            status,
            item_id: None,
            price_id: None,
            lookup_key: Some("stripe_sync_pro_month".to_owned()),
            seats: 1,
            current_period_start: None,
            current_period_end: Some(now() + TimeDelta::days(10)),
            trial_end: Some(now() + TimeDelta::days(5)),
            cancel_at: None,
            created_at: now(),
            schedule_id: None,
            scheduled_lookup_key: None,
            scheduled_seats: None,
            scheduled_at: None,
            failing_since: None,
        }
    }

    fn open_invoice() -> Invoice {
        Invoice {
            invoice_id: "in_1".to_owned(),
            number: None,
            status: InvoiceStatus::Open,
            currency: Currency::new("usd"),
            amount_due: 900,
            amount_paid: 0,
            amount_remaining: 900,
            next_attempt_at: Some(now() + TimeDelta::days(2)),
            created_at: now(),
            paid_at: None,
            hosted_url: Some("https://invoice.stripe.com/i/1".to_owned()),
            pdf_url: None,
        }
    }

    /// What is said of what is stored, in one line, and the steps.
    fn said(stored: &Stored) -> (String, Vec<Step>) {
        let plans = Plans::built_in().unwrap();
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        let standing = Standing::of(&plans, stored, now());
        let words = Words {
            plans: &plans,
            stored,
            prices: &Prices::default(),
            newest_payment: None,
            standing: &standing,
            now: now(),
            locale: &locale,
        };
        let (mark, sentences, steps) = words.said();
        (format!("{}: {}", mark.word, sentences.join(" ")), steps)
    }

    fn with(subscription: Subscription) -> Stored {
        Stored {
            subscriptions: vec![subscription],
            last_invoice: Some(open_invoice()),
            ..Stored::default()
        }
    }

    #[test]
    fn every_status_is_said_with_what_to_do_next() {
        use SubscriptionStatus::{Active, Canceled, Incomplete, Paused, Trialing, Unpaid};
        let pay = Step::Pay("https://invoice.stripe.com/i/1".to_owned());
        for (status, begins, step) in [
            (
                Incomplete,
                "First payment missing: The first payment for Pro",
                pay.clone(),
            ),
            (Unpaid, "Unpaid: Payments failed too often", pay),
            (
                Paused,
                "Paused: The trial of Pro ended",
                Step::UpdateMethod("Add a payment method"),
            ),
            (
                Trialing,
                "Free trial: You try Pro",
                Step::UpdateMethod("Add a payment method"),
            ),
            (
                Active,
                "Active: Pro is paid until",
                Step::Plans("Change the plan"),
            ),
            (
                Canceled,
                "Subscription ended: The subscription to Pro",
                Step::Plans("See the plans"),
            ),
        ] {
            let (text, steps) = said(&with(subscription(status)));
            assert!(text.starts_with(begins), "{status:?}: {text}");
            assert_eq!(steps.first(), Some(&step), "{status:?}");
        }
        let (text, _) = said(&Stored::default());
        assert!(
            text.starts_with("Nothing to pay: Free is in force."),
            "{text}"
        );
    }

    #[test]
    fn a_failed_payment_says_until_when_access_lasts_and_when_it_is_tried_again() {
        let failing = |days| Subscription {
            failing_since: Some(now() - TimeDelta::days(days)),
            ..subscription(SubscriptionStatus::PastDue)
        };
        let (text, steps) = said(&with(failing(1)));
        assert!(
            text.starts_with("Payment failed: Pro stays in force until Jan 21, 2027."),
            "{text}"
        );
        assert!(
            text.contains("Stripe tries again on Jan 17, 2027."),
            "{text}"
        );
        assert_eq!(steps.len(), 2);
        let (text, _) = said(&with(failing(8)));
        assert!(
            text.starts_with("Payment overdue: Free is in force"),
            "{text}"
        );
    }

    #[test]
    fn what_is_to_come_is_said_and_can_be_taken_back() {
        let cancelled = Subscription {
            cancel_at: Some(now() + TimeDelta::days(10)),
            ..subscription(SubscriptionStatus::Active)
        };
        let (text, steps) = said(&with(cancelled));
        assert!(
            text.starts_with("Cancelled: Pro is in force until Jan 25, 2027"),
            "{text}"
        );
        assert_eq!(steps, [Step::Resume("Keep Pro".to_owned())]);
        let changing = Subscription {
            scheduled_lookup_key: Some("stripe_sync_pro_year".to_owned()),
            scheduled_at: Some(now() + TimeDelta::days(10)),
            ..subscription(SubscriptionStatus::Active)
        };
        let (text, steps) = said(&with(changing));
        assert!(
            text.ends_with("From Jan 25, 2027 on it is Pro, paid by the year."),
            "{text}"
        );
        let Some(Step::Stay { label, .. }) = steps.first() else {
            panic!("{steps:?}");
        };
        assert_eq!(label, "Stay with Pro, paid by the month");
    }

    #[test]
    fn a_payment_on_its_way_asks_for_nothing() {
        let pending = Stored {
            payment_pending: true,
            ..Stored::default()
        };
        let (text, steps) = said(&pending);
        assert!(text.starts_with("Payment on its way"), "{text}");
        assert!(steps.is_empty(), "{steps:?}");
    }
}
