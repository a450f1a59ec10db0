//! A RabbitMQ that is half alive: it takes connections, declarations and messages, and never answers a
//! consumer, like a real one whose quorum queue has lost its leader.
//!
//! It is a proxy before the real one that drops every `basic.consume` on its way there, for as long as it is
//! asked to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lapin::uri::AMQPUri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// `AMQP` and a version, which a client sends before its first frame.
const PROTOCOL_HEADER: usize = 8;
/// Type, channel and size, before the payload of a frame.
const FRAME_HEADER: usize = 7;
const METHOD: u8 = 1;
/// Class and method of `basic.consume`.
const BASIC_CONSUME: [u8; 4] = [0, 60, 0, 20];

/// The proxy. Stops taking connections when it is dropped.
#[derive(Debug)]
pub struct PartialBroker {
    url: String,
    switch: Arc<Switch>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Switch {
    is_silent: AtomicBool,
    dropped: AtomicUsize,
}

impl PartialBroker {
    /// A silent one before the broker of this URL.
    pub async fn before(url: &str) -> Self {
        let mut uri: AMQPUri = url.parse().expect("the URL of a RabbitMQ");
        let behind = (uri.authority.host.clone(), uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let switch = Arc::new(Switch {
            is_silent: AtomicBool::new(true),
            dropped: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let taking = take_connections(listener, behind, Arc::clone(&switch));
        tokio::spawn(stop.clone().run_until_cancelled_owned(taking));
        Self {
            url: with_address(&mut uri, address),
            switch,
            _stop: stop.drop_guard(),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn recover(&self) {
        self.switch.is_silent.store(false, Ordering::Relaxed);
    }

    /// How many consumers have got no answer.
    pub fn unanswered(&self) -> usize {
        self.switch.dropped.load(Ordering::Relaxed)
    }
}

fn with_address(uri: &mut AMQPUri, address: SocketAddr) -> String {
    let user = &uri.authority.userinfo;
    let vhost = uri.vhost.replace('/', "%2f");
    format!(
        "amqp://{}:{}@{address}/{vhost}",
        user.username, user.password
    )
}

async fn take_connections(listener: TcpListener, behind: (String, u16), switch: Arc<Switch>) {
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        let (behind, switch) = (behind.clone(), Arc::clone(&switch));
        tokio::spawn(async move {
            let server = TcpStream::connect(behind)
                .await
                .expect("the broker behind it");
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, to_server) = server.into_split();
            // Whichever side ends, the other notices by the end of its connection.
            tokio::select! {
                _ = pass_frames(from_client, to_server, &switch) => {}
                _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            }
        });
    }
}

async fn pass_frames(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    switch: &Switch,
) -> std::io::Result<()> {
    let mut frame = vec![0; PROTOCOL_HEADER];
    from.read_exact(&mut frame).await?;
    to.write_all(&frame).await?;
    loop {
        frame.resize(FRAME_HEADER, 0);
        from.read_exact(&mut frame).await?;
        let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
        // The payload, and the octet that ends a frame.
        frame.resize(FRAME_HEADER + size + 1, 0);
        from.read_exact(&mut frame[FRAME_HEADER..]).await?;
        let consumes = frame[0] == METHOD && frame[FRAME_HEADER..].starts_with(&BASIC_CONSUME);
        if consumes && switch.is_silent.load(Ordering::Relaxed) {
            switch.dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        to.write_all(&frame).await?;
    }
}
