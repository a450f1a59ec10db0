//! The part of "Get paid" that says how the account stands, what it can do, and what Stripe asks for.
//!
//! While Stripe still waits for something or checks it, the page follows this part ([`crate::pages::live_part`]). Shows what
//! was read last, and asks Stripe nothing.

use askama::Template;
use axum::http::request::Parts;
use axum::response::Response;
use chrono::{DateTime, Utc};
use platform::account::status::{AccountStatus, next_step, status_of};
use platform::account::{
    AccountReading, ConnectedAccount, Preset, Requirement, RequirementState, refresh,
};

use super::ZONE;
use super::requirement_words::words;
use crate::pages::format::LocaleFormat;
use crate::pages::live_part::{LivePart, follow};
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::moment::Moment;
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;

#[derive(Debug, Template)]
#[template(path = "payouts_account.html")]
pub(super) struct AccountPart {
    status: AccountStatus,
    standing: Mark,
    next_step: &'static str,
    /// Why payments or payouts are turned off.
    turned_off: Option<String>,
    account_id: Option<String>,
    takes_payments: Mark,
    is_paid_out: Mark,
    /// What has to be given, or is being checked.
    wanted: Vec<Wanted>,
    /// What Stripe will ask for at some time.
    later: Vec<Wanted>,
    read: Option<Moment>,
    /// What the button that leads to Stripe says; none where there is nothing to give.
    way_in: Option<&'static str>,
    /// Whether Stripe's form can be shown in a page of ours.
    is_embeddable: bool,
    has_dashboard: bool,
    may_change: bool,
}

/// Something to give, under whatever of Stripe's names.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    words: String,
    state: RequirementState,
    deadline: Option<DateTime<Utc>>,
    /// The day of the deadline.
    until: Option<String>,
    /// Why what was given is not enough, in Stripe's words.
    reasons: Vec<String>,
}

/// `GET /payouts/account/events`.
pub(super) async fn events(visit: Visit, request: Parts) -> Result<Response, ApiError> {
    follow::<AccountPart>(visit, (), request).await
}

impl LivePart for AccountPart {
    type Id = ();

    async fn read(visit: &Visit, (): &()) -> Result<Self, ApiError> {
        Self::load(visit).await
    }

    /// Whether Stripe still waits for something or checks it.
    fn is_live(&self) -> bool {
        matches!(
            self.status,
            AccountStatus::Incomplete
                | AccountStatus::Pending
                | AccountStatus::Restricted
                | AccountStatus::ActionNeeded
        )
    }
}

impl AccountPart {
    pub(super) async fn load(visit: &Visit) -> Result<Self, ApiError> {
        let Visit(state, viewer, locale) = visit;
        let onboarding = &state.platform()?.onboarding;
        let account = refresh::stored(state.account_services()?, &viewer.organization).await?;
        Ok(Self {
            is_embeddable: onboarding.publishable_key.is_some(),
            may_change: may_change(viewer),
            ..Self::of(account, locale)
        })
    }

    fn of(account: Option<ConnectedAccount>, locale: &LocaleFormat) -> Self {
        let status = status_of(account.as_ref());
        let way_in = way_in(account.as_ref());
        let read = account.as_ref().and_then(|account| account.read_at);
        let is_express = account
            .as_ref()
            .is_some_and(|account| account.application.preset == Preset::Express);
        let reading = account.and_then(|account| account.reading);
        let account_id = reading.as_ref().map(|reading| reading.account_id.clone());
        let reading = reading.map(without_reproach).unwrap_or_default();
        let (later, wanted) = wanted(&reading, locale)
            .into_iter()
            .partition(|it| it.state == RequirementState::EventuallyDue && it.deadline.is_none());
        Self {
            status,
            standing: standing(status),
            next_step: next_step(status),
            turned_off: reading.disabled_reason.as_deref().map(turned_off),
            account_id,
            takes_payments: yes_or_no(reading.charges_enabled),
            is_paid_out: yes_or_no(reading.payouts_enabled),
            wanted,
            later,
            read: read.map(|at| Moment::new(at, locale, ZONE)),
            way_in,
            is_embeddable: false,
            // Stripe has none before.
            has_dashboard: is_express
                && reading.details_submitted
                && status != AccountStatus::Disconnected,
            may_change: false,
        }
    }

    /// How something stands that Stripe asks for. Where details were never given, it is no news that they are needed.
    fn mark_of(&self, wanted: &Wanted) -> Mark {
        wanted.mark(self.status == AccountStatus::Incomplete)
    }

    /// Whether there is an account that is in use.
    fn is_connected(&self) -> bool {
        !matches!(
            self.status,
            AccountStatus::NotStarted | AccountStatus::Disconnected
        )
    }
}

