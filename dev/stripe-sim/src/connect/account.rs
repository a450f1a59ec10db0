//! A connected account: what it was asked, what it submitted, and what it may do for that.
//!
//! What an account may do is never stored, but follows from the rest: see
//! [`ConnectedAccount::disabled_reason`] and [`ConnectedAccount::status`]. Nothing here can fail.
//! Deliberately absent: JSON, and the events that a change leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::controller::Controller;
use super::payout_settings::PayoutSettings;
use super::requirements::{RequirementError, Requirements};
use crate::account::Account;
use crate::id::Kind;

/// A capability's `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CapabilityStatus {
    Active,
    Inactive,
    Pending,
    Unrequested,
}

impl CapabilityStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Unrequested => "unrequested",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [Self::Active, Self::Inactive, Self::Pending];
        all.into_iter().find(|it| it.name() == name)
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Capability {
    pub(crate) requested: bool,
    /// Unix seconds.
    pub(crate) requested_at: Option<i64>,
    /// What a control set, whatever the account's state.
    pub(crate) fixed: Option<CapabilityStatus>,
}

/// Whether the platform may act for an account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AccessState {
    Connected,
    Deauthorized,
    Deleted,
}

/// How far the details of an account have come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Details {
    Missing,
    Submitted,
    /// They were all submitted and verified once; more may be required since.
    Verified,
}

/// What the platform or the account said about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) country: String,
    pub(crate) email: Option<String>,
    pub(crate) business_type: Option<String>,
    pub(crate) business: BTreeMap<String, String>,
    pub(crate) service_agreement: Option<String>,
    /// When the terms were accepted, in Unix seconds.
    pub(crate) accepted_at: Option<i64>,
    pub(crate) metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct ConnectedAccount {
    /// Its events, endpoints and books.
    pub(crate) account: Arc<Account>,
    /// When it was connected, in Unix seconds.
    pub(crate) created: i64,
    pub(crate) controller: Controller,
    pub(crate) profile: Profile,
    pub(crate) capabilities: BTreeMap<String, Capability>,
    pub(crate) requirements: Requirements,
    pub(crate) details: Details,
    pub(crate) has_bank_account: bool,
    pub(crate) payouts_off: bool,
    pub(crate) transfers_refused: bool,
    pub(crate) disabled: Option<String>,
    pub(crate) rejected: Option<String>,
    pub(crate) access: AccessState,
    pub(crate) payouts: PayoutSettings,
}

impl ConnectedAccount {
    /// An account that was just made.
    pub(crate) fn new(
        account: Arc<Account>,
        created: i64,
        controller: Controller,
        profile: Profile,
    ) -> Self {
        let requirements = Requirements::at_first(|field| match field {
            "business_type" => profile.business_type.is_some(),
            "business_profile.product_description" => {
                profile.business.contains_key("product_description")
                    || profile.business.contains_key("url")
            }
            _ => false,
        });
        Self {
            account,
            created,
            controller,
            profile,
            capabilities: BTreeMap::new(),
            requirements,
            details: Details::Missing,
            has_bank_account: false,
            payouts_off: false,
            transfers_refused: false,
            disabled: None,
            rejected: None,
            access: AccessState::Connected,
            payouts: PayoutSettings::default(),
        }
    }

    /// An account that was in business before it was connected.
    pub(crate) fn in_business(account: Arc<Account>, now: i64) -> Self {
        let profile = Profile {
            country: "US".to_owned(),
            accepted_at: Some(account.identity.created),
            ..Profile::default()
        };
        let controller = Controller {
            is_ours: false,
            ..Controller::STANDARD
        };
        let active = Capability {
            requested: true,
            requested_at: Some(account.identity.created),
            fixed: None,
        };
        let names = ["card_payments", "transfers"];
        Self {
            capabilities: names.map(|name| (name.to_owned(), active)).into(),
            requirements: Requirements::default(),
            details: Details::Verified,
            has_bank_account: true,
            ..Self::new(account, now, controller, profile)
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.account.identity.id
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.access == AccessState::Connected
    }

    pub(crate) fn bank_account_id(&self) -> String {
        self.account.identity.codec.encode(Kind::BankAccount, 0)
    }

    pub(crate) fn details_submitted(&self) -> bool {
        self.details != Details::Missing
    }

    pub(crate) fn disabled_reason(&self) -> Option<String> {
        if let Some(reason) = &self.rejected {
            return Some(format!("rejected.{reason}"));
        }
        if let Some(reason) = &self.disabled {
            return Some(reason.clone());
        }
        if !self.details_submitted() || !self.requirements.past_due.is_empty() {
            return Some("requirements.past_due".to_owned());
        }
        (self.details != Details::Verified).then(|| "requirements.pending_verification".to_owned())
    }

    /// What became of a capability.
    pub(crate) fn status(&self, name: &str) -> CapabilityStatus {
        let capability = self.capabilities.get(name).copied().unwrap_or_default();
        if !capability.requested {
            return CapabilityStatus::Unrequested;
        }
        if let Some(fixed) = capability.fixed {
            return fixed;
        }
        match self.disabled_reason().as_deref() {
            None => CapabilityStatus::Active,
            Some("requirements.pending_verification") => CapabilityStatus::Pending,
            Some(_) => CapabilityStatus::Inactive,
        }
    }

    pub(crate) fn charges_enabled(&self) -> bool {
        self.status("card_payments") == CapabilityStatus::Active
    }

    pub(crate) fn payouts_enabled(&self) -> bool {
        !self.payouts_off && self.has_bank_account && self.disabled_reason().is_none()
    }

    pub(crate) fn request(&mut self, capability: &str, requested: bool, now: i64) {
        let known = self.capabilities.entry(capability.to_owned()).or_default();
        if known.requested != requested {
            known.requested = requested;
            known.requested_at = requested.then_some(now);
        }
    }

    /// The account submits its details, all or some; `instant` when they are verified at once.
    pub(crate) fn submit(&mut self, complete: bool, instant: bool, now: i64) {
        if self.details == Details::Missing {
            self.details = Details::Submitted;
        }
        self.profile.accepted_at.get_or_insert(now);
        let individual = || "individual".to_owned();
        self.profile.business_type.get_or_insert_with(individual);
        if !complete {
            self.requirements.submitted_in_part();
            return;
        }
        self.has_bank_account = true;
        self.requirements.submitted();
        if instant {
            self.verify();
        }
    }

    /// What is pending verification is verified.
    pub(crate) fn verify(&mut self) {
        self.requirements.pending_verification.clear();
        if self.details_submitted() && self.requirements.past_due.is_empty() {
            self.details = Details::Verified;
        }
    }

    pub(crate) fn require(
        &mut self,
        fields: Vec<String>,
        deadline: Option<i64>,
        errors: Vec<RequirementError>,
    ) {
        self.requirements.require(fields, deadline, errors);
    }
}
