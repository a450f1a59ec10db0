//! The endpoints that are served, by method and path.
//!
//! A path that is none of them is Stripe's "Unrecognized request URL". Permissions have Stripe's
//! names where those are known and plausible ones otherwise. Deliberately absent: every POST and
//! DELETE but those of webhook endpoints, of Connect and of billing; other changes are made through the
//! control endpoints.

use super::billing::{BILLING_ENDPOINTS, BillingCall};
use super::connect::{CONNECT_ENDPOINTS, ConnectCall};
use crate::expand::Node;
use crate::id::Kind;
use crate::version::ApiVersion;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Account,
    AccountById,
    List(Kind),
    Get(Kind),
    /// What the thin twin of an event says beyond its notification.
    ThinEvent,
    ChargeRefunds,
    InvoiceLines,
    SessionItems,
    WebhookEndpoints(EndpointCall),
    Connect(ConnectCall),
    Billing(BillingCall),
}

/// What is done with webhook endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EndpointCall {
    List,
    Create,
    Get,
    Update,
    Delete,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// As it stands in counters and limits, for example `GET /v1/charges/{id}`.
    pub(crate) template: &'static str,
    /// The permission that a restricted key needs; none for what every key may read.
    pub(crate) permission: Option<&'static str>,
    pub(crate) operation: Operation,
}

impl Endpoint {
    /// Whether `version` has this endpoint at all.
    pub(crate) fn is_in(&self, version: ApiVersion) -> bool {
        let of_payments = matches!(
            self.operation,
            Operation::List(Kind::InvoicePayment) | Operation::Get(Kind::InvoicePayment)
        );
        version != ApiVersion::Acacia || !of_payments
    }
}

pub(super) const fn endpoint(
    template: &'static str,
    permission: &'static str,
    operation: Operation,
) -> Endpoint {
    Endpoint {
        template,
        permission: Some(permission),
        operation,
    }
}

const CHARGES: &str = "rak_charge_read";
pub(super) const CUSTOMERS: &str = "rak_customer_read";
const PRODUCTS: &str = "rak_product_read";
const PRICES: &str = "rak_plan_read";
pub(super) const INVOICES: &str = "rak_invoice_read";
const SESSIONS: &str = "rak_checkout_session_read";
const INTENTS: &str = "rak_payment_intent_read";
const DISPUTES: &str = "rak_dispute_read";
const EVENTS: &str = "rak_event_read";
const BALANCE: &str = "rak_balance_read";
const ENTRIES: &str = "rak_balance_transaction_source_read";
pub(super) const ACCOUNT: &str = "rak_accounts_kyc_basic_read";

const READ_WEBHOOKS: &str = "rak_webhook_read";
const WRITE_WEBHOOKS: &str = "rak_webhook_write";

/// Every permission that some endpoint which shows a customer's things asks for.
pub const PERMISSIONS: [&str; 12] = [
    CHARGES, CUSTOMERS, PRODUCTS, PRICES, INVOICES, SESSIONS, INTENTS, DISPUTES, EVENTS, BALANCE,
    ENTRIES, ACCOUNT,
];

/// The permission that a restricted key needs to read what stands at `node`.
pub(crate) const fn permission(node: Node) -> Option<&'static str> {
    match node {
        Node::Charge | Node::Refunds | Node::Refund => Some(CHARGES),
        Node::Customer => Some(CUSTOMERS),
        Node::Product => Some(PRODUCTS),
        Node::Price => Some(PRICES),
        Node::Invoice | Node::Lines | Node::Line | Node::Payments | Node::InvoicePayment => {
            Some(INVOICES)
        }
        Node::Session | Node::Items | Node::Item => Some(SESSIONS),
        Node::Dispute => Some(DISPUTES),
        Node::BalanceTransaction => Some(ENTRIES),
        Node::PaymentIntent => Some(INTENTS),
        Node::Closed | Node::Pricing | Node::PriceDetails | Node::Payment => None,
    }
}

