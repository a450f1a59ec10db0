//! Products, prices and customers as people know them: by name, with the id that alone tells two of the same name apart.
//!
//! Reading the names of an address's conditions fails when PostgreSQL does; that a name is unknown is no failure.

use std::collections::BTreeSet;

use common::catalogue::ObjectType;
use common::connection::Connection;
use stripe::analytics::names::Names;

use super::address::Address;
use super::stripe_dashboard;
use crate::problem::ApiError;
use crate::state::ApiState;

/// Conditions on an id: the parameter, and the type that it is of.
const CONDITIONS: [(&str, ObjectType); 3] = [
    ("field.product_id", ObjectType::Product),
    ("field.price_id", ObjectType::Price),
    ("field.customer_id", ObjectType::Customer),
];

/// An object that a charge refers to.
#[derive(Debug)]
pub(super) struct NamedObject {
    pub(super) id: String,
    /// None where it is not known.
    pub(super) name: Option<String>,
    /// Where Stripe's dashboard shows it.
    pub(super) dashboard: Option<String>,
}

impl NamedObject {
    pub(super) fn new(
        object_type: ObjectType,
        id: String,
        name: Option<String>,
        livemode: bool,
    ) -> Self {
        Self {
            dashboard: stripe_dashboard::address_of(object_type.as_str(), &id, Some(livemode)),
            id,
            name,
        }
    }
}

/// The names of the objects that the conditions of an address are about.
pub(super) async fn names_in_conditions(
    state: &ApiState,
    connection: &Connection,
    address: &Address,
) -> Result<Names, ApiError> {
    let pairs = address.pairs().iter();
    let objects: BTreeSet<_> = pairs
        .filter_map(|(parameter, id)| Some((object_type_of(parameter)?, id.as_str())))
        .collect();
    let (organization, id) = (&connection.organization_id, &connection.connection_id);
    Ok(Names::of(&state.pool, organization, id, &objects).await?)
}

/// A condition on an object in words, `product is Gold plan`; none where it is about no object, or about one without a name.
pub(super) fn condition(names: &Names, parameter: &str, id: &str) -> Option<String> {
    let object_type = object_type_of(parameter)?;
    let name = names.get(object_type, id)?;
    Some(format!("{} is {name}", object_type.as_str()))
}

fn object_type_of(parameter: &str) -> Option<ObjectType> {
    let found = CONDITIONS.iter().find(|(name, _)| *name == parameter);
    found.map(|(_, object_type)| *object_type)
}
