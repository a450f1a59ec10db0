//! Idempotency keys: under one, the vendor does a request once and gives its answer again, however often it is sent.
//!
//! A key begins with the id of a row that was committed before, and nothing is sent that changes something without one: the
//! client takes none. Where the row outlives the request, whoever continues it sends the same key; where only the caller wants
//! the answer, as for a link that works once, the key is of this call. Fails as the vendor does. Deliberately absent: the rows,
//! which belong to the nouns.

use std::fmt;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use common::clock::random_bytes;
use uuid::Uuid;

use crate::gateway::GatewayError;

/// How often the vendor is asked again while it answers the same request of another call.
const BUSY_RETRIES: usize = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// What a request is known by. Stripe takes up to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Of the request that a row stands for.
    pub fn of(row: Uuid) -> Self {
        Self(row.to_string())
    }

    /// Of a request that is made for this call alone, of whatever belongs to a row.
    pub fn once(row: Uuid) -> Self {
        Self::of(row).step(&Uuid::from_bytes(random_bytes()).to_string())
    }

    /// Of one of several requests. The name says what of the request is known only once it is made.
    #[must_use]
    pub fn step(&self, name: &str) -> Self {
        Self(format!("{self}-{name}"))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends a request, and again for a while where the same one is being answered at this moment.
pub(crate) async fn unless_busy<T, F>(send: impl FnMut() -> F) -> Result<T, GatewayError>
where
    F: Future<Output = Result<T, GatewayError>>,
{
    let policy = ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_times(BUSY_RETRIES)
        .with_jitter();
    send.retry(policy)
        .when(|cause| matches!(cause, GatewayError::Busy { .. }))
        .await
}

/// Sends a request under its key, and once more where no answer comes: what was done is not done again, and is answered.
pub(crate) async fn answered<T, F>(mut send: impl FnMut() -> F) -> Result<T, GatewayError>
where
    F: Future<Output = Result<T, GatewayError>>,
{
    match unless_busy(&mut send).await {
        Err(GatewayError::Unknown(_)) => unless_busy(send).await,
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_begins_with_its_row_and_names_the_step() {
        let row = Uuid::from_u128(7);
        let key = IdempotencyKey::of(row);
        assert_eq!(key.to_string(), row.to_string());
        assert_eq!(key.step("release").to_string(), format!("{row}-release"));
        assert_ne!(IdempotencyKey::once(row), IdempotencyKey::once(row));
        assert!(
            IdempotencyKey::once(row)
                .to_string()
                .starts_with(&row.to_string())
        );
    }
}
