//! Generated charges, keys and rules, from small alphabets that conditions and rows share.

use common::filter::{MetadataSource, RowView};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// A charge row as a rule sees it.
#[derive(Debug, Clone)]
pub(super) struct Charge {
    pub(super) amount: i64,
    pub(super) livemode: bool,
    pub(super) disputed: bool,
    /// Currency, status, description, customer, product, price, country, payment method, source transfer, dispute
    /// status.
    pub(super) fields: [Option<String>; 10],
    /// By the order of [`MetadataSource::ALL`].
    pub(super) metadata: [Map<String, Value>; 9],
}

impl Charge {
    pub(super) fn view(&self) -> RowView<'_> {
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
            source_transfer: field(8),
            // A dispute without a status has not been read yet.
            disputed: self.disputed || self.fields[9].is_some(),
            dispute_status: field(9),
            charge_metadata: &self.metadata[0],
            product_metadata: &self.metadata[1],
            price_metadata: &self.metadata[2],
            customer_metadata: &self.metadata[3],
            invoice_metadata: &self.metadata[4],
            invoice_line_metadata: &self.metadata[5],
            subscription_metadata: &self.metadata[6],
            checkout_session_metadata: &self.metadata[7],
            payment_intent_metadata: &self.metadata[8],
        }
    }

    /// Metadata as rows keep it of what most of them have none of.
    fn if_any(&self, source: usize) -> Option<&Map<String, Value>> {
        Some(&self.metadata[source]).filter(|it| !it.is_empty())
    }

    pub(super) fn record(&self, id: usize) -> Value {
        let view = self.view();
        json!({
            "id": id, "charge_amount": view.amount, "currency": view.currency, "status": view.status,
            "description": view.description, "customer_id": view.customer_id,
            "product_id": view.product_id, "price_id": view.price_id, "country": view.country,
            "payment_method": view.payment_method, "livemode": view.livemode,
            "source_transfer": view.source_transfer, "disputed": view.disputed,
            "dispute_status": view.dispute_status,
            "charge_metadata": view.charge_metadata, "product_metadata": view.product_metadata,
            "price_metadata": view.price_metadata, "customer_metadata": view.customer_metadata,
            "invoice_metadata": self.if_any(4), "invoice_line_metadata": self.if_any(5),
            "subscription_metadata": self.if_any(6), "checkout_session_metadata": self.if_any(7),
            "payment_intent_metadata": self.if_any(8),
        })
    }
}

pub(super) const ROWS_SQL: &str = "::JSONB) AS r (id INTEGER, charge_amount BIGINT, currency TEXT, status TEXT, \
    description TEXT, customer_id TEXT, product_id TEXT, price_id TEXT, country TEXT, payment_method TEXT, \
    livemode BOOLEAN, source_transfer TEXT, disputed BOOLEAN, dispute_status TEXT, charge_metadata JSONB, \
    product_metadata JSONB, price_metadata JSONB, customer_metadata JSONB, invoice_metadata JSONB, \
    invoice_line_metadata JSONB, subscription_metadata JSONB, checkout_session_metadata JSONB, \
    payment_intent_metadata JSONB) ORDER BY r.id";

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

pub(super) fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![2 => word(), 3 => json_text()];
    btree_map(
        select(&KEYS[..]).prop_map(str::to_owned),
        value.prop_map(Value::from),
        0..6,
    )
    .prop_map(|members| members.into_iter().collect())
}

pub(super) fn charge() -> impl Strategy<Value = Charge> {
    let coded = |field| coded(field).prop_map(|code| code.as_str().map(str::to_owned));
    (
        prop_oneof![-2_i64..12, Just(100), Just(i64::MAX)],
        any::<(bool, bool)>(),
        vec(proptest::option::of(word()), 10),
        (
            prop_oneof![coded("currency"), proptest::option::of(word())],
            prop_oneof![coded("country"), proptest::option::of(word())],
        ),
        vec(metadata(), 9),
    )
        .prop_map(
            |(amount, (livemode, disputed), mut fields, (currency, country), metadata)| {
                fields[0] = currency;
                fields[6] = country;
                Charge {
                    amount,
                    livemode,
                    disputed,
                    fields: fields.try_into().expect("ten were generated"),
                    metadata: metadata.try_into().expect("nine were generated"),
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

pub(super) fn key() -> impl Strategy<Value = String> {
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
pub(super) fn coded_condition() -> impl Strategy<Value = Value> {
    select(&["currency", "country", "livemode", "disputed"][..]).prop_flat_map(|field| {
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

pub(super) fn rule() -> impl Strategy<Value = Value> {
    let condition = prop_oneof![4 => condition(), 1 => coded_condition()];
    (select(&["AND", "OR"][..]), vec(condition, 1..4))
        .prop_map(|(operator, conditions)| json!({"operator": operator, "conditions": conditions}))
}
