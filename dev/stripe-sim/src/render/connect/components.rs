//! The components that an account session can enable, and the features of each.
//!
//! Nothing here can fail. Deliberately absent: components that came after 2026-07-29.

/// One component with its features.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: &'static str,
    pub(crate) features: &'static [&'static str],
}

const fn component(name: &'static str, features: &'static [&'static str]) -> Component {
    Component { name, features }
}

/// May be true only where the platform collects requirements.
pub(crate) const WITHOUT_SIGN_IN: &str = "disable_stripe_user_authentication";

const ACCOUNT: &[&str] = &[WITHOUT_SIGN_IN, "external_account_collection"];
const BALANCE: &[&str] = &[
    WITHOUT_SIGN_IN,
    "edit_payout_schedule",
    "external_account_collection",
    "instant_payouts",
    "standard_payouts",
];
const PAYMENTS: &[&str] = &[
    "capture_payments",
    "destination_on_behalf_of_charge_management",
    "dispute_management",
    "refund_management",
    "smart_disputes_management",
];
const DISPUTES: &[&str] = &[
    "destination_on_behalf_of_charge_management",
    "dispute_management",
    "refund_management",
    "smart_disputes_management",
];
const CARDS: &[&str] = &[
    "card_management",
    "card_spend_dispute_management",
    "cardholder_management",
    WITHOUT_SIGN_IN,
    "spend_control_management",
];

pub(crate) static COMPONENTS: [Component; 21] = [
    component("account_management", ACCOUNT),
    component("account_onboarding", ACCOUNT),
    component("balance_report", &[]),
    component("balances", BALANCE),
    component("disputes_list", PAYMENTS),
    component("documents", &[]),
    component(
        "financial_account",
        &[
            WITHOUT_SIGN_IN,
            "external_account_collection",
            "send_money",
            "transfer_balance",
        ],
    ),
    component(
        "financial_account_transactions",
        &["card_spend_dispute_management"],
    ),
    component(
        "instant_payouts_promotion",
        &[
            WITHOUT_SIGN_IN,
            "external_account_collection",
            "instant_payouts",
        ],
    ),
    component(
        "issuing_card",
        &[
            "card_management",
            "card_spend_dispute_management",
            "cardholder_management",
            "spend_control_management",
        ],
    ),
    component("issuing_cards_list", CARDS),
    component("notification_banner", ACCOUNT),
    component("payment_details", PAYMENTS),
    component("payment_disputes", DISPUTES),
    component("payments", PAYMENTS),
    component("payout_details", &[]),
    component("payout_reconciliation_report", &[]),
    component("payouts", BALANCE),
    component("payouts_list", &[]),
    component("tax_registrations", &[]),
    component("tax_settings", &[]),
];
