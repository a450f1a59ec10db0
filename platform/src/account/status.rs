//! How a connected account stands, in one word, and what its organization can do.
//!
//! Decided from what was read last; nothing here fails or asks anybody.

use common::named;

use super::{AccountReading, ConnectedAccount, RequirementState};

named! {
    /// Status of a connected account, the first that applies: `not_started`, there is none; `disconnected`, it is no longer
    /// used; `rejected`, Stripe rejected it; `incomplete`, onboarding was not finished; `pending`, Stripe is verifying the
    /// details; `restricted`, payments or payouts are disabled; `action_needed`, Stripe requires more details; `active`.
    AccountStatus {
        /// There is no account.
        NotStarted = "not_started",
        /// Used no more.
        Disconnected = "disconnected",
        /// The vendor will not serve it.
        Rejected = "rejected",
        /// The onboarding was not finished.
        Incomplete = "incomplete",
        /// The vendor checks what was given.
        Pending = "pending",
        /// Something keeps it from working.
        Restricted = "restricted",
        /// Something has to be given, while it works.
        ActionNeeded = "action_needed",
        Active = "active",
    }
}

/// How an organization's account stands. `account` is the latest, where there was one.
pub fn status_of(account: Option<&ConnectedAccount>) -> AccountStatus {
    let Some(account) = account else {
        return AccountStatus::NotStarted;
    };
    if account.disconnected_at.is_some() {
        return AccountStatus::Disconnected;
    }
    // Created, and its answer is still to come: nobody gave anything yet.
    let Some(reading) = &account.reading else {
        return AccountStatus::Incomplete;
    };
    of_reading(reading)
}

fn of_reading(reading: &AccountReading) -> AccountStatus {
    let disabled = reading.disabled_reason.as_deref();
    let wants = |states: &[RequirementState]| {
        let mut requirements = reading.requirements.iter();
        requirements.any(|it| states.contains(&it.state))
    };
    let has_capability = |state| reading.capabilities.values().any(|it| it == state);
    if disabled.is_some_and(|reason| reason.starts_with("rejected.")) {
        AccountStatus::Rejected
    } else if !reading.details_submitted {
        AccountStatus::Incomplete
    } else if wants(&[RequirementState::PendingVerification]) || has_capability("pending") {
        AccountStatus::Pending
    } else if disabled.is_some() {
        AccountStatus::Restricted
    } else if wants(&[RequirementState::PastDue, RequirementState::CurrentlyDue])
        || reading.requirements.iter().any(|it| it.deadline.is_some())
    {
        AccountStatus::ActionNeeded
    } else if reading.payouts_enabled && has_capability("active") {
        AccountStatus::Active
    } else {
        // Stripe can turn payouts off without saying why.
        AccountStatus::Restricted
    }
}

/// What the organization should do next, as a sentence.
pub fn next_step(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::NotStarted => "Start onboarding to be paid.",
        AccountStatus::Disconnected => {
            "The account is no longer connected. Start onboarding again to be paid."
        }
        AccountStatus::Rejected => "Stripe has rejected the account. Contact Stripe's support.",
        AccountStatus::Incomplete => "Finish onboarding: some details are still missing.",
        AccountStatus::Pending => {
            "Nothing to do: Stripe is checking the details, which can take some days."
        }
        AccountStatus::Restricted => {
            "Payments or payouts are disabled. Provide the missing details, or contact Stripe support."
        }
        AccountStatus::ActionNeeded => {
            "Provide the missing details before the deadline, so that payouts continue."
        }
        AccountStatus::Active => "Nothing to do: the account takes payments and is paid out.",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Application, Preset, Requirement};
    use super::*;
    use chrono::DateTime;
    use uuid::Uuid;

    fn reading() -> AccountReading {
        AccountReading {
            account_id: "acct_1".to_owned(),
            charges_enabled: true,
            payouts_enabled: true,
            details_submitted: true,
            capabilities: [("transfers".to_owned(), "active".to_owned())].into(),
            ..AccountReading::default()
        }
    }

    fn requirement(state: RequirementState) -> Requirement {
        Requirement {
            field: "external_account".to_owned(),
            state,
            deadline: None,
            reason: None,
        }
    }

    fn of(change: impl FnOnce(&mut AccountReading)) -> AccountStatus {
        let mut reading = reading();
        change(&mut reading);
        of_reading(&reading)
    }

    #[test]
    fn the_first_state_that_applies_is_the_status() {
        assert_eq!(of(|_| {}), AccountStatus::Active);
        let all = |reading: &mut AccountReading| {
            reading.disabled_reason = Some("rejected.fraud".to_owned());
            reading.details_submitted = false;
            reading.requirements = vec![
                requirement(RequirementState::PendingVerification),
                requirement(RequirementState::PastDue),
            ];
        };
        assert_eq!(of(all), AccountStatus::Rejected);
        let not_rejected = |reading: &mut AccountReading| {
            all(reading);
            reading.disabled_reason = Some("requirements.past_due".to_owned());
        };
        assert_eq!(of(not_rejected), AccountStatus::Incomplete);
        let submitted = |reading: &mut AccountReading| {
            not_rejected(reading);
            reading.details_submitted = true;
        };
        assert_eq!(of(submitted), AccountStatus::Pending);
        let verified = |reading: &mut AccountReading| {
            submitted(reading);
            reading.requirements.remove(0);
        };
        assert_eq!(of(verified), AccountStatus::Restricted);
        let enabled = |reading: &mut AccountReading| {
            verified(reading);
            reading.disabled_reason = None;
        };
        assert_eq!(of(enabled), AccountStatus::ActionNeeded);
    }

    #[test]
    fn a_capability_that_is_pending_is_waited_for() {
        let pending = of(|it| {
            it.capabilities
                .insert("card_payments".to_owned(), "pending".to_owned());
        });
        assert_eq!(pending, AccountStatus::Pending);
    }

    #[test]
    fn a_deadline_of_the_future_is_something_to_act_on() {
        let deadline = of(|it| {
            it.requirements = vec![Requirement {
                deadline: DateTime::from_timestamp(1_800_000_000, 0),
                ..requirement(RequirementState::EventuallyDue)
            }];
        });
        assert_eq!(deadline, AccountStatus::ActionNeeded);
        let some_day =
            of(|it| it.requirements = vec![requirement(RequirementState::EventuallyDue)]);
        assert_eq!(some_day, AccountStatus::Active);
    }

    #[test]
    fn payouts_that_are_turned_off_without_a_reason_are_seen() {
        assert_eq!(
            of(|it| it.payouts_enabled = false),
            AccountStatus::Restricted
        );
    }

    #[test]
    fn an_account_whose_creation_was_not_answered_is_incomplete() {
        let account = ConnectedAccount {
            creation_id: Uuid::from_u128(1),
            application: Application {
                preset: Preset::Express,
                email: None,
                country: None,
                business_type: None,
            },
            reading: None,
            read_at: None,
            disconnected_at: None,
        };
        assert_eq!(status_of(Some(&account)), AccountStatus::Incomplete);
        let disconnected = ConnectedAccount {
            disconnected_at: DateTime::from_timestamp(1, 0),
            ..account
        };
        assert_eq!(status_of(Some(&disconnected)), AccountStatus::Disconnected);
        assert_eq!(status_of(None), AccountStatus::NotStarted);
    }
}
