//! Events of the platform's endpoints: which types are handled at which endpoint, and what handles them.
//!
//! An event only says what to read again, so events may come twice, late and in any order. A type that is not listed here is
//! stored and ignored. Fails as the noun does that is read.

use async_trait::async_trait;
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use common::webhook::platform::{PlatformEndpoint, PlatformEvents};
use common::webhook::queries::platform_events::ClaimedEvent;
use common::webhook::{ChangedObject, Envelope};

use crate::account::{self, AccountServices, queries, refresh};
use crate::billing::{self, Billing, price, sync};
use crate::ledger::{self, Ledger, balance, payout, transfer};

/// What is read again because of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// The account that the event names.
    Account,
    /// What the account holds that the event names.
    Balance,
    /// The payout that the event is about, of the account that it names, and what the account holds then.
    Payout,
    /// The transfer that the event is about.
    Transfer,
    /// Everything of the organization's customer.
    Customer,
    /// What the plans cost.
    Prices,
}

/// Why an event could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Account(#[from] account::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Billing(#[from] billing::Error),
}

/// Types of events of connected accounts (`docs.stripe.com/api/events/types`).
const CONNECT: [(&str, Handler); 16] = [
    ("account.application.deauthorized", Handler::Account),
    ("account.external_account.created", Handler::Account),
    ("account.external_account.deleted", Handler::Account),
    ("account.external_account.updated", Handler::Account),
    ("account.updated", Handler::Account),
    ("balance.available", Handler::Balance),
    ("capability.updated", Handler::Account),
    ("payout.canceled", Handler::Payout),
    ("payout.created", Handler::Payout),
    ("payout.failed", Handler::Payout),
    ("payout.paid", Handler::Payout),
    ("payout.reconciliation_completed", Handler::Payout),
    ("payout.updated", Handler::Payout),
    ("person.created", Handler::Account),
    ("person.deleted", Handler::Account),
    ("person.updated", Handler::Account),
];

/// Types of events of the platform's own account.
const PLATFORM: [(&str, Handler); 46] = [
    ("charge.failed", Handler::Customer),
    ("charge.pending", Handler::Customer),
    ("charge.refunded", Handler::Customer),
    ("charge.succeeded", Handler::Customer),
    ("checkout.session.async_payment_failed", Handler::Customer),
    (
        "checkout.session.async_payment_succeeded",
        Handler::Customer,
    ),
    ("checkout.session.completed", Handler::Customer),
    ("checkout.session.expired", Handler::Customer),
    ("customer.created", Handler::Customer),
    ("customer.deleted", Handler::Customer),
    ("customer.subscription.created", Handler::Customer),
    ("customer.subscription.deleted", Handler::Customer),
    ("customer.subscription.paused", Handler::Customer),
    (
        "customer.subscription.pending_update_applied",
        Handler::Customer,
    ),
    (
        "customer.subscription.pending_update_expired",
        Handler::Customer,
    ),
    ("customer.subscription.resumed", Handler::Customer),
    ("customer.subscription.trial_will_end", Handler::Customer),
    ("customer.subscription.updated", Handler::Customer),
    ("customer.updated", Handler::Customer),
    ("invoice.created", Handler::Customer),
    ("invoice.deleted", Handler::Customer),
    ("invoice.finalization_failed", Handler::Customer),
    ("invoice.finalized", Handler::Customer),
    ("invoice.marked_uncollectible", Handler::Customer),
    ("invoice.paid", Handler::Customer),
    ("invoice.payment_action_required", Handler::Customer),
    ("invoice.payment_failed", Handler::Customer),
    ("invoice.payment_succeeded", Handler::Customer),
    ("invoice.updated", Handler::Customer),
    ("invoice.voided", Handler::Customer),
    ("payment_method.attached", Handler::Customer),
    ("payment_method.automatically_updated", Handler::Customer),
    ("payment_method.updated", Handler::Customer),
    ("price.created", Handler::Prices),
    ("price.deleted", Handler::Prices),
    ("price.updated", Handler::Prices),
    ("product.created", Handler::Prices),
    ("product.deleted", Handler::Prices),
    ("product.updated", Handler::Prices),
    ("setup_intent.succeeded", Handler::Customer),
    ("subscription_schedule.canceled", Handler::Customer),
    ("subscription_schedule.released", Handler::Customer),
    ("subscription_schedule.updated", Handler::Customer),
    ("transfer.created", Handler::Transfer),
    ("transfer.reversed", Handler::Transfer),
    ("transfer.updated", Handler::Transfer),
];

