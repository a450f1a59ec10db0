//! What a key may read, in the rows and the words of Stripe's dashboard, where it is given.
//!
//! The probe asks for resources, of which one permission may cover several. Two permissions cannot be probed before there is
//! something to read, so they are said to be unchecked until a sync has found out.

use common::connection::Permission;
use stripe::restricted_key::{KEY_PERMISSIONS, KeyPermission};

use crate::pages::mark::{Mark, Shape, Tone};

/// The permission that names the account, which the dashboard's link does not propose.
pub(super) const ACCOUNT: &str = "Account";
pub(super) const ACCOUNT_NEEDED_FOR: &str = "the account’s name";

/// A permission, and whether the key has it.
#[derive(Debug)]
pub(super) struct PermissionRow {
    pub(super) label: &'static str,
    pub(super) state: Mark,
    /// Whether nothing can be synced as it is.
    pub(super) is_required: bool,
    /// What is lost; empty where nothing is.
    pub(super) without: &'static str,
    /// Whether figures lack something.
    pub(super) is_missing: bool,
}

/// The rows of a key that was probed.
pub(super) fn rows(probed: &[Permission]) -> Vec<PermissionRow> {
    let rows = KEY_PERMISSIONS.iter().map(|it| row(it, probed));
    rows.chain(account(probed)).collect()
}

/// How many permissions figures lack.
pub(super) fn missing(rows: &[PermissionRow]) -> usize {
    rows.iter().filter(|row| row.is_missing).count()
}

fn row(permission: &KeyPermission, probed: &[Permission]) -> PermissionRow {
    let mut resources = permission.resources.iter();
    let find = |name: &str| probed.iter().find(|it| it.resource == name);
    let refused = resources
        .clone()
        .find(|resource| find(resource.name).is_some_and(|it| !it.granted));
    let is_known = resources.any(|resource| find(resource.name).is_some());
    let is_required = permission.required && refused.is_some_and(|it| it.required);
    let state = match refused {
        Some(_) if is_required => Mark::new("No access", Shape::Cross, Tone::Error),
        Some(_) => Mark::new("No access", Shape::Triangle, Tone::Warning),
        None if is_known => Mark::new("Granted", Shape::Check, Tone::Good),
        None => Mark::new("Not checked yet", Shape::Circle, Tone::Quiet),
    };
    PermissionRow {
        label: permission.label,
        state,
        is_required,
        without: refused.map_or("", |resource| resource.without),
        is_missing: refused.is_some(),
    }
}

fn account(probed: &[Permission]) -> Option<PermissionRow> {
    let account = probed.iter().find(|it| it.resource == "account")?;
    Some(PermissionRow {
        label: ACCOUNT,
        state: if account.granted {
            Mark::new("Granted", Shape::Check, Tone::Good)
        } else {
            Mark::new("No access", Shape::Circle, Tone::Quiet)
        },
        is_required: false,
        without: if account.granted {
            ""
        } else {
            "The account’s name is left out."
        },
        is_missing: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(resource: &str, granted: bool) -> Permission {
        Permission {
            resource: resource.to_owned(),
            granted,
            needed_for: String::new(),
            hint: None,
        }
    }

    #[test]
    fn permissions_are_those_of_the_dashboard_in_its_order() {
        let all = ["charges", "refunds", "events", "products", "account"];
        let all = all.map(|resource| probed(resource, !matches!(resource, "products" | "account")));
        let rows = rows(&all);
        let labels: Vec<_> = rows.iter().map(|row| row.label).collect();
        let dashboard: Vec<_> = KEY_PERMISSIONS.iter().map(|it| it.label).collect();
        assert_eq!(labels[..dashboard.len()], dashboard);
        assert_eq!(labels.last(), Some(&ACCOUNT));
        let word = |label: &str| {
            let row = rows.iter().find(|row| row.label == label).unwrap();
            row.state.word
        };
        assert_eq!(word("Charges and Refunds"), "Granted");
        assert_eq!(word("Products"), "No access");
        assert_eq!(word("Disputes"), "Not checked yet");
        assert_eq!(missing(&rows), 1);
    }

    #[test]
    fn what_is_lost_is_that_of_the_resource_that_is_refused() {
        let refunds = rows(&[probed("charges", true), probed("refunds", false)]);
        assert!(!refunds[0].is_required);
        assert!(refunds[0].without.contains("refunds"), "{refunds:?}");
        let charges = rows(&[probed("charges", false), probed("refunds", true)]);
        assert!(charges[0].is_required);
    }
}
