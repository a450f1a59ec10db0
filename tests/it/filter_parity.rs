//! Generated rules over generated charges give the same answer in memory and in PostgreSQL.
//!
//! Keys, values, JSON text, `JSONPath` and regular expressions come from small alphabets that both sides
//! share, so that conditions hold often enough to mean something. Each case is one statement over many
//! rules and rows. `PROPTEST_CASES` says how many cases.

use std::cell::{Cell, RefCell};

use common::catalogue::Catalogue;
use common::filter::evaluate::evaluate;
use common::filter::sql::MetadataKey;
use common::filter::{CompiledPredicate, MetadataSource, Predicate, RowView};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder, Row as _};
use tests::database::TestDatabase;

/// Cases when `PROPTEST_CASES` does not say.
const DEFAULT_CASES: u32 = 24;
const RULES: usize = 50;
const ROWS: usize = 50;
/// Address space for the recursion of the generators, touched only as far as needed.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// A charge row as a rule sees it.
#[derive(Debug, Clone)]
struct Charge {
    amount: i64,
    livemode: bool,
    /// Currency, status, description, customer, product, price, country, payment method.
    fields: [Option<String>; 8],
    /// Charge, product, price, customer.
    metadata: [Map<String, Value>; 4],
}

impl Charge {
    fn view(&self) -> RowView<'_> {
        let field = |index: usize| self.fields[index].as_deref();
        RowView {
            amount: self.amount,
            currency: field(0).unwrap_or_default(),
            status: field(1).unwrap_or_default(),
            description: field(2),
            customer_id: field(3),
            product_id: field(4),
            price_id: field(5),
            country: field(6),
            payment_method: field(7),
            livemode: self.livemode,
            charge_metadata: &self.metadata[0],
            product_metadata: &self.metadata[1],
            price_metadata: &self.metadata[2],
            customer_metadata: &self.metadata[3],
        }
    }

    fn record(&self, id: usize) -> Value {
        let view = self.view();
        json!({
            "id": id, "charge_amount": view.amount, "currency": view.currency, "status": view.status,
            "description": view.description, "customer_id": view.customer_id,
            "product_id": view.product_id, "price_id": view.price_id, "country": view.country,
            "payment_method": view.payment_method, "livemode": view.livemode,
            "charge_metadata": view.charge_metadata, "product_metadata": view.product_metadata,
            "price_metadata": view.price_metadata, "customer_metadata": view.customer_metadata,
        })
    }
}

const ROWS_SQL: &str = "::JSONB) AS r (id INTEGER, charge_amount BIGINT, currency TEXT, status TEXT, \
    description TEXT, customer_id TEXT, product_id TEXT, price_id TEXT, country TEXT, payment_method TEXT, \
    livemode BOOLEAN, charge_metadata JSONB, product_metadata JSONB, price_metadata JSONB, \
    customer_metadata JSONB) ORDER BY r.id";

const CHARACTERS: [&str; 30] = [
    "a", "b", "k", "K", "\u{212a}", "ß", "ſ", "s", "S", "é", "e\u{301}", "É", "中", "😀", "0", "1",
    "9", "٣", ".", "-", "_", " ", "\n", "\r", "\t", "\"", "\\", "$", "\u{7f}", "\u{85}",
];
const NUMBERS: [&str; 22] = [
    "0",
    "-0",
    "-0.0",
    "1",
    "1.0",
    "1.50",
    "007",
    "9",
    "10",
    "12.50",
    "1e2",
    "100",
    "1E+02",
    "-5",
    "1e-3",
    "0.001",
    "1e999",
    "-1e-999",
    "9007199254740993",
    "9007199254740992",
    "1e1000",
    "0.1",
];
const KEYS: [&str; 30] = [
    "a", "b", "a.b", "a.b.c", "k", "K", "tier", "", "0", "1", "ключ", "a..b", "$", "$tier", "$.a",
    "$['a']", "$ a", "$.a b", "a[]", "a[].b", "a[]b", "[]", "[", "a]", "a[0]", "a.0", "it's",
    "\"q\"", "a\\", "b\n.c",
];
const STEPS: [&str; 20] = [
    "a", "b", "c", "k", "0", "1", "00", "-1", "", "ключ", "2", "tier", "a.b", "a[]", "[]", "$",
    "$.a", "it's", "b\n.c", "777",
];
/// How a path goes on.
const WAYS: [&str; 4] = [".", ".", "[].", "[][]."];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(select(&CHARACTERS[..]), 0..4).prop_map(|parts| parts.concat()),
        2 => select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => select(&["true", "false", "null", "gold", "card", "us"][..]).prop_map(str::to_owned),
    ]
}

