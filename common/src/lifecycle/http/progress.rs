//! Who a connection waits for: the client that sends or reads, or the server that works.
//!
//! The stream notes bytes, each request and each part of its answer note whose turn it is, and
//! [`Progress::limit_reached`] compares the client's turns with the limits. HTTP/2 needs the latter: its reader can stop
//! one answer without the connection ever being blocked. One stopped answer ends the connection only when nothing else
//! moves on it.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use hyper::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

use super::{Limit, Limits};

/// Writes below this are HTTP/2's answers to a client's pings and settings, which move no answer.
const BOOKKEEPING_BYTES: usize = 64;

/// What an HTTP/2 client sends first, before any request.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a closing connection takes what its client still sends.
const DRAIN: Duration = Duration::from_secs(2);

/// What happens on one connection. Times are milliseconds since it was accepted.
#[derive(Debug)]
pub(super) struct Progress {
    accepted: Instant,
    moved: AtomicU64,
    /// When the first byte of the next request came; `NOT_BEGUN` before that.
    head_began: AtomicU64,
    /// Requests that are not answered to the end.
    open: AtomicUsize,
    /// Those of them for which it is the server's turn.
    working: AtomicUsize,
    /// Bytes that come between requests are no heads.
    http2: AtomicBool,
    /// Whether the last request had a body, of which a rest may still be on its way.
    had_body: AtomicBool,
}

const NOT_BEGUN: u64 = u64::MAX;

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            accepted: Instant::now(),
            moved: AtomicU64::new(0),
            head_began: AtomicU64::new(NOT_BEGUN),
            open: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
            had_body: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        self.accepted.elapsed().as_millis() as u64
    }

    fn note_move(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    fn note_read(&self) {
        let between = self.open.load(Ordering::Relaxed) == 0 && !self.http2.load(Ordering::Relaxed);
        if between && self.head_began.load(Ordering::Relaxed) == NOT_BEGUN {
            self.head_began.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The connection speaks HTTP/2, by its first bytes: what comes between requests is no head, and no request has
    /// begun yet.
    fn note_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
        self.head_began.store(NOT_BEGUN, Ordering::Relaxed);
    }

    /// Waits until the client has used up the time of a limit; which one.
    pub(super) async fn limit_reached(&self, limits: &Limits, slots: &Semaphore) -> Limit {
        let shortest = limits.head.min(limits.idle).min(limits.idle_when_full);
        let mut looks = tokio::time::interval(shortest.min(limits.stall) / 4);
        loop {
            looks.tick().await;
            let full = slots.available_permits() == 0;
            if let Some(limit) = self.limit_reached_now(limits, full) {
                return limit;
            }
        }
    }

    fn limit_reached_now(&self, limits: &Limits, full: bool) -> Option<Limit> {
        let now = self.now();
        let since = |then: &AtomicU64| {
            let then = then.load(Ordering::Relaxed);
            Duration::from_millis(now.saturating_sub(then))
        };
        if self.working.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if self.open.load(Ordering::Relaxed) > 0 {
            return (since(&self.moved) >= limits.stall).then_some(Limit::Stall);
        }
        if since(&self.head_began) >= limits.head {
            return Some(Limit::Head);
        }
        let idle = if full {
            limits.idle_when_full
        } else {
            limits.idle
        };
        (since(&self.moved) >= idle).then_some(Limit::Idle)
    }
}

/// A request, from its head to the last part of its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    progress: Arc<Progress>,
    working: bool,
}

impl Exchange {
    pub(super) fn begin(progress: Arc<Progress>, version: Version, has_body: bool) -> Self {
        progress.head_began.store(NOT_BEGUN, Ordering::Relaxed);
        progress.had_body.store(has_body, Ordering::Relaxed);
        let http2 = version == Version::HTTP_2;
        progress.http2.store(http2, Ordering::Relaxed);
        progress.open.fetch_add(1, Ordering::Relaxed);
        progress.working.fetch_add(1, Ordering::Relaxed);
        progress.note_move();
        Self {
            progress,
            working: true,
        }
    }

    /// The answer, or a part of it, waits for its reader.
    pub(super) fn answered(&mut self) {
        self.turn(false);
    }

    fn turn(&mut self, working: bool) {
        match (self.working, working) {
            (false, true) => _ = self.progress.working.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.progress.working.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        }
        self.working = working;
        self.progress.note_move();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.turn(false);
        self.progress.open.fetch_sub(1, Ordering::Relaxed);
        self.progress.note_move();
    }
}

#[derive(Debug)]
pub(super) struct WatchedBody {
    body: Body,
    exchange: Exchange,
}

impl WatchedBody {
    pub(super) fn new(body: Body, exchange: Exchange) -> Self {
        Self { body, exchange }
    }
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Whoever asks has taken what came before.
        self.exchange.turn(true);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.exchange.turn(false);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[derive(Debug)]
pub(super) struct WatchedStream {
    stream: TcpStream,
    progress: Arc<Progress>,
    closing: Option<Pin<Box<Sleep>>>,
    /// The part of HTTP/2's preface that is still to come; none once a byte was another.
    preface_left: Option<&'static [u8]>,
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>) -> Self {
        Self {
            stream,
            progress,
            closing: None,
            preface_left: Some(HTTP2_PREFACE),
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        self.progress.note_read();
        let Some(left) = self.preface_left else {
            return;
        };
        let common = left.len().min(bytes.len());
        if left[..common] != bytes[..common] {
            self.preface_left = None;
        } else if common == left.len() {
            self.preface_left = None;
            self.progress.note_http2();
        } else {
            self.preface_left = Some(&left[common..]);
        }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(bytes)) if *bytes >= BOOKKEEPING_BYTES) {
            self.progress.note_move();
        }
    }

    /// Takes what the client still sends. A socket that is closed with something unread in it resets the
    /// connection, and the client would lose the answer that asked it to stop.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let closing = self
            .closing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(DRAIN)));
        let mut scrap = [0; 4096];
        while closing.as_mut().poll(cx).is_pending() {
            let mut scrap = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scrap)) {
                Ok(()) if !scrap.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.note_read(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.progress.had_body.load(Ordering::Relaxed) {
            ready!(self.poll_drain(cx));
        }
        Poll::Ready(Ok(()))
    }
}
