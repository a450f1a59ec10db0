//! The calls of the API, a noun a file. A call that is not registered here does not exist; one that is,
//! is in the OpenAPI document.

pub(crate) mod analytics;
pub(crate) mod checkout;
pub(crate) mod completeness;
pub(crate) mod connected_accounts;
pub(crate) mod connections;
pub(crate) mod create_connection;
pub(crate) mod daily;
pub(crate) mod docs;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod key;
pub(crate) mod metadata_keys;
pub(crate) mod operator_organizations;
pub(crate) mod operator_webhooks;
pub(crate) mod parked;
pub(crate) mod payout_schedule;
pub(crate) mod payouts;
pub(crate) mod plans;
pub(crate) mod questions;
pub(crate) mod reconciliation;
pub(crate) mod restatements;
pub(crate) mod rules;
mod stream_body;
pub(crate) mod subscription;
pub(crate) mod subscription_changes;
pub(crate) mod sync;
pub(crate) mod token;
pub(crate) mod transfers;
pub(crate) mod webhook_endpoints;
pub(crate) mod webhook_events;
pub(crate) mod webhook_stats;
pub(crate) mod webhooks;

use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::document;
use crate::state::ApiState;

/// The status of an answer about what was made now, or exists already.
fn answer_status(is_new: bool, status_of_new: StatusCode) -> StatusCode {
    if is_new {
        status_of_new
    } else {
        StatusCode::OK
    }
}

pub(crate) fn all() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(document::base())
        .routes(routes!(token::token))
        .routes(routes!(create_connection::connect))
        .routes(routes!(key::test))
        .routes(routes!(key::replace_key))
        .routes(routes!(sync::start))
        .routes(routes!(connections::list))
        .routes(routes!(
            connections::get,
            connections::update,
            connections::delete
        ))
        .routes(routes!(sync::status))
        .routes(routes!(parked::list))
        .routes(routes!(completeness::get))
        .routes(routes!(completeness::compare))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::events))
        .routes(routes!(rules::create, rules::list))
        .routes(routes!(rules::get, rules::update, rules::delete))
        .routes(routes!(rules::preview))
        .routes(routes!(questions::list, questions::save))
        .routes(routes!(questions::update, questions::delete))
        .routes(routes!(metadata_keys::discover))
        .routes(routes!(explain::explain))
        .routes(routes!(analytics::report))
        .routes(routes!(daily::daily_aggregates))
        .routes(routes!(analytics::charges))
        .routes(routes!(restatements::list))
        .routes(routes!(
            webhook_endpoints::create,
            webhook_endpoints::replace_secret,
            webhook_endpoints::get,
            webhook_endpoints::delete
        ))
        .routes(routes!(webhook_stats::get))
        .routes(routes!(webhook_events::list))
        .routes(routes!(webhook_events::replay_matching))
        .routes(routes!(webhook_events::get))
        .routes(routes!(webhook_events::replay_one))
        .routes(routes!(connected_accounts::start))
        .routes(routes!(connected_accounts::status))
        .routes(routes!(connected_accounts::dashboard_link))
        .routes(routes!(connected_accounts::end))
        .routes(routes!(transfers::create))
        .routes(routes!(transfers::list))
        .routes(routes!(transfers::get))
        .routes(routes!(transfers::reverse))
        .routes(routes!(payouts::get_balance))
        .routes(routes!(payout_schedule::get, payout_schedule::set))
        .routes(routes!(payouts::create, payouts::list))
        .routes(routes!(reconciliation::get))
        .routes(routes!(plans::list))
        .routes(routes!(checkout::create))
        .routes(routes!(checkout::setup_payment))
        .routes(routes!(subscription::get))
        .routes(routes!(subscription_changes::preview))
        .routes(routes!(subscription_changes::change_plan))
        .routes(routes!(subscription_changes::cancel))
        .routes(routes!(subscription_changes::resume))
        .routes(routes!(subscription_changes::open_portal))
        .routes(routes!(subscription::read_again))
        .routes(routes!(subscription::reveal_key))
        .routes(routes!(subscription::roll_key))
        .routes(routes!(subscription::invoices))
        .routes(routes!(subscription::payments))
        .routes(routes!(operator_organizations::list))
        .routes(routes!(operator_organizations::update))
        .routes(routes!(operator_webhooks::stats))
        .routes(routes!(operator_webhooks::list))
        .routes(routes!(operator_webhooks::replay_matching))
        .routes(routes!(operator_webhooks::get))
        .routes(routes!(operator_webhooks::replay_one))
        .routes(routes!(webhooks::receive_platform))
        .routes(routes!(webhooks::receive_connect))
        .routes(routes!(webhooks::receive))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}
