//! How long the work of a charge takes in memory: reading a page of them, applying rules, splitting an amount
//! over lines, sealing and opening a key.
//!
//! `cargo bench -p benches` runs them. Deliberately absent: whatever waits for PostgreSQL or Stripe, which
//! `scripts/bench` measures.

use std::hint::black_box;

use common::credential::{CredentialBinding, Keyring};
use common::filter::{Action, RowView, Rule, RuleDraft, RuleSet};
use common::tenant::OrganizationId;
use criterion::Criterion;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use stripe::charge::RowInputs;
use stripe::purchase::{PurchaseLine, allocate};
use stripe_sim::{AccountConfig, Settings, Simulator};

/// Charges on the largest page that Stripe gives.
const PAGE: usize = 100;
const LINES: i64 = 10;

/// A page of charges as Stripe shows them, with what the engine lets it inline.
fn page() -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        common::lifecycle::prepare_process();
        let account = AccountConfig {
            charges: PAGE as u64,
            settings: Some(Settings::unlimited()),
            ..AccountConfig::default()
        };
        let sim = Simulator::builder().account(account).start().await;
        let sim = sim.expect("the simulator starts");
        let http = reqwest::Client::builder().build().expect("an HTTP client");
        let url = format!(
            "{}/v1/charges?limit={PAGE}&expand[]=data.customer&expand[]=data.refunds",
            sim.base_url
        );
        let answer = http.get(url).bearer_auth(sim.first().key()).send().await;
        answer.expect("an answer").text().await.expect("a body")
    })
}

/// The charges of a page.
fn read(page: &str) -> Vec<stripe::charge::Charge> {
    #[derive(serde::Deserialize)]
    struct List {
        data: Vec<stripe::Charge>,
    }
    let list: List = serde_json::from_str(page).expect("a page of charges");
    list.data
        .into_iter()
        .map(stripe::charge::Charge::from)
        .collect()
}

fn rules() -> RuleSet {
    let conditions = [
        json!([{"type": "metadata", "metadata_source": "charge", "metadata_key": "tier",
                "operator": "equals", "value": "enterprise"}]),
        json!([{"type": "metadata", "metadata_source": "charge", "metadata_key": "utm.source",
                "operator": "in", "value": ["newsletter", "partner"]},
               {"type": "field", "field": "amount", "operator": "gte", "value": 5000}]),
        json!([{"type": "field", "field": "description", "operator": "regex", "value": "(?i)subscription"}]),
    ];
    let rules: Vec<Rule> = conditions.into_iter().enumerate().map(rule).collect();
    RuleSet::new(&rules).expect("rules that compile")
}

fn rule((number, conditions): (usize, Value)) -> Rule {
    let body = json!({"name": number.to_string(), "action": "exclude", "conditions": conditions});
    let draft = RuleDraft::parse(&body).expect("a rule");
    Rule {
        filter_id: uuid::Uuid::from_u128(number as u128),
        name: draft.name,
        action: Action::Exclude,
        operator: draft.predicate.operator,
        conditions: draft.predicate.conditions,
        active: true,
        created_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn charges(criterion: &mut Criterion) {
    let page = page();
    criterion.bench_function("reading a page of 100 charges", |bencher| {
        bencher.iter(|| read(black_box(&page)));
    });
    let rules = rules();
    let charges = read(&page);
    let date = chrono::NaiveDate::default();
    let none = RuleSet::default();
    let rows: Vec<_> = charges
        .iter()
        .flat_map(|charge| charge.rows(date, &none, &RowInputs::default()))
        .collect();
    criterion.bench_function("three rules over 100 charges", |bencher| {
        bencher.iter(|| {
            let decided = rows
                .iter()
                .map(|row| rules.decide(&[row.view()] as &[RowView<'_>]));
            decided.flatten().count()
        });
    });
}

fn allocation(criterion: &mut Criterion) {
    let lines: Vec<PurchaseLine> = (1..=LINES)
        .map(|number| PurchaseLine {
            line_id: format!("il_{number}"),
            product_id: None,
            price_id: None,
            quantity: Some(1.into()),
            amount: number * 333,
            weight: number * 300,
            credit: false,
            metadata: serde_json::Map::new(),
        })
        .collect();
    criterion.bench_function("splitting an amount over 10 lines", |bencher| {
        bencher.iter(|| allocate(black_box(123_457), black_box(&lines)));
    });
}

fn credentials(criterion: &mut Criterion) {
    let keyring = Keyring::parse(Keyring::generate("k1").expose_secret()).expect("a keyring");
    let organization = OrganizationId::new("acme").expect("a valid id");
    let binding = CredentialBinding::api_key(&organization, "acme-stripe-acct_1PgafTB7WZ01zgkW");
    let key = "rk_live_51PgafTB7WZ01zgkWabcdefghijklmnopqrstuvwxyz0123456789";
    criterion.bench_function("sealing a key", |bencher| {
        bencher.iter(|| keyring.seal(black_box(key), binding));
    });
    let sealed = keyring.seal(key, binding).expect("a sealed key");
    criterion.bench_function("opening a key", |bencher| {
        bencher.iter(|| keyring.open(black_box(&sealed.envelope), binding));
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    charges(&mut criterion);
    allocation(&mut criterion);
    credentials(&mut criterion);
    criterion.final_summary();
}