/// A currency, a country or a mode, in any case.
fn coded(field: &str) -> BoxedStrategy<Value> {
    let codes: &[&str] = match field {
        "currency" => &["usd", "USD", "Usd", "eur", "kkk", "KKK"],
        "country" => &["us", "US", "de", "De", "kk", "KK"],
        _ => &["true", "TRUE", "False", "false"],
    };
    select(codes).prop_map(Value::from).boxed()
}

/// JSON text, with the freedoms that writers take.
fn json_text() -> impl Strategy<Value = String> {
    let space = || select(&["", "", "", " ", "\n\t"][..]);
    let string = prop_oneof![
        4 => word().prop_map(|word| Value::from(word).to_string()),
        1 => select(&[r#""\u00e9""#, r#""\ud83d\ude00""#, r#""\ud83d""#, r#""\/\b\f""#, r#""\u0000""#, r#""\u0001""#,
            "\"\t\"", r#""\q""#, r#""\ude00""#][..]).prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        3 => string.clone(),
        3 => select(&["0", "-0", "1", "1.50", "1e2", "-0.0", "10e-1", "1E+3", "9007199254740993", "12"][..])
            .prop_map(str::to_owned),
        2 => select(&["true", "false", "null"][..]).prop_map(str::to_owned),
        1 => select(&["01", "1.", ".5", "tru", "1e1000", "-", "NaN", "", "'a'", "0x1", "1 2"][..])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let key = prop_oneof![
            4 => select(&STEPS[..]).prop_map(|step| Value::from(step).to_string()),
            1 => string.clone(),
        ];
        prop_oneof![
            (vec((space(), inner.clone()), 0..4), space()).prop_map(|(items, space)| {
                let items: Vec<String> = items
                    .iter()
                    .map(|(space, item)| format!("{space}{item}"))
                    .collect();
                format!("[{}{space}]", items.join(","))
            }),
            (vec((key, space(), inner), 0..4), space()).prop_map(|(members, space)| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, space, value)| format!("{key}{space}:{value}"))
                    .collect();
                format!("{space}{{{}}}{space}", members.join(","))
            }),
        ]
    })
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![2 => word(), 3 => json_text()];
    btree_map(
        select(&KEYS[..]).prop_map(str::to_owned),
        value.prop_map(Value::from),
        0..6,
    )
    .prop_map(|members| members.into_iter().collect())
}

fn charge() -> impl Strategy<Value = Charge> {
    let coded = |field| coded(field).prop_map(|code| code.as_str().map(str::to_owned));
    (
        prop_oneof![-2_i64..12, Just(100), Just(i64::MAX)],
        any::<bool>(),
        vec(proptest::option::of(word()), 8),
        (
            prop_oneof![coded("currency"), proptest::option::of(word())],
            prop_oneof![coded("country"), proptest::option::of(word())],
        ),
        vec(metadata(), 4),
    )
        .prop_map(
            |(amount, livemode, mut fields, (currency, country), metadata)| {
                fields[0] = currency;
                fields[6] = country;
                Charge {
                    amount,
                    livemode,
                    fields: fields.try_into().expect("eight were generated"),
                    metadata: metadata.try_into().expect("four were generated"),
                }
            },
        )
}

fn name_selector() -> impl Strategy<Value = String> {
    select(
        &[
            "'a'",
            "'b'",
            "\"k\"",
            "'tier'",
            "'0'",
            "''",
            "'ключ'",
            "'a.b'",
            "'\\u0061'",
        ][..],
    )
    .prop_map(str::to_owned)
}

fn index_selector() -> impl Strategy<Value = String> {
    select(&["0", "1", "-1", "-2", "9", "2147483648", "-9007199254740991"][..])
        .prop_map(str::to_owned)
}

