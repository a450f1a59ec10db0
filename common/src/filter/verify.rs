//! Asking PostgreSQL whether it runs a regular expression.

use sqlx::{Connection as _, PgConnection};

use super::{CompiledPredicate, Invalid, REGEX_UNSUPPORTED};
use crate::db::Error;

/// PostgreSQL's code for a regular expression that it does not compile.
const INVALID_REGEX: &str = "2201B";

/// Asks PostgreSQL whether it runs the regular expressions of a predicate. Parsing refuses what is known to
/// be too large; this asks the one that knows, before a rule is stored or a filter is used.
///
/// # Errors
///
/// When the database does not answer. The inner result names the values that it refused.
#[tracing::instrument(name = "db.filter.verify", level = "debug", skip_all)]
pub async fn verify(
    conn: &mut PgConnection,
    predicate: &CompiledPredicate,
) -> Result<Result<(), Vec<Invalid>>, Error> {
    let mut refused = Vec::new();
    for (index, place, pattern) in predicate.patterns() {
        // A savepoint, so that a refusal leaves the caller's transaction usable.
        let mut attempt = conn.begin().await?;
        let answer = sqlx::query_scalar!(
            r#"SELECT ('' COLLATE "C" ~ $1::TEXT) AS "matches!""#,
            pattern
        )
        .fetch_one(&mut *attempt)
        .await;
        attempt.rollback().await?;
        match answer {
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(INVALID_REGEX) => {
                refused.push(Invalid {
                    pointer: format!("/conditions/{index}/{place}"),
                    code: REGEX_UNSUPPORTED,
                    detail: format!(
                        "PostgreSQL cannot run this regular expression: {}",
                        error.message()
                    ),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(if refused.is_empty() {
        Ok(())
    } else {
        Err(refused)
    })
}
