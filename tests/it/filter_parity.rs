//! Generated rules over generated charges give the same answer in memory and in PostgreSQL.
//!
//! Keys, values, JSON text, `JSONPath` and regular expressions come from small alphabets that both sides
//! share, so that conditions hold often enough to mean something. Each case is one statement over many
//! rules and rows. `PROPTEST_CASES` says how many cases.

mod generated;

use std::cell::{Cell, RefCell};

use common::catalogue::Catalogue;
use common::filter::evaluate::evaluate;
use common::filter::sql::MetadataKey;
use common::filter::{CompiledPredicate, MetadataSource, Predicate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder, Row as _};
use tests::database::TestDatabase;

use generated::{Charge, ROWS_SQL, charge, key, metadata, rule};

/// Cases when `PROPTEST_CASES` does not say.
const DEFAULT_CASES: u32 = 24;
const RULES: usize = 50;
const ROWS: usize = 50;
/// Address space for the recursion of the generators, touched only as far as needed.
const STACK_BYTES: usize = 64 * 1024 * 1024;

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
