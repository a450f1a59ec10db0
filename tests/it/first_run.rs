//! What a person runs into who has just installed this: commands typed before the engine is ready, a port that is taken,
//! another program where the engine should be, and secrets that must not be shown.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cli::running_engines::EngineFile;
use common::clock::{Clock as _, SystemClock};
use common::db::Role;
use common::identity::EngineSecret;
use common::tenant::{self, token_hash};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use secrecy::ExposeSecret as _;
use tests::database::TestDatabase;
use tests::programs::Program;
use tests::shell::{Shell, end};
use tests::world::WAIT_TIMEOUT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::command_line_client::assert_speaks_of_commands;

const TOKEN: &str = "sst_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const STRIPE_KEY: &str = "rk_test_not_for_strangers";

/// Starts `up` on a port that the system chooses, in the shell's directory.
fn start_up(shell: &Shell, settings: &[(&str, &str)]) -> Program {
    let local = shell.directory().join(".local");
    let local = local.to_str().unwrap();
    let own = [("LOCAL_DIR", local), ("API_BIND", "127.0.0.1:0")];
    let settings = [&own[..], settings].concat();
    Program::start(
        "stripe-sync",
        &["up"],
        &settings,
        &shell.directory().join("up.log"),
    )
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    let in_time = tokio::time::timeout(WAIT_TIMEOUT, waited).await;
    assert!(in_time.is_ok(), "waited in vain for {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_typed_right_after_up_wait_until_it_is_ready() {
    let mut shell = Shell::new(&[("STRIPE_SYNC_TOKEN", TOKEN)]);
    let mut up = start_up(&shell, &[]);
    // All at once, while the first cluster is being made.
    let (created, listed, migrated, asked) = tokio::join!(
        shell.run("org create acme --name Acme", 0),
        shell.run("org list", 0),
        shell.run("migrate", 0),
        shell.run("status", 1),
    );
    for ran in [&created, &listed, &migrated, &asked] {
        assert!(
            ran.err.contains("waiting for the `stripe-sync up`"),
            "{ran:?}"
        );
    }
    // It found the engine, on a port that nobody gave it, and the engine does not know the token.
    asked.says(&["(unauthenticated)"]);
    let token = shell.run("token create --org acme", 0).await.out;
    shell.set("STRIPE_SYNC_TOKEN", token.trim());
    shell.run("status", 1).await.says(&["no connection yet"]);

    up.kill();
    // The note of the killed engine is still there and misleads nobody.
    let notes = || -> Vec<_> {
        let notes = std::fs::read_dir(shell.directory().join(".local/engines")).unwrap();
        notes.map(|note| note.unwrap().file_name()).collect()
    };
    let of_the_killed = notes();
    assert_eq!(of_the_killed.len(), 1);
    shell.run("status", 2).await.says(&["no engine is running"]);
    // Its PostgreSQL goes on alone; the next `up` takes over, and is waited for rather than that one used.
    let mut up = start_up(&shell, &[]);
    until("the next `up` to begin", async || {
        notes().iter().any(|note| !of_the_killed.contains(note))
    })
    .await;
    shell.run("org create zeta --name Zeta", 0).await;
    up.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_give_up_soon_when_no_up_starts() {
    let shell = Shell::new(&[]);
    let postgres = shell.directory().join(".local/postgres");
    std::fs::create_dir_all(&postgres).unwrap();
    let lock = File::create(postgres.join("lock")).unwrap();
    lock.lock().unwrap();
    let line = "org create acme --name Acme";
    let mut waiting = shell.start(line);
    let mut said = vec![0; "waiting for".len()];
    let errors = waiting.stderr.as_mut().unwrap();
    errors.read_exact(&mut said).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "waiting for");
    lock.unlock().unwrap();
    end(waiting, line, 2)
        .await
        .says(&["DATABASE_URL is missing", "no `stripe-sync up` runs"]);
    shell.run(line, 2).await.says(&["no `stripe-sync up` runs"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_engine_of_two_is_found() {
    let database = TestDatabase::create().await;
    let url = database.url().expose_secret().to_owned();
    let mut shell = Shell::new(&[("DATABASE_URL", &url)]);
    let keys = common::credential::Keyring::generate("k1");
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("ENCRYPTION_KEYS", keys.expose_secret()),
    ];
    shell.run("org create acme --name Acme", 0).await;
    let token = shell.run("token create --org acme", 0).await.out;
    shell.set("STRIPE_SYNC_TOKEN", token.trim());
    for newest_dies in [true, false] {
        let mut first = start_up(&shell, &settings);
        shell.run("status", 1).await.says(&["no connection yet"]);
        let mut second = start_up(&shell, &settings);
        until("two notes of ready engines", async || {
            let notes = std::fs::read_dir(shell.directory().join(".local/engines")).unwrap();
            let ready = notes
                .filter_map(|note| std::fs::read_to_string(note.unwrap().path()).ok())
                .filter(|note| !note.is_empty());
            ready.count() == 2
        })
        .await;
        let (dies, lives) = if newest_dies {
            (&mut second, &mut first)
        } else {
            (&mut first, &mut second)
        };
        dies.kill();
        shell.run("status", 1).await.says(&["no connection yet"]);
        lives.terminate().await;
        for note in std::fs::read_dir(shell.directory().join(".local/engines")).unwrap() {
            std::fs::remove_file(note.unwrap().path()).unwrap();
        }
    }
}

/// A program that is no engine: it keeps what it is sent and answers every request with one body.
struct Stranger {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    async fn start(body: &str) -> Self {
        Self::start_at("127.0.0.1:0", body).await.unwrap()
    }

    async fn start_at(address: &str, body: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                while let Ok((mut connection, _)) = listener.accept().await {
                    let (heard, answer) = (Arc::clone(&heard), answer.clone());
                    tokio::spawn(async move {
                        let mut piece = [0; 4096];
                        while let Ok(length @ 1..) = connection.read(&mut piece).await {
                            heard.lock().unwrap().extend_from_slice(&piece[..length]);
                            connection.write_all(answer.as_bytes()).await.unwrap();
                        }
                    });
                }
            }
        });
        Ok(Self { url, heard })
    }

    /// Checks that it was asked who it is, and nothing else.
    #[track_caller]
    fn assert_only_asked_for_its_name(&self) {
        let heard = String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned();
        assert!(heard.starts_with("GET /healthz?challenge="), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
        assert!(!heard.to_lowercase().contains("authorization"), "{heard}");
        assert!(
            !heard.contains("sst_") && !heard.contains(STRIPE_KEY),
            "{heard}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_on_the_engines_port_is_sent_neither_token_nor_key() {
    for body in ["{}", r#"{"status": "ok"}"#, "<html>", r#"{"name": 1}"#] {
        let stranger = Stranger::start(body).await;
        let shell = Shell::new(&[
            ("STRIPE_SYNC_URL", &stranger.url),
            ("STRIPE_SYNC_TOKEN", TOKEN),
            ("STRIPE_API_KEY", STRIPE_KEY),
        ]);
        shell
            .run("connect --org acme", 1)
            .await
            .says(&["is not a stripe-sync engine", "STRIPE_SYNC_URL"]);
        stranger.assert_only_asked_for_its_name();
    }
}

/// Whatever calls itself by the engine's name on the engine's usual port: nobody asked for that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_engine_here_and_without_an_address_nothing_is_sent_anywhere() {
    let named = r#"{"status": "ok", "name": "stripe-sync"}"#;
    // Another test or another program may have the port; then that one is the stranger.
    let stranger = Stranger::start_at("127.0.0.1:8080", named).await.ok();
    let shell = Shell::new(&[("STRIPE_SYNC_TOKEN", TOKEN), ("STRIPE_API_KEY", STRIPE_KEY)]);
    let here = shell.directory().canonicalize().unwrap().join(".local");
    let reported = format!(
        "no engine is running in this directory ({})",
        here.display()
    );
    for line in ["connect --org acme", "status", "sync", "revenue"] {
        shell
            .run(line, 2)
            .await
            .says(&[&reported, "Set STRIPE_SYNC_URL", "stripe-sync up"]);
    }
    if let Some(stranger) = stranger {
        assert!(stranger.heard.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_found_in_the_directory_proves_that_it_left_the_address() {
    let shell = Shell::new(&[("STRIPE_SYNC_TOKEN", TOKEN), ("STRIPE_API_KEY", STRIPE_KEY)]);
    let engines = shell.directory().join(".local/engines");
    for body in [
        r#"{"status": "ok", "name": "stripe-sync"}"#,
        r#"{"name": "stripe-sync", "proof": "00"}"#,
    ] {
        let stranger = Stranger::start(body).await;
        let mut note = EngineFile::create(&engines).unwrap();
        let secret = EngineSecret::generate();
        note.announce(&stranger.url.parse().unwrap(), &secret)
            .unwrap();
        shell
            .run("connect --org acme", 1)
            .await
            .says(&["another program answers at", "stripe-sync up"]);
        stranger.assert_only_asked_for_its_name();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_cannot_be_read_is_reported_without_its_path() {
    let odd = Stranger::start(r#"{"status": "ok", "name": "stripe-sync"}"#).await;
    let shell = Shell::new(&[("STRIPE_SYNC_URL", &odd.url), ("STRIPE_SYNC_TOKEN", TOKEN)]);
    for line in ["status", "sync", "revenue"] {
        let ran = shell.run(line, 1).await;
        let ran = ran.says(&["the engine's response could not be read"]);
        assert_speaks_of_commands(&ran.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_encryption_on_another_machine_is_warned_about() {
    let mut shell = Shell::new(&[
        ("STRIPE_SYNC_URL", "http://stripe-sync.invalid"),
        ("STRIPE_SYNC_TOKEN", TOKEN),
    ]);
    let warning = "warning: http://stripe-sync.invalid/ is not encrypted";
    shell.run("status", 1).await.says(&[warning, "https://"]);
    for quiet in ["https://stripe-sync.invalid", "http://127.0.0.1:1"] {
        shell.set("STRIPE_SYNC_URL", quiet);
        let ran = shell.run("status", 1).await;
        assert!(!ran.err.contains("warning"), "{ran:?}");
    }
}

/// Reads what a terminal shows until it shows `text`; what it has shown.
fn read_until(terminal: &mut File, text: &str) -> String {
    let mut shown = Vec::new();
    let mut piece = [0; 1024];
    // A terminal whose program has ended gives an error.
    while let Ok(length @ 1..) = terminal.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
        if String::from_utf8_lossy(&shown).contains(text) {
            break;
        }
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// A program hides what is typed a moment after its prompt, and what was typed before that is lost.
async fn hidden(terminal: &File) {
    until("what is typed to be hidden", async || {
        let local = tcgetattr(terminal).unwrap().local_flags;
        !local.contains(LocalFlags::ECHO)
    })
    .await;
}

/// Runs a program on a terminal of its own and types `typed` once `prompt` is shown; all that the terminal showed.
async fn on_a_terminal(shell: &Shell, line: &str, prompt: &str, typed: &str, code: i32) -> String {
    let terminal = openpty(None, None).unwrap();
    let other_ends: [OwnedFd; 2] = std::array::from_fn(|_| terminal.slave.try_clone().unwrap());
    let [stdout, stderr] = other_ends;
    let child = shell
        .command(line)
        .stdin(terminal.slave)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut master = File::from(terminal.master);
    let (prompt, typed) = (prompt.to_owned(), typed.to_owned());
    let runtime = tokio::runtime::Handle::current();
    let talk = tokio::task::spawn_blocking(move || {
        let mut shown = read_until(&mut master, &prompt);
        assert!(shown.contains(&prompt), "{shown}");
        if prompt.contains("not shown") {
            runtime.block_on(hidden(&master));
        }
        master.write_all(typed.as_bytes()).unwrap();
        shown += &read_until(&mut master, "\0");
        shown
    });
    end(child, line, code).await;
    talk.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_person_types_to_revoke_it_is_not_shown() {
    let database = TestDatabase::create().await;
    let shell = Shell::new(&[("DATABASE_URL", database.url().expose_secret())]);
    shell.run("org create acme --name Acme", 0).await;
    let token = shell.run("token create --org acme", 0).await.out;
    let shown = on_a_terminal(&shell, "token revoke", "Token (not shown): ", &token, 0).await;
    assert!(shown.contains("token revoked"), "{shown}");
    assert!(!shown.contains(&token.trim()[..12]), "{shown}");
    let pool = database.pool(Role::Api);
    let found =
        tenant::queries::authenticate(&pool, token_hash(token.trim()), SystemClock.now()).await;
    assert!(found.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_is_deleted_by_a_person_who_types_its_id() {
    let database = TestDatabase::create().await;
    let shell = Shell::new(&[("DATABASE_URL", database.url().expose_secret())]);
    shell.run("org create acme --name Acme", 0).await;
    let delete = "org delete acme";
    shell.run(delete, 2).await.says(&["add --yes"]);
    let prompt = "Type `acme` to delete it: ";
    let shown = on_a_terminal(&shell, delete, prompt, "yes\n", 1).await;
    assert!(shown.contains("nothing was deleted"), "{shown}");
    shell.run("token create --org acme", 0).await;
    let shown = on_a_terminal(&shell, delete, prompt, "acme\n", 0).await;
    assert!(shown.contains("organization acme is deleted"), "{shown}");
    shell.run(delete, 1).await.says(&["no organization `acme`"]);
}