fn slice_selector() -> impl Strategy<Value = String> {
    let bound = || select(&["", "0", "1", "2", "-1", "-2", "9", "-9"][..]);
    (
        bound(),
        bound(),
        select(&["", ":", ":1", ":2", ":-1", ":-2", ":0"][..]),
    )
        .prop_map(|(start, end, step)| format!("{start}:{end}{step}"))
}

fn singular() -> impl Strategy<Value = String> {
    let step = prop_oneof![name_selector(), index_selector()];
    (select(&["@", "@", "$"][..]), vec(step, 0..3)).prop_map(|(start, steps)| {
        steps
            .iter()
            .fold(start.to_owned(), |path, step| format!("{path}[{step}]"))
    })
}

fn json_path(depth: u32) -> BoxedStrategy<String> {
    segments(depth)
        .prop_map(|segments| format!("${segments}"))
        .boxed()
}

fn segments(depth: u32) -> BoxedStrategy<String> {
    let filter = if depth == 0 {
        Just("?@".to_owned()).boxed()
    } else {
        filter(depth - 1)
    };
    let selector = prop_oneof![
        4 => name_selector(),
        2 => index_selector(),
        2 => Just("*".to_owned()),
        2 => slice_selector(),
        3 => filter,
    ];
    let segment = prop_oneof![
        3 => select(&[".a", ".b", ".k", ".*", "..*", "..a", ".tier"][..]).prop_map(str::to_owned),
        4 => selector.clone().prop_map(|selector| format!("[{selector}]")),
        1 => (selector.clone(), selector.clone()).prop_map(|(one, two)| format!("[{one}, {two}]")),
        1 => selector.prop_map(|selector| format!("..[{selector}]")),
    ];
    vec(segment, 0..4)
        .prop_map(|segments| segments.concat())
        .boxed()
}

fn filter(depth: u32) -> BoxedStrategy<String> {
    let literal = select(
        &[
            "0", "1", "1.5", "1e2", "-0", "12", "true", "false", "null", "'a'", "'k'", "'gold'",
            "\"é\"", "'😀'",
        ][..],
    )
    .prop_map(str::to_owned);
    let query = (select(&["@", "$"][..]), segments(depth))
        .prop_map(|(start, rest)| format!("{start}{rest}"));
    let comparable = prop_oneof![
        4 => singular(),
        4 => literal,
        1 => singular().prop_map(|path| format!("length({path})")),
        1 => query.clone().prop_map(|query| format!("count({query})")),
        1 => query.clone().prop_map(|query| format!("value({query})")),
    ];
    let comparison = (
        comparable.clone(),
        select(&["==", "!=", "<", "<=", ">", ">="][..]),
        comparable,
    )
        .prop_map(|(left, operator, right)| format!("{left} {operator} {right}"));
    let matching = (
        select(&["match", "search"][..]),
        singular(),
        select(&["a", "a.*", "[kK]|1", "\\\\d+"][..]),
    )
        .prop_map(|(function, path, pattern)| format!("{function}({path}, '{pattern}')"));
    let atom = prop_oneof![
        4 => comparison,
        2 => query.clone(),
        1 => query.prop_map(|query| format!("!{query}")),
        1 => matching,
    ];
    prop_oneof![
        3 => atom.clone(),
        1 => (atom.clone(), atom.clone()).prop_map(|(one, two)| format!("{one} && {two}")),
        1 => (atom.clone(), atom.clone()).prop_map(|(one, two)| format!("!({one} || {two})")),
    ]
    .prop_map(|logic| format!("?{logic}"))
    .boxed()
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => select(&KEYS[..]).prop_map(str::to_owned),
        4 => (select(&KEYS[..]), vec((select(&WAYS[..]), select(&STEPS[..])), 1..4)).prop_map(|(key, steps)| {
            let steps: Vec<String> = steps.iter().map(|(way, step)| format!("{way}{step}")).collect();
            format!("{key}{}", steps.concat())
        }),
        1 => (select(&KEYS[..]), select(&["[]", "[][]", ".a[]", "[]a"][..])).prop_map(|(key, end)| format!("{key}{end}")),
        3 => json_path(2),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let atom = select(
        &[
            "a",
            "b",
            "k",
            "K",
            "s",
            "é",
            "中",
            "😀",
            "1",
            "0",
            r"\.",
            r"\$",
            " ",
            ".",
            r"\d",
            r"\D",
            r"\w",
            r"\W",
            r"\s",
            r"\S",
            r"\b",
            r"\B",
            "^",
            "$",
            r"\A",
            r"\z",
            r"(?m:^)",
            r"(?m:$)",
            r"(?Rm:^)",
            r"(?Rm:$)",
            r"(?-u:\b)",
            r"(?-u:\w)",
            "[a-k]",
            "[^a]",
            r"[^\n]",
            r"\p{Lu}",
            r"\p{Greek}",
            r"[[:alpha:]&&[^a]]",
            r"\b{start}",
            r"\b{end}",
            r"\b{start-half}",
            r"\b{end-half}",
            r"\n",
            r"\r",
            r"\t",
            r"[\s\S]",
            "(?s:.)",
            r"[^\s\S]",
            "",
            r"\x{7f}",
            r"\u{85}",
            "_",
            "-",
        ][..],
    )
    .prop_map(str::to_owned);
    let inner = atom.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            2 => vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join("|"))),
            2 => (inner.clone(), select(&["*", "+", "?", "*?", "{2}", "{1,3}", "{2,}", "{0}", "{0,300}"][..]))
                .prop_map(|(part, count)| format!("(?:{part}){count}")),
            1 => inner.prop_map(|part| format!("(?i:{part})")),
        ]
    });
    (
        select(&["", "", "^", "(?i)"][..]),
        inner,
        select(&["", "", "$"][..]),
    )
        .prop_map(|(before, part, after)| format!("{before}{part}{after}"))
}

