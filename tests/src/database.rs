//! A fresh, migrated database for a test, in the run's shared PostgreSQL.
//!
//! Databases are left behind: the cluster is thrown away after the run.

use chrono::{DateTime, Utc};
use common::clock::{Clock as _, SystemClock, new_id, random_bytes};
use common::db::{self, Pool, Role};
use common::tenant::{self, OrganizationId, TokenRole};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};

use crate::servers::shared_postgres_url;

/// Connections of one pool of a test.
const POOL_CONNECTIONS: u32 = 8;

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    url: String,
    admin: Pool,
}

impl TestDatabase {
    /// Makes a migrated database in the shared PostgreSQL: a copy, since every test needs one and migrating
    /// takes several times as long.
    pub async fn create() -> Self {
        let server_url = shared_postgres_url();
        let mut conn = connect(&server_url).await;
        let template = template(&mut conn, &server_url).await;
        let name = new_name("test");
        execute(
            &mut conn,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        Self::at(url_of(&server_url, &name))
    }

    /// Makes and migrates a database in the cluster of this superuser's URL.
    pub async fn create_in(server_url: &str) -> Self {
        let url = migrated(
            &mut connect(server_url).await,
            server_url,
            &new_name("test"),
        )
        .await;
        Self::at(url)
    }

    fn at(url: String) -> Self {
        let admin = PgPoolOptions::new()
            .max_connections(POOL_CONNECTIONS)
            .connect_lazy(&url)
            .expect("a URL of PostgreSQL");
        Self { url, admin }
    }

    /// Its URL, with the superuser in it.
    pub fn url(&self) -> SecretString {
        self.url.clone().into()
    }

    /// Connections of the superuser, who sees every tenant.
    pub fn admin(&self) -> &Pool {
        &self.admin
    }

    /// Makes a token of an organization that exists.
    pub async fn token(
        &self,
        organization: &OrganizationId,
        role: TokenRole,
        now: DateTime<Utc>,
    ) -> String {
        let token = tenant::token_text(&random_bytes());
        let mut conn = self.admin.acquire().await.expect("a connection");
        let new = tenant::queries::NewToken {
            token_id: new_id(now),
            hash: tenant::token_hash(&token),
            name: "test",
            role,
            expires_at: None,
        };
        tenant::queries::create_token(&mut conn, organization, &new, now)
            .await
            .expect("a token");
        token
    }

    /// A pool under a program's role.
    pub fn pool(&self, role: Role) -> Pool {
        db::connect(&self.url(), role, POOL_CONNECTIONS).expect("a URL of PostgreSQL")
    }
}

/// A name that no other database has.
pub fn new_name(beginning: &str) -> String {
    format!("{beginning}_{}", new_id(SystemClock.now()).simple())
}

/// The URL of another database of the same cluster and user.
pub fn url_of(server_url: &str, name: &str) -> String {
    let mut url = url::Url::parse(server_url).expect("a URL");
    url.set_path(name);
    url.into()
}

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL of PostgreSQL");
    PgConnection::connect_with(&options)
        .await
        .expect("PostgreSQL is there")
}

async fn execute(conn: &mut PgConnection, sql: String) {
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(conn)
        .await
        .expect("the statement runs");
}

async fn migrated(conn: &mut PgConnection, server_url: &str, name: &str) -> String {
    execute(conn, format!("CREATE DATABASE {name}")).await;
    let url = url_of(server_url, name);
    db::migrate(&url.clone().into())
        .await
        .expect("the migrations apply");
    url
}

/// The database that those of the tests are copies of, made by whichever process needs it first.
async fn template(conn: &mut PgConnection, server_url: &str) -> &'static str {
    const TEMPLATE: &str = "test_template";
    const KEY: i64 = 7_465_737_473;
    let exists = async |conn: &mut PgConnection| -> bool {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(TEMPLATE)
            .fetch_one(conn)
            .await
            .expect("the statement runs")
    };
    if exists(conn).await {
        return TEMPLATE;
    }
    let lock = format!("SELECT pg_advisory_lock({KEY})");
    execute(conn, lock).await;
    if !exists(conn).await {
        let name = new_name("building");
        migrated(conn, server_url, &name).await;
        execute(conn, format!("ALTER DATABASE {name} RENAME TO {TEMPLATE}")).await;
    }
    execute(conn, format!("SELECT pg_advisory_unlock({KEY})")).await;
    TEMPLATE
}
