//! The plans next to each other, for everybody: what each costs by the month or by the year, what it allows, and for who is signed in
//! what they have and the way to another one.
//!
//! How often it is paid stands in the address. Prices are those that were read last, so that showing them asks Stripe nothing.
//! Without the platform's key nothing is sold, and the page says so. If it is not known who is signed in, nobody is.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use common::money::Currency;
use platform::billing::plan::{Interval, Plan};
use platform::billing::price::{self, Prices};
use platform::billing::standing::Standing;
use platform::billing::subscription::Subscription;
use platform::billing::{PriceReading, trial};

use super::{Known, PRICING, cancellation, change, layout, leading_to_stripe, words};
use crate::pages::Viewer;
use crate::pages::address::Address;
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page};
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::permission::may_change;
use crate::pages::return_path::ReturnPath;
use crate::pages::session::viewer_of;
use crate::problem::ApiError;
use crate::state::ApiState;

const TITLE: &str = "Plans";
const INTERVAL: &str = "interval";
const MONTHS: i64 = 12;
const PERCENT: i64 = 100;

/// What one can do about a plan.
#[derive(Debug)]
enum Way {
    /// It is what one has.
    Have(Mark),
    /// A form that leads to Stripe's page.
    Subscribe {
        label: &'static str,
        plan: String,
    },
    Link {
        label: &'static str,
        path: String,
        is_main: bool,
    },
    Said(String),
    Nothing,
}

/// A plan as it is offered.
#[derive(Debug)]
struct Card {
    id: String,
    name: String,
    description: String,
    /// None where it cannot be had at this interval.
    amount: Option<String>,
    /// How often that is paid.
    every: Option<&'static str>,
    /// What is tried or saved.
    notes: Vec<String>,
    features: Vec<String>,
    limits: [(&'static str, String); 4],
    way: Way,
}

/// A choice of how often it is paid.
#[derive(Debug)]
struct Choice {
    label: &'static str,
    path: String,
    is_chosen: bool,
}

#[derive(Debug, Template)]
#[template(path = "pricing.html")]
struct PricingPage {
    layout: Layout,
    interval: Interval,
    /// None where there is nothing to choose.
    choices: Vec<Choice>,
    cards: Vec<Card>,
    is_signed_in: bool,
    sign_in: String,
    /// Whether whoever looks may not subscribe.
    is_analyst: bool,
}

#[derive(Debug, Template)]
#[template(path = "pricing_none.html")]
struct NothingSoldPage {
    layout: Layout,
}

/// What is known of who looks.
struct Offered<'a> {
    prices: &'a Prices,
    interval: Interval,
    locale: &'a LocaleFormat,
    viewer: Option<Account<'a>>,
    sign_in: &'a str,
}

/// The organization of who looks.
struct Account<'a> {
    standing: Standing<'a>,
    payment_pending: bool,
    trial_is_left: bool,
    may_change: bool,
}

/// `GET /pricing`.
pub(in crate::pages) async fn show(
    State(state): State<ApiState>,
    locale: LocaleFormat,
    request: Request,
) -> Result<Response, ApiError> {
    if state.platform.is_none() {
        let layout = Layout::signed_out(TITLE);
        let page = Page(NothingSoldPage { layout });
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    }
    let (parts, _) = request.into_parts();
    let viewer = viewer_of(&state, &parts).await.unwrap_or_default();
    let address = Address::new(PRICING, parts.uri.query().unwrap_or_default());
    let billing = state.billing()?;
    let prices = price::current(&billing).await?;
    let plans = billing.plans.all();
    let sold = sold_at(plans, &prices);
    let asked = address.get(INTERVAL);
    let asked = sold.iter().find(|it| asked == Some(it.as_str()));
    let interval = asked.or(sold.first()).copied().unwrap_or(Interval::Month);
    let sign_in = ReturnPath::parse(&path_of(interval)).sign_in(false);
    let known = match &viewer {
        Some(viewer) => Some(Known::load(&state, &viewer.organization).await?),
        None => None,
    };
    let account = match (&viewer, &known) {
        (Some(viewer), Some(known)) => Some(Account {
            standing: known.standing(state.clock.now()),
            payment_pending: known.stored.payment_pending,
            trial_is_left: trial::is_left(&billing, &viewer.organization).await?,
            may_change: may_change(viewer),
        }),
        _ => None,
    };
    let offered = Offered {
        prices: &prices,
        interval,
        locale: &locale,
        viewer: account,
        sign_in: &sign_in,
    };
    let page = PricingPage {
        layout: layout_for(&state, viewer.as_ref()).await?,
        interval,
        choices: choices(&sold, interval),
        cards: plans.iter().map(|plan| offered.card(plan)).collect(),
        is_signed_in: viewer.is_some(),
        is_analyst: viewer.as_ref().is_some_and(|viewer| !may_change(viewer)),
        sign_in: sign_in.clone(),
    };
    leading_to_stripe(&state, StatusCode::OK, page)
}

