//! A receiver of webhooks that keeps what it gets and answers as a test wants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

/// One request, exactly as received.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrival {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("an event is JSON")
    }

    pub(crate) fn id(&self) -> String {
        self.event()["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("a plain header")
    }

    /// The `t` of the signature.
    pub(crate) fn signed_at(&self) -> i64 {
        let signature = self.header("stripe-signature");
        let t = signature
            .split(',')
            .find_map(|part| part.strip_prefix("t="));
        t.expect("a time").parse().expect("seconds")
    }
}

type Answer = dyn Fn(&Arrival) -> u16 + Send + Sync;

struct Inbox {
    all: Mutex<Vec<Arrival>>,
    answer: Box<Answer>,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Arc<Inbox>,
}

/// Serves `router` until the test ends; returns where.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0));
    let listener = listener.await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/hook")
}

async fn receive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let arrival = Arrival { headers, body };
    let status = (inbox.answer)(&arrival);
    inbox.lock().push(arrival);
    StatusCode::from_u16(status).expect("a status")
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    /// A receiver that answers with the status that `answer` says.
    pub(crate) async fn answering(
        answer: impl Fn(&Arrival) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let inbox = Arc::new(Inbox {
            all: Mutex::default(),
            answer: Box::new(answer),
        });
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&inbox));
        Self {
            url: serve(router).await,
            inbox,
        }
    }

    /// A receiver that takes everything.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| 200).await
    }

    /// What came, in the order in which it was answered.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.inbox.lock().clone()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.arrivals().iter().map(Arrival::id).collect()
    }
}