static ENDPOINTS: [Endpoint; 29] = [
    endpoint("GET /v1/charges", CHARGES, Operation::List(Kind::Charge)),
    endpoint("GET /v1/events", EVENTS, Operation::List(Kind::Event)),
    endpoint("GET /v1/invoices", INVOICES, Operation::List(Kind::Invoice)),
    endpoint(
        "GET /v1/checkout/sessions",
        SESSIONS,
        Operation::List(Kind::Session),
    ),
    endpoint(
        "GET /v1/charges/{id}",
        CHARGES,
        Operation::Get(Kind::Charge),
    ),
    endpoint(
        "GET /v1/charges/{id}/refunds",
        CHARGES,
        Operation::ChargeRefunds,
    ),
    endpoint(
        "GET /v1/customers",
        CUSTOMERS,
        Operation::List(Kind::Customer),
    ),
    endpoint(
        "GET /v1/customers/{id}",
        CUSTOMERS,
        Operation::Get(Kind::Customer),
    ),
    endpoint("GET /v1/products", PRODUCTS, Operation::List(Kind::Product)),
    endpoint(
        "GET /v1/products/{id}",
        PRODUCTS,
        Operation::Get(Kind::Product),
    ),
    endpoint("GET /v1/prices", PRICES, Operation::List(Kind::Price)),
    endpoint("GET /v1/prices/{id}", PRICES, Operation::Get(Kind::Price)),
    endpoint(
        "GET /v1/invoices/{id}",
        INVOICES,
        Operation::Get(Kind::Invoice),
    ),
    endpoint(
        "GET /v1/invoices/{id}/lines",
        INVOICES,
        Operation::InvoiceLines,
    ),
    endpoint(
        "GET /v1/invoice_payments",
        INVOICES,
        Operation::List(Kind::InvoicePayment),
    ),
    endpoint(
        "GET /v1/invoice_payments/{id}",
        INVOICES,
        Operation::Get(Kind::InvoicePayment),
    ),
    endpoint(
        "GET /v1/checkout/sessions/{id}",
        SESSIONS,
        Operation::Get(Kind::Session),
    ),
    endpoint(
        "GET /v1/checkout/sessions/{id}/line_items",
        SESSIONS,
        Operation::SessionItems,
    ),
    endpoint(
        "GET /v1/payment_intents",
        INTENTS,
        Operation::List(Kind::PaymentIntent),
    ),
    endpoint(
        "GET /v1/payment_intents/{id}",
        INTENTS,
        Operation::Get(Kind::PaymentIntent),
    ),
    endpoint("GET /v1/refunds", CHARGES, Operation::List(Kind::Refund)),
    endpoint(
        "GET /v1/refunds/{id}",
        CHARGES,
        Operation::Get(Kind::Refund),
    ),
    endpoint("GET /v1/disputes", DISPUTES, Operation::List(Kind::Dispute)),
    endpoint(
        "GET /v1/disputes/{id}",
        DISPUTES,
        Operation::Get(Kind::Dispute),
    ),
    endpoint("GET /v1/events/{id}", EVENTS, Operation::Get(Kind::Event)),
    endpoint("GET /v2/core/events/{id}", EVENTS, Operation::ThinEvent),
    endpoint(
        "GET /v1/balance",
        BALANCE,
        Operation::Connect(ConnectCall::Balance),
    ),
    endpoint("GET /v1/account", ACCOUNT, Operation::Account),
    endpoint("GET /v1/accounts/{id}", ACCOUNT, Operation::AccountById),
];

static ENTRY_ENDPOINTS: [Endpoint; 2] = [
    endpoint(
        "GET /v1/balance_transactions",
        ENTRIES,
        Operation::List(Kind::BalanceTransaction),
    ),
    endpoint(
        "GET /v1/balance_transactions/{id}",
        ENTRIES,
        Operation::Get(Kind::BalanceTransaction),
    ),
];

static WEBHOOK_ENDPOINTS: [Endpoint; 5] = [
    endpoint(
        "GET /v1/webhook_endpoints",
        READ_WEBHOOKS,
        Operation::WebhookEndpoints(EndpointCall::List),
    ),
    endpoint(
        "POST /v1/webhook_endpoints",
        WRITE_WEBHOOKS,
        Operation::WebhookEndpoints(EndpointCall::Create),
    ),
    endpoint(
        "GET /v1/webhook_endpoints/{id}",
        READ_WEBHOOKS,
        Operation::WebhookEndpoints(EndpointCall::Get),
    ),
    endpoint(
        "POST /v1/webhook_endpoints/{id}",
        WRITE_WEBHOOKS,
        Operation::WebhookEndpoints(EndpointCall::Update),
    ),
    endpoint(
        "DELETE /v1/webhook_endpoints/{id}",
        WRITE_WEBHOOKS,
        Operation::WebhookEndpoints(EndpointCall::Delete),
    ),
];

/// The endpoint that serves `path`, with the id in it; other parts in braces are left to it.
pub(crate) fn find<'p>(method: &str, path: &'p str) -> Option<(&'static Endpoint, &'p str)> {
    ENDPOINTS
        .iter()
        .chain(&ENTRY_ENDPOINTS)
        .chain(&WEBHOOK_ENDPOINTS)
        .chain(&CONNECT_ENDPOINTS)
        .chain(&BILLING_ENDPOINTS)
        .find_map(|endpoint| {
            let (of, template) = endpoint.template.split_once(' ')?;
            if of != method {
                return None;
            }
            let mut id = "";
            let mut given = path.split('/');
            for part in template.split('/') {
                let ours = given.next()?;
                let open = part.starts_with('{') && !ours.is_empty();
                if part == "{id}" && open {
                    id = ours;
                } else if part != ours && !open {
                    return None;
                }
            }
            given.next().is_none().then_some((endpoint, id))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_endpoint() {
        let template = |path| find("GET", path).map(|(endpoint, id)| (endpoint.template, id));
        assert_eq!(template("/v1/charges"), Some(("GET /v1/charges", "")));
        assert_eq!(
            template("/v1/charges/ch_1"),
            Some(("GET /v1/charges/{id}", "ch_1"))
        );
        assert_eq!(
            template("/v1/checkout/sessions/cs_1/line_items"),
            Some(("GET /v1/checkout/sessions/{id}/line_items", "cs_1"))
        );
        for path in ["/v1/charges/", "/v1/nothing", "/v1", "/v1/charges/a/b"] {
            assert_eq!(template(path), None, "{path}");
        }
        assert!(find("POST", "/v1/charges").is_none());
        let update =
            find("POST", "/v1/webhook_endpoints/we_1").map(|(found, id)| (found.operation, id));
        let expected = Operation::WebhookEndpoints(EndpointCall::Update);
        assert_eq!(update, Some((expected, "we_1")));
    }

    #[test]
    fn every_permission_is_listed_once() {
        let asked = ENDPOINTS
            .iter()
            .chain(&ENTRY_ENDPOINTS)
            .filter_map(|it| it.permission);
        let asked: std::collections::BTreeSet<_> = asked.collect();
        assert_eq!(asked, PERMISSIONS.into_iter().collect());
    }
}