async fn layout_for(state: &ApiState, viewer: Option<&Viewer>) -> Result<Layout, ApiError> {
    match viewer {
        Some(viewer) => layout(state, viewer, TITLE).await,
        None => Ok(Layout::signed_out(TITLE)),
    }
}

fn path_of(interval: Interval) -> String {
    let address = Address::new(PRICING, "");
    address.with(INTERVAL, interval.as_str()).to_string()
}

/// The intervals at which anything can be paid.
fn sold_at(plans: &[Plan], prices: &Prices) -> Vec<Interval> {
    let is_sold = |interval: &Interval| {
        plans
            .iter()
            .any(|plan| prices.of(plan, *interval).is_some())
    };
    Interval::ALL.into_iter().filter(is_sold).collect()
}

fn choices(sold: &[Interval], chosen: Interval) -> Vec<Choice> {
    if sold.len() < 2 {
        return Vec::new();
    }
    let choice = |interval: &Interval| Choice {
        label: match interval {
            Interval::Month => "Paid by the month",
            Interval::Year => "Paid by the year",
        },
        path: path_of(*interval),
        is_chosen: *interval == chosen,
    };
    sold.iter().map(choice).collect()
}

impl Offered<'_> {
    fn card(&self, plan: &Plan) -> Card {
        let price = self.prices.of(plan, self.interval);
        let amount = match price {
            Some(price) => price
                .amount
                .map(|amount| self.locale.minor(amount, &price.currency)),
            None if plan.is_free() => Some(words::nothing(self.currency(), self.locale)),
            None => None,
        };
        let is_priced = price.is_some() && amount.is_some();
        Card {
            id: plan.id.clone(),
            name: plan.name.clone(),
            description: plan.description.clone(),
            every: is_priced.then_some(words::every(self.interval)),
            amount,
            notes: self.notes(plan, price),
            features: plan.features.clone(),
            limits: words::limits(&plan.limits, self.locale),
            way: self.way(plan, price),
        }
    }

    /// In which something is sold.
    fn currency(&self) -> Option<&Currency> {
        self.prices.first_sold().map(|price| &price.currency)
    }

    fn notes(&self, plan: &Plan, price: Option<&PriceReading>) -> Vec<String> {
        let mut notes = Vec::new();
        let Some(price) = price else { return notes };
        let may_try = self.viewer.as_ref().is_none_or(Account::may_try);
        if let Some(days) = plan.trial_days.filter(|_| may_try) {
            let days = words::counted(days, "day", self.locale);
            notes.push(format!("{days} free of charge first"));
        }
        let monthly = self.prices.of(plan, Interval::Month);
        if self.interval == Interval::Year
            && let Some(percent) = monthly.and_then(|monthly| saved_percent(monthly, price))
        {
            notes.push(format!("{percent} % less than by the month"));
        }
        notes
    }

    fn way(&self, plan: &Plan, price: Option<&PriceReading>) -> Way {
        let Some(account) = &self.viewer else {
            return self.way_of_strangers(plan, price);
        };
        let live = account
            .standing
            .subscription
            .filter(|it| it.status.is_live());
        let subscribed = account.standing.subscribed.filter(|_| live.is_some());
        let has_it = match subscribed {
            Some((had, interval)) => had.id == plan.id && interval == self.interval,
            None => plan.is_free(),
        };
        if let Some(coming) = &account.standing.coming_change
            && (coming.plan.id == plan.id && coming.interval == self.interval)
        {
            let day = self.locale.day(coming.at.date_naive());
            return Way::Said(format!("Yours from {day} on"));
        }
        if has_it {
            return Way::Have(Mark::new("Your plan", Shape::Check, Tone::Good));
        }
        if price.is_none() && !plan.is_free() {
            return not_sold();
        }
        if !account.may_change {
            return Way::Nothing;
        }
        match (subscribed, plan.is_free()) {
            (Some(_), true) => way_to_free(live.is_some_and(|it| it.cancel_at.is_some())),
            (Some((had, _)), false) => Way::Link {
                label: changing(had, plan, self.interval),
                path: change::path(&plan.id, self.interval, None),
                is_main: true,
            },
            (None, _) if account.payment_pending => {
                Way::Said("Your payment is on its way".to_owned())
            }
            (None, _) => Way::Subscribe {
                label: subscribing(plan, account.may_try()),
                plan: plan.id.clone(),
            },
        }
    }

    fn way_of_strangers(&self, plan: &Plan, price: Option<&PriceReading>) -> Way {
        match (plan.is_free(), price) {
            (true, _) => Way::Link {
                label: "Sign in",
                path: self.sign_in.to_owned(),
                is_main: false,
            },
            (false, None) => not_sold(),
            (false, Some(_)) => Way::Link {
                label: subscribing(plan, true),
                path: self.sign_in.to_owned(),
                is_main: true,
            },
        }
    }
}

