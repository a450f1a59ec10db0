//! The command line as a whole.

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("stripe-sync").chain(line.split_whitespace()))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn commands_are_understood() {
    for line in [
        "up",
        "up --api-bind 127.0.0.1:0 --local-dir /tmp/x --stripe-api-base http://127.0.0.1:1",
        "migrate --database-url postgres://localhost/x",
        "org create acme --name Acme",
        "token create --org acme",
        "token create --org acme --name ci --role analyst --expires-in 90d",
        "token list --org acme",
        "token revoke",
        "token revoke sst_x",
        "keys rotate",
        "keys list",
        "keys add --local-dir /tmp/x",
        "keys remove local1",
        "keys discard k1",
        "migrate --roles-only",
        "jobs list --status failed --org acme --json",
        "jobs retry 01932d0e-0000-7000-8000-000000000000",
        "connect --org acme --api-key-file key --lookback-days 90 --timezone Europe/Berlin",
        "sync --full --lookback-days 365 --follow",
        "status --follow --connection acme-stripe-acct_1",
        "revenue --by metadata:charge.tier --from 2026-01-01 --to 2026-01-31 --csv",
        "revenue --filter charge.tier=gold --filter product.kind=book --json --url http://h:1",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn mistakes_are_caught_before_anything_happens() {
    for (line, kind) in [
        ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("frobnicate", ErrorKind::InvalidSubcommand),
        ("org create Acme --name Acme", ErrorKind::ValueValidation),
        ("org create acme", ErrorKind::MissingRequiredArgument),
        ("token create", ErrorKind::MissingRequiredArgument),
        (
            "token create --org acme --role owner",
            ErrorKind::ValueValidation,
        ),
        (
            "token create --org acme --expires-in soon",
            ErrorKind::ValueValidation,
        ),
        ("jobs list --status done", ErrorKind::ValueValidation),
        ("jobs list --limit 0", ErrorKind::ValueValidation),
        ("connect --api-key sk_test_1", ErrorKind::UnknownArgument),
        (
            "connect --stripe-api-key sk_test_1",
            ErrorKind::UnknownArgument,
        ),
        ("revenue --by year", ErrorKind::ValueValidation),
        ("revenue --from 1.1.2026", ErrorKind::ValueValidation),
        ("revenue --json --csv", ErrorKind::ArgumentConflict),
        ("status --job 1", ErrorKind::MissingRequiredArgument),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
    }
}

#[test]
fn help_names_every_setting_and_shows_no_secret() {
    let mut up = Cli::command().find_subcommand("up").unwrap().clone();
    let help = up.render_long_help().to_string();
    for setting in [
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "AMQP_URL",
        "ENCRYPTION_KEYS",
        "ENCRYPTION_KEYS_FILE",
        "API_BIND",
        "STRIPE_API_BASE",
        "SYNC_SCHEDULE",
        "STRIPE_RATE_LIVE",
        "STRIPE_RATE_TEST",
        "STRIPE_RATE_ENDPOINT",
        "STRIPE_CONCURRENCY",
        "STRIPE_EVENT_LAG",
        "JOB_LEASE_SECONDS",
        "CONSUMER_CONCURRENCY",
        "LOG_FORMAT",
        "RUST_LOG",
        "LOCAL_DIR",
    ] {
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        assert!(
            help.contains(&format!("[env: {setting}")),
            "{setting} is missing"
        );
        assert!(help.contains(&flag), "{flag} is missing");
    }
}
