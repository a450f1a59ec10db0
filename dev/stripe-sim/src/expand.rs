//! `expand[]`: which ids of an answer are replaced by their objects, and which lists are included.
//!
//! A path of more than four parts, and one that leads to nothing expandable, are refused as Stripe
//! refuses them. Deliberately absent: paths into objects that this simulator does not serve.

use crate::error::StripeError;
use crate::version::ApiVersion;

/// A place in the shape of an answer that a path can pass or end at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Node {
    /// Nothing of it can be expanded.
    Closed,
    Charge,
    Customer,
    Product,
    Price,
    Invoice,
    Lines,
    Line,
    Pricing,
    PriceDetails,
    Payments,
    InvoicePayment,
    Payment,
    Session,
    Items,
    Item,
    Refunds,
    Refund,
    Dispute,
    BalanceTransaction,
    PaymentIntent,
}

impl Node {
    /// Where `key` leads, and whether a path may end there.
    fn child(self, key: &str, version: ApiVersion) -> Option<(Self, bool)> {
        let older = version == ApiVersion::Acacia;
        let (node, end) = match (self, key) {
            (Self::Charge | Self::InvoicePayment, "invoice")
                if older || self == Self::InvoicePayment =>
            {
                (Self::Invoice, true)
            }
            (Self::Charge | Self::Invoice | Self::Session | Self::PaymentIntent, "customer") => {
                (Self::Customer, true)
            }
            (Self::Charge | Self::Refund, "balance_transaction") => {
                (Self::BalanceTransaction, true)
            }
            (
                Self::Charge | Self::Session | Self::Refund | Self::Dispute | Self::Payment,
                "payment_intent",
            ) => (Self::PaymentIntent, true),
            (Self::Invoice, "payment_intent") if older => (Self::PaymentIntent, true),
            (Self::Invoice, "charge") if older => (Self::Charge, true),
            (Self::Charge, "refunds") => (Self::Refunds, true),
            (Self::Refunds, "data") => (Self::Refund, false),
            (Self::Invoice, "payments") if !older => (Self::Payments, true),
            (Self::Payments, "data") => (Self::InvoicePayment, false),
            (Self::InvoicePayment, "payment") => (Self::Payment, false),
            (Self::Invoice, "lines") => (Self::Lines, true),
            (Self::Lines, "data") => (Self::Line, false),
            (Self::Line, "pricing") if !older => (Self::Pricing, false),
            (Self::Pricing, "price_details") => (Self::PriceDetails, false),
            (Self::PriceDetails | Self::Item, "price") | (Self::Product, "default_price") => {
                (Self::Price, true)
            }
            (Self::Line, "price") if older => (Self::Price, true),
            (Self::Price, "product") => (Self::Product, true),
            (Self::Session, "line_items") => (Self::Items, true),
            (Self::Items, "data") => (Self::Item, false),
            (Self::PaymentIntent, "latest_charge") | (Self::Refund | Self::Dispute, "charge") => {
                (Self::Charge, true)
            }
            (Self::BalanceTransaction, "source") => (Self::Charge, true),
            _ => return None,
        };
        Some((node, end))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Expand {
    children: Vec<(String, Expand)>,
}

static NOTHING: Expand = Expand {
    children: Vec::new(),
};

impl Expand {
    /// What is expanded below `key`, if `key` is.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.children
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, child)| child)
    }

    /// What is expanded below `key`, which may be nothing.
    pub(crate) fn at(&self, key: &str) -> &Self {
        self.get(key).unwrap_or(&NOTHING)
    }

    pub(crate) fn nothing() -> &'static Self {
        &NOTHING
    }

    /// Reads the paths given for an answer that is a `node`, or a list of them.
    pub(crate) fn parse(
        paths: &[String],
        node: Node,
        list: bool,
        version: ApiVersion,
    ) -> Result<Self, StripeError> {
        let mut root = Self::default();
        for path in paths {
            root.add(path, node, list, version)?;
        }
        Ok(root)
    }

    /// The expandable paths that `paths`, which were read without complaint, lead through.
    pub(crate) fn reached(
        paths: &[String],
        node: Node,
        list: bool,
        version: ApiVersion,
    ) -> Vec<Node> {
        let mut reached = Vec::new();
        for path in paths {
            let mut place = node;
            for part in path.split('.').skip(usize::from(list)) {
                let Some((child, end)) = place.child(part, version) else {
                    break;
                };
                if end {
                    reached.push(child);
                }
                place = child;
            }
        }
        reached
    }

    fn add(
        &mut self,
        path: &str,
        node: Node,
        list: bool,
        version: ApiVersion,
    ) -> Result<(), StripeError> {
        if path.split('.').count() > 4 {
            return Err(StripeError::expansion_too_deep(path));
        }
        let mut place = node;
        let mut may_end = false;
        let mut tree = self;
        for (depth, part) in path.split('.').enumerate() {
            if list && depth == 0 {
                if part != "data" {
                    let known = node.child(part, version).is_some();
                    let instead = known.then(|| format!("data.{path}"));
                    return Err(StripeError::not_expandable(part, instead.as_deref()));
                }
            } else {
                let Some((child, end)) = place.child(part, version) else {
                    return Err(StripeError::not_expandable(part, None));
                };
                (place, may_end) = (child, end);
            }
            let known = tree.children.iter().position(|(name, _)| name == part);
            let at = known.unwrap_or(tree.children.len());
            if known.is_none() {
                tree.children.push((part.to_owned(), Self::default()));
            }
            tree = &mut tree.children[at].1;
        }
        if may_end {
            Ok(())
        } else {
            let end = path.rsplit('.').next().unwrap_or_default();
            Err(StripeError::not_expandable(end, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, node: Node, version: ApiVersion) -> Result<Expand, StripeError> {
        Expand::parse(&[path.to_owned()], node, true, version)
    }

    #[test]
    fn legal_paths_are_taken() {
        let newest = ApiVersion::Dahlia;
        for (path, node) in [
            ("data.customer", Node::Charge),
            ("data.payment_intent.latest_charge", Node::Charge),
            ("data.payments", Node::Invoice),
            ("data.line_items", Node::Session),
            ("data.price.product", Node::Item),
        ] {
            let tree = parse(path, node, newest).expect(path);
            assert!(
                tree.at("data")
                    .get(path.split('.').nth(1).expect("two parts"))
                    .is_some()
            );
        }
        assert!(parse("data.invoice", Node::Charge, ApiVersion::Acacia).is_ok());
    }

    #[test]
    fn illegal_paths_are_refused_as_stripe_does() {
        let newest = ApiVersion::Dahlia;
        let deep = parse("data.lines.data.price.product", Node::Invoice, newest);
        assert_eq!(
            deep.expect_err("five parts").code,
            Some("property_expansion_max_depth")
        );
        for (path, node) in [
            ("data.invoice", Node::Charge),
            ("data.amount", Node::Charge),
            ("customer", Node::Charge),
            ("data", Node::Charge),
            ("data.customer.metadata", Node::Charge),
        ] {
            let refused = parse(path, node, newest).expect_err(path);
            assert_eq!(refused.status, 400);
            assert!(
                refused.message.contains("cannot be expanded"),
                "{}",
                refused.message
            );
        }
    }
}