/// What the button says that leads to where Stripe is given what it asks for; none where it asks for nothing.
pub(super) fn way_in(account: Option<&ConnectedAccount>) -> Option<&'static str> {
    match status_of(account) {
        AccountStatus::NotStarted | AccountStatus::Disconnected => Some("Start"),
        AccountStatus::Incomplete | AccountStatus::Restricted | AccountStatus::ActionNeeded => {
            Some("Continue")
        }
        // Something else can be due meanwhile.
        AccountStatus::Pending => {
            let reading = account?.reading.as_ref()?;
            let mut requirements = reading.requirements.iter();
            let is_due = requirements.any(|it| {
                matches!(
                    it.state,
                    RequirementState::PastDue | RequirementState::CurrentlyDue
                )
            });
            is_due.then_some("Continue")
        }
        AccountStatus::Rejected | AccountStatus::Active => None,
    }
}

/// Stripe calls everything past due of an account whose details were never submitted. Nobody is late there.
fn without_reproach(mut reading: AccountReading) -> AccountReading {
    if reading.details_submitted {
        return reading;
    }
    for requirement in &mut reading.requirements {
        if requirement.state == RequirementState::PastDue {
            requirement.state = RequirementState::CurrentlyDue;
        }
    }
    reading
        .disabled_reason
        .take_if(|reason| reason == "requirements.past_due");
    reading
}

/// Why nothing can be paid out now, and until when; none where it can.
pub(super) fn payouts_off(account: Option<&ConnectedAccount>) -> Option<&'static str> {
    let reading = account?.reading.as_ref()?;
    if reading.payouts_enabled {
        return None;
    }
    Some(match status_of(account) {
        AccountStatus::Rejected => "Payouts are off: Stripe has rejected the account.",
        AccountStatus::Pending => "Payouts are off while Stripe checks the details.",
        AccountStatus::Incomplete | AccountStatus::Restricted | AccountStatus::ActionNeeded => {
            "Payouts are off until Stripe has the details that it asks for."
        }
        AccountStatus::NotStarted | AccountStatus::Disconnected | AccountStatus::Active => {
            "Payouts are off at Stripe."
        }
    })
}

fn standing(status: AccountStatus) -> Mark {
    let (word, shape, tone) = match status {
        AccountStatus::NotStarted => ("Not set up yet", Shape::Circle, Tone::Quiet),
        AccountStatus::Disconnected => ("Disconnected", Shape::Dash, Tone::Quiet),
        AccountStatus::Rejected => ("Rejected by Stripe", Shape::Cross, Tone::Error),
        AccountStatus::Incomplete => ("Not finished", Shape::Circle, Tone::Warning),
        AccountStatus::Pending => ("Being checked", Shape::Clock, Tone::Quiet),
        AccountStatus::Restricted => ("On hold", Shape::Cross, Tone::Error),
        AccountStatus::ActionNeeded => ("Something is needed", Shape::Triangle, Tone::Warning),
        AccountStatus::Active => ("Ready", Shape::Check, Tone::Good),
    };
    Mark::new(word, shape, tone)
}

fn yes_or_no(is_so: bool) -> Mark {
    if is_so {
        Mark::new("Yes", Shape::Check, Tone::Good)
    } else {
        Mark::new("Not now", Shape::Dash, Tone::Quiet)
    }
}

/// Stripe's name for why payments or payouts are turned off, in words.
fn turned_off(reason: &str) -> String {
    let words = match reason {
        "requirements.past_due" => "What Stripe asked for was not given in time.",
        "requirements.pending_verification" => "Stripe is checking what was given.",
        "action_required.requested_capabilities" => "Stripe needs more details first.",
        "under_review" => "Stripe is reviewing the account.",
        "listed" => {
            "Stripe is checking whether the account is on a list of prohibited persons or companies."
        }
        "platform_paused" => "The platform has paused the account.",
        "rejected.fraud" => "Stripe suspects fraud.",
        "rejected.listed" => "The account is on a list of prohibited persons or companies.",
        "rejected.terms_of_service" => "Stripe’s terms of service were not kept.",
        other => return format!("Stripe’s reason is “{other}”."),
    };
    words.to_owned()
}

/// What is asked for, the most urgent first, each thing once.
fn wanted(reading: &AccountReading, locale: &LocaleFormat) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for requirement in &reading.requirements {
        let words = words(&requirement.field);
        match all.iter_mut().find(|wanted| wanted.words == words) {
            Some(wanted) => wanted.add(requirement),
            None => all.push(Wanted {
                words,
                state: requirement.state,
                deadline: requirement.deadline,
                until: None,
                reasons: requirement.reason.iter().cloned().collect(),
            }),
        }
    }
    for wanted in &mut all {
        let day = |at: DateTime<Utc>| locale.day(at.with_timezone(&ZONE).date_naive());
        wanted.until = wanted.deadline.map(day);
    }
    all.sort_by_key(|wanted| (urgency(wanted.state), wanted.deadline));
    all
}

impl Wanted {
    /// Another part of the same: it is as urgent as its most urgent part.
    fn add(&mut self, requirement: &Requirement) {
        if urgency(requirement.state) < urgency(self.state) {
            self.state = requirement.state;
        }
        let deadlines = [self.deadline, requirement.deadline];
        self.deadline = deadlines.into_iter().flatten().min();
        let reason = requirement.reason.iter();
        let new: Vec<_> = reason
            .filter(|reason| !self.reasons.contains(reason))
            .cloned()
            .collect();
        self.reasons.extend(new);
    }

