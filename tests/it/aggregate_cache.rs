//! Daily aggregates that are kept after they were answered are never given for other rows than theirs.

use std::time::Duration;

use tests::api_only::ApiOnly;

const PATH: &str = "/v1/analytics/stripe/daily-aggregates?connection_id=acme-stripe-acct_Alpha&date_from=2026-03-01";

async fn until_a_reading_waits(api: &ApiOnly) {
    let waits = async {
        while api
            .count("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            .await
            == 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits)
        .await
        .expect("the answer's version is asked for");
}

#[tokio::test]
async fn a_response_built_during_a_change_is_not_cached() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    // The version is read through the policy, which waits there for as long as a test likes.
    api.execute(
        "INSERT INTO stripe_daily_aggregates VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-03-01', 'usd', 1, 1, 1, 100, 0, '{}', '{}');
         CREATE FUNCTION let_through() RETURNS BOOLEAN LANGUAGE plpgsql AS $$ BEGIN
             IF current_query() LIKE 'SELECT version.written_by%' THEN
                 PERFORM pg_advisory_xact_lock_shared(7);
             END IF;
             RETURN TRUE;
         END $$;
         ALTER POLICY tenant ON stripe_aggregate_versions USING (organization_id = current_organization() AND let_through())",
    )
    .await;
    let mut hold = api.database.admin().begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7)")
        .execute(&mut *hold)
        .await
        .unwrap();
    let between = async {
        until_a_reading_waits(&api).await;
        api.execute(
            "INSERT INTO stripe_daily_aggregates VALUES
                 ('acme', 'acme-stripe-acct_Alpha', '2026-03-02', 'usd', 1, 1, 1, 900, 0, '{}', '{}')",
        )
        .await;
        hold.commit().await.unwrap();
    };
    let (first, ()) = tokio::join!(api.get(PATH), between);
    assert_eq!(
        first["data"].as_array().unwrap().len(),
        1,
        "as of one moment"
    );
    let with_both = api.get(PATH).await;
    assert_eq!(with_both["data"].as_array().unwrap().len(), 2);
    api.execute("UPDATE stripe_daily_aggregates SET gross = 901 WHERE date = '2026-03-02'")
        .await;
    assert_eq!(api.get(PATH).await["data"][1]["gross"], 901);
    api.execute("DELETE FROM stripe_daily_aggregates WHERE date = '2026-03-02'")
        .await;
    assert_eq!(api.get(PATH).await, first);
}
