//! The command line as a whole.

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

/// A tour of the commands, for people.
const TOUR: &str = include_str!("../../docs/cli.md");

fn parse(line: &str) -> Result<Cli, clap::Error> {
    // A tab stands for a space inside an argument.
    let words = line.split(' ').map(|word| word.replace('\t', " "));
    let words = words.filter(|word| !word.is_empty());
    Cli::try_parse_from(std::iter::once("stripe-sync".to_owned()).chain(words))
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
        "token create --operator --name me --expires-in 90d",
        "token list --org acme",
        "token list --operator",
        "token revoke 01932d0e-0000-7000-8000-000000000000 --operator",
        "webhooks register --public-url https://sync.example.com --replace",
        "token revoke",
        "token revoke sst_x",
        "sign-in-link --org acme",
        "sign-in-link --org acme --role analyst --minutes 60 --public-url https://sync.example.com",
        "keys rotate",
        "keys list",
        "keys add --local-dir /tmp/x",
        "keys remove local1",
        "keys discard k1",
        "migrate --roles-only",
        "whoami --json",
        "jobs list --status failed --org acme --json --limit 10000",
        "jobs show",
        "jobs show --connection acme-stripe-acct_1",
        "jobs cancel",
        "jobs retry 01932d0e-0000-7000-8000-000000000000",
        "jobs retry --follow",
        "connections list",
        "connections show --connection acme-stripe-acct_1 --json",
        "connections set --name Shop --timezone Europe/Berlin --sync-interval-minutes 60 --rate-share 0.5",
        "connections pause",
        "connections resume",
        "connections replace-key --api-key-file key --follow",
        "connections test",
        "connections disconnect --yes",
        "rules list",
        "rules show name",
        "rules create --name x --action exclude --condition country=DE --condition amount<100 --any --inactive",
        "rules preview --condition charge.plan\texists",
        "rules change x --condition country=DE --all --deactivate --follow",
        "rules delete x --yes",
        "discover --object-type charge",
        "explain ch_1",
        "daily --from 2026-01-01 --to 2026-01-31 --json",
        "restatements --from 2026-01-01 --to 2026-01-31 --currency eur --limit 5",
        "parked --resource charges --limit 5",
        "completeness --from 2026-01-01 --to 2026-01-31 --json",
        "compare --from 2026-01-01 --to 2026-01-31 --follow",
        "compare --from 2026-01-01 --to 2026-01-31 --estimate --json",
        "webhooks create --connection acme-stripe-acct_1",
        "webhooks secret --signing-secret-file secret --json",
        "webhooks endpoint",
        "webhooks delete --yes",
        "webhooks list --status dead --type charge.refunded --from 2026-01-01 --to 2026-01-31T12:00:00Z --limit 5",
        "webhooks show 01932d0e-0000-7000-8000-000000000000 --json",
        "webhooks replay 01932d0e-0000-7000-8000-000000000000",
        "webhooks replay --status ignored --type charge.refunded --connection x --from 2026-01-01 --dry-run",
        "connect-account onboard --preset standard --email a@example.com --country DE --business-type company",
        "connect-account onboard --return-url https://a.example --refresh-url https://a.example/r --json",
        "connect-account status --refresh",
        "connect-account disconnect --yes",
        "connect-account balance --json",
        "connect-account transfer --amount 1050 --currency USD --source-charge ch_1 --transfer-group g --description x",
        "connect-account transfer --amount 1 --currency usd --idempotency-key order-1042 --json",
        "connect-account transfers --limit 5",
        "connect-account transfers 01932d0e-0000-7000-8000-000000000000",
        "connect-account reverse 01932d0e-0000-7000-8000-000000000000 --amount 5 --refund-fee --idempotency-key r",
        "connect-account pay-out --amount 900 --currency usd --method instant",
        "connect-account payouts --json",
        "connect-account schedule show",
        "connect-account schedule set --interval weekly --weekly-payout-days monday,friday --delay-days 2",
        "connect-account schedule set --interval monthly --monthly-payout-days 1,15",
        "connect-account reconciliation",
        "connect-account reconcile --json",
        "billing plans --json",
        "billing status",
        "billing checkout pro --interval year --seats 3 --success-url https://a.example --cancel-url https://a.example/b",
        "billing change scale --interval month --seats 2 --preview --json",
        "billing change --seats 2 --yes",
        "billing cancel --now --feedback too_expensive --yes",
        "billing resume",
        "billing sync --json",
        "billing portal --flow payment_method_update --return-url https://a.example",
        "billing invoices --limit 5",
        "billing payments",
        "billing reveal-key",
        "billing roll-key --yes",
        "operator organizations --json",
        "operator set-fee acme --percent 12.5",
        "operator set-fee acme --default",
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
            ErrorKind::InvalidValue,
        ),
        (
            "token create --org acme --expires-in soon",
            ErrorKind::ValueValidation,
        ),
        ("jobs list --status done", ErrorKind::InvalidValue),
        ("jobs list --limit 0", ErrorKind::ValueValidation),
        ("connect --api-key sk_test_1", ErrorKind::UnknownArgument),
        (
            "connect --stripe-api-key sk_test_1",
            ErrorKind::UnknownArgument,
        ),
        ("jobs show 7", ErrorKind::ValueValidation),
        (
            "webhooks secret --signing-secret whsec_1",
            ErrorKind::UnknownArgument,
        ),
        ("webhooks secret whsec_1", ErrorKind::UnknownArgument),
        ("webhooks show", ErrorKind::MissingRequiredArgument),
        (
            "webhooks replay 01932d0e-0000-7000-8000-000000000000 --dry-run",
            ErrorKind::ArgumentConflict,
        ),
        (
            "webhooks replay 01932d0e-0000-7000-8000-000000000000 --from 2026-01-01",
            ErrorKind::ArgumentConflict,
        ),
        ("connect --lookback-days 0", ErrorKind::ValueValidation),
        (
            "connections",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
        ("rules create --name x", ErrorKind::MissingRequiredArgument),
        (
            "rules change x --activate --deactivate",
            ErrorKind::ArgumentConflict,
        ),
        ("revenue --any", ErrorKind::MissingRequiredArgument),
        ("revenue --by year", ErrorKind::ValueValidation),
        ("revenue --from 1.1.2026", ErrorKind::ValueValidation),
        (
            "compare --from 2026-01-01",
            ErrorKind::MissingRequiredArgument,
        ),
        ("revenue --json --csv", ErrorKind::ArgumentConflict),
        ("status --job 1", ErrorKind::MissingRequiredArgument),
        (
            "connect-account transfer --amount 5",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "connect-account pay-out --amount 1.5 --currency usd",
            ErrorKind::ValueValidation,
        ),
        ("connect-account reverse tr_1", ErrorKind::ValueValidation),
        (
            "connect-account schedule set --weekly-payout-days friday",
            ErrorKind::MissingRequiredArgument,
        ),
        ("operator set-fee acme", ErrorKind::MissingRequiredArgument),
        (
            "operator set-fee acme --percent 1 --default",
            ErrorKind::ArgumentConflict,
        ),
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

/// Words of the libraries that read values; whoever mistypes a flag does not know them.
const FOREIGN: [&str; 9] = [
    "invalid digit",
    "out of range",
    "is not in",
    "target type",
    "input contains",
    "premature end",
    "urn:uuid",
    "expected number",
    "unknown time unit",
];

#[test]
fn library_words_do_not_reach_people() {
    for (line, words) in [
        (
            "jobs list --limit 0",
            "must be a whole number from 1 to 10000",
        ),
        (
            "jobs list --limit 10001",
            "must be a whole number from 1 to 10000",
        ),
        (
            "jobs list --limit x",
            "must be a whole number from 1 to 10000",
        ),
        (
            "jobs list --limit 99999999999999",
            "must be a whole number from 1 to 10000",
        ),
        (
            "jobs list --status done",
            "pending, running, completed, failed, cancelled",
        ),
        ("jobs show 7", "must be the id of a job"),
        ("jobs retry x", "must be the id of a job"),
        (
            "sync --lookback-days 3651",
            "must be a whole number from 1 to 3650",
        ),
        (
            "connect --lookback-days x",
            "must be a whole number from 1 to 3650",
        ),
        ("connect --org Acme", "1 to 63 characters"),
        (
            "connections set --sync-interval-minutes 1441",
            "from 1 to 1440",
        ),
        (
            "connections set --rate-share 2",
            "must be a number from 0.01 to 1",
        ),
        ("parked --limit 0", "must be a whole number from 1 to 10000"),
        (
            "revenue --from 2026-13-01",
            "must be a date like 2026-03-08",
        ),
        ("revenue --to 1.1.2026", "must be a date like 2026-03-08"),
        (
            "webhooks list --status lost",
            "pending, processing, processed, ignored, failed, dead",
        ),
        ("webhooks list --from yesterday", "or a time like"),
        ("webhooks show evt_1", "must be the id of an event"),
        ("daily --from yesterday", "must be a date like 2026-03-08"),
        ("revenue --by year", "must be day, week, month"),
        (
            "revenue --filter tier=gold",
            "SOURCE one of charge, product, price, customer",
        ),
        ("rules preview --condition amount~5", "one of the operators"),
        (
            "rules create --name x --action keep --condition country=DE",
            "include, exclude",
        ),
        (
            "discover --object-type refund",
            "charge, product, price, customer",
        ),
        ("token create --org acme --role owner", "admin, analyst"),
        (
            "connect-account onboard --preset small",
            "express, standard, custom",
        ),
        (
            "token create --org acme --expires-in soon",
            "must be a length of time like 90d",
        ),
        (
            "token create --org acme --expires-in 5y6",
            "must be a length of time like 90d",
        ),
    ] {
        refused_in_words(line, words);
    }
}

#[track_caller]
fn refused_in_words(line: &str, words: &str) {
    let text = parse(line).unwrap_err().to_string();
    assert!(text.contains(words), "{line}: {text}");
    for foreign in FOREIGN {
        assert!(!text.contains(foreign), "{line}: {foreign} in {text}");
    }
}

#[test]
fn what_moves_money_is_refused_in_words() {
    for (line, words) in [
        (
            "connect-account transfer --amount 10.50 --currency usd",
            "such as 1050 for 10.50 USD",
        ),
        (
            "connect-account transfer --amount 5 --currency dollars",
            "must be a currency's three letters",
        ),
        (
            "connect-account transfer --amount 5 --currency usd --idempotency-key a\tb",
            "must be 1 to 255 visible ASCII characters",
        ),
        (
            "connect-account reverse tr_1",
            "must be the id of a transfer",
        ),
        (
            "connect-account schedule set --interval weekly --weekly-payout-days sunday",
            "monday, tuesday, wednesday, thursday, friday",
        ),
        (
            "connect-account schedule set --interval monthly --monthly-payout-days 32",
            "must be a whole number from 1 to 31",
        ),
        (
            "operator set-fee acme --percent 101",
            "must be from 0 to 100 with at most two decimals",
        ),
    ] {
        refused_in_words(line, words);
    }
}

/// Each command with all that it is made of.
fn commands(command: &clap::Command, found: &mut Vec<clap::Command>) {
    for inner in command.get_subcommands() {
        found.push(inner.clone());
        commands(inner, found);
    }
}

#[test]
fn every_command_that_shows_something_has_json() {
    let mut all = Vec::new();
    commands(&Cli::command(), &mut all);
    let flags = |command: &clap::Command| {
        let names = command
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut asked = 0;
    for command in all {
        let flags = flags(&command);
        if flags.iter().any(|flag| flag == "stripe-sync-token") {
            asked += 1;
            assert!(
                flags.iter().any(|flag| flag == "json"),
                "{}",
                command.get_name()
            );
        }
    }
    assert!(asked > 20, "{asked} commands ask the engine");
}

/// The words of each command that does something, below `command`.
fn paths(command: &clap::Command, above: &str, found: &mut Vec<String>) {
    if !command.has_subcommands() {
        found.push(above.to_owned());
    }
    for inner in command.get_subcommands() {
        paths(inner, &format!("{above} {}", inner.get_name()), found);
    }
}

#[test]
fn the_tour_shows_every_command() {
    let mut all = Vec::new();
    paths(&Cli::command(), "stripe-sync", &mut all);
    assert!(all.len() > 35, "{all:?}");
    let shows = |path: &str| {
        let mut mentions = TOUR.match_indices(path);
        mentions.any(|(at, _)| TOUR[at + path.len()..].starts_with([' ', '\n', '`', ')']))
    };
    let missing: Vec<&String> = all.iter().filter(|path| !shows(path)).collect();
    assert!(missing.is_empty(), "not in docs/cli.md: {missing:?}");
}

#[test]
fn every_command_of_the_tour_is_understood() {
    // Those with a pipe or a substitution are run by a test, with the others.
    let lines = TOUR
        .lines()
        .filter(|line| line.starts_with("stripe-sync ") && !line.contains(['|', '$']));
    let mut understood = 0;
    for line in lines {
        let words: Vec<String> = shlex::Shlex::new(line).collect();
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{line}: {error}");
        }
        understood += 1;
    }
    assert!(understood > 40, "{understood}");
}
