//! What Stripe asks for, in words of whoever has to give it.
//!
//! Stripe names it by a path, such as `person_1A2b.dob.day`: whose it is, and what. Several paths are one thing to give, as
//! day, month and year of a date. A path that is not known is made readable by rule, so nothing that is asked for is hidden.

use crate::pages::format::capitalized;

/// The end of a path, or what stands before the rest of it, and what that is.
const KNOWN: [(&str, &str); 46] = [
    ("external_account", "A bank account for payouts"),
    ("bank_account", "A bank account for payouts"),
    ("business_type", "The kind of business"),
    ("business_profile.mcc", "The line of business"),
    ("business_profile.name", "The name of the business"),
    (
        "business_profile.product_description",
        "A description of what is sold",
    ),
    (
        "business_profile.support_address",
        "An address for customers’ questions",
    ),
    (
        "business_profile.support_email",
        "An email address for customers’ questions",
    ),
    (
        "business_profile.support_phone",
        "A phone number for customers’ questions",
    ),
    ("business_profile.url", "The website of the business"),
    (
        "settings.payments.statement_descriptor",
        "The name on customers’ card statements",
    ),
    ("tos_acceptance", "Agreement to Stripe’s terms of service"),
    ("address", "Address"),
    ("registered_address", "Registered address"),
    ("dob", "Date of birth"),
    ("date_of_birth", "Date of birth"),
    ("email", "Email address"),
    ("phone", "Phone number"),
    ("first_name", "First name"),
    ("given_name", "First name"),
    ("last_name", "Last name"),
    ("surname", "Last name"),
    ("maiden_name", "Name at birth"),
    ("full_name_aliases", "Other names"),
    ("gender", "Gender"),
    ("nationality", "Nationality"),
    ("id_number", "Personal identification number"),
    ("id_number_secondary", "Second identification number"),
    (
        "ssn_last_4",
        "Last four digits of the social security number",
    ),
    ("political_exposure", "Whether a public office is held"),
    ("relationship.percent_ownership", "Share of the company"),
    ("relationship.title", "Job title"),
    ("relationship", "Role in the company"),
    (
        "verification.additional_document",
        "A document that proves the address",
    ),
    ("verification.document", "A photo of an identity document"),
    ("verification.proof_of_liveness", "A photo of the face"),
    ("name", "Name"),
    ("structure", "Legal form"),
    ("tax_id", "Tax number"),
    ("vat_id", "VAT number"),
    ("registration_number", "Registration number"),
    ("owners_provided", "Confirmation that all owners are named"),
    (
        "directors_provided",
        "Confirmation that all directors are named",
    ),
    (
        "executives_provided",
        "Confirmation that all executives are named",
    ),
    (
        "documents.bank_account_ownership_verification",
        "A document that proves whose the bank account is",
    ),
    (
        "documents.proof_of_registration",
        "A document that proves the registration",
    ),
];

/// A company has no identity document.
const DOCUMENT_OF_COMPANY: &str = "A document that proves the details";

/// What stands before the rest of a path, and whose it is. One's own is not said.
const WHOSE: [(&str, &str); 6] = [
    ("individual", ""),
    ("company", "the company"),
    ("representative", "the representative"),
    ("owners", "an owner"),
    ("directors", "a director"),
    ("executives", "an executive"),
];

/// Words for what Stripe asks for by this path.
pub(super) fn words(path: &str) -> String {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let whose = if first.starts_with("person_") {
        Some("a person of the company")
    } else {
        let mut all = WHOSE.iter();
        all.find_map(|(name, whose)| (*name == first).then_some(*whose))
    };
    let (whose, what) = match whose {
        Some(whose) if !rest.is_empty() => (whose, rest),
        _ => ("", path),
    };
    let what = if first == "company" && starts_with(what, "verification.document") {
        DOCUMENT_OF_COMPANY.to_owned()
    } else {
        known(what).map_or_else(|| readable(what), ToOwned::to_owned)
    };
    if whose.is_empty() {
        what
    } else {
        format!("{what} of {whose}")
    }
}

fn known(path: &str) -> Option<&'static str> {
    let mut all = KNOWN.iter();
    all.find_map(|(name, words)| starts_with(path, name).then_some(*words))
}

/// Whether a path is `name`, or a part of it.
fn starts_with(path: &str, name: &str) -> bool {
    let rest = path.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The path as words: `documents.company_license.files` becomes "Documents, company license, files". Ids are left out.
fn readable(path: &str) -> String {
    let is_word = |part: &&str| !part.bytes().any(|byte| byte.is_ascii_digit());
    let parts: Vec<String> = path
        .split('.')
        .filter(is_word)
        .map(|part| part.replace('_', " "))
        .collect();
    match parts.join(", ").as_str() {
        "" => path.to_owned(),
        text => capitalized(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_said_in_words() {
        for (path, said) in [
            ("external_account", "A bank account for payouts"),
            ("individual.dob.day", "Date of birth"),
            ("individual.dob.year", "Date of birth"),
            ("individual.address.line1", "Address"),
            (
                "individual.verification.document",
                "A photo of an identity document",
            ),
            (
                "person_1NvXd2IUK7vcKp.verification.document.front",
                "A photo of an identity document of a person of the company",
            ),
            (
                "company.verification.document",
                "A document that proves the details of the company",
            ),
            ("company.tax_id", "Tax number of the company"),
            (
                "representative.dob.month",
                "Date of birth of the representative",
            ),
            (
                "tos_acceptance.ip",
                "Agreement to Stripe’s terms of service",
            ),
            ("business_profile.url", "The website of the business"),
        ] {
            assert_eq!(words(path), said, "{path}");
        }
    }

    #[test]
    fn what_is_not_known_is_readable() {
        for (path, said) in [
            (
                "documents.company_license.files",
                "Documents, company license, files",
            ),
            ("interv_1Ab2.other_form", "Other form"),
            (
                "company.export_license_id",
                "Export license id of the company",
            ),
            ("addresses", "Addresses"),
            ("company", "Company"),
            ("interv_1", "interv_1"),
        ] {
            assert_eq!(words(path), said, "{path}");
        }
    }
}
