//! Customers of billing.
//!
//! A customer is also put into the account's books, which charges name it from. A deleted one stays as a stub, and its
//! subscriptions are cancelled. Deliberately absent: addresses, taxes and shipping.

use super::{Change, Metadata, set};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Currency;

#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) deleted: bool,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    /// The place of the payment method that invoices are charged to.
    pub(crate) default_method: Option<usize>,
    /// That of the first subscription.
    pub(crate) currency: Option<Currency>,
    /// Minor units that the next invoice is charged in addition; negative for a credit.
    pub(crate) balance: i64,
    /// Whether the last attempt to charge an invoice failed.
    pub(crate) delinquent: bool,
}

/// What a customer is asked for, or changed to; an empty text takes a value away.
#[derive(Clone, Debug, Default)]
pub(crate) struct CustomerTerms {
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    /// A payment method to attach.
    pub(crate) payment_method: Option<String>,
    /// One that is attached, to be the default.
    pub(crate) default_method: Option<String>,
}

impl Change<'_> {
    /// Makes a customer; returns its place.
    pub(crate) fn create_customer(&mut self, terms: CustomerTerms) -> Result<usize, StripeError> {
        let refused = terms.payment_method.as_deref().and_then(super::Card::parse);
        if let Some(decline) = refused.and_then(super::Card::refusal) {
            return Err(super::Refusal::Declined(decline).into());
        }
        let place = self.billing.customers.len();
        self.billing.customers.push(Customer {
            id: self.id(Kind::Customer, place),
            created: self.now,
            deleted: false,
            email: None,
            name: None,
            phone: None,
            description: None,
            metadata: Metadata::new(),
            default_method: None,
            currency: None,
            balance: 0,
            delinquent: false,
        });
        self.set_customer(place, &terms);
        self.record("customer.created", (Kind::Customer, place));
        self.set_customer_methods(place, terms)?;
        Ok(place)
    }

    pub(crate) fn update_customer(
        &mut self,
        place: usize,
        terms: CustomerTerms,
    ) -> Result<(), StripeError> {
        let object = (Kind::Customer, place);
        self.alter("customer.updated", object, |it| {
            it.set_customer(place, &terms);
        });
        self.set_customer_methods(place, terms)
    }

    fn set_customer(&mut self, place: usize, terms: &CustomerTerms) {
        let customer = &mut self.billing.customers[place];
        set(&mut customer.email, terms.email.clone());
        set(&mut customer.name, terms.name.clone());
        set(&mut customer.phone, terms.phone.clone());
        set(&mut customer.description, terms.description.clone());
        merge_metadata(&mut customer.metadata, terms.metadata.clone());
        self.handle.mirror_customer(place, customer);
    }

    fn set_customer_methods(
        &mut self,
        place: usize,
        terms: CustomerTerms,
    ) -> Result<(), StripeError> {
        if let Some(name) = terms.payment_method {
            let method = self.method_named("payment_method", &name)?;
            self.attach(method, place)?;
            if terms.default_method.as_deref() == Some(name.as_str()) {
                self.set_default_method(place, Some(method));
                return Ok(());
            }
        }
        match terms.default_method {
            None => {}
            Some(name) if name.is_empty() => self.set_default_method(place, None),
            Some(name) => {
                let method =
                    self.method_of(place, "invoice_settings[default_payment_method]", &name)?;
                self.set_default_method(place, Some(method));
            }
        }
        Ok(())
    }

    pub(crate) fn set_default_method(&mut self, place: usize, method: Option<usize>) {
        self.alter("customer.updated", (Kind::Customer, place), |it| {
            it.billing.customers[place].default_method = method;
        });
    }

    pub(crate) fn delete_customer(&mut self, place: usize) {
        let before = self.pictures((Kind::Customer, place));
        for subscription in 0..self.billing.subscriptions.len() {
            let it = &self.billing.subscriptions[subscription];
            if it.customer == place && !it.status.is_terminal() {
                self.end_subscription(subscription, Some("cancellation_requested"));
            }
        }
        let customer = &mut self.billing.customers[place];
        customer.deleted = true;
        customer.default_method = None;
        self.handle.mirror_customer(place, customer);
        for method in &mut self.billing.methods {
            if method.customer == Some(place) {
                method.customer = None;
            }
        }
        self.record_pictures("customer.deleted", &before, None);
    }

    /// The currency that a customer is bound to, where a subscription that it has binds it.
    pub(crate) fn bound_currency(&self, place: usize) -> Option<Currency> {
        let mut subscriptions = self.billing.subscriptions.iter();
        let bound = |it: &&super::Subscription| it.customer == place && !it.status.is_terminal();
        subscriptions.find(bound).map(|it| it.currency)
    }
}
