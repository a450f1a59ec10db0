//! What can happen to customers, products, prices, and to the metadata of what charges paid for and of payment intents: each
//! changes rows of charges that leave no event of their own.

use std::borrow::Cow;

use super::{AccountHandle, ControlError, MetadataChange, merge, no_such};
use crate::id::Kind;
use crate::ledger::{Currency, Customer, Price, Product};

impl AccountHandle {
    /// Makes a customer; returns `cus_…`.
    pub fn create_customer(&self, metadata: &MetadataChange) -> String {
        self.change(|book, recorder| {
            let index = book.next_customer();
            let created = recorder.now();
            let mut customer = Customer {
                index,
                created,
                deleted: false,
                name: Cow::Borrowed("New Customer"),
                country: "US",
                metadata: Vec::new(),
            };
            merge(&mut customer.metadata, metadata);
            book.overlay.customers.insert(index, customer);
            book.list(Kind::Customer, created, index);
            recorder.record(book, "customer.created", (Kind::Customer, index), None);
            self.account().identity.codec.encode(Kind::Customer, index)
        })
    }

    pub fn set_customer_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::Customer, id)?;
        self.change(|book, recorder| {
            let before = recorder.picture(book, Kind::Customer, index);
            let customer = book.customer(index).filter(|customer| !customer.deleted);
            let mut customer = customer
                .ok_or_else(|| no_such(Kind::Customer, id))?
                .into_owned();
            merge(&mut customer.metadata, change);
            book.overlay.customers.insert(index, customer);
            let object = (Kind::Customer, index);
            recorder.record(book, "customer.updated", object, Some(&before));
            Ok(())
        })
    }

    /// Deletes a customer; its charges keep its id.
    pub fn delete_customer(&self, id: &str) -> Result<(), ControlError> {
        let index = self.locate(Kind::Customer, id)?;
        self.change(|book, recorder| {
            let before = recorder.picture(book, Kind::Customer, index);
            let customer = book.customer(index).filter(|customer| !customer.deleted);
            let mut customer = customer
                .ok_or_else(|| no_such(Kind::Customer, id))?
                .into_owned();
            customer.deleted = true;
            customer.metadata.clear();
            book.overlay.customers.insert(index, customer);
            recorder.record_picture("customer.deleted", &before, None);
            Ok(())
        })
    }

    /// Makes a product; returns `prod_…`.
    pub fn create_product(&self, metadata: &MetadataChange) -> String {
        self.change(|book, recorder| {
            let index = book.next_product();
            let created = recorder.now();
            let mut product = Product {
                index,
                created,
                updated: created,
                deleted: false,
                active: true,
                name: Cow::Borrowed("New product"),
                metadata: Vec::new(),
            };
            merge(&mut product.metadata, metadata);
            book.overlay.products.insert(index, product);
            book.list(Kind::Product, created, index);
            recorder.record(book, "product.created", (Kind::Product, index), None);
            self.account().identity.codec.encode(Kind::Product, index)
        })
    }

    /// Makes a price of 1000 US cents for a product, which a [`super::NewLine`] can name; returns
    /// `price_…`.
    pub fn create_price(
        &self,
        product: &str,
        metadata: &MetadataChange,
    ) -> Result<String, ControlError> {
        let of = self.locate(Kind::Product, product)?;
        self.change(|book, recorder| {
            book.product(of)
                .filter(|it| !it.deleted)
                .ok_or_else(|| no_such(Kind::Product, product))?;
            let index = book.next_price();
            let created = recorder.now();
            let mut price = Price {
                index,
                created,
                product: of,
                active: true,
                currency: Currency::USD,
                unit_amount: 1_000,
                recurring: false,
                metadata: Vec::new(),
            };
            merge(&mut price.metadata, metadata);
            book.overlay.prices.insert(index, price);
            book.list(Kind::Price, created, index);
            recorder.record(book, "price.created", (Kind::Price, index), None);
            Ok(self.account().identity.codec.encode(Kind::Price, index))
        })
    }

    pub fn set_product_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::Product, id)?;
        self.change(|book, recorder| {
            let before = recorder.picture(book, Kind::Product, index);
            let product = book.product(index).filter(|product| !product.deleted);
            let mut product = product
                .ok_or_else(|| no_such(Kind::Product, id))?
                .into_owned();
            merge(&mut product.metadata, change);
            product.updated = recorder.now();
            book.overlay.products.insert(index, product);
            recorder.record(
                book,
                "product.updated",
                (Kind::Product, index),
                Some(&before),
            );
            Ok(())
        })
    }

    /// Leaves `invoice.updated`.
    pub fn set_invoice_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::Invoice, id)?;
        self.change(|book, recorder| {
            let before = recorder.picture(book, Kind::Invoice, index);
            let mut invoice = book
                .invoice(index)
                .ok_or_else(|| no_such(Kind::Invoice, id))?
                .into_owned();
            merge(&mut invoice.metadata, change);
            book.overlay.invoices.insert(index, invoice);
            let object = (Kind::Invoice, index);
            recorder.record(book, "invoice.updated", object, Some(&before));
            Ok(())
        })
    }

    /// Leaves no event: Stripe has none for it.
    pub fn set_session_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::Session, id)?;
        self.change(|book, _| {
            let mut session = book
                .session(index)
                .ok_or_else(|| no_such(Kind::Session, id))?
                .into_owned();
            merge(&mut session.metadata, change);
            book.overlay.sessions.insert(index, session);
            Ok(())
        })
    }

    /// Leaves no event: Stripe has none for it.
    pub fn set_payment_intent_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::PaymentIntent, id)?;
        self.change(|book, _| {
            let mut metadata = book
                .intent_metadata(index)
                .ok_or_else(|| no_such(Kind::PaymentIntent, id))?
                .into_owned();
            merge(&mut metadata, change);
            book.overlay.intents.insert(index, metadata);
            Ok(())
        })
    }

    /// Deletes a product; its prices and the lines that name it stay.
    pub fn delete_product(&self, id: &str) -> Result<(), ControlError> {
        let index = self.locate(Kind::Product, id)?;
        self.change(|book, recorder| {
            let before = recorder.picture(book, Kind::Product, index);
            let product = book.product(index).filter(|product| !product.deleted);
            let mut product = product
                .ok_or_else(|| no_such(Kind::Product, id))?
                .into_owned();
            product.deleted = true;
            product.metadata.clear();
            book.overlay.products.insert(index, product);
            recorder.record_picture("product.deleted", &before, None);
            Ok(())
        })
    }

    pub fn set_price_metadata(
        &self,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ControlError> {
        let index = self.locate(Kind::Price, id)?;
        self.change(|book, recorder| {
            let before = recorder.picture(book, Kind::Price, index);
            let mut price = book
                .price(index)
                .ok_or_else(|| no_such(Kind::Price, id))?
                .into_owned();
            merge(&mut price.metadata, change);
            book.overlay.prices.insert(index, price);
            recorder.record(book, "price.updated", (Kind::Price, index), Some(&before));
            Ok(())
        })
    }
}
