//! What a client can make a server hold: no connection outlives its limits, and no reader that keeps reading is cut off.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use common::lifecycle;
use common::lifecycle::http::{self, Limits};
use common::telemetry;
use futures::stream;
use tests::api_only::ApiOnly;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(300);
/// By when whatever is limited to [`SHORT`] must have happened, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No limit that a test would reach.
fn unlimited() -> Limits {
    Limits {
        head: LONG,
        idle: LONG,
        idle_when_full: LONG,
        stall: LONG,
        ..Limits::new(NonZeroU32::new(64).unwrap())
    }
}

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

async fn serve(name: &'static str, router: Router, limits: Limits) -> Served {
    lifecycle::prepare_process();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, router, name, limits, stop.clone()));
    Served {
        address,
        stop,
        server,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

fn reached(server: &str, limit: &str) -> bool {
    let wanted =
        format!("stripe_sync_http_limits_reached_total{{server=\"{server}\",limit=\"{limit}\"}}");
    telemetry::render().contains(&wanted)
}

/// Reads until the server closes the connection; what came before that.
async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut text = Vec::new();
    let closed = timeout(SOON, stream.read_to_end(&mut text)).await;
    match closed.expect("the server closes the connection") {
        Ok(_) => {}
        Err(cause) => assert_eq!(cause.kind(), ErrorKind::ConnectionReset, "{cause}"),
    }
    text
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let limits = Limits {
        idle: SHORT,
        ..unlimited()
    };
    let served = serve("idle", hello(), limits).await;
    for bytes in [&b""[..], HTTP2_PREFACE] {
        let mut stream = send(served.address, bytes).await;
        read_to_close(&mut stream).await;
    }
    let mut stream = send(served.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = read_to_close(&mut stream).await;
    assert!(
        answer.ends_with(b"hello"),
        "a connection that was used, too"
    );
    assert!(reached("idle", "idle"));
}

#[tokio::test]
async fn a_request_head_that_does_not_end_closes_the_connection() {
    let limits = Limits {
        head: SHORT,
        ..unlimited()
    };
    let served = serve("head", hello(), limits).await;
    for bytes in [
        &b"GET / HT"[..],
        &HTTP2_PREFACE[..10],
        b"GET / HTTP/1.1\r\na: b\r\n",
    ] {
        let mut stream = send(served.address, bytes).await;
        read_to_close(&mut stream).await;
    }
    let (mut reader, mut writer) = send(served.address, b"GET / HTTP/1.1\r\na:")
        .await
        .into_split();
    let dripping = async {
        while writer.write_all(b" a").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let mut nothing = Vec::new();
    let closed = async {
        let _ = reader.read_to_end(&mut nothing).await;
    };
    timeout(SOON, async { tokio::join!(dripping, closed) })
        .await
        .expect("a head that drips is closed");
    assert!(reached("head", "head"));
}

#[tokio::test]
async fn a_connection_opened_ahead_over_http2_is_idle_and_not_late() {
    let limits = Limits {
        head: SHORT,
        idle: SHORT * 5,
        ..unlimited()
    };
    let served = serve("ahead", hello(), limits).await;
    // The preface and the settings of a client that has no request yet, whole and in pieces.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let whole = [HTTP2_PREFACE, &settings].concat();
    let opened = Instant::now();
    let mut ahead = send(served.address, &whole).await;
    read_to_close(&mut ahead).await;
    assert!(opened.elapsed() >= limits.idle);
    let mut ahead = send(served.address, &whole[..10]).await;
    ahead.write_all(&whole[10..]).await.unwrap();
    read_to_close(&mut ahead).await;
    assert!(reached("ahead", "idle"));
    assert!(!reached("ahead", "head"));
}

/// An answer without end, and where it reports that the server has released it.
fn endless() -> (Router, mpsc::UnboundedReceiver<()>) {
    let (dropped, heard) = mpsc::unbounded_channel();
    let handler = async move || {
        let tell = Arc::new(DropTell(dropped));
        let parts = stream::repeat_with(move || {
            let _ = &tell;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 * 1024]))
        });
        Body::from_stream(parts)
    };
    (Router::new().route("/", get(handler)), heard)
}

struct DropTell(mpsc::UnboundedSender<()>);

