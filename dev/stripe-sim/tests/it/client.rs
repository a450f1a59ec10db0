//! A reader of the simulated API, written without the simulator's own code.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;
use stripe_sim::{AccountConfig, Settings, SimHandle, Simulator, TimeSource};

/// The frozen time of these tests.
pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn error(&self) -> &Value {
        &self.body["error"]
    }
}

pub(crate) fn config(charges: u64) -> AccountConfig {
    AccountConfig {
        seed: 4,
        charges,
        days: 40,
        settings: Some(Settings::unlimited()),
        ..AccountConfig::default()
    }
}

pub(crate) async fn start(config: AccountConfig) -> SimHandle {
    let builder = Simulator::builder()
        .time(TimeSource::Frozen(NOW))
        .account(config);
    builder.start().await.expect("a free port can be bound")
}

/// A client that keeps no connections, since each test has a runtime of its own.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    // A second installation is refused, and the first one serves.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder()
        .gzip(true)
        .pool_max_idle_per_host(0);
    builder.build().expect("a plain client can be built")
});

pub(crate) fn http() -> &'static reqwest::Client {
    &CLIENT
}

/// Asks for `path` with the account's key.
pub(crate) async fn get(sim: &SimHandle, path: &str) -> Answer {
    get_with(sim, path, sim.first().key(), &[]).await
}

pub(crate) async fn get_with(
    sim: &SimHandle,
    path: &str,
    key: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = http()
        .get(format!("{}{path}", sim.base_url))
        .bearer_auth(key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("the simulator answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.json().await.expect("the answer is JSON");
    Answer {
        status,
        headers,
        body,
    }
}

/// Sends a form with `key`; breaks where the connection does.
pub(crate) async fn send(
    sim: &SimHandle,
    key: &str,
    (method, path): (Method, &str),
    form: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> reqwest::Result<Answer> {
    let mut request = http()
        .request(method, format!("{}{path}", sim.base_url))
        .bearer_auth(key);
    if !form.is_empty() {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        request = request.body(body.finish());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer {
        status,
        headers,
        body: response.json().await?,
    })
}

/// Pages through the list at `path` from the newest to the oldest.
pub(crate) async fn walk(sim: &SimHandle, path: &str, limit: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let answer = get(sim, &format!("{path}{join}limit={limit}{cursor}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = answer.body["data"]
            .as_array()
            .expect("a list has data")
            .clone();
        if let Some(last) = page.last() {
            cursor = format!("&starting_after={}", last["id"].as_str().expect("an id"));
        }
        all.extend(page);
        if answer.body["has_more"] == false {
            return all;
        }
    }
}

/// The one id of `kind` that the account has an example of.
pub(crate) fn example(sim: &SimHandle, kind: &str) -> String {
    let examples = sim.first().examples(1);
    examples
        .get(kind)
        .unwrap_or_else(|| panic!("no example of {kind}"))[0]
        .clone()
}
