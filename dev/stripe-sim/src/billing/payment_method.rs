//! Payment methods: test cards that were attached to customers.
//!
//! Naming a test card makes a payment method of it. What cannot be attached is a [`StripeError`].

use super::{Card, Change, Refusal};
use crate::error::StripeError;
use crate::id::Kind;

#[derive(Clone, Debug)]
pub(crate) struct PaymentMethod {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) card: Card,
    /// The place of the customer that it is attached to.
    pub(crate) customer: Option<usize>,
    /// Whether 3-D Secure was passed for later payments.
    pub(crate) authenticated: bool,
    pub(crate) email: Option<String>,
}

impl Change<'_> {
    pub(crate) fn new_method(&mut self, card: Card) -> usize {
        let place = self.billing.methods.len();
        self.billing.methods.push(PaymentMethod {
            id: self.id(Kind::PaymentMethod, place),
            created: self.now,
            card,
            customer: None,
            authenticated: false,
            email: None,
        });
        place
    }

    /// The place of the payment method that parameter `param` names, made if that is a test card.
    pub(crate) fn method_named(&mut self, param: &str, name: &str) -> Result<usize, StripeError> {
        if let Some(card) = Card::parse(name) {
            return Ok(self.new_method(card));
        }
        let place = self.place(Kind::PaymentMethod, name);
        place.ok_or_else(|| StripeError::no_such_in(param, "PaymentMethod", name))
    }

    /// The place of a payment method of a customer.
    pub(crate) fn method_of(
        &self,
        customer: usize,
        param: &str,
        name: &str,
    ) -> Result<usize, StripeError> {
        let place = self.place(Kind::PaymentMethod, name);
        let place = place.ok_or_else(|| StripeError::no_such_in(param, "PaymentMethod", name))?;
        if self.billing.methods[place].customer != Some(customer) {
            return Err(Refusal::NotTheirs(name.to_owned()).into());
        }
        Ok(place)
    }

    /// Attaches a payment method to a customer, unless the card is refused.
    pub(crate) fn attach(&mut self, method: usize, customer: usize) -> Result<(), StripeError> {
        let it = &self.billing.methods[method];
        if let Some(decline) = it.card.refusal() {
            return Err(Refusal::Declined(decline).into());
        }
        match it.customer {
            Some(theirs) if theirs == customer => return Ok(()),
            Some(_) => return Err(Refusal::AttachedToAnother.into()),
            None => {}
        }
        self.join(method, customer);
        Ok(())
    }

    /// Attaches a payment method that was checked.
    pub(crate) fn join(&mut self, method: usize, customer: usize) {
        if self.billing.methods[method].customer == Some(customer) {
            return;
        }
        let email = self.billing.customers[customer].email.clone();
        let it = &mut self.billing.methods[method];
        it.customer = Some(customer);
        it.email = email;
        self.record("payment_method.attached", (Kind::PaymentMethod, method));
    }

    pub(crate) fn detach(&mut self, method: usize) -> Result<(), StripeError> {
        let Some(customer) = self.billing.methods[method].customer else {
            return Err(Refusal::NotAttached.into());
        };
        self.alter(
            "payment_method.detached",
            (Kind::PaymentMethod, method),
            |it| {
                it.billing.methods[method].customer = None;
            },
        );
        if self.billing.customers[customer].default_method == Some(method) {
            self.set_default_method(customer, None);
        }
        for place in 0..self.billing.subscriptions.len() {
            if self.billing.subscriptions[place].default_method == Some(method) {
                self.alter_subscription(place, |it| it.default_method = None);
            }
        }
        Ok(())
    }
}
