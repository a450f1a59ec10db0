//! Names of the products, prices and customers that an answer shows by their ids.
//!
//! Looked up by the ids of one page of an answer, after it is known, and never joined to the rows that figures are sums of.
//! Fails when PostgreSQL does. Deliberately absent: names in exports, which are streamed row by row.

use std::collections::{BTreeMap, BTreeSet};

use common::catalogue::ObjectType;
use common::db::{self, Error, Pool};
use common::tenant::OrganizationId;
use sqlx::PgConnection;

use super::charge_lines::ChargeRow;
use super::totals::Group;
use super::{GroupBy, Selection};
use crate::referenced;

/// Names by the type and id of their objects. An object without one is not among them.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<&'static str, BTreeMap<String, String>>);

impl Names {
    /// The names of those of these objects that have one.
    pub async fn of(
        pool: &Pool,
        organization: &OrganizationId,
        connection_id: &str,
        objects: &BTreeSet<(ObjectType, &str)>,
    ) -> Result<Self, Error> {
        if objects.is_empty() {
            return Ok(Self::default());
        }
        let mut tx = db::tenant_transaction(pool, organization).await?;
        let names = read(&mut tx, organization, connection_id, objects).await?;
        db::commit(tx).await?;
        Ok(names)
    }

    pub fn get(&self, object_type: ObjectType, id: &str) -> Option<&str> {
        let names = self.0.get(object_type.as_str())?;
        names.get(id).map(String::as_str)
    }

    fn owned(&self, object_type: ObjectType, id: Option<&String>) -> Option<String> {
        self.get(object_type, id?).map(str::to_owned)
    }
}

async fn read(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    objects: &BTreeSet<(ObjectType, &str)>,
) -> Result<Names, Error> {
    let mut names = Names::default();
    if objects.is_empty() {
        return Ok(names);
    }
    let asked: Vec<(ObjectType, &str)> = objects.iter().copied().collect();
    let organization = organization.as_str();
    let found = referenced::queries::names_of(conn, organization, connection_id, &asked).await?;
    for object in found {
        let object_type = ObjectType::parse(&object.object_type);
        let Some(object_type) = object_type else {
            continue;
        };
        let of_type = names.0.entry(object_type.as_str()).or_default();
        of_type.insert(object.object_id, object.name);
    }
    Ok(names)
}

/// Puts their names on groups of products, prices or customers; others have none.
pub(super) async fn name_groups(
    conn: &mut PgConnection,
    selection: &Selection,
    by: &GroupBy,
    groups: &mut [Group],
) -> Result<(), Error> {
    let Some(object_type) = by.object_type() else {
        return Ok(());
    };
    let keys = groups.iter().filter_map(|group| group.key.as_deref());
    let objects = keys.map(|id| (object_type, id)).collect();
    let (organization, connection_id) = (&selection.organization_id, &selection.connection_id);
    let names = read(conn, organization, connection_id, &objects).await?;
    for group in groups {
        group.name = names.owned(object_type, group.key.as_ref());
    }
    Ok(())
}

/// Puts the names of their customers, products and prices on rows.
pub(super) async fn name_rows(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    rows: &mut [ChargeRow],
) -> Result<(), Error> {
    let referenced = rows.iter().flat_map(|row| {
        [
            (ObjectType::Customer, &row.customer_id),
            (ObjectType::Product, &row.product_id),
            (ObjectType::Price, &row.price_id),
        ]
    });
    let objects = referenced.filter_map(|(of, id)| Some((of, id.as_deref()?)));
    let names = read(conn, organization, connection_id, &objects.collect()).await?;
    for row in rows {
        row.customer_name = names.owned(ObjectType::Customer, row.customer_id.as_ref());
        row.product_name = names.owned(ObjectType::Product, row.product_id.as_ref());
        row.price_name = names.owned(ObjectType::Price, row.price_id.as_ref());
    }
    Ok(())
}
