//! What a JSONPath selects is the same in memory and as RFC 9535 says.

use serde_json::json;

use super::super::embedded_json::open;
use super::*;

const STORE: &str = r#"{"books": [
    {"title": "Sword", "price": 12.99, "tags": ["war", "é"]},
    {"title": "Moby", "price": 8.99, "isbn": "0-553", "tags": []},
    {"title": "Lord", "price": 22.990, "isbn": null}],
  "limit": 10, "0": "zero", "nested": {"books": [1, 2, 3, 4, 5]}}"#;

fn select(path: &str, document: &str) -> Vec<String> {
    let root = open(document).expect("the document is JSON");
    let path = JsonPath::parse(path).expect("the path parses");
    path.select(&root).into_iter().map(Json::compact).collect()
}

#[test]
fn paths_select_what_the_rfc_says() {
    fn check(path: &str, expected: &[&str]) {
        assert_eq!(select(path, STORE), expected, "{path}");
    }
    check("$.limit", &["10"]);
    check("$['limit', \"0\"]", &["10", "\"zero\""]);
    check("$[0]", &[]);
    check("$.books[0].title", &["\"Sword\""]);
    check("$.books[-1].title", &["\"Lord\""]);
    check("$.books[*].title", &["\"Sword\"", "\"Moby\"", "\"Lord\""]);
    check("$.books[?@.isbn].title", &["\"Moby\"", "\"Lord\""]);
    check("$.books[?@.isbn == null].title", &["\"Lord\""]);
    check("$.books[?@.price < $.limit].title", &["\"Moby\""]);
    check("$.books[?@.price == 12.990].title", &["\"Sword\""]);
    check(
        "$.books[?@.tags[1] == 'é' && @.price > 1].title",
        &["\"Sword\""],
    );
    check(
        "$.books[?count(@.tags[*]) == 0].title",
        &["\"Moby\"", "\"Lord\""],
    );
    check("$.books[?length(@.title) == 5].price", &["12.99"]);
    check("$.books[?match(@.title, 'M.*')].price", &["8.99"]);
    check(
        "$.books[?search(@.title, 'or')].title",
        &["\"Sword\"", "\"Lord\""],
    );
    check("$.books[?value(@..[1]) == 'é'].title", &["\"Sword\""]);
    check("$.books[?!@.isbn].title", &["\"Sword\""]);
    check(
        "$.books[?@.none == @.other].title",
        &["\"Sword\"", "\"Moby\"", "\"Lord\""],
    );
    check("$..price", &["12.99", "8.99", "22.990"]);
}

#[test]
fn slices_follow_the_rfc() {
    fn check(slice: &str, expected: &[&str]) {
        let mut found = select(&format!("$.nested.books[{slice}]"), STORE);
        found.sort();
        assert_eq!(found, expected, "{slice}");
    }
    check("1:3", &["2", "3"]);
    check(":", &["1", "2", "3", "4", "5"]);
    check("::2", &["1", "3", "5"]);
    check("-2:", &["4", "5"]);
    check("::-2", &["1", "3", "5"]);
    check("3:0:-2", &["2", "4"]);
    check("5:1:-2", &["3", "5"]);
    check("::0", &[]);
    check("9:", &[]);
    check("-9:2", &["1", "2"]);
    check("0:9007199254740991:9007199254740991", &["1"]);
}

#[test]
fn agrees_with_the_parser_crate_on_exact_numbers() {
    use jsonpath_rust::JsonPath as _;
    let document =
        json!({"a": [{"b": 1, "c": [1, 2, 3]}, {"b": 2}, "b", null, 3], "b": {"a": {"b": [true]}}});
    let text = document.to_string();
    for path in [
        "$",
        "$.a",
        "$..b",
        "$.*",
        "$..*",
        "$.a[1:]",
        "$.a[::-1]",
        "$.a[?@.b == 1]",
        "$.a[?@.b]",
        "$.a[?@ == 'b']",
        "$..[?@.b]",
        "$.a[0,2]",
        "$.a[?@.c[0] == 1].b",
        "$.a[?@.b > 1 || @ == 3]",
        "$.b.a.b[0]",
        "$.a[?!@.b]",
    ] {
        let mut theirs: Vec<String> = document
            .query(path)
            .expect("the path parses")
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut ours = select(path, &text);
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{path}");
    }
}

#[test]
fn costly_paths_are_refused() {
    for path in [
        "$..*..*..*..*..*",
        "$[?@[?@[?@[?@.a]]]]",
        "$[0,1,2][0,1,2][0,1,2][0,1,2]",
    ] {
        assert!(
            matches!(JsonPath::parse(path), Err(JsonPathError::NotAPath(_))),
            "{path}"
        );
    }
    for path in ["$..*..*..*..*", "$[?@[?@[?@.a]]]", "$[0,1,2][0,1,2][0,1,2]"] {
        assert!(JsonPath::parse(path).is_ok(), "{path}");
    }
}
