//! Wrong and missing settings are reported together, and none shows a secret.

use super::*;

fn database_args(url: Option<&str>) -> DatabaseArgs {
    DatabaseArgs {
        database_url: url.map(Into::into),
        database_url_file: None,
    }
}

#[test]
fn all_invalid_settings_are_reported_at_once() {
    let mut problems = SettingErrors::default();
    assert!(database_args(None).check(&mut problems).is_none());
    let jobs = JobArgs {
        job_lease_seconds: "-1".into(),
        consumer_concurrency: "1001".into(),
    };
    assert!(jobs.check(&mut problems).is_none());
    let log = LogArgs {
        log_format: Some("xml".into()),
        rust_log: "a=b=c".into(),
    };
    assert!(log.check(&mut problems).is_none());
    let error = problems.finish(Some(())).unwrap_err();
    let named: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| problem.setting)
        .collect();
    assert_eq!(
        named,
        [
            "DATABASE_URL",
            "JOB_LEASE_SECONDS",
            "CONSUMER_CONCURRENCY",
            "LOG_FORMAT",
            "RUST_LOG"
        ]
    );
    assert!(
        error
            .to_string()
            .starts_with("5 settings are wrong or missing:\n  DATABASE_URL is missing")
    );
}

#[test]
fn no_secret_is_shown() {
    let mut problems = SettingErrors::default();
    let database = database_args(Some("mysql://user:hunter2@db/x"));
    assert!(!format!("{database:?}").contains("hunter2"));
    assert!(database.check(&mut problems).is_none());
    let broker = BrokerArgs {
        amqp_url: Some("http://user:hunter2@mq".into()),
        amqp_url_file: None,
    };
    assert!(broker.check(&mut problems).is_none());
    let keys = EncryptionArgs {
        encryption_keys: Some("k1:hunter2".into()),
        encryption_keys_file: None,
    };
    assert!(keys.check(&mut problems).is_none());
    let error = problems.into_error();
    assert_eq!(error.problems().len(), 3);
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_both() {
    let path = std::env::temp_dir().join(format!("database-url-{}", std::process::id()));
    std::fs::write(&path, "postgres://localhost/x\n").unwrap();
    let from_file = DatabaseArgs {
        database_url: None,
        database_url_file: Some(path.clone()),
    };
    let mut problems = SettingErrors::default();
    let config = from_file.clone().check(&mut problems).unwrap();
    assert_eq!(
        config.database_url.expose_secret(),
        "postgres://localhost/x"
    );
    let both = DatabaseArgs {
        database_url: Some("postgres://localhost/y".into()),
        ..from_file
    };
    assert!(both.check(&mut problems).is_none());
    std::fs::remove_file(&path).unwrap();
    let gone = DatabaseArgs {
        database_url: None,
        database_url_file: Some(path),
    };
    assert!(gone.check(&mut problems).is_none());
    let named: Vec<_> = problems
        .into_error()
        .problems()
        .iter()
        .map(|problem| problem.setting)
        .collect();
    assert_eq!(named, ["DATABASE_URL", "DATABASE_URL_FILE"]);
}

#[test]
fn addresses_to_listen_on() {
    for (text, expected) in [
        ("127.0.0.1:8080", Some("127.0.0.1:8080")),
        ("localhost:0", Some("127.0.0.1:0")),
        ("[::1]:80", Some("[::1]:80")),
        ("8080", None),
        ("example.com:80", None),
    ] {
        let mut problems = SettingErrors::default();
        let bind = parse_bind("API_BIND", text, &mut problems);
        assert_eq!(bind.map(|bind| bind.to_string()).as_deref(), expected);
        assert_eq!(
            problems.into_error().problems().len(),
            usize::from(expected.is_none())
        );
    }
}
