//! The endpoints of billing, by method and path. The names of permissions are guesses.

use crate::api::endpoint::{CUSTOMERS, Endpoint, INVOICES, Operation, endpoint};
use crate::id::Kind;

/// What is done with customers and subscriptions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BillingCall {
    Get(Kind),
    List(Kind),
    CreateCustomer,
    UpdateCustomer,
    DeleteCustomer,
    CustomerMethods,
    AttachMethod,
    DetachMethod,
    CreateSetupIntent,
    ConfirmSetupIntent,
    CancelSetupIntent,
    CreateProduct,
    UpdateProduct,
    CreatePrice,
    UpdatePrice,
    CreateCoupon,
    GetCoupon,
    CreatePromotionCode,
    CreateSession,
    UpdateSession,
    ExpireSession,
    SessionItems,
    CreateSubscription,
    UpdateSubscription,
    DeleteSubscription,
    ResumeSubscription,
    SubscriptionItems,
    CreateSchedule,
    UpdateSchedule,
    ReleaseSchedule,
    CancelSchedule,
    PayInvoice,
    FinalizeInvoice,
    VoidInvoice,
    PreviewInvoice,
    InvoiceLines,
    InvoicePayments,
    CreateConfiguration,
    UpdateConfiguration,
    CreatePortalSession,
    CreateRefund,
}

const WRITE_CUSTOMERS: &str = "rak_customer_write";
const METHODS: &str = "rak_payment_method_read";
const WRITE_METHODS: &str = "rak_payment_method_write";
const SETUPS: &str = "rak_setup_intent_read";
const WRITE_SETUPS: &str = "rak_setup_intent_write";
const WRITE_PRODUCTS: &str = "rak_product_write";
const WRITE_PRICES: &str = "rak_plan_write";
const COUPONS: &str = "rak_coupon_read";
const WRITE_COUPONS: &str = "rak_coupon_write";
const CODES: &str = "rak_promotion_code_read";
const WRITE_CODES: &str = "rak_promotion_code_write";
const WRITE_SESSIONS: &str = "rak_checkout_session_write";
const SUBSCRIPTIONS: &str = "rak_subscription_read";
const WRITE_SUBSCRIPTIONS: &str = "rak_subscription_write";
const WRITE_INVOICES: &str = "rak_invoice_write";
const PORTAL: &str = "rak_customer_portal_read";
const WRITE_PORTAL: &str = "rak_customer_portal_write";
const WRITE_CHARGES: &str = "rak_charge_write";

const fn of(template: &'static str, permission: &'static str, call: BillingCall) -> Endpoint {
    endpoint(template, permission, Operation::Billing(call))
}

