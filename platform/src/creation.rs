//! Having the vendor make something once, under a key that was committed before.
//!
//! An answer that is lost is looked for; where nothing is found, the same request is sent once more, since the first one may
//! still be done, and under the same key it makes the same thing. Fails when it is still not known what became of it; then
//! whoever asks next does the same. Deliberately absent: the row with the key, which belongs to the noun.

use async_trait::async_trait;
use chrono::TimeDelta;

use crate::gateway::GatewayError;
use crate::idempotency::unless_busy;

/// For how long the same request is sent again. Stripe knows an idempotency key for 24 hours; an hour is left for clocks that
/// differ.
pub(crate) const SAME_ANSWER_FOR: TimeDelta = TimeDelta::hours(23);

/// Something to be made, which is the same however often it is asked for.
#[async_trait]
pub(crate) trait Creation: Sync {
    type Made: Send;

    /// Asks for it under its key.
    async fn make(&self) -> Result<Self::Made, GatewayError>;

    /// What was made of it.
    async fn find(&self) -> Result<Option<Self::Made>, GatewayError>;
}

/// What became of a creation.
#[derive(Debug)]
pub(crate) enum Created<T> {
    Made(T),
    /// It is certain that nothing was made, and the key has this answer for good.
    NotMade(GatewayError),
}

/// Has something made whose key was first used `age` ago.
///
/// # Errors
/// When it is not known what became of it, or the vendor was not asked.
pub(crate) async fn create<C: Creation>(
    creation: &C,
    age: TimeDelta,
) -> Result<Created<C::Made>, GatewayError> {
    if age > SAME_ANSWER_FOR {
        // Whatever was sent under the key is done or never will be.
        let no_answer = GatewayError::Failed {
            message: "no answer came for a day".to_owned(),
        };
        let found = creation.find().await?;
        return Ok(found.map_or(Created::NotMade(no_answer), Created::Made));
    }
    match unless_busy(|| creation.make()).await {
        Ok(done) => Ok(Created::Made(done)),
        // An older version of this program may have sent another request under this key, and lost the answer.
        Err(refused @ GatewayError::Refused { .. }) => {
            let found = match creation.find().await {
                // Where nothing can be listed, nothing was made.
                Err(GatewayError::Refused { .. }) => None,
                found => found?,
            };
            Ok(found.map_or(Created::NotMade(refused), Created::Made))
        }
        Err(GatewayError::Failed { .. } | GatewayError::Unknown(_)) => look_for(creation).await,
        Err(cause) => Err(cause),
    }
}

async fn look_for<C: Creation>(creation: &C) -> Result<Created<C::Made>, GatewayError> {
    if let Some(found) = creation.find().await? {
        return Ok(Created::Made(found));
    }
    match creation.make().await {
        Ok(made) => Ok(Created::Made(made)),
        Err(failed @ GatewayError::Failed { .. }) => {
            let found = creation.find().await?;
            Ok(found.map_or(Created::NotMade(failed), Created::Made))
        }
        Err(cause) => Err(cause),
    }
}