fn handlers(endpoint: PlatformEndpoint) -> &'static [(&'static str, Handler)] {
    match endpoint {
        PlatformEndpoint::Platform => &PLATFORM,
        PlatformEndpoint::Connect => &CONNECT,
    }
}

/// The types that are handled at an endpoint.
pub fn event_types(endpoint: PlatformEndpoint) -> Vec<&'static str> {
    handlers(endpoint).iter().map(|(name, _)| *name).collect()
}

fn handler(endpoint: PlatformEndpoint, event_type: &str) -> Option<Handler> {
    let mut handlers = handlers(endpoint).iter();
    let found = handlers.find(|(name, _)| *name == event_type)?;
    Some(found.1)
}

/// What is known of these events where they are received.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// Whether the platform's key is one of live mode; without a key, none are handled.
    pub livemode: Option<bool>,
}

#[async_trait]
impl PlatformEvents for Events {
    /// Stripe sends test events of connected accounts to live endpoints, too (`docs.stripe.com/connect/webhooks`). The key can
    /// read nothing that they are about.
    fn handles(&self, endpoint: PlatformEndpoint, event: &Envelope) -> bool {
        let of_key = |livemode: bool| event.livemode.is_none_or(|of_event| of_event == livemode);
        self.livemode.is_some_and(of_key) && handler(endpoint, &event.event_type).is_some()
    }

    async fn owner(
        &self,
        conn: &mut PgConnection,
        account_id: &str,
    ) -> Result<Option<OrganizationId>, db::Error> {
        queries::owner(conn, account_id).await
    }

    async fn owner_of_customer(
        &self,
        conn: &mut PgConnection,
        customer_id: &str,
    ) -> Result<Option<OrganizationId>, db::Error> {
        billing::queries::owner(conn, customer_id).await
    }
}

/// What handlers work with.
#[derive(Debug, Clone, Copy)]
pub struct Services<'a> {
    pub accounts: AccountServices<'a>,
    pub ledger: &'a Ledger,
    pub billing: &'a Billing,
}

/// Handles an event of an organization; what was read again because of it. None if there is nothing to do.
pub async fn handle(
    services: Services<'_>,
    organization: &OrganizationId,
    event: &ClaimedEvent,
) -> Result<Option<ChangedObject>, Error> {
    let Some(handler) = handler(event.endpoint, &event.event_type) else {
        return Ok(None);
    };
    let (account_id, object_id) = (event.account.as_deref(), event.object_id.as_deref());
    match (handler, account_id, object_id) {
        (Handler::Account, Some(account_id), _) => {
            account(services.accounts, organization, account_id, event).await?;
            Ok(Some(changed("account", account_id)))
        }
        (Handler::Balance, Some(account_id), _) => {
            balance::refresh(services.ledger, organization, account_id, event.received_at).await?;
            Ok(Some(changed("balance", account_id)))
        }
        (Handler::Payout, Some(account_id), Some(payout_id)) => {
            payout::refresh(services.ledger, organization, account_id, payout_id).await?;
            balance::refresh(services.ledger, organization, account_id, event.received_at).await?;
            Ok(Some(changed("payout", payout_id)))
        }
        (Handler::Transfer, _, Some(transfer_id)) => {
            transfer::refresh(services.ledger, transfer_id).await?;
            Ok(Some(changed("transfer", transfer_id)))
        }
        (Handler::Customer, None, _) => customer(services.billing, organization, event).await,
        (Handler::Prices, None, Some(price_id)) => {
            price::refresh(services.billing).await?;
            Ok(Some(changed("price", price_id)))
        }
        _ => Ok(None),
    }
}

fn changed(object: &str, id: &str) -> ChangedObject {
    ChangedObject {
        object: object.to_owned(),
        id: id.to_owned(),
    }
}

async fn account(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    account_id: &str,
    event: &ClaimedEvent,
) -> Result<(), Error> {
    let since = event.received_at;
    // One reading serves all events that came before it was asked for.
    if !refresh::was_read_since(services, organization, account_id, since).await? {
        refresh::refresh(services, organization, account_id).await?;
    }
    Ok(())
}

async fn customer(
    billing: &Billing,
    organization: &OrganizationId,
    event: &ClaimedEvent,
) -> Result<Option<ChangedObject>, Error> {
    // One reading serves all events that came before it was asked for.
    if sync::was_read_since(billing, organization, event.received_at).await?
        || sync::sync(billing, organization).await?
    {
        return Ok(Some(changed("customer", organization.as_str())));
    }
    Ok(None)
}
