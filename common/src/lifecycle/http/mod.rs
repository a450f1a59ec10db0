//! The HTTP server of every program: `axum` behind limits on what a client can make it hold.
//!
//! `axum::serve` waits forever for a client that is silent, sends half a request or stops reading. Here a connection
//! ends when it goes without a request for too long, when a request head does not arrive in time, or when nobody
//! takes what was answered; and the number of connections is bounded. A slow reader that keeps reading is none of
//! these, nor is a client that waits for a slow answer or for the next event of a stream.
//!
//! What fails: a connection over its time is closed without an answer, counted in
//! `stripe_sync_http_limits_reached_total` and logged. When all connections are in use, further ones wait until one
//! ends, and those without a request end sooner.
//!
//! Absent on purpose: TLS, which a proxy in front ends; protocol upgrades; limits on the body, which only the
//! handler knows.

mod progress;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, error, info, warn};

use crate::named;

use progress::{Exchange, Progress, WatchedBody, WatchedStream};

/// Bytes of a request head, and of an answer that is buffered before it is sent. A head that is longer is 431.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that the system takes for a reader who has not yet been sent what came before. By default it takes megabytes,
/// and a reader of a few kilobytes a second would seem to stand still while it works through them.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a connection that is being closed may take to end in order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a log line says that connections have to wait.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// The pause after the system refused to accept, which it does when the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a server bears from its clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections that are open at once.
    pub connections: NonZeroU32,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// The same while every connection is in use.
    pub idle_when_full: Duration,
    /// Without taking anything of an answer that waits to be read.
    pub stall: Duration,
}

impl Limits {
    /// The limits of a server in production, with so many connections.
    pub fn new(connections: NonZeroU32) -> Self {
        Self {
            connections,
            head: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            idle_when_full: Duration::from_secs(2),
            stall: Duration::from_secs(30),
        }
    }
}

named! {
    /// A limit that a client can reach.
    Limit {
        /// Every connection is in use.
        Connections = "connections",
        /// The head of a request took too long.
        Head = "head",
        /// The body of a request took too long.
        Body = "body",
        /// The body of a request is too long.
        BodyBytes = "body_bytes",
        /// The connection had no request for too long.
        Idle = "idle",
        /// The reader of an answer took nothing for too long.
        Stall = "stall",
    }
}

impl Limit {
    pub fn count(self, server: &'static str) {
        metrics::counter!("stripe_sync_http_limits_reached_total", "server" => server, "limit" => self.as_str())
            .increment(1);
    }
}

/// Serves a router on a listener until shutdown; requests that have begun are answered first.
///
/// `server` names it in metrics and logs.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    server: &'static str,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let server = Server {
        name: server,
        router,
        limits,
        slots: Arc::new(Semaphore::new(limits.connections.get() as usize)),
        shutdown,
    };
    let connections = TaskTracker::new();
    while let Some((stream, peer, slot)) = server.next(&listener).await {
        connections.spawn(server.clone().connection(stream, peer, slot));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

#[derive(Clone)]
struct Server {
    name: &'static str,
    router: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Server {
    /// The next connection, and its share of the limit; none when the server is to stop.
    async fn next(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let accepted = self.shutdown.run_until_cancelled(accept(listener)).await;
        let (stream, peer) = accepted?;
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some((stream, peer, slot));
        }
        Limit::Connections.count(self.name);
        let mut waiting = pin!(Arc::clone(&self.slots).acquire_owned());
        loop {
            warn!(
                server = self.name,
                limit = self.limits.connections,
                "every connection is in use; further ones wait"
            );
            let slot = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = tokio::time::sleep(WARN_INTERVAL) => continue,
                slot = waiting.as_mut() => slot,
            };
            // The semaphore is never closed.
            return slot.ok().map(|slot| (stream, peer, slot));
        }
    }

    /// Serves a connection to its end.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let open = metrics::gauge!("stripe_sync_http_connections", "server" => self.name);
        open.increment(1);
        let progress = Arc::new(Progress::new());
        let service = {
            let (router, progress) = (self.router.clone(), Arc::clone(&progress));
            service_fn(move |request| answer(router.clone(), peer, Arc::clone(&progress), request))
        };
        let builder = protocols();
        let stream = TokioIo::new(WatchedStream::new(stream, Arc::clone(&progress)));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut limit_reached = pin!(progress.limit_reached(&self.limits, &self.slots));
        let mut stop = pin!(self.shutdown.cancelled());
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(cause) = ended {
                        debug!(server = self.name, %peer, %cause, "a connection broke off");
                    }
                    break;
                }
                () = stop.as_mut(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                limit = limit_reached.as_mut() => {
                    self.report(limit, peer);
                    // Only an idle connection can end in order: the client of any other is in the middle of something.
                    if limit == Limit::Idle {
                        connection.as_mut().graceful_shutdown();
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.as_mut()).await;
                    }
                    break;
                }
            }
        }
        open.decrement(1);
        drop(slot);
    }

    fn report(&self, limit: Limit, peer: SocketAddr) {
        limit.count(self.name);
        let (server, name) = (self.name, limit.as_str());
        if limit == Limit::Idle {
            // How most connections end.
            debug!(server, limit = name, %peer, "closed a connection without a request");
        } else {
            info!(server, limit = name, %peer, "closed a connection that made the server wait");
        }
    }
}

/// Accepts a connection, however often that fails.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // The last part of an answer would otherwise wait for the acknowledgement of the one before it,
                // which clients delay by 40 ms.
                if let Err(cause) = stream.set_nodelay(true) {
                    debug!(%cause, "a connection goes without TCP_NODELAY");
                }
                #[cfg(target_os = "linux")]
                if let Err(cause) = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
                    debug!(%cause, "a connection goes without TCP_NOTSENT_LOWAT");
                }
                return (stream, peer);
            }
            Err(cause) if is_of_the_client(&cause) => {}
            Err(cause) => {
                error!(%cause, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether a client gave up before its connection was accepted.
fn is_of_the_client(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Progress` watches the head, from its first byte on.
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    progress: Arc<Progress>,
    mut request: Request<Incoming>,
) -> Result<hyper::Response<WatchedBody>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let has_body = !request.body().is_end_stream();
    let mut exchange = Exchange::begin(progress, request.version(), has_body);
    let response = router.oneshot(request.map(Body::new)).await?;
    exchange.answered();
    Ok(response.map(|body| WatchedBody::new(body, exchange)))
}