fn condition() -> impl Strategy<Value = Value> {
    let subject = prop_oneof![
        3 => (select(&MetadataSource::ALL[..]), key()).prop_map(|(source, key)| {
            let key = if key.is_empty() { "a".to_owned() } else { key };
            json!({"type": "metadata", "metadata_source": source.as_str(), "metadata_key": key})
        }),
        1 => select(&common::filter::Field::ALL[..])
            .prop_map(|field| json!({"type": "field", "field": field.as_str()})),
    ];
    let scalar = || {
        prop_oneof![
            5 => word().prop_map(Value::from),
            1 => json_text().prop_map(Value::from),
            1 => (-2_i64..12).prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
        ]
    };
    let comparison = prop_oneof![
        6 => (select(&["equals", "not_equals", "contains", "not_contains", "starts_with", "ends_with"][..]), scalar())
            .prop_map(|(operator, value)| (operator, Some(value))),
        2 => (select(&["in", "not_in"][..]), vec(scalar(), 0..6))
            .prop_map(|(operator, values)| (operator, Some(Value::from(values)))),
        1 => select(&["exists", "not_exists"][..]).prop_map(|operator| (operator, None)),
        4 => (select(&["gt", "gte", "lt", "lte"][..]), select(&NUMBERS[..]))
            .prop_map(|(operator, value)| (operator, Some(Value::from(value)))),
        3 => pattern().prop_map(|pattern| ("regex", Some(Value::from(pattern)))),
    ];
    (subject, comparison).prop_map(|(mut condition, (operator, value))| {
        condition["operator"] = operator.into();
        if let Some(value) = value {
            condition["value"] = value;
        }
        condition
    })
}

