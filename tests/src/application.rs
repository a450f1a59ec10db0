//! Another application with sessions of its own, which says whose one is, as `docs/sessions.md` describes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The key by which the application knows the engine.
pub const KEY: &str = "key-of-the-engine";

/// What the application does when it is asked.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Says whose session it is.
    Works,
    /// Answers every question so, with this body.
    Answers(u16, String),
    /// Sends the question elsewhere.
    Redirects(String),
    /// Never answers.
    Silent,
}

#[derive(Debug)]
struct Known {
    sessions: BTreeMap<String, Value>,
    behaviour: Behaviour,
    asked: Vec<String>,
}

/// The application; it ends with this.
#[derive(Debug)]
pub struct Application {
    known: Arc<Mutex<Known>>,
    /// Where it verifies sessions.
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Application {
    pub async fn start() -> Self {
        let known = Arc::new(Mutex::new(Known {
            sessions: BTreeMap::new(),
            behaviour: Behaviour::Works,
            asked: Vec::new(),
        }));
        let router = Router::new()
            .route("/verify", post(verify))
            .with_state(Arc::clone(&known));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server");
        });
        Self {
            known,
            url: format!("http://{address}/verify"),
            task,
        }
    }

    /// Signs a user in, or changes who a session is.
    pub fn sign_in(&self, token: &str, user: &str, organization: &str, role: &str) {
        let session = json!({"user_id": user, "email": "a@example.com", "organization_id": organization, "role": role});
        self.known().sessions.insert(token.to_owned(), session);
    }

    pub fn sign_out(&self, token: &str) {
        self.known().sessions.remove(token);
    }

    /// From now on it does this when it is asked.
    pub fn behave(&self, behaviour: Behaviour) {
        self.known().behaviour = behaviour;
    }

    /// The tokens that it was asked about.
    pub fn asked(&self) -> Vec<String> {
        self.known().asked.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn verify(
    State(known): State<Arc<Mutex<Known>>>,
    headers: HeaderMap,
    Json(question): Json<Value>,
) -> Response {
    let behaviour = {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let token = question["token"].as_str().expect("a token").to_owned();
        known.asked.push(token);
        known.behaviour.clone()
    };
    if headers[header::AUTHORIZATION] != format!("Bearer {KEY}") {
        return StatusCode::FORBIDDEN.into_response();
    }
    match behaviour {
        Behaviour::Works => {}
        Behaviour::Answers(status, body) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return (status, body).into_response();
        }
        Behaviour::Redirects(to) => {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response();
        }
        Behaviour::Silent => std::future::pending().await,
    }
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let session = known
        .sessions
        .get(question["token"].as_str().unwrap_or_default());
    match session {
        Some(session) => Json(session.clone()).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}
