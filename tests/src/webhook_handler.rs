//! An internal handler of forwarded events, which answers as a test wants and remembers what it was sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::stream;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

/// What the handler does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// Sends it elsewhere.
    Redirect(String),
    /// Never answers.
    Silence,
    /// Answers 200 with a body that never ends.
    Endless,
}

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Request {
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Request {
    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug)]
struct Known {
    answer: Answer,
    requests: Vec<Request>,
}

/// A handler; it ends with this.
#[derive(Debug)]
pub struct Handler {
    pub url: Url,
    known: Arc<Mutex<Known>>,
    task: JoinHandle<()>,
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Handler {
    /// A handler that answers 200.
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    /// The same at a port.
    pub async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("the port is free");
        let address = listener.local_addr().expect("an address");
        let known = Arc::new(Mutex::new(Known {
            answer: Answer::Status(200),
            requests: Vec::new(),
        }));
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&known));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            url: url_at(address.port()),
            known,
            task,
        }
    }

    /// Answers so from now on.
    pub fn set_answer(&self, answer: Answer) {
        lock(&self.known).answer = answer;
    }

    /// All requests, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.known).requests.clone()
    }

    /// The ids of the events that came, each as often as it did, in order.
    pub fn event_ids(&self) -> Vec<String> {
        let ids = self.requests();
        let mut ids: Vec<String> = ids
            .iter()
            .map(|it| it.header("x-event-id").into())
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// Where a handler at this port is.
pub fn url_at(port: u16) -> Url {
    format!("http://127.0.0.1:{port}/hooks/stripe")
        .parse()
        .expect("a URL")
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handle(
    State(known): State<Arc<Mutex<Known>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let headers = headers.collect();
    let answer = {
        let mut known = lock(&known);
        known.requests.push(Request { headers, body });
        known.answer.clone()
    };
    let response = Response::builder();
    let response = match answer {
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::Redirect(to) => response
            .status(307)
            .header("location", to)
            .body(Body::empty()),
        Answer::Silence => std::future::pending().await,
        Answer::Endless => {
            let chunks = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Some((Ok::<_, Infallible>(vec![b'x'; 16 << 10]), ()))
            });
            response.body(Body::from_stream(chunks))
        }
    };
    response.expect("a response")
}
