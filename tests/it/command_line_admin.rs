//! Administration from the command line: organizations, tokens, keys and jobs, on the database itself.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use chrono::TimeDelta;
use chrono_tz::Tz;
use common::clock::{Clock as _, SystemClock, new_id};
use common::connection::{self, Connection};
use common::credential::{self, CredentialBinding, Keyring};
use common::db::{self, Role};
use common::job::{self, JobId, Trigger};
use common::plan_limit::UnderPlan;
use common::session;
use common::tenant::{self, OrganizationId, TokenRole, token_hash};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stripe::sync::JobType;
use tests::database::TestDatabase;
use tests::servers::shared_postgres_url;
use tests::shell::Shell;

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
        format!(
            "GRANT stripe_sync_api, stripe_sync_scheduler, stripe_sync_consumer, stripe_sync_webhooks, \
             stripe_sync_operator TO {name}"
        ),
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
    let operator = shell.run("token create --operator --name me", 0).await;
    let found = tenant::queries::authenticate(&pool, token_hash(operator.out.trim()), now);
    let found = found.await.unwrap().unwrap();
    assert_eq!(
        (found.organization_id, found.role),
        (OrganizationId::platform(), TokenRole::Operator)
    );
    for refused in [
        "token create",
        "token create --operator --org acme",
        "token create --operator --role admin",
        "token create --org acme --role operator",
        "token create --org _platform",
        "org create _platform --name Mine",
    ] {
        shell.run(refused, 2).await;
    }
    let operators = shell.run("token list --operator", 0).await.out;
    assert!(
        operators.contains("me") && operators.contains("operator") && !operators.contains("admin"),
        "{operators}"
    );
    let listed = shell.run("org list", 0).await.out;
    assert!(!listed.contains("_platform"), "{listed}");
    let id = found.token_id;
    shell.run(&format!("token revoke {id} --org acme"), 1).await;
    shell.run(&format!("token revoke {id} --operator"), 0).await;
    let revoked = tenant::queries::authenticate(&pool, token_hash(operator.out.trim()), now).await;
    assert!(revoked.unwrap().is_none());

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_link_is_printed_alone_and_goes_with_its_organization() {
    let url = database_of_an_ordinary_owner().await;
    let mut shell = Shell::new(&[("DATABASE_URL", &url)]);
    shell.run("migrate", 0).await;
    shell.run("org create acme --name Acme", 0).await;
    let missing = shell.run("sign-in-link --org acme", 2).await;
    missing.says(&["PUBLIC_URL", "is missing"]);
    shell.set("PUBLIC_URL", "https://sync.example.com/");
    for refused in [
        "sign-in-link",
        "sign-in-link --org _platform",
        "sign-in-link --org acme --role operator",
        "sign-in-link --org acme --minutes 0",
        "sign-in-link --org acme --public-url sync",
    ] {
        shell.run(refused, 2).await;
    }
    shell.run("sign-in-link --org nobody", 1).await;

    let pool = db::connect(&SecretString::from(url), Role::Api, 2).unwrap();
    let made_by = async |line: &str| {
        let made = shell.run(line, 0).await;
        assert_eq!(made.err, "");
        let link = made.out.strip_suffix('\n').unwrap();
        let code = link.strip_prefix("https://sync.example.com/sign-in/");
        let code = code.unwrap().to_owned();
        assert!(!code.contains(char::is_whitespace), "{made:?}");
        code
    };
    let now = SystemClock.now();
    for (line, role, minutes) in [
        ("sign-in-link --org acme", TokenRole::Admin, 15),
        (
            "sign-in-link --org acme --role analyst --minutes 60",
            TokenRole::Analyst,
            60,
        ),
    ] {
        let valid_for = TimeDelta::minutes(minutes);
        let code = made_by(line).await;
        // A minute for the command itself.
        let late = session::sign_in_by_link(&pool, &code, now + valid_for + TimeDelta::minutes(1));
        assert!(matches!(late.await, Err(session::Error::LinkNotValid)));
        let signed_in = session::sign_in_by_link(&pool, &code, now + valid_for).await;
        let session = signed_in.unwrap().session;
        assert_eq!((session.role, session.token_id), (role, None));
    }
    made_by("sign-in-link --org acme").await;
    shell.run("org delete acme --yes", 0).await;
}

/// Stores a connection of the organization, and a credential sealed by `keyring`.
async fn store_connection(
    pool: &db::Pool,
    organization: &OrganizationId,
    account: &str,
    keyring: &Keyring,
) {
    let now = SystemClock.now();
    let connection_id = connection::connection_id(organization, "stripe", account);
    let mut tx = db::tenant_transaction(pool, organization).await.unwrap();
    let stored = Connection {
        organization_id: organization.clone(),
        connection_id: connection_id.clone(),
        connector: "stripe".to_owned(),
        external_account_id: account.to_owned(),
        livemode: false,
        name: None,
        timezone: Tz::UTC,
        lookback_days: 30,
        paused: false,
        sync_interval_minutes: 15,
        rate_share: 1.0,
        payment_intent_metadata: false,
        permissions: Vec::new(),
        problem: None,
        warnings: Vec::new(),
        created_at: now,
        next_sync_at: now,
        scheduled_job_type: JobType::Full.as_str().to_owned(),
        via_platform: false,
        under_plan: UnderPlan::default(),
    };
    assert!(
        connection::queries::insert(&mut tx, &stored, None)
            .await
            .unwrap()
    );
    let binding = CredentialBinding::api_key(organization, &connection_id);
    let sealed = keyring
        .seal(&format!("rk_test_{account}"), binding)
        .unwrap();
    credential::queries::store(&mut tx, binding, &sealed, now)
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
        let connection_id = connection::connection_id(tenant, "stripe", account);
        let mut tx = db::tenant_transaction(&pool, tenant).await.unwrap();
        let binding = CredentialBinding::api_key(tenant, &connection_id);
        let envelope = credential::queries::load(&mut tx, binding)
            .await
            .unwrap()
            .unwrap();
        let opened = keyring.open(&envelope, binding).unwrap();
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
    let job = job::enqueue::NewJob {
        job_id,
        connection_id: "acme-stripe-acct_1",
        external_account_id: "acct_1",
        kind: JobType::Full.kind(),
        trigger: Trigger::Manual,
        payload: None,
        reuse_running: false,
    };
    job::enqueue::enqueue(&mut tx, &acme, &job, SystemClock.now())
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
    shell.run("jobs show", 0).await.says(&[
        "failed",
        "reason",
        "internal: x",
        &format!("`stripe-sync {retry}`"),
    ]);
    shell
        .run(&format!("jobs show {job_id} --json"), 0)
        .await
        .says(&["\"organization_id\": \"acme\""]);
    shell
        .run("jobs retry", 2)
        .await
        .says(&["jobs list --status failed"]);
    shell.run(&retry, 0).await.says(&["is pending again"]);
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
    shell.run("jobs list", 2).await.says(&[
        "DATABASE_URL is missing",
        "STRIPE_SYNC_TOKEN is also missing",
    ]);
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
