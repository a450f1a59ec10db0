//! `docs/database.md` lists the objects that a migrated database has, no more and no less, so that it can be relied on as
//! the map of the schema. That the tests it names exist is checked in `tidy`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tests::database::TestDatabase;

/// The sections of the page, each with a query for the names that belong there.
const SECTIONS: [(&str, &str); 5] = [
    (
        "Tables",
        "SELECT relname::TEXT FROM pg_class
         WHERE relnamespace = 'public'::REGNAMESPACE AND relkind IN ('r', 'p', 'v', 'm', 'f')",
    ),
    (
        "Functions",
        "SELECT DISTINCT proname::TEXT FROM pg_proc WHERE pronamespace = 'public'::REGNAMESPACE",
    ),
    (
        "Triggers",
        "SELECT DISTINCT tgname::TEXT FROM pg_trigger WHERE NOT tgisinternal",
    ),
    (
        "Policies",
        "SELECT DISTINCT policyname::TEXT FROM pg_policies WHERE schemaname = 'public'",
    ),
    (
        "Indexes",
        "SELECT index.relname::TEXT FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
         WHERE index.relnamespace = 'public'::REGNAMESPACE AND NOT indisprimary",
    ),
];

/// The names with which the rows of a section begin.
fn listed(page: &str, section: &str) -> BTreeSet<String> {
    let heading = format!("## {section}");
    page.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_map_of_the_database_lists_every_object_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/database.md");
    let page = fs::read_to_string(path).unwrap();
    let database = TestDatabase::create().await;
    for (section, query) in SECTIONS {
        let names: Vec<String> = sqlx::query_scalar(query)
            .fetch_all(database.admin())
            .await
            .unwrap();
        let actual: BTreeSet<String> = names.into_iter().collect();
        let listed = listed(&page, section);
        let missing: Vec<_> = actual.difference(&listed).collect();
        let gone: Vec<_> = listed.difference(&actual).collect();
        assert!(
            missing.is_empty() && gone.is_empty(),
            "docs/database.md, section {section}: lacks {missing:?}, and lists {gone:?}, which do not exist"
        );
    }
}
