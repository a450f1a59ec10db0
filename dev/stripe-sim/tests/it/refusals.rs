//! Refusals: keys, permissions, unknown objects, parameters, expansions and limits.

use stripe_sim::{AccountConfig, KeyState, PERMISSIONS};

use crate::client::{config, example, get, get_with, http, start};

#[tokio::test]
async fn keys_are_checked_and_masked() {
    let sim = start(config(50)).await;
    let none = http()
        .get(format!("{}/v1/charges", sim.base_url))
        .send()
        .await
        .expect("answers");
    assert_eq!(none.status(), 401);
    let wrong = get_with(&sim, "/v1/charges", "rk_live_abcdefgh1234", &[]).await;
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.error()["message"],
        "Invalid API Key provided: rk_live_********1234"
    );
    sim.first()
        .set_key("rk_test_old_key", None, KeyState::Expired);
    let expired = get_with(&sim, "/v1/charges", "rk_test_old_key", &[]).await;
    assert_eq!(
        (expired.status, &expired.error()["code"]),
        (401, &"api_key_expired".into())
    );
    sim.first()
        .set_key(sim.first().key(), None, KeyState::Revoked);
    assert_eq!(get(&sim, "/v1/charges").await.status, 401);
}

#[tokio::test]
async fn restricted_keys_read_what_they_may() {
    let sim = start(config(50)).await;
    let permissions = ["rak_charge_read", "rak_customer_write"];
    sim.first()
        .set_key("rk_test_some", Some(&permissions), KeyState::Active);
    for path in ["/v1/charges", "/v1/customers", "/v1/refunds"] {
        assert_eq!(
            get_with(&sim, path, "rk_test_some", &[]).await.status,
            200,
            "{path}"
        );
    }
    let refused = get_with(&sim, "/v1/invoices", "rk_test_some", &[]).await;
    assert_eq!(refused.status, 403);
    let message = refused.error()["message"].as_str().expect("a message");
    assert!(message.contains("'rk_test_some'"), "{message}");
    assert!(
        message.contains(&format!("on account '{}'", sim.first().id())),
        "{message}"
    );
    assert!(
        message.contains("Having the 'rak_invoice_read' permission"),
        "{message}"
    );
    assert_eq!(
        get_with(&sim, "/v1/account", "rk_test_some", &[])
            .await
            .status,
        403
    );
    sim.first()
        .set_key("rk_test_all", Some(&PERMISSIONS), KeyState::Active);
    assert_eq!(
        get_with(&sim, "/v1/account", "rk_test_all", &[])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn expansions_need_their_permission_where_that_is_checked() {
    let sim = start(config(200)).await;
    let account = sim.first();
    let key = "rk_test_expands";
    account.set_key(key, Some(&["rak_charge_read"]), KeyState::Active);
    let ask = |path: &'static str| get_with(&sim, path, key, &[]);
    let customers = "/v1/charges?limit=50&expand[]=data.customer";
    assert_eq!(ask(customers).await.status, 200);
    account.configure(|settings| settings.strict_expand = true);
    for (path, missing) in [
        (customers, "rak_customer_read"),
        (
            "/v1/charges?expand[]=data.payment_intent",
            "rak_payment_intent_read",
        ),
        (
            "/v1/refunds?expand[]=data.charge.customer",
            "rak_customer_read",
        ),
        ("/v1/disputes", "rak_dispute_read"),
    ] {
        let refused = ask(path).await;
        let message = refused.error()["message"].as_str().expect("a message");
        let named = message.contains(&format!("Having the '{missing}' permission"));
        assert!(refused.status == 403 && named, "{path}: {message}");
    }
    for path in [
        "/v1/charges?limit=50",
        "/v1/charges?limit=50&expand[]=data.refunds",
        "/v1/refunds?expand[]=data.charge.refunds",
    ] {
        assert_eq!(ask(path).await.status, 200, "{path}");
    }
    let some = ["rak_charge_read", "rak_customer_write"];
    account.set_key(key, Some(&some), KeyState::Active);
    assert_eq!(ask(customers).await.status, 200);
    assert_eq!(get(&sim, customers).await.status, 200);
    let without: Vec<&str> = PERMISSIONS
        .into_iter()
        .filter(|&name| name != "rak_dispute_read")
        .collect();
    account.set_key(key, Some(&without), KeyState::Active);
    assert_eq!(ask("/v1/disputes").await.status, 403);
    assert_eq!(ask("/v1/events").await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_said_as_stripe_says_it() {
    let sim = start(config(50)).await;
    let live = start(AccountConfig {
        livemode: true,
        ..config(50)
    })
    .await;
    let missing = get(&sim, "/v1/charges/ch_missing").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.error()["message"], "No such charge: 'ch_missing'");
    assert_eq!(missing.error()["param"], "id");
    let foreign = get(
        &sim,
        &format!("/v1/charges/{}", example(&live, "succeeded")),
    )
    .await;
    let message = foreign.error()["message"].as_str().expect("a message");
    assert!(
        message.contains("a similar object exists in live mode"),
        "{message}"
    );
    let cursor = get(&sim, "/v1/charges?starting_after=ch_missing").await;
    assert_eq!(
        (cursor.status, &cursor.error()["param"]),
        (400, &"starting_after".into())
    );
    let url = get(&sim, "/v1/treasury/transactions").await;
    assert_eq!(url.status, 404);
    let message = url.error()["message"].as_str().expect("a message");
    assert!(message.starts_with("Unrecognized request URL (GET: /v1/treasury/transactions)"));
    let given = [("Stripe-Account", "acct_other")];
    assert_eq!(
        get_with(&sim, "/v1/charges", sim.first().key(), &given)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn parameters_are_checked() {
    let sim = start(config(50)).await;
    for (query, code) in [
        ("limit=101", None),
        ("limit=0", None),
        ("limit=ten", Some("parameter_invalid_integer")),
        ("updated[gte]=1", Some("parameter_unknown")),
        ("total_count=true", Some("parameter_unknown")),
        ("starting_after=a&ending_before=b", None),
        (
            "expand[]=data.payment_intent.latest_charge.customer.x",
            Some("property_expansion_max_depth"),
        ),
        ("expand[]=data.invoice", None),
        ("expand[]=customer", None),
    ] {
        let answer = get(&sim, &format!("/v1/charges?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.error()["type"], "invalid_request_error");
        if let Some(code) = code {
            assert_eq!(answer.error()["code"], code, "{query}");
        }
    }
    let many = "types[]=charge.updated&".repeat(21);
    assert_eq!(get(&sim, &format!("/v1/events?{many}")).await.status, 400);
}

#[tokio::test]
async fn limits_name_their_reason() {
    let sim = start(config(50)).await;
    let account = sim.first();
    account.configure(|settings| (settings.rate_global, settings.rate_endpoint) = (6, 3));
    let mut reasons = Vec::new();
    for path in ["/v1/charges", "/v1/customers"] {
        for _ in 0..6 {
            let answer = get(&sim, path).await;
            if answer.status == 429 {
                assert_eq!(answer.error()["code"], "rate_limit");
                let reason = answer
                    .header("stripe-rate-limited-reason")
                    .expect("a reason");
                reasons.push(reason.to_owned());
            }
        }
    }
    assert!(
        reasons.iter().any(|reason| reason == "endpoint-rate"),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason == "global-rate"),
        "{reasons:?}"
    );
    account.configure(|settings| {
        (settings.rate_global, settings.rate_endpoint) = (0, 0);
        (settings.concurrency, settings.latency_ms) = (1, 100);
    });
    let (one, other) = tokio::join!(get(&sim, "/v1/charges"), get(&sim, "/v1/charges"));
    let statuses = [one.status, other.status];
    assert!(
        statuses.contains(&429) && statuses.contains(&200),
        "{statuses:?}"
    );
}
