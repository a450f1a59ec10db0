//! How the client asks: one request for one answer, lists page by page, and which connection is meant.
//!
//! A request fails when nothing answers, when the engine refuses, or when the answer is not
//! understood. Nothing is retried here.

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::local_files::LocalFiles;

use super::responses::{Connection, Page, Token};
use super::{ANSWER_WITHIN, Client, Error, PAGE_SIZE, Problem, Server};

/// No body.
pub(super) const NOTHING: Option<&Value> = None;

impl Server {
    /// The directory in which a running engine is looked for.
    pub(crate) fn into_local(self) -> LocalFiles {
        self.local
    }

    /// Whether a token was given, in whatever way.
    pub(crate) fn has_token(&self) -> bool {
        let token = self.stripe_sync_token.as_ref();
        let file = self.stripe_sync_token_file.as_ref();
        token.is_some_and(|token| !token.expose_secret().trim().is_empty())
            || file.is_some_and(|file| !file.as_os_str().is_empty())
    }
}

impl Client {
    /// Asks for `path` with `query` and reads the answer.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let request = self
            .http
            .get(self.url(path))
            .query(query)
            .timeout(ANSWER_WITHIN);
        read(self.send(request).await?).await
    }

    /// Sends `body` to `path` and reads the answer and its status.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, T), Error> {
        let request = self
            .http
            .request(method, self.url(path))
            .timeout(ANSWER_WITHIN);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = self.send(request).await?;
        Ok((response.status(), read(response).await?))
    }

    /// Posts what moves money to `path`; with the same key it is done once.
    pub(super) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self
            .http
            .post(self.url(path))
            .timeout(ANSWER_WITHIN)
            .header("Idempotency-Key", key)
            .json(body);
        read(self.send(request).await?).await
    }

    /// Deletes what is at `path`, for which the engine's whole answer is that it is gone.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), Error> {
        let request = self.http.delete(self.url(path)).timeout(ANSWER_WITHIN);
        self.send(request).await?;
        Ok(())
    }

    /// Opens a stream of events, which takes as long as it takes.
    pub(super) async fn stream(&self, path: &[&str]) -> Result<Response, Error> {
        // A former stream may have broken off because the engine ended.
        self.engine.doubt();
        let request = self
            .http
            .get(self.url(path))
            .header(header::ACCEPT, "text/event-stream");
        self.send(request).await
    }

    /// The newest `limit` objects of a list.
    pub(super) async fn newest<T: DeserializeOwned>(
        &self,
        limit: u32,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        let page_size = limit.min(1000).to_string();
        self.up_to(limit as usize, &page_size, path, query, |_| true)
            .await
    }

    /// Every object of a list, page by page.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        self.up_to(usize::MAX, PAGE_SIZE, path, query, |_| true)
            .await
    }

    /// The first `limit` objects of a list that are `wanted`, in pages of `page_size`.
    pub(super) async fn up_to<T: DeserializeOwned>(
        &self,
        limit: usize,
        page_size: &str,
        path: &[&str],
        query: &[(&str, &str)],
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let mut query = query.to_vec();
        query.push(("limit", page_size));
        self.pages(path, &query, |page: Page<T>| {
            found.extend(page.data.into_iter().filter(&wanted));
            page.next_cursor.filter(|_| found.len() < limit)
        })
        .await?;
        found.truncate(limit);
        Ok(found)
    }

    /// Gives page after page of a list to `take`, which says where the next one begins, if it wants one.
    pub(super) async fn pages<P: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        mut take: impl FnMut(P) -> Option<String>,
    ) -> Result<(), Error> {
        let mut cursor = take(self.get(path, query).await?);
        while let Some(next) = cursor {
            let mut query = query.to_vec();
            query.push(("cursor", &next));
            cursor = take(self.get(path, &query).await?);
        }
        Ok(())
    }

    /// Whose the token is.
    pub(super) async fn token(&self) -> Result<Token, Error> {
        self.get(&["v1", "token"], &[]).await
    }

    /// The connections of the token's organization.
    pub(super) async fn connections(&self) -> Result<Vec<Connection>, Error> {
        self.all(&["v1", "connectors"], &[]).await
    }

    /// The connection that was chosen, or the only one.
    pub(super) async fn connection_id(&self, chosen: Option<String>) -> Result<String, Error> {
        if let Some(chosen) = chosen {
            return Ok(chosen);
        }
        let connections = self.connections().await?;
        only_one(
            connections
                .into_iter()
                .map(|connection| connection.connection_id)
                .collect(),
        )
    }

    pub(super) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.engine.base().clone();
        // Only URLs that cannot have a path have no segments; those have no host either.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.engine.recognise(&self.http).await?;
        let sent = request.bearer_auth(self.token.expose_secret()).send().await;
        let response = sent.map_err(|cause| {
            self.engine.doubt();
            Error::Unreachable {
                url: self.engine.base().clone(),
                cause: cause.without_url(),
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        match response.json::<Problem>().await {
            Ok(problem) => Err(Error::Refused(Box::new(problem))),
            Err(_) => Err(Error::Strange {
                base: self.engine.base().clone(),
                status,
            }),
        }
    }
}

fn only_one(mut ids: Vec<String>) -> Result<String, Error> {
    match ids.pop() {
        None => Err(Error::NoConnection),
        Some(only) if ids.is_empty() => Ok(only),
        Some(last) => {
            ids.push(last);
            Err(Error::ManyConnections(ids))
        }
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    response.json().await.map_err(Error::unreadable)
}

/// What a command needs of an answer that was kept whole for `--json`.
pub(crate) fn understood<T: DeserializeOwned>(answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(Error::Message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_chosen_only_where_there_is_a_choice() {
        let ids = |ids: &[&str]| only_one(ids.iter().map(|&id| id.to_owned()).collect());
        assert!(matches!(ids(&[]), Err(Error::NoConnection)));
        assert_eq!(ids(&["acme-stripe-acct_1"]).unwrap(), "acme-stripe-acct_1");
        let many = ids(&["acme-stripe-acct_1", "acme-stripe-acct_2"])
            .unwrap_err()
            .to_string();
        assert!(
            many.ends_with("--connection:\n  acme-stripe-acct_1\n  acme-stripe-acct_2"),
            "{many}"
        );
    }
}
