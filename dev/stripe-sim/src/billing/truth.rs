//! What a simulator knows of customers and of what they subscribe to and pay, for tests to compare with.
//!
//! Nothing here can fail. Deliberately absent: what the API was asked; the simulator counts requests elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Change, Invoice, Metadata, Session, Subscription};
use crate::id::Kind;

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ItemTruth {
    /// `si_…`
    pub id: String,
    /// `price_…`
    pub price: String,
    pub quantity: i64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SubscriptionTruth {
    /// `sub_…`
    pub id: String,
    pub status: String,
    pub items: Vec<ItemTruth>,
    /// Unix seconds, as all instants.
    pub current_period_start: i64,
    pub current_period_end: i64,
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub trial_end: Option<i64>,
    pub default_payment_method: Option<String>,
    /// `in_…`
    pub latest_invoice: Option<String>,
    /// `sub_sched_…`
    pub schedule: Option<String>,
    pub metadata: Metadata,
    /// Minor units of its invoices.
    pub paid: i64,
    pub refunded: i64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BillingCustomerTruth {
    /// `cus_…`
    pub id: String,
    pub deleted: bool,
    pub email: Option<String>,
    pub name: Option<String>,
    pub metadata: Metadata,
    /// `pm_…`
    pub default_payment_method: Option<String>,
    pub payment_methods: Vec<String>,
    /// Minor units; negative for a credit.
    pub balance: i64,
    /// The oldest first, ended ones too.
    pub subscriptions: Vec<SubscriptionTruth>,
}

impl BillingCustomerTruth {
    /// Those that have not ended.
    pub fn live(&self) -> Vec<&SubscriptionTruth> {
        let ended = ["canceled", "incomplete_expired"];
        let all = self.subscriptions.iter();
        all.filter(|it| !ended.contains(&it.status.as_str()))
            .collect()
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionTruth {
    /// `cs_…`
    pub id: String,
    pub status: String,
    pub payment_status: String,
    pub customer: Option<String>,
    pub subscription: Option<String>,
    pub client_reference_id: Option<String>,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InvoiceTruth {
    /// `in_…`
    pub id: String,
    pub customer: String,
    pub subscription: Option<String>,
    pub status: String,
    pub billing_reason: String,
    pub currency: String,
    pub total: i64,
    pub amount_paid: i64,
    pub refunded: i64,
    pub attempts: u32,
    /// Unix seconds.
    pub created: i64,
    /// `ch_…` and `py_…`, failed ones too.
    pub charges: Vec<String>,
}

/// Everything of an account's billing, the oldest first. How many of each were made is how many there are: nothing is
/// taken out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BillingTruth {
    pub customers: Vec<BillingCustomerTruth>,
    pub sessions: Vec<SessionTruth>,
    pub invoices: Vec<InvoiceTruth>,
    pub subscriptions: usize,
    pub setup_intents: usize,
    pub portal_sessions: usize,
    pub portal_configurations: usize,
    /// Minor units by currency.
    pub paid: BTreeMap<String, i64>,
    pub refunded: BTreeMap<String, i64>,
}

impl BillingTruth {
    pub fn customer(&self, id: &str) -> Option<&BillingCustomerTruth> {
        self.customers.iter().find(|it| it.id == id)
    }

    pub fn subscription(&self, id: &str) -> Option<&SubscriptionTruth> {
        let mut all = self.customers.iter().flat_map(|it| &it.subscriptions);
        all.find(|it| it.id == id)
    }
}

impl Change<'_> {
    pub(crate) fn truth(&self) -> BillingTruth {
        let billing = &*self.billing;
        let invoices: Vec<_> = billing
            .invoices
            .iter()
            .map(|it| self.invoice_truth(it))
            .collect();
        let sums = |amount: fn(&InvoiceTruth) -> i64| {
            let mut sums = BTreeMap::new();
            for invoice in &invoices {
                *sums.entry(invoice.currency.clone()).or_default() += amount(invoice);
            }
            sums
        };
        BillingTruth {
            customers: (0..billing.customers.len())
                .map(|place| self.customer_truth(place, &invoices))
                .collect(),
            sessions: billing
                .sessions
                .iter()
                .map(|it| self.session_truth(it))
                .collect(),
            subscriptions: billing.subscriptions.len(),
            setup_intents: billing.setup_intents.len(),
            portal_sessions: billing.portal_sessions.len(),
            portal_configurations: billing.configurations.len(),
            paid: sums(|it| it.amount_paid),
            refunded: sums(|it| it.refunded),
            invoices,
        }
    }

    fn customer_truth(&self, place: usize, invoices: &[InvoiceTruth]) -> BillingCustomerTruth {
        let billing = &*self.billing;
        let customer = &billing.customers[place];
        let methods = billing
            .methods
            .iter()
            .filter(|it| it.customer == Some(place));
        let subscriptions = billing
            .subscriptions
            .iter()
            .filter(|it| it.customer == place);
        BillingCustomerTruth {
            id: customer.id.clone(),
            deleted: customer.deleted,
            email: customer.email.clone(),
            name: customer.name.clone(),
            metadata: customer.metadata.clone(),
            default_payment_method: customer
                .default_method
                .map(|it| billing.methods[it].id.clone()),
            payment_methods: methods.map(|it| it.id.clone()).collect(),
            balance: customer.balance,
            subscriptions: subscriptions
                .map(|it| self.subscription_truth(it, invoices))
                .collect(),
        }
    }

    fn subscription_truth(
        &self,
        subscription: &Subscription,
        invoices: &[InvoiceTruth],
    ) -> SubscriptionTruth {
        let billing = &*self.billing;
        let id = &subscription.id;
        let own = || {
            invoices
                .iter()
                .filter(|it| it.subscription.as_ref() == Some(id))
        };
        let items = subscription.items.iter().map(|it| ItemTruth {
            id: it.id.clone(),
            price: billing.prices[it.price].id.clone(),
            quantity: it.quantity,
        });
        let method = subscription.default_method;
        SubscriptionTruth {
            id: id.clone(),
            status: subscription.status.name().to_owned(),
            items: items.collect(),
            current_period_start: subscription.period.start,
            current_period_end: subscription.period.end,
            cancel_at: subscription.cancel_at,
            cancel_at_period_end: subscription.cancel_at_period_end,
            canceled_at: subscription.canceled_at,
            ended_at: subscription.ended_at,
            trial_end: subscription.trial.map(|it| it.end),
            default_payment_method: method.map(|it| billing.methods[it].id.clone()),
            latest_invoice: subscription
                .latest_invoice
                .map(|it| billing.invoices[it].id.clone()),
            schedule: subscription
                .schedule
                .map(|it| billing.schedules[it].id.clone()),
            metadata: subscription.metadata.clone(),
            paid: own().map(|it| it.amount_paid).sum(),
            refunded: own().map(|it| it.refunded).sum(),
        }
    }

    fn session_truth(&self, session: &Session) -> SessionTruth {
        let billing = &*self.billing;
        SessionTruth {
            id: session.id.clone(),
            status: session.status.name().to_owned(),
            payment_status: session.payment_status.name().to_owned(),
            customer: session.customer.map(|it| billing.customers[it].id.clone()),
            subscription: session
                .subscription
                .map(|it| billing.subscriptions[it].id.clone()),
            client_reference_id: session.terms.client_reference_id.clone(),
            metadata: session.terms.metadata.clone(),
        }
    }

    fn invoice_truth(&self, invoice: &Invoice) -> InvoiceTruth {
        let billing = &*self.billing;
        let refunded = invoice.payments.iter().map(|it| self.refunded(&it.charge));
        InvoiceTruth {
            id: invoice.id.clone(),
            customer: billing.customers[invoice.customer].id.clone(),
            subscription: invoice
                .subscription
                .map(|it| billing.subscriptions[it].id.clone()),
            status: invoice.status.name().to_owned(),
            billing_reason: invoice.reason.to_owned(),
            currency: invoice.currency.code().to_owned(),
            total: invoice.total(),
            amount_paid: invoice.amount_paid,
            refunded: refunded.sum(),
            attempts: invoice.attempts,
            created: invoice.created,
            charges: invoice
                .payments
                .iter()
                .map(|it| it.charge.clone())
                .collect(),
        }
    }

    /// Minor units that were given back of a charge.
    fn refunded(&self, charge: &str) -> i64 {
        let index = self.account().identity.codec.decode(Kind::Charge, charge);
        let book = self.account().book();
        let charge = index.and_then(|index| book.charge(index));
        charge.map_or(0, |it| it.amount_refunded())
    }
}
