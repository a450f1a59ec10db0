//! Server-sent events about something that changes: its state at first, then each time it is another, until it has ended.
//!
//! The state is read again at intervals, each time as whoever the request is from now: a stream ends when that is nobody any
//! more. Between two reads a stream holds no connection to the database, and a read that fails on our side is no end, since
//! the database may come back. Streams are counted ([`crate::limits`]), and end with the program.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use common::error_chain::ErrorChain;
use futures::stream::{self, StreamExt as _};
use tracing::debug;
use uuid::Uuid;

use crate::limits::Counted;
use crate::problem::ApiError;
use crate::state::ApiState;

/// How long a stream may be silent before a comment keeps proxies from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Something that a stream follows.
pub(crate) trait Followed: Send + Sync + 'static {
    type State: Send + Sync + 'static;

    /// How often the state is read.
    const INTERVAL: Duration;

    /// Reads the state, if the request that the stream answers would still be answered.
    fn load(&self) -> impl Future<Output = Result<Self::State, ApiError>> + Send;

    /// Whether there is nothing to report.
    fn is_same(last: &Self::State, next: &Self::State) -> bool;

    /// Whether nothing changes any more.
    fn has_ended(state: &Self::State) -> bool;

    fn event(state: &Self::State) -> Event;
}

/// The stream as an answer, counted under this id.
///
/// # Errors
/// When the first state cannot be read, or as many streams are open as may be.
pub(crate) async fn follow<F: Followed>(
    followed: F,
    state: &ApiState,
    counted_as: Uuid,
) -> Result<Response, ApiError> {
    let first = followed.load().await?;
    let open = state.streams.begin(counted_as)?;
    let stopped = state.shutdown.clone().cancelled_owned();
    let changes = stream::unfold(
        Following {
            followed,
            last: None,
            next: Some(first),
            _open: open,
        },
        Following::step,
    );
    // Fused, since what surrounds a body may poll it again after its end.
    let stream = changes.take_until(stopped).fuse();
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    // Proxies that buffer would hold events back.
    let headers = [("x-accel-buffering", "no")];
    Ok((headers, Sse::new(stream.boxed()).keep_alive(keep_alive)).into_response())
}

struct Following<F: Followed> {
    followed: F,
    last: Option<F::State>,
    next: Option<F::State>,
    _open: Counted,
}

impl<F: Followed> Following<F> {
    /// The next event; none after the one that reported the end.
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.last.as_ref().is_some_and(F::has_ended) {
            return None;
        }
        let state = match self.next.take() {
            Some(first) => first,
            None => self.changed().await?,
        };
        let event = F::event(&state);
        self.last = Some(state);
        Some((Ok(event), self))
    }

    /// Waits until the state is another than the last one sent; none when what was followed is gone, or may not be seen
    /// any more.
    async fn changed(&self) -> Option<F::State> {
        let last = self.last.as_ref()?;
        loop {
            tokio::time::sleep(F::INTERVAL).await;
            match self.followed.load().await {
                Ok(next) if F::is_same(last, &next) => {}
                Ok(next) => return Some(next),
                Err(refused) if refused.status().is_client_error() => return None,
                Err(cause) => {
                    debug!(error = %ErrorChain(&cause), "what a stream follows could not be read");
                }
            }
        }
    }
}