impl Account<'_> {
    /// Whether a trial is offered: only who has none now, and had none.
    fn may_try(&self) -> bool {
        let is_live = |it: &Subscription| it.status.is_live();
        self.trial_is_left && !self.standing.subscription.is_some_and(is_live)
    }
}

fn changing(had: &Plan, plan: &Plan, interval: Interval) -> &'static str {
    if had.id != plan.id {
        return "Change to this plan";
    }
    match interval {
        Interval::Month => "Change to paying by the month",
        Interval::Year => "Change to paying by the year",
    }
}

fn subscribing(plan: &Plan, may_try: bool) -> &'static str {
    if may_try && plan.trial_days.is_some() {
        "Start free trial"
    } else {
        "Subscribe"
    }
}

fn way_to_free(is_cancelled: bool) -> Way {
    if is_cancelled {
        return Way::Said("Yours when your plan ends".to_owned());
    }
    Way::Link {
        label: "Cancel your plan",
        path: cancellation::PATH.to_owned(),
        is_main: false,
    }
}

fn not_sold() -> Way {
    Way::Said("Not available at present".to_owned())
}

/// How much less a year costs than twelve months, in whole percent, rounded down.
fn saved_percent(monthly: &PriceReading, yearly: &PriceReading) -> Option<i64> {
    let (month, year) = (monthly.amount?, yearly.amount?);
    let twelve = month.checked_mul(MONTHS)?;
    if monthly.currency != yearly.currency || twelve <= year {
        return None;
    }
    let saved = (twelve - year).checked_mul(PERCENT)? / twelve;
    (saved > 0).then_some(saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(amount: i64, currency: &str) -> PriceReading {
        PriceReading {
            price_id: "price_1".to_owned(),
            product_id: "prod_1".to_owned(),
            lookup_key: None,
            amount: Some(amount),
            currency: Currency::new(currency),
            interval: None,
            sold: true,
        }
    }

    #[test]
    fn what_a_year_saves_is_rounded_down_and_not_said_where_it_is_nothing() {
        let saved =
            |month, year, currency| saved_percent(&price(month, "usd"), &price(year, currency));
        assert_eq!(saved(900, 9_000, "usd"), Some(16));
        assert_eq!(saved(900, 10_800, "usd"), None);
        assert_eq!(saved(900, 10_799, "usd"), None);
        assert_eq!(saved(900, 12_000, "usd"), None);
        assert_eq!(saved(900, 9_000, "eur"), None);
    }
}
