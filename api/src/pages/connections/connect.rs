//! Connecting a Stripe account: what is read and why, the key that Stripe makes for it, and one form.
//!
//! The form connects, or checks its key only. Where htmx runs, a pasted key is checked at once and the answer is the list
//! of its permissions with what the first sync takes, so the key stays in its field; other days of history are estimated
//! again. Without htmx, "Check key" answers the page, and the key is pasted again to connect: no answer has a key in it.
//! Connecting probes the key once more, since nothing of a check is kept.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::connection::connect::{self, NewConnection};
use common::connection::key::{self, Checked};
use common::connection::probe::{Access, Probe};
use common::connection::{DEFAULT_LOOKBACK_DAYS, MAX_LOOKBACK_DAYS, MAX_NAME_CHARS, covered_from};
use secrecy::SecretString;
use stripe::StripeConnector;
use stripe::restricted_key::{self, KEY_PERMISSIONS};

use super::changes::key_problems;
use super::estimate::EstimateText;
use super::key_permissions::{self, PermissionRow};
use super::{layout, path_of};
use crate::pages::Viewer;
use crate::pages::form::{Form, Problems};
use crate::pages::layout::{Layout, Page};
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::state::ApiState;

const ONLY_ADMINS: &str = "Connecting an account needs the role admin, and yours is analyst, which reads only. Ask whoever \
                           gave you your token.";

/// Days of history that are proposed where the plan allows as many: a month can be compared with the one a year before.
const PROPOSED_DAYS: i32 = 400;

/// The fields but for the key, as they are shown again.
#[derive(Debug)]
struct Typed {
    name: String,
    lookback_days: String,
    timezone: String,
}

#[derive(Debug, Template)]
#[template(path = "connect.html")]
pub(super) struct ConnectPage {
    layout: Layout,
    typed: Typed,
    /// Whether a browser that can may put its own time zone into the field, since nobody has chosen one.
    is_fresh: bool,
    check: KeyCheck,
    problems: Problems,
    /// The page of the connection that syncs this account already.
    exists: Option<String>,
}

/// What was found out about a pasted key; the part of the page that a check replaces.
#[derive(Debug, Default, Template)]
#[template(path = "connect_check.html")]
pub(super) struct KeyCheck {
    probe: Option<Probe>,
    permissions: Vec<PermissionRow>,
    estimate: Option<EstimateText>,
    /// Why there is none.
    problem: Option<String>,
}

/// `GET /connections/new`.
pub(super) async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
) -> Result<Page<ConnectPage>, ApiError> {
    if !may_change(&viewer) {
        let detail = ONLY_ADMINS.to_owned();
        return Err(ApiError::Forbidden { detail });
    }
    let limits = state.plans().limits_of(&state.pool, &viewer.organization);
    let typed = Typed {
        name: String::new(),
        lookback_days: limits
            .await?
            .clamped_lookback_days(PROPOSED_DAYS)
            .to_string(),
        timezone: Tz::UTC.name().to_owned(),
    };
    let mut page = ConnectPage::new(&state, &viewer, typed).await?;
    page.is_fresh = true;
    Ok(Page(page))
}

/// `POST /connections/new`: connects.
pub(super) async fn connect(
    State(state): State<ApiState>,
    viewer: Viewer,
    form: Form,
) -> Result<Response, ApiError> {
    let mut page = ConnectPage::new(&state, &viewer, Typed::of(&form)).await?;
    let new = match read(&form) {
        Ok(new) => new,
        Err(error) => {
            page.problems = Problems::of_fields(error)?;
            return Ok(page.refused(StatusCode::UNPROCESSABLE_ENTITY));
        }
    };
    let services = state.key_services();
    match connect::connect(services, &StripeConnector, &viewer.organization, new).await {
        Ok(connected) => {
            let connected = connected.publish(&state.broker).await;
            let path = path_of(&connected.connection.connection_id);
            Ok(Redirect::to(&path).into_response())
        }
        Err(connect::Error::Exists { connection_id }) => {
            page.exists = Some(path_of(&connection_id));
            Ok(page.refused(StatusCode::CONFLICT))
        }
        Err(error) => {
            let (status, problems) = key_problems(error.into())?;
            page.problems = problems;
            Ok(page.refused(status))
        }
    }
}