    fn mark(&self, is_new: bool) -> Mark {
        match self.state {
            RequirementState::PastDue => Mark::new("Overdue", Shape::Cross, Tone::Error),
            RequirementState::CurrentlyDue if is_new => {
                Mark::new("Needed", Shape::Circle, Tone::Quiet)
            }
            RequirementState::CurrentlyDue => {
                Mark::new("Needed now", Shape::Triangle, Tone::Warning)
            }
            RequirementState::PendingVerification => {
                Mark::new("Being checked", Shape::Clock, Tone::Quiet)
            }
            RequirementState::EventuallyDue => {
                Mark::new("Needed later", Shape::Circle, Tone::Quiet)
            }
        }
    }
}

fn urgency(state: RequirementState) -> u8 {
    match state {
        RequirementState::PastDue => 0,
        RequirementState::CurrentlyDue => 1,
        RequirementState::PendingVerification => 2,
        RequirementState::EventuallyDue => 3,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use uuid::Uuid;

    use super::*;
    use crate::pages::payouts::onboarding::application;

    fn locale() -> LocaleFormat {
        LocaleFormat::of_reader(&HeaderMap::new())
    }

    fn requirement(field: &str, state: RequirementState) -> Requirement {
        Requirement {
            field: field.to_owned(),
            state,
            deadline: None,
            reason: None,
        }
    }

    fn account(requirements: Vec<Requirement>) -> ConnectedAccount {
        ConnectedAccount {
            creation_id: Uuid::from_u128(1),
            application: application(),
            reading: Some(AccountReading {
                account_id: "acct_1".to_owned(),
                details_submitted: true,
                requirements,
                ..AccountReading::default()
            }),
            read_at: None,
            disconnected_at: None,
        }
    }

    #[test]
    fn a_thing_is_asked_for_once_as_urgently_as_its_most_urgent_part() {
        let deadline = DateTime::from_timestamp(1_800_000_000, 0);
        let month = Requirement {
            deadline,
            reason: Some("Too young.".to_owned()),
            ..requirement("individual.dob.month", RequirementState::CurrentlyDue)
        };
        let account = account(vec![
            requirement("individual.dob.day", RequirementState::EventuallyDue),
            requirement("business_type", RequirementState::EventuallyDue),
            month.clone(),
            Requirement {
                field: "individual.dob.year".to_owned(),
                ..month
            },
            requirement("external_account", RequirementState::PastDue),
        ]);
        let part = AccountPart::of(Some(account), &locale());
        let bank = Wanted {
            words: "A bank account for payouts".to_owned(),
            state: RequirementState::PastDue,
            deadline: None,
            until: None,
            reasons: Vec::new(),
        };
        let birth = Wanted {
            words: "Date of birth".to_owned(),
            state: RequirementState::CurrentlyDue,
            deadline,
            until: Some("Jan 15, 2027".to_owned()),
            reasons: vec!["Too young.".to_owned()],
        };
        assert_eq!(part.wanted, [bank, birth]);
        assert_eq!(part.later.len(), 1);
    }

    #[test]
    fn nobody_is_late_before_details_were_submitted() {
        let due = requirement("external_account", RequirementState::PastDue);
        let new = |details_submitted| {
            let mut account = account(vec![due.clone()]);
            let reading = account.reading.as_mut().unwrap();
            reading.details_submitted = details_submitted;
            reading.disabled_reason = Some("requirements.past_due".to_owned());
            AccountPart::of(Some(account), &locale())
        };
        let state = |part: &AccountPart| (part.wanted[0].state, part.turned_off.is_some());
        assert_eq!(state(&new(false)), (RequirementState::CurrentlyDue, false));
        assert_eq!(state(&new(true)), (RequirementState::PastDue, true));
        let word = |part: &AccountPart| part.mark_of(&part.wanted[0]).word;
        assert_eq!(word(&new(false)), "Needed");
        assert_eq!(word(&new(true)), "Overdue");
    }

    #[test]
    fn stripe_is_led_to_where_something_can_be_given() {
        let pending = requirement(
            "individual.verification.document",
            RequirementState::PendingVerification,
        );
        let checking = account(vec![pending.clone()]);
        assert_eq!(way_in(Some(&checking)), None);
        let due = requirement("external_account", RequirementState::CurrentlyDue);
        let more = account(vec![pending, due]);
        assert_eq!(way_in(Some(&more)), Some("Continue"));
        let disconnected = ConnectedAccount {
            disconnected_at: DateTime::from_timestamp(1, 0),
            ..more
        };
        assert_eq!(way_in(Some(&disconnected)), Some("Start"));
        assert_eq!(way_in(None), Some("Start"));
    }

    #[test]
    fn why_something_is_turned_off_is_said_even_where_it_is_not_known() {
        assert!(turned_off("under_review").contains("reviewing"));
        assert!(turned_off("something_new").contains("“something_new”"));
    }
}