/// A condition on a field of which other values are refused.
fn coded_condition() -> impl Strategy<Value = Value> {
    select(&["currency", "country", "livemode"][..]).prop_flat_map(|field| {
        let one = select(
            &[
                "equals",
                "not_equals",
                "contains",
                "starts_with",
                "ends_with",
            ][..],
        );
        prop_oneof![
            3 => (one, coded(field)).prop_map(|(operator, value)| (operator, value)),
            1 => (select(&["in", "not_in"][..]), vec(coded(field), 0..4))
                .prop_map(|(operator, values)| (operator, Value::from(values))),
            1 => (Just("regex"), pattern().prop_map(Value::from)),
        ]
        .prop_map(move |(operator, value)| {
            json!({"type": "field", "field": field, "operator": operator, "value": value})
        })
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let condition = prop_oneof![4 => condition(), 1 => coded_condition()];
    (select(&["AND", "OR"][..]), vec(condition, 1..4))
        .prop_map(|(operator, conditions)| json!({"operator": operator, "conditions": conditions}))
}

/// A connection to a database with the functions that rules use.
struct Database {
    runtime: tokio::runtime::Runtime,
    conn: RefCell<PgConnection>,
}

impl Database {
    fn create() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let conn = runtime.block_on(async {
            let database = TestDatabase::create().await;
            let url = database.url();
            PgConnection::connect(url.expose_secret())
                .await
                .expect("the database answers")
        });
        Self {
            runtime,
            conn: RefCell::new(conn),
        }
    }

    /// One answer of each expression for each row.
    fn ask<T>(&self, mut builder: QueryBuilder<Postgres>) -> Vec<Vec<T>>
    where
        Vec<T>: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        let mut conn = self.conn.borrow_mut();
        let rows = self.runtime.block_on(builder.build().fetch_all(&mut *conn));
        rows.expect("the statement runs")
            .iter()
            .map(|row| row.get(0))
            .collect()
    }
}

fn runner() -> TestRunner {
    let mut config = Config {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = DEFAULT_CASES;
    }
    TestRunner::new(config)
}

/// Fails with the one disagreement, without the thousands of inputs around it.
fn report<T: std::fmt::Debug>(result: Result<(), TestError<T>>) {
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(TestError::Abort(reason)) => panic!("aborted: {reason}"),
    }
}

fn records(charges: &[Charge]) -> Value {
    charges
        .iter()
        .enumerate()
        .map(|(id, charge)| charge.record(id))
        .collect()
}

