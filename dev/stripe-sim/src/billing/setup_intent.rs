//! Setup intents: saving a payment method for later, with 3-D Secure where the card asks for it.
//!
//! One that succeeds has its payment method attached, but not made the default. Deliberately absent: giving up after
//! many failed attempts.

use super::{Change, Decline, Metadata, Refusal};
use crate::error::StripeError;
use crate::id::Kind;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SetupStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Succeeded,
    Canceled,
}

impl SetupStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }

    const fn is_open(self) -> bool {
        !matches!(self, Self::Succeeded | Self::Canceled)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SetupIntent {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) secret: String,
    pub(crate) customer: Option<usize>,
    pub(crate) method: Option<usize>,
    pub(crate) status: SetupStatus,
    /// Whether it is for payments that the customer is present at.
    pub(crate) on_session: bool,
    pub(crate) error: Option<Decline>,
    /// The place of the checkout session that it belongs to.
    pub(crate) session: Option<usize>,
    pub(crate) description: Option<String>,
    pub(crate) cancellation_reason: Option<String>,
    pub(crate) metadata: Metadata,
}

const AUTHENTICATION_FAILED: Decline = Decline {
    code: "setup_intent_authentication_failure",
    reason: "authentication_failure",
    message: "The latest attempt to set up the payment method has failed because authentication failed.",
};

impl Change<'_> {
    /// Makes a setup intent of `customer`; returns its place.
    pub(crate) fn create_setup_intent(
        &mut self,
        customer: Option<usize>,
        session: Option<usize>,
        metadata: Metadata,
    ) -> usize {
        let place = self.billing.setup_intents.len();
        let (id, secret) = (self.id(Kind::SetupIntent, place), self.secret());
        self.billing.setup_intents.push(SetupIntent {
            secret: format!("{id}_secret_{secret}"),
            id,
            created: self.now,
            customer,
            method: None,
            status: SetupStatus::RequiresPaymentMethod,
            on_session: false,
            error: None,
            session,
            description: None,
            cancellation_reason: None,
            metadata,
        });
        self.record("setup_intent.created", (Kind::SetupIntent, place));
        place
    }

    /// Confirms with a payment method, or with the one that it has; the error is the card's.
    pub(crate) fn confirm_setup_intent(
        &mut self,
        place: usize,
        method: Option<usize>,
    ) -> Result<(), StripeError> {
        let intent = &mut self.billing.setup_intents[place];
        if !intent.status.is_open() || intent.status == SetupStatus::RequiresAction {
            let status = intent.status.name();
            return Err(Refusal::SetupState {
                what: "confirm",
                status,
            }
            .into());
        }
        if method.is_some() {
            intent.method = method;
        }
        let Some(method) = intent.method else {
            return Err(StripeError::missing("payment_method"));
        };
        let it = &self.billing.methods[method];
        if it.customer.is_some() && it.customer != self.billing.setup_intents[place].customer {
            return Err(Refusal::AttachedToAnother.into());
        }
        if let Some(decline) = it.card.refusal() {
            self.fail_setup_intent(place, decline);
            return Err(Refusal::Declined(decline).into());
        }
        if it.card.asks_for_authentication() {
            let intent = &mut self.billing.setup_intents[place];
            intent.status = SetupStatus::RequiresAction;
            intent.error = None;
            self.record("setup_intent.requires_action", (Kind::SetupIntent, place));
            return Ok(());
        }
        self.complete_setup_intent(place, method);
        Ok(())
    }

    /// Ends 3-D Secure; the error is that none was asked for.
    pub(crate) fn authenticate_setup_intent(
        &mut self,
        place: usize,
        success: bool,
    ) -> Result<(), StripeError> {
        let intent = &self.billing.setup_intents[place];
        let (status, method) = (intent.status, intent.method);
        match method.filter(|_| status == SetupStatus::RequiresAction) {
            None => {
                let status = status.name();
                let what = "authenticate";
                Err(Refusal::SetupState { what, status }.into())
            }
            Some(method) if success => {
                self.billing.methods[method].authenticated = true;
                self.complete_setup_intent(place, method);
                Ok(())
            }
            Some(_) => {
                self.fail_setup_intent(place, AUTHENTICATION_FAILED);
                Ok(())
            }
        }
    }

    fn complete_setup_intent(&mut self, place: usize, method: usize) {
        let intent = &mut self.billing.setup_intents[place];
        intent.status = SetupStatus::Succeeded;
        intent.error = None;
        if let Some(customer) = intent.customer {
            self.join(method, customer);
        }
        self.record("setup_intent.succeeded", (Kind::SetupIntent, place));
    }

    fn fail_setup_intent(&mut self, place: usize, decline: Decline) {
        let intent = &mut self.billing.setup_intents[place];
        intent.status = SetupStatus::RequiresPaymentMethod;
        intent.method = None;
        intent.error = Some(decline);
        self.record("setup_intent.setup_failed", (Kind::SetupIntent, place));
    }

    pub(crate) fn cancel_setup_intent(
        &mut self,
        place: usize,
        reason: Option<String>,
    ) -> Result<(), StripeError> {
        let intent = &mut self.billing.setup_intents[place];
        if intent.session.is_some() {
            return Err(Refusal::SetupOfSession.into());
        }
        if !intent.status.is_open() {
            let status = intent.status.name();
            return Err(Refusal::SetupState {
                what: "cancel",
                status,
            }
            .into());
        }
        intent.status = SetupStatus::Canceled;
        intent.cancellation_reason = reason;
        self.record("setup_intent.canceled", (Kind::SetupIntent, place));
        Ok(())
    }
}
