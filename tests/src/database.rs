//! A fresh, migrated database for a test, in the run's shared PostgreSQL.
//!
//! Databases are left behind: the cluster is thrown away after the run.

use common::clock::{Clock as _, SystemClock, new_id};
use common::db::{self, Pool, Role};
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
    /// Makes and migrates a database in the shared PostgreSQL.
    pub async fn create() -> Self {
        Self::create_in(&shared_postgres_url()).await
    }

    /// Makes and migrates a database in the cluster of this superuser's URL.
    pub async fn create_in(server_url: &str) -> Self {
        let name = format!("test_{}", new_id(SystemClock.now()).simple());
        let options: PgConnectOptions = server_url.parse().expect("a URL of PostgreSQL");
        let mut conn = PgConnection::connect_with(&options)
            .await
            .expect("PostgreSQL is there");
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut conn)
            .await
            .expect("the database can be made");
        conn.close().await.expect("the connection closes");
        let mut url = url::Url::parse(server_url).expect("a URL");
        url.set_path(&name);
        let url = url.to_string();
        db::migrate(&url.clone().into())
            .await
            .expect("the migrations apply");
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

    /// A pool under a program's role.
    pub fn pool(&self, role: Role) -> Pool {
        db::connect(&self.url(), role, POOL_CONNECTIONS).expect("a URL of PostgreSQL")
    }
}