/// All but those that an account has without billing, such as `GET /v1/customers`.
#[rustfmt::skip]
pub(crate) static BILLING_ENDPOINTS: [Endpoint; 48] = {
    use BillingCall as Call;
    [
        of("POST /v1/customers", WRITE_CUSTOMERS, Call::CreateCustomer),
        of("POST /v1/customers/{id}", WRITE_CUSTOMERS, Call::UpdateCustomer),
        of("DELETE /v1/customers/{id}", WRITE_CUSTOMERS, Call::DeleteCustomer),
        of("GET /v1/customers/{id}/payment_methods", CUSTOMERS, Call::CustomerMethods),
        of("GET /v1/payment_methods", METHODS, Call::List(Kind::PaymentMethod)),
        of("GET /v1/payment_methods/{id}", METHODS, Call::Get(Kind::PaymentMethod)),
        of("POST /v1/payment_methods/{id}/attach", WRITE_METHODS, Call::AttachMethod),
        of("POST /v1/payment_methods/{id}/detach", WRITE_METHODS, Call::DetachMethod),
        of("POST /v1/setup_intents", WRITE_SETUPS, Call::CreateSetupIntent),
        of("GET /v1/setup_intents", SETUPS, Call::List(Kind::SetupIntent)),
        of("GET /v1/setup_intents/{id}", SETUPS, Call::Get(Kind::SetupIntent)),
        of("POST /v1/setup_intents/{id}/confirm", WRITE_SETUPS, Call::ConfirmSetupIntent),
        of("POST /v1/setup_intents/{id}/cancel", WRITE_SETUPS, Call::CancelSetupIntent),
        of("POST /v1/products", WRITE_PRODUCTS, Call::CreateProduct),
        of("POST /v1/products/{id}", WRITE_PRODUCTS, Call::UpdateProduct),
        of("POST /v1/prices", WRITE_PRICES, Call::CreatePrice),
        of("POST /v1/prices/{id}", WRITE_PRICES, Call::UpdatePrice),
        of("POST /v1/coupons", WRITE_COUPONS, Call::CreateCoupon),
        of("GET /v1/coupons/{id}", COUPONS, Call::GetCoupon),
        of("POST /v1/promotion_codes", WRITE_CODES, Call::CreatePromotionCode),
        of("GET /v1/promotion_codes", CODES, Call::List(Kind::PromotionCode)),
        of("GET /v1/promotion_codes/{id}", CODES, Call::Get(Kind::PromotionCode)),
        of("POST /v1/checkout/sessions", WRITE_SESSIONS, Call::CreateSession),
        of("POST /v1/checkout/sessions/{id}", WRITE_SESSIONS, Call::UpdateSession),
        of("POST /v1/checkout/sessions/{id}/expire", WRITE_SESSIONS, Call::ExpireSession),
        of("POST /v1/subscriptions", WRITE_SUBSCRIPTIONS, Call::CreateSubscription),
        of("GET /v1/subscriptions", SUBSCRIPTIONS, Call::List(Kind::Subscription)),
        of("GET /v1/subscriptions/{id}", SUBSCRIPTIONS, Call::Get(Kind::Subscription)),
        of("POST /v1/subscriptions/{id}", WRITE_SUBSCRIPTIONS, Call::UpdateSubscription),
        of("DELETE /v1/subscriptions/{id}", WRITE_SUBSCRIPTIONS, Call::DeleteSubscription),
        of("POST /v1/subscriptions/{id}/resume", WRITE_SUBSCRIPTIONS, Call::ResumeSubscription),
        of("GET /v1/subscription_items", SUBSCRIPTIONS, Call::SubscriptionItems),
        of("POST /v1/subscription_schedules", WRITE_SUBSCRIPTIONS, Call::CreateSchedule),
        of("GET /v1/subscription_schedules", SUBSCRIPTIONS, Call::List(Kind::SubscriptionSchedule)),
        of("GET /v1/subscription_schedules/{id}", SUBSCRIPTIONS, Call::Get(Kind::SubscriptionSchedule)),
        of("POST /v1/subscription_schedules/{id}", WRITE_SUBSCRIPTIONS, Call::UpdateSchedule),
        of("POST /v1/subscription_schedules/{id}/release", WRITE_SUBSCRIPTIONS, Call::ReleaseSchedule),
        of("POST /v1/subscription_schedules/{id}/cancel", WRITE_SUBSCRIPTIONS, Call::CancelSchedule),
        of("POST /v1/invoices/create_preview", INVOICES, Call::PreviewInvoice),
        of("POST /v1/invoices/{id}/pay", WRITE_INVOICES, Call::PayInvoice),
        of("POST /v1/invoices/{id}/finalize", WRITE_INVOICES, Call::FinalizeInvoice),
        of("POST /v1/invoices/{id}/void", WRITE_INVOICES, Call::VoidInvoice),
        of("POST /v1/billing_portal/configurations", WRITE_PORTAL, Call::CreateConfiguration),
        of("GET /v1/billing_portal/configurations", PORTAL, Call::List(Kind::PortalConfiguration)),
        of("GET /v1/billing_portal/configurations/{id}", PORTAL, Call::Get(Kind::PortalConfiguration)),
        of("POST /v1/billing_portal/configurations/{id}", WRITE_PORTAL, Call::UpdateConfiguration),
        of("POST /v1/billing_portal/sessions", WRITE_PORTAL, Call::CreatePortalSession),
        of("POST /v1/refunds", WRITE_CHARGES, Call::CreateRefund),
    ]
};