/// `POST /connections/new/check`: says what a key may read and what the first sync takes, and stores nothing.
pub(super) async fn check(
    Visit(state, viewer, locale): Visit,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    let is_part = headers.contains_key("hx-request");
    let api_key = SecretString::from(form.get("api_key"));
    if is_part && form.get("api_key").is_empty() {
        // The field was emptied, or other days were chosen before a key was pasted.
        return Ok(Page(KeyCheck::default()).into_response());
    }
    let history = History::of(&form);
    let from = history.map(|history| history.begins_at(state.clock.now()));
    let checked = key::check(state.key_services(), &StripeConnector, &api_key, from).await;
    match checked {
        Ok(Checked { probe, estimate }) => {
            let days = history.map_or(DEFAULT_LOOKBACK_DAYS, |history| history.days);
            let check = KeyCheck {
                permissions: key_permissions::rows(&probe.permissions),
                probe: Some(probe),
                estimate: estimate.map(|estimate| EstimateText::new(estimate, days, &locale)),
                problem: None,
            };
            if is_part {
                return Ok(Page(check).into_response());
            }
            let mut page = ConnectPage::new(&state, &viewer, Typed::of(&form)).await?;
            page.check = check;
            Ok(Page(page).into_response())
        }
        Err(error) => {
            let (status, problems) = key_problems(error.into())?;
            if is_part {
                let check = KeyCheck {
                    problem: problems.at("api_key").map(str::to_owned),
                    ..KeyCheck::default()
                };
                return Ok(Page(check).into_response());
            }
            let mut page = ConnectPage::new(&state, &viewer, Typed::of(&form)).await?;
            page.problems = problems;
            Ok(page.refused(status))
        }
    }
}

/// How much the first sync is to read.
#[derive(Debug, Clone, Copy)]
struct History {
    days: i32,
    timezone: Tz,
}

impl History {
    /// None while a field of it is wrong.
    fn of(form: &Form) -> Option<Self> {
        let mut fields = form.fields(&["timezone"], &["lookback_days"]);
        let days = fields.integer("lookback_days", 1..=MAX_LOOKBACK_DAYS);
        let timezone = fields.timezone("timezone");
        fields.finish().ok()?;
        Some(Self {
            days: days.unwrap_or(DEFAULT_LOOKBACK_DAYS),
            timezone: timezone.unwrap_or(Tz::UTC),
        })
    }

    fn begins_at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        covered_from(now, self.timezone, self.days)
    }
}

fn read(form: &Form) -> Result<NewConnection, ApiError> {
    let mut fields = form.fields(&["name", "timezone"], &["lookback_days"]);
    let lookback_days = fields.integer("lookback_days", 1..=MAX_LOOKBACK_DAYS);
    let timezone = fields.timezone("timezone");
    let name = fields.text("name", MAX_NAME_CHARS);
    if form.get("api_key").is_empty() {
        fields.refuse("api_key", "paste the key that Stripe shows");
    }
    fields.finish()?;
    Ok(NewConnection {
        access: Access::Key(form.get("api_key").into()),
        lookback_days,
        timezone: timezone.unwrap_or(Tz::UTC),
        name,
    })
}

impl Typed {
    fn of(form: &Form) -> Self {
        let typed = |name| form.get(name).to_owned();
        Self {
            name: typed("name"),
            lookback_days: typed("lookback_days"),
            timezone: typed("timezone"),
        }
    }
}

impl ConnectPage {
    async fn new(state: &ApiState, viewer: &Viewer, typed: Typed) -> Result<Self, ApiError> {
        Ok(Self {
            layout: layout(state, viewer, "Connect Stripe", false).await?,
            typed,
            is_fresh: false,
            check: KeyCheck::default(),
            problems: Problems::default(),
            exists: None,
        })
    }

    fn refused(mut self, status: StatusCode) -> Response {
        self.layout.title = format!("Error: {}", self.layout.title);
        (status, Page(self)).into_response()
    }
}
