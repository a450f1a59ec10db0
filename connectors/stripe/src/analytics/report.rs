//! Answers about revenue, each as of one moment: a report, and the lines behind it.
//!
//! Fails when there is no such connection, when PostgreSQL does not run a filter, or when it fails.

use common::catalogue;
use common::catalogue::unknown::NamedKey;
use common::db::{self, PgConnection, Pool, Transaction};
use common::filter::{self, Invalid};

use super::charge_lines::{self, ChargeRow, RowCursor};
use super::completeness::{self, Completeness, FiguresVersion};
use super::totals::{self, Group, GroupCursor, Totals};
use super::{GroupBy, Selection, names};

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the organization has no such connection")]
    NotFound,
    /// A filter cannot be run.
    #[error("a filter has {} invalid values", .0.len())]
    Invalid(Vec<Invalid>),
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// Groups to report, a page of them.
#[derive(Debug)]
pub struct GroupPage<'a> {
    pub by: &'a GroupBy,
    /// The last group of the page before.
    pub after: Option<GroupCursor>,
    pub limit: i64,
}

/// A revenue report.
#[derive(Debug)]
pub struct Report {
    /// Of all selected rows, by currency.
    pub totals: Vec<Totals>,
    /// Empty where none were asked for.
    pub groups: Vec<Group>,
    pub completeness: Completeness,
    /// The named keys, by index, that no object has, and a sentence about each.
    pub unknown_keys: Vec<(usize, String)>,
}

/// A page of charge lines.
#[derive(Debug)]
pub struct ChargeLines {
    pub rows: Vec<ChargeRow>,
    pub completeness: Completeness,
    /// As in [`Report`].
    pub unknown_keys: Vec<(usize, String)>,
}

/// Begins to answer: the connection is the organization's, and PostgreSQL runs what the filters say. All that is read in the
/// transaction is of one moment.
pub async fn begin(
    pool: &Pool,
    selection: &Selection,
) -> Result<(Transaction<'static>, Completeness), Error> {
    let (organization, connection_id) = (&selection.organization_id, &selection.connection_id);
    let mut tx = db::tenant_snapshot(pool, organization).await?;
    let version = completeness::figures_version(&mut tx, organization, connection_id).await?;
    let FiguresVersion { completeness, .. } = version.ok_or(Error::NotFound)?;
    for predicate in &selection.predicates {
        let verified = filter::verify(&mut tx, predicate).await?;
        verified.map_err(Error::Invalid)?;
    }
    Ok((tx, completeness))
}

/// Totals of a selection, and its groups where a page of them is asked for. `named` are the metadata keys that the question
/// names.
pub async fn report(
    pool: &Pool,
    selection: &Selection,
    page: Option<GroupPage<'_>>,
    named: &[NamedKey],
) -> Result<Report, Error> {
    let (mut tx, completeness) = begin(pool, selection).await?;
    let (totals, groups) = match page {
        Some(GroupPage { by, after, limit }) => {
            let found =
                totals::totals_and_groups(&mut tx, selection, by, after.as_ref(), limit).await?;
            let (totals, mut groups) = found;
            names::name_groups(&mut tx, selection, by, &mut groups).await?;
            (totals, groups)
        }
        None => (totals::totals(&mut tx, selection).await?, Vec::new()),
    };
    let unknown_keys = unknown_keys(&mut tx, selection, named).await?;
    db::commit(tx).await?;
    Ok(Report {
        totals,
        groups,
        completeness,
        unknown_keys,
    })
}

/// The lines of a selection, newest first, a page of them.
pub async fn charge_lines(
    pool: &Pool,
    selection: &Selection,
    after: Option<&RowCursor>,
    limit: i64,
    named: &[NamedKey],
) -> Result<ChargeLines, Error> {
    let (mut tx, completeness) = begin(pool, selection).await?;
    let rows = charge_lines::list(&mut tx, selection, after, limit).await?;
    let unknown_keys = unknown_keys(&mut tx, selection, named).await?;
    db::commit(tx).await?;
    Ok(ChargeLines {
        rows,
        completeness,
        unknown_keys,
    })
}

async fn unknown_keys(
    conn: &mut PgConnection,
    selection: &Selection,
    named: &[NamedKey],
) -> Result<Vec<(usize, String)>, db::Error> {
    let organization = selection.organization_id.as_str();
    catalogue::queries::unknown_keys(conn, organization, &selection.connection_id, named).await
}
