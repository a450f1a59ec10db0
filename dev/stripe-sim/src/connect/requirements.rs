//! What Stripe wants to know of a connected account, by when, and what it has against the answers.
//!
//! Nothing here can fail. Deliberately absent: alternatives, and requirements of single capabilities.

use serde::{Deserialize, Serialize};

/// What an account that was just made has to give.
const AT_FIRST: [&str; 9] = [
    "business_profile.product_description",
    "business_type",
    "external_account",
    "individual.dob.day",
    "individual.dob.month",
    "individual.dob.year",
    "individual.first_name",
    "individual.last_name",
    "tos_acceptance.date",
];
/// What is still missing when some details were left out.
const LEFT_OUT: [&str; 2] = ["external_account", "individual.verification.document"];
/// What is verified of details that were submitted.
const VERIFIED: &str = "individual.verification.document";

/// What is wrong with something that was submitted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RequirementError {
    pub code: String,
    pub reason: String,
    /// The field, such as `individual.verification.document`.
    pub requirement: String,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Requirements {
    pub(crate) currently_due: Vec<String>,
    pub(crate) past_due: Vec<String>,
    pub(crate) pending_verification: Vec<String>,
    /// Unix seconds.
    pub(crate) current_deadline: Option<i64>,
    pub(crate) errors: Vec<RequirementError>,
}

impl Requirements {
    /// Those of an account that was just made, but for what was given with it.
    pub(crate) fn at_first(given: impl Fn(&str) -> bool) -> Self {
        let due = AT_FIRST.into_iter().filter(|field| !given(field));
        let due: Vec<String> = due.map(str::to_owned).collect();
        Self {
            past_due: due.clone(),
            currently_due: due,
            ..Self::default()
        }
    }

    /// A field was given through the API.
    pub(crate) fn gave(&mut self, field: &str) {
        for fields in [&mut self.currently_due, &mut self.past_due] {
            fields.retain(|it| it != field);
        }
    }

    /// Everything was submitted and waits for its verification.
    pub(crate) fn submitted(&mut self) {
        let before = std::mem::take(self);
        self.pending_verification = before.currently_due;
        self.pending_verification
            .retain(|field| field.contains("verification"));
        if self.pending_verification.is_empty() {
            self.pending_verification = vec![VERIFIED.to_owned()];
        }
    }

    /// Some of it was submitted.
    pub(crate) fn submitted_in_part(&mut self) {
        let left: Vec<String> = LEFT_OUT.into_iter().map(str::to_owned).collect();
        *self = Self {
            past_due: left.clone(),
            currently_due: left,
            ..Self::default()
        };
    }

    /// More is required: from now on, or with a deadline.
    pub(crate) fn require(
        &mut self,
        fields: Vec<String>,
        deadline: Option<i64>,
        errors: Vec<RequirementError>,
    ) {
        self.pending_verification.retain(|it| !fields.contains(it));
        for field in fields {
            if deadline.is_none() && !self.past_due.contains(&field) {
                self.past_due.push(field.clone());
            }
            if !self.currently_due.contains(&field) {
                self.currently_due.push(field);
            }
        }
        self.current_deadline = deadline.or(self.current_deadline);
        self.errors.extend(errors);
    }

    /// The deadline is over.
    pub(crate) fn pass_deadline(&mut self) {
        self.past_due = self.currently_due.clone();
        self.current_deadline = None;
    }
}