/// Runs a test where the generators, which recurse, have room.
fn with_room(test: fn()) {
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(test)
        .expect("a thread starts");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn generated_rules_over_generated_charges_give_the_same_answer_both_ways() {
    with_room(rules_agree);
}

#[test]
fn generated_keys_find_the_same_text_both_ways() {
    with_room(keys_agree);
}

#[test]
fn every_discovered_path_finds_exactly_the_objects_that_it_was_counted_for() {
    with_room(discovered_paths_work);
}

fn discovered_paths_work() {
    let database = Database::create();
    let cases = vec(metadata(), ROWS);
    let [shown, normalized] = [const { Cell::new(0_usize) }; 2];
    let now = chrono::DateTime::UNIX_EPOCH;
    let result = runner().run(&cases, |metadata| {
        let mut catalogue = Catalogue::default();
        for metadata in &metadata {
            catalogue.add(MetadataSource::Charge, metadata, now);
        }
        let paths: Vec<(&str, i64)> = catalogue
            .entries()
            .map(|(_, path, entry)| (path, entry.occurrences))
            .collect();
        // The catalogue keeps so many, and no statement is to be longer.
        for paths in paths.chunks(100) {
            let rules: Vec<CompiledPredicate> = paths
                .iter()
                .map(|(path, _)| {
                    let rule = json!({"conditions": [{"type": "metadata", "metadata_source": "charge",
                        "metadata_key": path, "operator": "exists"}]});
                    let predicate = Predicate::parse(&rule).unwrap_or_else(|problems| panic!("{path}: {problems:?}"));
                    CompiledPredicate::new(&predicate).expect("what parses compiles")
                })
                .collect();
            let mut builder = QueryBuilder::new("SELECT ARRAY[");
            for (index, predicate) in rules.iter().enumerate() {
                builder.push(if index == 0 { "" } else { ", " });
                predicate.to_sql(&mut builder, "r");
            }
            builder.push("]::BOOLEAN[] FROM ");
            push_metadata(&mut builder, &metadata);
            let answers: Vec<Vec<Option<bool>>> = database.ask(builder);
            for (index, (path, occurrences)) in paths.iter().enumerate() {
                let found = answers.iter().filter(|answers| answers[index] == Some(true)).count();
                prop_assert_eq!(found as i64, *occurrences, "{} in {:?}", path, metadata);
                shown.set(shown.get() + 1);
                normalized.set(normalized.get() + usize::from(path.starts_with("$[")));
            }
        }
        Ok(())
    });
    report(result);
    println!(
        "{} paths, {} of them normalized",
        shown.get(),
        normalized.get()
    );
    assert!(normalized.get() > 0 && normalized.get() * 2 < shown.get());
}

/// A relation of these objects' metadata, in their order.
fn push_metadata(builder: &mut QueryBuilder<Postgres>, metadata: &[Map<String, Value>]) {
    let records: Value = metadata
        .iter()
        .map(|metadata| json!({"charge_metadata": metadata}))
        .collect();
    builder.push("(SELECT record.value -> 'charge_metadata' AS charge_metadata, record.place ");
    builder
        .push("FROM jsonb_array_elements(")
        .push_bind(records);
    builder.push("::JSONB) WITH ORDINALITY AS record (value, place)) AS r ORDER BY r.place");
}

fn rules_agree() {
    let database = Database::create();
    let cases = (vec(rule(), RULES), vec(charge(), ROWS));
    let [held, asked, refused] = [const { Cell::new(0_usize) }; 3];
    let result = runner().run(&cases, |(rules, charges)| {
        // A rule that is refused, by the limits of PostgreSQL or of JSONPath, has nothing to compare.
        let rules: Vec<(Value, CompiledPredicate)> = rules
            .into_iter()
            .filter_map(|rule| {
                let predicate = Predicate::parse(&rule).ok()?;
                Some((
                    rule,
                    CompiledPredicate::new(&predicate).expect("what parses compiles"),
                ))
            })
            .collect();
        refused.set(refused.get() + RULES - rules.len());
        let mut builder = QueryBuilder::new("SELECT ARRAY[");
        for (index, (_, predicate)) in rules.iter().enumerate() {
            builder.push(if index == 0 { "" } else { ", " });
            predicate.to_sql(&mut builder, "r");
        }
        builder
            .push("]::BOOLEAN[] FROM jsonb_to_recordset(")
            .push_bind(records(&charges))
            .push(ROWS_SQL);
        let answers: Vec<Vec<Option<bool>>> = database.ask(builder);
        for (charge, answers) in charges.iter().zip(answers) {
            for ((rule, predicate), answer) in rules.iter().zip(answers) {
                let expected = evaluate(predicate, &charge.view());
                held.set(held.get() + usize::from(expected));
                asked.set(asked.get() + 1);
                prop_assert_eq!(answer, Some(expected), "{} over {:?}", rule, charge);
            }
        }
        Ok(())
    });
    report(result);
    let [held, asked, refused] = [held.get(), asked.get(), refused.get()];
    println!("{asked} answers agree, {held} of them true; {refused} rules were refused");
    assert!(
        held * 20 > asked,
        "too few conditions held to mean anything: {held} of {asked}"
    );
}

fn keys_agree() {
    let database = Database::create();
    let cases = (vec(key(), RULES), vec(metadata(), ROWS));
    let found = Cell::new(0_usize);
    let result = runner().run(&cases, |(keys, metadata)| {
        let keys: Vec<(String, MetadataKey)> = keys
            .into_iter()
            .filter_map(|key| {
                MetadataKey::parse(MetadataSource::Charge, &key)
                    .ok()
                    .map(|parsed| (key, parsed))
            })
            .collect();
        let mut builder = QueryBuilder::new("SELECT ARRAY[");
        for (index, (_, key)) in keys.iter().enumerate() {
            builder.push(if index == 0 { "" } else { ", " });
            key.to_sql(&mut builder, "r");
        }
        builder.push("]::TEXT[] FROM ");
        push_metadata(&mut builder, &metadata);
        let answers: Vec<Vec<Option<String>>> = database.ask(builder);
        for (metadata, answers) in metadata.iter().zip(answers) {
            for ((key, parsed), answer) in keys.iter().zip(answers) {
                let expected = parsed.text(metadata);
                found.set(found.get() + usize::from(expected.is_some()));
                prop_assert_eq!(answer, expected, "{} in {:?}", key, metadata);
            }
        }
        Ok(())
    });
    report(result);
    assert!(found.get() > 0, "no key found anything");
}
