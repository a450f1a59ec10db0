//! Parts of pages that follow what they show: such a part is sent again each time it changed, as a server-sent event.
//!
//! The last one asks for no stream, so the browser closes it. A stream ends when its viewer is signed out. One that breaks
//! off is opened again by htmx, and without JavaScript there is a link. Fails as the calls that the part reads by.

use std::marker::PhantomData;
use std::time::Duration;

use askama::Template;
use axum::http::request::Parts;
use axum::response::Response;
use axum::response::sse::Event;

use super::session::viewer_of;
use super::visit::Visit;
use crate::auth::Caller;
use crate::event_stream::{self, Followed};
use crate::problem::ApiError;

/// How often an open page looks for a change.
const INTERVAL: Duration = Duration::from_secs(1);

/// A part of a page that follows what it shows.
pub(super) trait LivePart: Template + Sized + Send + 'static {
    /// What it is about.
    type Id: Send + Sync + 'static;

    fn read(visit: &Visit, id: &Self::Id) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// Whether it may change, so that the page follows it.
    fn is_live(&self) -> bool;
}

/// The stream of a part as the answer to this request.
pub(super) async fn follow<P: LivePart>(
    visit: Visit,
    id: P::Id,
    request: Parts,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let (state, counted_as) = (state.clone(), Caller::from(viewer.clone()).counted_as);
    let part = FollowedPart {
        visit,
        id,
        request,
        part: PhantomData::<fn() -> P>,
    };
    event_stream::follow(part, &state, counted_as).await
}

struct FollowedPart<P: LivePart> {
    visit: Visit,
    id: P::Id,
    request: Parts,
    part: PhantomData<fn() -> P>,
}

/// The part as a browser gets it.
struct Shown {
    html: String,
    is_live: bool,
}

impl<P: LivePart> Followed for FollowedPart<P> {
    type State = Shown;

    const INTERVAL: Duration = INTERVAL;

    async fn load(&self) -> Result<Shown, ApiError> {
        let Visit(state, _, locale) = &self.visit;
        let viewer = viewer_of(state, &self.request).await?;
        let viewer = viewer.ok_or(ApiError::Unauthenticated)?;
        let visit = Visit(state.clone(), viewer, locale.clone());
        let part = P::read(&visit, &self.id).await?;
        Ok(Shown {
            html: part.render().map_err(ApiError::internal)?,
            is_live: part.is_live(),
        })
    }

    fn is_same(last: &Shown, next: &Shown) -> bool {
        last.html == next.html
    }

    fn has_ended(shown: &Shown) -> bool {
        !shown.is_live
    }

    fn event(shown: &Shown) -> Event {
        Event::default().data(&shown.html)
    }
}
