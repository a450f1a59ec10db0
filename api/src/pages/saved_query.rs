//! The query of a question that is saved: read as its page reads it, so that no question is saved that its page refuses.

use common::saved_question::{MAX_QUERY_CHARS, QuestionPage};
use common::tenant::OrganizationId;
use stripe::analytics::report;

use super::address::Address;
use super::question::Question;
use super::{explore, filter_builder, overview, question};
use crate::problem::{ApiError, FieldError};
use crate::state::ApiState;

const POINTER: &str = "/query";
/// What a question does not keep: a place in a list, and what a browser shows already.
const NOT_KEPT: [&str; 2] = ["cursor", "seen"];

/// Where a page is.
pub(super) fn path_of(page: QuestionPage) -> &'static str {
    match page {
        QuestionPage::Overview => overview::PATH,
        QuestionPage::Explore => explore::PATH,
    }
}

/// The query as it is to be saved.
///
/// # Errors
/// [`ApiError::Invalid`] at `/query` where the page would refuse it.
pub(crate) async fn check(
    state: &ApiState,
    organization: &OrganizationId,
    page: QuestionPage,
    query: &str,
) -> Result<String, ApiError> {
    let address = Address::new(path_of(page), query);
    let address =
        filter_builder::without_form(&address).retaining(|name| !NOT_KEPT.contains(&name));
    let kept = address.query();
    let chars = kept.chars().count();
    if chars > MAX_QUERY_CHARS {
        let detail = format!("must have at most {MAX_QUERY_CHARS} characters and has {chars}");
        return Err(refused(detail));
    }
    let question = match read(state, organization, page, &address).await {
        Ok(Some(question)) => question,
        Ok(None) => return Err(refused("asks about an account: connect one first")),
        Err(error) => return Err(at_query(error)),
    };
    // PostgreSQL has the last word on regular expressions.
    let begun = report::begin(&state.pool, &question.query.selection).await;
    begun.map_err(|error| at_query(error.into()))?;
    Ok(kept)
}

async fn read(
    state: &ApiState,
    organization: &OrganizationId,
    page: QuestionPage,
    address: &Address,
) -> Result<Option<Question>, ApiError> {
    match page {
        QuestionPage::Overview => {
            let wanted = overview::read(state, organization, address).await?;
            Ok(wanted.map(|wanted| wanted.question))
        }
        QuestionPage::Explore => {
            let read = question::read(state, organization, address, |_| ()).await?;
            Ok(read.map(|(question, ())| question))
        }
    }
}

fn refused(detail: impl Into<String>) -> ApiError {
    ApiError::invalid(vec![FieldError::at(POINTER, detail)])
}

/// The same error as one of the query.
fn at_query(error: ApiError) -> ApiError {
    match error {
        ApiError::Invalid { errors, .. } => {
            let errors = errors.into_iter().map(|error| {
                let parameter = error.parameter.unwrap_or_default();
                FieldError::at(POINTER, format!("`{parameter}`: {}", error.detail))
            });
            ApiError::invalid(errors.collect())
        }
        ApiError::NotFound => refused("`connection_id`: the organization has no such connection"),
        other => other,
    }
}
