//! `stripe-sync` as people and scripts use it: what it prints where, how it exits, and that a laptop
//! needs no set-up. It runs as a process each time, without any setting but those given here.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chrono_tz::Tz;
use common::clock::{Clock as _, SystemClock, new_id};
use common::connection::{self, Connection};
use common::credential::{self, Keyring, Place};
use common::db::{self, Role};
use common::sync::{self, JobId, JobType, Trigger};
use common::tenant::{self, OrganizationId, TokenRole, token_hash};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stripe_sim::Simulator;
use tests::database::TestDatabase;
use tests::programs::Program;
use tests::servers::shared_postgres_url;
use tests::shell::Shell;
use tests::world::{PATIENCE, unlimited_account};

fn organization(id: &str) -> OrganizationId {
    OrganizationId::new(id).unwrap()
}

/// An empty database whose owner is no superuser, as a hosted PostgreSQL gives one.
async fn database_of_an_ordinary_owner() -> String {
    // Makes the programs' roles, which belong to the cluster.
    TestDatabase::create().await;
    let name = format!("owned_{}", new_id(SystemClock.now()).simple());
    let mut conn = PgConnection::connect(&shared_postgres_url()).await.unwrap();
    for statement in [
        format!("CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'ordinary'"),
        format!("GRANT stripe_sync_api, stripe_sync_scheduler, stripe_sync_consumer TO {name}"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let mut url = reqwest::Url::parse(&shared_postgres_url()).unwrap();
    url.set_username(&name).unwrap();
    url.set_password(Some("ordinary")).unwrap();
    url.set_path(&name);
    url.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organizations_and_tokens_are_managed_by_an_owner_who_is_no_superuser() {
    let url = database_of_an_ordinary_owner().await;
    let shell = Shell::new(&[("DATABASE_URL", &url)]);
    shell
        .run("org create acme --name Acme", 1)
        .await
        .says(&["run `stripe-sync migrate` first"]);
    shell.run("migrate", 0).await;
    shell.run("migrate", 0).await;

    shell.run("org create acme --name Acme", 0).await;
    shell.run("org create acme --name Acme", 0).await;
    shell
        .run("org create acme --name Other", 1)
        .await
        .says(&["`acme`", "`Acme`"]);
    shell.run("org create Acme --name Acme", 2).await;

    let before = SystemClock.now();
    let admin = shell.run("token create --org acme", 0).await;
    let analyst = shell
        .run(
            "token create --org acme --name reports --role analyst --expires-in 90d",
            0,
        )
        .await;
    shell.run("token create --org nobody", 1).await;
    let pool = db::connect(&SecretString::from(url), Role::Api, 2).unwrap();
    let now = SystemClock.now();
    for (made, role, expires) in [
        (&admin, TokenRole::Admin, false),
        (&analyst, TokenRole::Analyst, true),
    ] {
        assert_eq!(made.err, "");
        let text = made.out.strip_suffix('\n').unwrap();
        assert!(
            !text.contains(char::is_whitespace),
            "only the token is printed: {made:?}"
        );
        let found = tenant::queries::authenticate(&pool, token_hash(text), now)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.organization_id, found.role),
            (organization("acme"), role)
        );
        assert_eq!(
            found.expires_at.map(|at| (at - before).num_days()),
            expires.then_some(90)
        );
    }
    let listed = shell.run("token list --org acme", 0).await.out;
    assert!(
        listed.contains("reports") && listed.contains("analyst"),
        "{listed}"
    );
    assert!(!listed.contains(analyst.out.trim()) && !listed.contains(admin.out.trim()));

    shell.run_with_input("token revoke", &analyst.out, 0).await;
    shell.run_with_input("token revoke", &analyst.out, 1).await;
    shell.run("token revoke nonsense", 2).await;
    let revoked = tenant::queries::authenticate(&pool, token_hash(analyst.out.trim()), now).await;
    assert!(revoked.unwrap().is_none());
    let live = tenant::queries::authenticate(&pool, token_hash(admin.out.trim()), now).await;
    let id = live.unwrap().unwrap().token_id;
    shell.run(&format!("token revoke {id}"), 2).await;
    shell.run(&format!("token revoke {id} --org acme"), 0).await;
    shell.run(&format!("token revoke {id} --org acme"), 1).await;
}

/// Stores a connection of the organization, and a credential sealed by `keyring`.
async fn store_connection(
    pool: &db::Pool,
    organization: &OrganizationId,
    account: &str,
    keyring: &Keyring,
) {
    let now = SystemClock.now();
    let connection_id = connection::connection_id(organization, account);
    let mut tx = db::tenant_transaction(pool, organization).await.unwrap();
    let stored = Connection {
        organization_id: organization.clone(),
        connection_id: connection_id.clone(),
        stripe_account_id: account.to_owned(),
        livemode: false,
        name: None,
        timezone: Tz::UTC,
        lookback_days: 30,
        paused: false,
        sync_interval_minutes: 15,
        rate_share: 1.0,
        permissions: Vec::new(),
        problem: None,
        warnings: Vec::new(),
        created_at: now,
        next_sync_at: now,
    };
    connection::queries::insert(&mut tx, &stored).await.unwrap();
    let place = Place {
        organization,
        connection_id: &connection_id,
    };
    let sealed = keyring.seal(&format!("rk_test_{account}"), place).unwrap();
    credential::queries::store(&mut tx, organization, &connection_id, &sealed, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_keys_rewrites_every_credential_that_opens_and_names_the_others() {
    const CONNECTIONS: usize = 230;
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Api);
    let [old, new, lost] = ["old", "new", "lost"].map(Keyring::generate);
    let sealing = |keys: &SecretString| Keyring::parse(keys.expose_secret()).unwrap();
    let mut shell = Shell::new(&[
        ("DATABASE_URL", database.url().expose_secret()),
        (
            "ENCRYPTION_KEYS",
            &format!("{},{}", new.expose_secret(), old.expose_secret()),
        ),
    ]);
    for id in ["acme", "zeta"] {
        shell.run(&format!("org create {id} --name {id}"), 0).await;
    }
    let (acme, zeta) = (organization("acme"), organization("zeta"));
    for n in 0..CONNECTIONS {
        // More than a batch, the lost one first of all.
        let keys = if n == 0 { &lost } else { &old };
        store_connection(&pool, &acme, &format!("acct_{n:03}"), &sealing(keys)).await;
    }
    store_connection(&pool, &zeta, "acct_000", &sealing(&old)).await;

    let count = format!("re-encrypted {CONNECTIONS} credentials under the key new");
    let ran = shell.run("keys rotate", 1).await;
    let ran = ran.says(&[&count, "acme-stripe-acct_000: no key `lost` is configured"]);
    let secrets =
        [&old, &new, &lost].map(|keys| keys.expose_secret().split_once(':').unwrap().1.to_owned());
    assert!(
        secrets
            .iter()
            .all(|secret| !ran.err.contains(secret) && !ran.out.contains(secret))
    );
    let keyring = sealing(&new);
    for (tenant, account) in [
        (&acme, "acct_001"),
        (&acme, "acct_229"),
        (&zeta, "acct_000"),
    ] {
        let connection_id = connection::connection_id(tenant, account);
        let mut tx = db::tenant_transaction(&pool, tenant).await.unwrap();
        let envelope = credential::queries::load(&mut tx, tenant, &connection_id)
            .await
            .unwrap()
            .unwrap();
        let place = Place {
            organization: tenant,
            connection_id: &connection_id,
        };
        let opened = keyring.open(&envelope, place).unwrap();
        assert_eq!(opened.expose_secret(), format!("rk_test_{account}"));
    }

    let all = [&new, &old, &lost]
        .map(|keys| keys.expose_secret().to_owned())
        .join(",");
    shell.set("ENCRYPTION_KEYS", &all);
    shell
        .run("keys rotate", 0)
        .await
        .says(&["re-encrypted 1 credential under the key new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_job_of_any_organization_is_found_and_retried() {
    let database = TestDatabase::create().await;
    let shell = Shell::new(&[("DATABASE_URL", database.url().expose_secret())]);
    shell.run("org create acme --name Acme", 0).await;
    let (acme, job_id) = (organization("acme"), JobId(new_id(SystemClock.now())));
    let pool = database.pool(Role::Api);
    let mut tx = db::tenant_transaction(&pool, &acme).await.unwrap();
    let job = sync::queries::NewJob {
        job_id,
        connection_id: "acme-stripe-acct_1",
        stripe_account_id: "acct_1",
        job_type: JobType::Full,
        trigger: Trigger::Manual,
        running_serves: false,
    };
    sync::queries::enqueue(&mut tx, &acme, &job, SystemClock.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let retry = format!("jobs retry {job_id}");
    shell.run(&retry, 1).await.says(&["is pending"]);
    sqlx::query(
        "UPDATE sync_jobs SET status = 'failed', finished_at = now(), error_code = 'internal', error_message = 'x'",
    )
    .execute(database.admin())
    .await
    .unwrap();

    let listed = shell.run("jobs list --status failed", 0).await.out;
    assert!(
        listed.contains(&job_id.to_string()) && listed.contains("internal"),
        "{listed}"
    );
    let none = shell
        .run("jobs list --status completed --json", 0)
        .await
        .out;
    assert_eq!(none.trim(), "[]");
    shell.run(&retry, 0).await;
    let json = shell.run("jobs list --org acme --json", 0).await.out;
    let jobs: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&jobs[0]["status"], &jobs[0]["error"]),
        (&Value::from("pending"), &Value::Null)
    );
    let unknown = new_id(SystemClock.now());
    shell.run(&format!("jobs retry {unknown}"), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_and_missing_settings_are_named_together() {
    let shell = Shell::new(&[]);
    shell
        .run("org create acme --name Acme", 2)
        .await
        .says(&["DATABASE_URL is missing"]);
    let wrong = "up --api-bind nowhere --sync-schedule never --database-url x";
    let settings = ["DATABASE_URL", "API_BIND", "SYNC_SCHEDULE"];
    shell.run(wrong, 2).await.says(&settings);
    shell
        .run("status --stripe-sync-url nowhere", 2)
        .await
        .says(&["STRIPE_SYNC_URL", "STRIPE_SYNC_TOKEN"]);
    assert!(
        !shell.directory().join(".local").exists(),
        "nothing was begun"
    );
}

/// The address that `up` says it listens on.
async fn listening(log: &Path) -> String {
    common::lifecycle::prepare_process();
    let http = reqwest::Client::builder().build().unwrap();
    let waited = async {
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if let Some((_, rest)) = text.split_once("stripe-sync listens on ") {
                let url = rest.split_whitespace().next().unwrap().to_owned();
                // It listens before it has migrated.
                let ready = http.get(format!("{url}/readyz")).send().await;
                if ready.is_ok_and(|answer| answer.status().is_success()) {
                    return url;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 2, waited)
        .await
        .expect("`up` says where it listens")
}

/// Connects the account of this key and syncs it, with a mistake or two on the way.
async fn connect_and_sync(shell: &Shell, key: &str) {
    shell.run("revenue", 1).await.says(&["no connection"]);
    shell
        .run_with_input("connect --org acme --timezone Nowhere", key, 1)
        .await
        .says(&["(invalid_request)", "/timezone: "]);
    let connect = "connect --org acme --lookback-days 120 --follow";
    let connected = [
        "connected acme-stripe-",
        "full job completed: 300 charges read",
    ];
    shell.run_with_input(connect, key, 0).await.says(&connected);
    shell
        .run_with_input("connect", key, 1)
        .await
        .says(&["(connection_exists)"]);

    assert!(
        shell
            .run("status", 0)
            .await
            .out
            .contains("  charges   300\n")
    );
    shell.run("sync --follow", 0).await;
    shell.run("status --follow", 0).await;
}

/// Checks that the revenue is the same in every form.
async fn compare_revenue(shell: &Shell) {
    let json = shell.run("revenue --by currency --json", 0).await.out;
    let json: Value = serde_json::from_str(&json).unwrap();
    let total = &json["totals"][0];
    let csv = shell
        .run("revenue --by metadata:charge.tier --csv", 0)
        .await
        .out;
    let net: i64 = csv
        .lines()
        .skip(1)
        .filter(|line| line.split(',').nth(1) == total["currency"].as_str())
        .map(|line| line.rsplit(',').next().unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(total["net"], net, "{csv}");
    let table = shell.run("revenue --by day", 0).await.out;
    assert!(table.contains("│ total "), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_needs_no_settings() {
    let sim = Simulator::builder()
        .account(unlimited_account(300))
        .start()
        .await
        .unwrap();
    let mut shell = Shell::new(&[]);
    let local = shell.directory().join(".local");
    let log = shell.directory().join("up.log");
    let settings = [
        ("LOCAL_DIR", local.to_str().unwrap()),
        ("API_BIND", "127.0.0.1:0"),
        ("STRIPE_API_BASE", &sim.base_url),
        ("LOG_FORMAT", "json"),
    ];
    let mut up = Program::start("stripe-sync", &["up"], &settings, &log);
    shell.set("STRIPE_SYNC_URL", &listening(&log).await);
    let mode = local
        .join("encryption_keys")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    shell.run("org create acme --name Acme", 0).await;
    let token = shell.run("token create --org acme", 0).await.out;
    shell
        .run("status --stripe-sync-token sst_wrong", 1)
        .await
        .says(&["(unauthenticated)", "request "]);
    shell.set("STRIPE_SYNC_TOKEN", token.trim());

    connect_and_sync(&shell, sim.first().key()).await;
    compare_revenue(&shell).await;

    up.terminate().await;
    assert!(
        !local.join("database_url").exists()
            && !local.join("postgres/data/postmaster.pid").exists()
    );
    shell
        .run("token create --org acme", 2)
        .await
        .says(&["DATABASE_URL is missing"]);
    assert!(
        !std::fs::read_to_string(&log)
            .unwrap()
            .contains(sim.first().key())
    );
}
