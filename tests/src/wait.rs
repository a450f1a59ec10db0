//! Waiting for a condition, for a bounded time.

use std::time::Duration;

use crate::world::WAIT_TIMEOUT;

/// Asks until there is an answer.
///
/// # Panics
/// When there is none in time.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answered = tokio::time::timeout(WAIT_TIMEOUT, asked).await;
    answered.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
