//! The question that an address asks about revenue: of which connection, of which days, under which conditions. Pages that show
//! revenue share it, with the links that change a part of it.
//!
//! The parameters are those of `GET /v1/analytics/stripe`, and `range`, a preset of days, which `date_from` and `date_to`
//! replace. A parameter that is wrong is an error that names it.

use chrono::NaiveDate;
use common::catalogue::queries::CatalogueKey;
use common::catalogue::{self, ObjectType};
use common::connection::Connection;
use common::connection::overview::{self, Overview};
use common::db;
use common::tenant::OrganizationId;
use stripe::analytics::names::Names;

use super::address::Address;
use super::amounts::{self, Amounts};
use super::days::{Days, Preset};
use super::filter_builder;
use super::named_object;
use crate::input::Params;
use crate::problem::ApiError;
use crate::revenue_query::RevenueQuery;
use crate::state::ApiState;

pub(super) const CONNECTION: &str = "connection_id";
/// Connections among which one can be chosen.
const MAX_CONNECTIONS: i64 = 1000;
/// Metadata keys among which one can be chosen.
const MAX_KEYS: usize = 500;

/// A question with the connection that it is about.
pub(super) struct Question {
    pub(super) connection: Overview,
    /// The others that the organization has.
    pub(super) others: Vec<Overview>,
    pub(super) query: RevenueQuery,
    pub(super) days: Days,
    /// None where the days were chosen one by one.
    pub(super) preset: Option<Preset>,
    /// Of the objects that the conditions are about.
    pub(super) names: Names,
}

/// A link that may be the one that is shown now.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) address: String,
    pub(super) chosen: bool,
}

impl Choice {
    /// The address with a parameter of this value.
    pub(super) fn of(
        address: &Address,
        parameter: &str,
        value: &str,
        label: &str,
        chosen: bool,
    ) -> Self {
        Self {
            label: label.to_owned(),
            value: value.to_owned(),
            address: address.with(parameter, value).to_string(),
            chosen,
        }
    }
}

/// A condition that is in force, with the address without it.
#[derive(Debug)]
pub(super) struct ActiveFilter {
    pub(super) label: String,
    pub(super) without: String,
}

/// Reads an address; `own` takes the parameters that only one page has. None where the organization has no connection.
pub(super) async fn read<T>(
    state: &ApiState,
    organization: &OrganizationId,
    address: &Address,
    own: impl FnOnce(&mut Params) -> T + Send,
) -> Result<Option<(Question, T)>, ApiError> {
    let (pool, connectors) = (&state.pool, state.connectors);
    let mut others = overview::list(pool, connectors, organization, None, MAX_CONNECTIONS).await?;
    let Some(first) = others.first() else {
        return Ok(None);
    };
    let id = address.get(CONNECTION);
    let id = id.unwrap_or(&first.connection.connection_id).to_owned();
    let chosen = others
        .iter()
        .position(|other| other.connection.connection_id == id);
    let connection = others.remove(chosen.ok_or(ApiError::NotFound)?);
    let today = connection.connection.date_of(state.clock.now());

    let mut params = Params::parse(&address.with(CONNECTION, &id).query());
    let presets = Preset::ALL.map(|preset| (preset.as_str(), preset));
    let preset = params.choice("range", &presets);
    let own = own(&mut params);
    let mut query = RevenueQuery::read(&mut params, organization);
    params.finish()?;
    let selection = &mut query.selection;
    let chosen = selection.date_from.is_some() || selection.date_to.is_some();
    let preset = (!chosen).then(|| preset.unwrap_or(Preset::ThirtyDays));
    let names = named_object::names_in_conditions(state, &connection.connection, address).await?;
    let days = days_of(preset, selection.date_from, selection.date_to, today);
    selection.date_from = Some(days.from);
    selection.date_to = Some(days.to);
    let question = Question {
        connection,
        others,
        query,
        days,
        preset,
        names,
    };
    Ok(Some((question, own)))
}

fn days_of(
    preset: Option<Preset>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    today: NaiveDate,
) -> Days {
    if let Some(preset) = preset {
        return preset.days(today);
    }
    let to = to.unwrap_or_else(|| from.map_or(today, |from| from.max(today)));
    let from = from.unwrap_or_else(|| Preset::ThirtyDays.days(to).from);
    Days { from, to }
}

impl Question {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection.connection
    }

    pub(super) fn connections(&self, address: &Address) -> Vec<Choice> {
        let all = [&self.connection].into_iter().chain(&self.others);
        let choices = all.map(|other| {
            let other = &other.connection;
            let id = &other.connection_id;
            let chosen = *id == self.connection().connection_id;
            Choice::of(address, CONNECTION, id, other.display_name(), chosen)
        });
        choices.collect()
    }

    pub(super) fn presets(&self, address: &Address) -> Vec<Choice> {
        let address = address.without("date_from").without("date_to");
        let choice = |preset: Preset| {
            let chosen = self.preset == Some(preset);
            Choice::of(&address, "range", preset.as_str(), preset.label(), chosen)
        };
        Preset::ALL.map(choice).into()
    }

    /// The metadata keys by which revenue can be grouped: those of charges first, since every charge may have one, and the
    /// most common first.
    pub(super) async fn metadata_keys(
        &self,
        state: &ApiState,
    ) -> Result<Vec<CatalogueKey>, ApiError> {
        let organization = &self.connection().organization_id;
        let id = &self.connection().connection_id;
        let mut tx = state.begin(organization).await?;
        let org = organization.as_str();
        let all = (catalogue::MAX_KEYS * ObjectType::ALL.len()) as i64;
        let mut found = catalogue::queries::list(&mut tx, org, id, None, None, all).await?;
        db::commit(tx).await?;
        found.sort_by_key(|found| {
            let of_charge = found.object_type == ObjectType::Charge;
            (!of_charge, std::cmp::Reverse(found.entry.occurrences))
        });
        found.truncate(MAX_KEYS);
        Ok(found)
    }
}

/// How addresses name a metadata key: `charge.tier`.
pub(super) fn key_name(found: &CatalogueKey) -> String {
    format!("{}.{}", found.object_type.as_str(), found.key_path)
}

/// The conditions of the address, each with a link that removes it. The overview always shows one currency, so there it is
/// none.
pub(super) fn active_filters(
    address: &Address,
    names: &Names,
    amounts: &Amounts,
) -> Vec<ActiveFilter> {
    let filters = address.pairs().iter().filter_map(|(name, value)| {
        let label = if let Some(named) = named_object::condition(names, name, value) {
            named
        } else if let Some(minor) = minor_units(name, value) {
            format!("amount is {}", amounts.words(minor))
        } else if let Some(field) = name.strip_prefix("field.") {
            format!("{} is {value}", field.replace('_', " "))
        } else if let Some(key) = name.strip_prefix("metadata.") {
            format!("{key} is {value}")
        } else if name == "currency" && address.path() != "/" {
            format!("currency is {}", value.to_uppercase())
        } else if name == "filter" {
            filter_builder::filter_text(value, amounts)
        } else {
            return None;
        };
        let without = address.without(name).to_string();
        Some(ActiveFilter { label, without })
    });
    filters.collect()
}

/// The minor units of the short form of a condition on the amount.
fn minor_units(name: &str, value: &str) -> Option<i64> {
    let value = (name == amounts::PARAMETER).then_some(value);
    value?.parse().ok()
}