impl Drop for DropTell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_reader_that_stalls_ends_in_http1_and_http2() {
    let limits = Limits {
        stall: SHORT,
        ..unlimited()
    };
    let (router, mut dropped) = endless();
    let served = serve("stall", router, limits).await;
    let stream = send(served.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    timeout(SOON, dropped.recv())
        .await
        .expect("the answer of HTTP/1.1 is dropped");
    drop(stream);
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("http://{}/", served.address);
    let mut answer = client.get(&url).send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    timeout(SOON, dropped.recv())
        .await
        .expect("the answer of HTTP/2 is dropped");
    assert!(reached("stall", "stall"));
}

#[tokio::test]
async fn a_slow_reader_a_slow_answer_and_a_quiet_stream_are_not_cut_off() {
    const BYTES: usize = 48 << 20;
    let slow = async || {
        tokio::time::sleep(SHORT * 3).await;
        "slow"
    };
    let quiet = async || {
        let events = stream::unfold(0, async |n| {
            tokio::time::sleep(SHORT * 2).await;
            (n < 2).then(|| {
                (
                    Ok::<_, std::io::Error>(Bytes::from_static(b"event\n")),
                    n + 1,
                )
            })
        });
        Body::from_stream(events)
    };
    let router = Router::new()
        .route("/large", get(async || vec![b'x'; BYTES]))
        .route("/slow", get(slow))
        .route("/quiet", get(quiet));
    let limits = Limits {
        head: SHORT,
        idle: SHORT,
        idle_when_full: SHORT,
        stall: SHORT * 2,
        ..unlimited()
    };
    let served = serve("patient", router, limits).await;
    let url = format!("http://{}", served.address);
    for http2 in [false, true] {
        let mut client = reqwest::Client::builder();
        if http2 {
            client = client.http2_prior_knowledge();
        }
        let client = client.build().unwrap();
        let get = async |path: &str| client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(get("/slow").await.text().await.unwrap(), "slow");
        assert_eq!(get("/quiet").await.text().await.unwrap(), "event\nevent\n");
        let began = Instant::now();
        let mut answer = get("/large").await;
        let (mut read, mut unpaused) = (0, 0);
        while let Some(chunk) = answer.chunk().await.unwrap() {
            read += chunk.len();
            unpaused += chunk.len();
            // A pause a megabyte: far shorter than the limit, and all of them together far longer.
            if unpaused > 1 << 20 {
                unpaused = 0;
                tokio::time::sleep(SHORT / 6).await;
            }
        }
        assert_eq!(read, BYTES);
        assert!(began.elapsed() > limits.stall * 2);
    }
}

/// A connection with a small receive buffer, as a slow network makes it.
async fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_reader_of_ten_kilobytes_a_second_is_not_cut_off() {
    const PAUSE: Duration = Duration::from_millis(200);
    const BYTES_PER_PAUSE: usize = 2048;
    let limits = Limits {
        stall: Duration::from_secs(3),
        ..unlimited()
    };
    let (router, mut dropped) = endless();
    let served = serve("narrow", router, limits).await;
    let mut reader = connect_narrow(served.address).await;
    reader
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let began = Instant::now();
    let mut bytes = [0; BYTES_PER_PAUSE];
    while began.elapsed() < limits.stall * 3 {
        let read = timeout(SOON, reader.read_exact(&mut bytes)).await;
        read.expect("the answer goes on")
            .expect("the connection is open");
        tokio::time::sleep(PAUSE).await;
    }
    assert!(
        dropped.try_recv().is_err(),
        "the answer is still being sent"
    );
    assert!(!reached("narrow", "stall"));
    // Once it stops, it is one that stalls.
    timeout(SOON, dropped.recv())
        .await
        .expect("the answer is dropped");
    assert!(reached("narrow", "stall"));
}

#[tokio::test]
async fn when_every_connection_is_in_use_the_next_one_waits_and_idle_ones_make_room() {
    let limits = Limits {
        connections: NonZeroU32::MIN,
        idle_when_full: SHORT,
        ..unlimited()
    };
    let served = serve("full", hello(), limits).await;
    let mut silent = send(served.address, b"").await;
    let mut next = send(
        served.address,
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let answer = read_to_close(&mut next).await;
    assert!(answer.ends_with(b"hello"));
    read_to_close(&mut silent).await;
    assert!(reached("full", "connections"));
    let none_open = async {
        while !telemetry::render().contains("stripe_sync_http_connections{server=\"full\"} 0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, none_open)
        .await
        .expect("both are counted as closed");
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_when_the_server_stops() {
    let (begun, mut is_ready) = mpsc::unbounded_channel();
    let slow = async move || {
        begun.send(()).unwrap();
        tokio::time::sleep(SHORT).await;
        "answered"
    };
    let served = serve("stop", Router::new().route("/", get(slow)), unlimited()).await;
    let mut idle = send(served.address, b"").await;
    let mut asked = send(served.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    is_ready.recv().await.unwrap();
    served.stop.cancel();
    read_to_close(&mut idle).await;
    assert!(read_to_close(&mut asked).await.ends_with(b"answered"));
    timeout(SOON, served.server).await.unwrap().unwrap();
}

fn post_head(api: &ApiOnly, length: usize) -> String {
    format!(
        "POST /v1/connectors/stripe/connect HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
        api.token
    )
}

async fn served_at(api: &ApiOnly) -> SocketAddr {
    let url = api.serve().await;
    url.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn an_oversized_content_length_is_413_at_once() {
    let api = ApiOnly::start().await;
    let address = served_at(&api).await;
    let head = post_head(&api, 100_000_000);
    let mut silent = send(address, head.as_bytes()).await;
    let answer = read_to_close(&mut silent).await;
    assert!(answer.starts_with(b"HTTP/1.1 413"), "nothing was sent yet");
    // A client that reads only after it has sent a good part; the connection must not be reset under it.
    let mut eager = send(address, head.as_bytes()).await;
    for _ in 0..64 {
        if eager.write_all(&[b' '; 16 * 1024]).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    timeout(SOON, eager.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection")
        .expect("the connection is not reset");
    assert!(answer.starts_with(b"HTTP/1.1 413"));
    assert!(String::from_utf8_lossy(&answer).contains("\"too_large\""));
    assert!(reached("api", "body_bytes"));
}

#[tokio::test]
async fn a_slow_request_body_is_408() {
    let api = ApiOnly::start_with(api::Limits {
        body: SHORT,
        ..api::Limits::default()
    })
    .await;
    let address = served_at(&api).await;
    let stream = send(address, post_head(&api, 1_000_000).as_bytes()).await;
    let (mut reader, mut writer) = stream.into_split();
    let dripping = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let mut answer = vec![0; 4096];
    let read = async {
        let read = reader.read(&mut answer).await.unwrap();
        answer.truncate(read);
    };
    timeout(SOON, async {
        tokio::select! {
            () = dripping => panic!("the connection is closed before it is answered"),
            () = read => {}
        }
    })
    .await
    .expect("a body that drips is answered");
    assert!(
        answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert!(reached("api", "body"));
}
