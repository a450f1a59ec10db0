//! The endpoints of Connect, by method and path. The names of permissions are guesses.

use crate::api::endpoint::{ACCOUNT, Endpoint, Operation, endpoint};

/// What is done with connected accounts and their money.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnectCall {
    CreateAccount,
    ListAccounts,
    GetAccount,
    UpdateAccount,
    DeleteAccount,
    RejectAccount,
    ListCapabilities,
    GetCapability,
    UpdateCapability,
    CreateLoginLink,
    CreateAccountLink,
    CreateAccountSession,
    Balance,
    GetBalanceSettings,
    UpdateBalanceSettings,
    CreateTransfer,
    ListTransfers,
    GetTransfer,
    UpdateTransfer,
    CreateReversal,
    ListReversals,
    GetReversal,
    CreatePayout,
    ListPayouts,
    GetPayout,
    UpdatePayout,
    CancelPayout,
    CreateV2Account,
    ListV2Accounts,
    GetV2Account,
    CreateV2AccountLink,
}

impl ConnectCall {
    /// Whether the id in its path is of something else than an account.
    pub(super) const fn is_about_money(self) -> bool {
        matches!(
            self,
            Self::Balance
                | Self::GetBalanceSettings
                | Self::UpdateBalanceSettings
                | Self::CreateTransfer
                | Self::ListTransfers
                | Self::GetTransfer
                | Self::UpdateTransfer
                | Self::CreateReversal
                | Self::ListReversals
                | Self::GetReversal
                | Self::CreatePayout
                | Self::ListPayouts
                | Self::GetPayout
                | Self::UpdatePayout
                | Self::CancelPayout
        )
    }

    /// Whether its body is JSON.
    pub(super) const fn has_json(self) -> bool {
        matches!(self, Self::CreateV2Account | Self::CreateV2AccountLink)
    }
}

const WRITE_ACCOUNTS: &str = "rak_accounts_kyc_basic_write";
const LINKS: &str = "rak_account_link_write";
const SESSIONS: &str = "rak_account_session_write";
const READ_SETTINGS: &str = "rak_balance_settings_read";
const WRITE_SETTINGS: &str = "rak_balance_settings_write";
const READ_TRANSFERS: &str = "rak_transfer_read";
const WRITE_TRANSFERS: &str = "rak_transfer_write";
const READ_PAYOUTS: &str = "rak_payout_read";
const WRITE_PAYOUTS: &str = "rak_payout_write";

const fn of(template: &'static str, permission: &'static str, call: ConnectCall) -> Endpoint {
    endpoint(template, permission, Operation::Connect(call))
}

/// All but those that any key's own account has as well: `GET /v1/accounts/{id}` and `GET /v1/balance`.
pub(crate) static CONNECT_ENDPOINTS: [Endpoint; 29] = {
    use ConnectCall as Call;
    [
        of("POST /v1/accounts", WRITE_ACCOUNTS, Call::CreateAccount),
        of("GET /v1/accounts", ACCOUNT, Call::ListAccounts),
        of(
            "POST /v1/accounts/{id}",
            WRITE_ACCOUNTS,
            Call::UpdateAccount,
        ),
        of(
            "DELETE /v1/accounts/{id}",
            WRITE_ACCOUNTS,
            Call::DeleteAccount,
        ),
        of(
            "POST /v1/accounts/{id}/reject",
            WRITE_ACCOUNTS,
            Call::RejectAccount,
        ),
        of(
            "GET /v1/accounts/{id}/capabilities",
            ACCOUNT,
            Call::ListCapabilities,
        ),
        of(
            "GET /v1/accounts/{id}/capabilities/{capability}",
            ACCOUNT,
            Call::GetCapability,
        ),
        of(
            "POST /v1/accounts/{id}/capabilities/{capability}",
            WRITE_ACCOUNTS,
            Call::UpdateCapability,
        ),
        of(
            "POST /v1/accounts/{id}/login_links",
            WRITE_ACCOUNTS,
            Call::CreateLoginLink,
        ),
        of("POST /v1/account_links", LINKS, Call::CreateAccountLink),
        of(
            "POST /v1/account_sessions",
            SESSIONS,
            Call::CreateAccountSession,
        ),
        of(
            "GET /v1/balance_settings",
            READ_SETTINGS,
            Call::GetBalanceSettings,
        ),
        of(
            "POST /v1/balance_settings",
            WRITE_SETTINGS,
            Call::UpdateBalanceSettings,
        ),
        of("POST /v1/transfers", WRITE_TRANSFERS, Call::CreateTransfer),
        of("GET /v1/transfers", READ_TRANSFERS, Call::ListTransfers),
        of("GET /v1/transfers/{id}", READ_TRANSFERS, Call::GetTransfer),
        of(
            "POST /v1/transfers/{id}",
            WRITE_TRANSFERS,
            Call::UpdateTransfer,
        ),
        of(
            "POST /v1/transfers/{id}/reversals",
            WRITE_TRANSFERS,
            Call::CreateReversal,
        ),
        of(
            "GET /v1/transfers/{id}/reversals",
            READ_TRANSFERS,
            Call::ListReversals,
        ),
        of(
            "GET /v1/transfers/{id}/reversals/{reversal}",
            READ_TRANSFERS,
            Call::GetReversal,
        ),
        of("POST /v1/payouts", WRITE_PAYOUTS, Call::CreatePayout),
        of("GET /v1/payouts", READ_PAYOUTS, Call::ListPayouts),
        of("GET /v1/payouts/{id}", READ_PAYOUTS, Call::GetPayout),
        of("POST /v1/payouts/{id}", WRITE_PAYOUTS, Call::UpdatePayout),
        of(
            "POST /v1/payouts/{id}/cancel",
            WRITE_PAYOUTS,
            Call::CancelPayout,
        ),
        of(
            "POST /v2/core/accounts",
            WRITE_ACCOUNTS,
            Call::CreateV2Account,
        ),
        of("GET /v2/core/accounts", ACCOUNT, Call::ListV2Accounts),
        of("GET /v2/core/accounts/{id}", ACCOUNT, Call::GetV2Account),
        of(
            "POST /v2/core/account_links",
            LINKS,
            Call::CreateV2AccountLink,
        ),
    ]
};
