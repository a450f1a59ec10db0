//! Answers about revenue, each as of one moment: a report, and the lines behind it.
//!
//! Fails when there is no such connection, when PostgreSQL does not run a filter, or when it fails.

use common::catalogue;
use common::catalogue::unknown::NamedKey;
use common::db::{self, PgConnection, Pool, Transaction};
use common::filter::{self, Invalid};

use super::charge_lines::{self, ChargeRow, RowCursor};
use super::completeness::{self, Completeness, FiguresVersion};
use super::earlier_period::{ComparedPeriod, Days, EarlierPeriod, Shift};
use super::totals::{self, Earlier, Group, GroupCursor, Totals};
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
    /// What the figures are compared with.
    pub comparison: Option<ComparedPeriod>,
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
    let (tx, version) = snapshot(pool, selection).await?;
    Ok((tx, version.completeness))
}

async fn snapshot(
    pool: &Pool,
    selection: &Selection,
) -> Result<(Transaction<'static>, FiguresVersion), Error> {
    let (organization, connection_id) = (&selection.organization_id, &selection.connection_id);
    let mut tx = db::tenant_snapshot(pool, organization).await?;
    let version = completeness::figures_version(&mut tx, organization, connection_id).await?;
    let version = version.ok_or(Error::NotFound)?;
    for predicate in &selection.predicates {
        let verified = filter::verify(&mut tx, predicate).await?;
        verified.map_err(Error::Invalid)?;
    }
    Ok((tx, version))
}

/// The comparison of a selection; none where it has no first or no last day.
fn shift(
    selection: &Selection,
    comparison: Option<EarlierPeriod>,
    covered: Option<Days>,
) -> Option<Shift> {
    let (from, to) = selection.date_from.zip(selection.date_to)?;
    Some(Shift::new(comparison?, Days { from, to }, covered))
}

/// Totals of a selection, and its groups where a page of them is asked for. `named` are the metadata keys that the question
/// names. A selection without a first or a last day is compared with nothing.
pub async fn report(
    pool: &Pool,
    selection: &Selection,
    comparison: Option<EarlierPeriod>,
    page: Option<GroupPage<'_>>,
    named: &[NamedKey],
) -> Result<Report, Error> {
    let (mut tx, version) = snapshot(pool, selection).await?;
    let shift = shift(selection, comparison, version.covered_days);
    // Of a period that is not all covered, only the groups of time that are can be compared.
    let comparable =
        |shift: &&Shift| shift.is_complete() || page.as_ref().is_some_and(|page| page.by.by_time());
    let earlier = shift.as_ref().filter(comparable).and_then(|shift| {
        let Days { from, to } = shift.known()?;
        let selection = Selection {
            date_from: Some(from),
            date_to: Some(to),
            ..selection.clone()
        };
        Some(Earlier { selection, shift })
    });
    let earlier = earlier.as_ref();
    let (mut totals, groups) = match page {
        Some(GroupPage { by, after, limit }) => {
            let after = after.as_ref();
            let found =
                totals::totals_and_groups(&mut tx, selection, by, after, limit, earlier).await?;
            let (totals, mut groups) = found;
            if let Some(Earlier { shift, .. }) = earlier {
                for group in &mut groups {
                    if !shift.knows(by, group.key.as_deref()) {
                        group.without_previous();
                    }
                }
            }
            names::name_groups(&mut tx, selection, by, &mut groups).await?;
            (totals, groups)
        }
        None => (
            totals::totals(&mut tx, selection, earlier).await?,
            Vec::new(),
        ),
    };
    if shift.as_ref().is_some_and(|shift| !shift.is_complete()) {
        totals.iter_mut().for_each(Totals::without_previous);
    }
    let unknown_keys = unknown_keys(&mut tx, selection, named).await?;
    db::commit(tx).await?;
    Ok(Report {
        totals,
        groups,
        comparison: shift.as_ref().map(Shift::described),
        completeness: version.completeness,
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
