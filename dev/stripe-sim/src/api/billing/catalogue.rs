//! `/v1/products`, `/v1/prices`, `/v1/coupons` and `/v1/promotion_codes`.

use serde_json::Value;

use super::expansion::shown;
use super::{Request, take_place};
use crate::billing::{
    Assigned, Change, Interval, Off, PriceTerms, ProductTerms, Recurring, Redeemed,
};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Currency;
use crate::parameters::Parameters;

pub(super) fn take_currency(parameters: &mut Parameters) -> Result<Option<Currency>, StripeError> {
    let Some(code) = parameters.take("currency") else {
        return Ok(None);
    };
    let currency = Currency::parse(&code.to_lowercase());
    let invalid = || StripeError::invalid("currency", format!("Invalid currency: {code}"));
    currency.map(Some).ok_or_else(invalid)
}

fn take_product(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<ProductTerms, StripeError> {
    for name in ["images", "marketing_features"] {
        // Taken, and not shown.
        drop(parameters.take_group(name));
    }
    Ok(ProductTerms {
        name: parameters.take("name"),
        description: parameters.take_given("description"),
        active: parameters.take_flag("active")?,
        metadata: parameters.take_map("metadata"),
        default_price: take_place(change, parameters, ("default_price", Kind::Price))?,
    })
}

pub(super) fn create_product(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let terms = take_product(change, &mut request.parameters)?;
    if terms.name.is_none() {
        return Err(StripeError::missing("name"));
    }
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_product(terms);
    Ok(request.shown(change, Kind::Product, place))
}

pub(super) fn update_product(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Product)?;
    let terms = take_product(change, &mut request.parameters)?;
    std::mem::take(&mut request.parameters).finish()?;
    change.update_product(place, terms);
    Ok(request.shown(change, Kind::Product, place))
}

fn take_recurring(parameters: &mut Parameters) -> Result<Option<Recurring>, StripeError> {
    let mut group = parameters.take_group("recurring");
    if group.is_empty() {
        return Ok(None);
    }
    let name = group.take("interval");
    let name = name.ok_or_else(|| StripeError::missing("recurring[interval]"))?;
    let interval = Interval::parse(&name);
    let unknown = || {
        let message = "Invalid recurring[interval]: must be one of day, month, week, or year";
        StripeError::invalid("recurring[interval]", message)
    };
    let interval = interval.ok_or_else(unknown)?;
    let count = group.take_integer("interval_count")?.unwrap_or(1);
    drop(group.take("usage_type"));
    group.finish()?;
    let count = u32::try_from(count)
        .ok()
        .filter(|count| (1..=36).contains(count));
    let wrong = || StripeError::invalid("recurring[interval_count]", "Invalid interval count");
    let count = count.ok_or_else(wrong)?;
    Ok(Some(Recurring { interval, count }))
}

pub(super) fn create_price(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let product = take_place(change, parameters, ("product", Kind::Product))?;
    let currency = take_currency(parameters)?;
    let amount = parameters.take_integer("unit_amount")?;
    drop(parameters.take("billing_scheme"));
    drop(parameters.take("tax_behavior"));
    let terms = PriceTerms {
        product: product.ok_or_else(|| StripeError::missing("product"))?,
        currency: currency.ok_or_else(|| StripeError::missing("currency"))?,
        unit_amount: amount.ok_or_else(|| StripeError::missing("unit_amount"))?,
        recurring: take_recurring(parameters)?,
        lookup_key: parameters.take("lookup_key"),
        transfer_lookup_key: parameters
            .take_flag("transfer_lookup_key")?
            .unwrap_or(false),
        nickname: parameters.take("nickname"),
        active: parameters.take_flag("active")?.unwrap_or(true),
        metadata: parameters.take_map("metadata"),
    };
    if terms.unit_amount < 0 {
        let message = "This value must be greater than or equal to 0.";
        return Err(StripeError::invalid("unit_amount", message).of("parameter_invalid_integer"));
    }
    std::mem::take(&mut request.parameters).finish()?;
    let place = change.create_price(terms)?;
    Ok(request.shown(change, Kind::Price, place))
}

pub(super) fn update_price(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let place = request.place(change, Kind::Price)?;
    let parameters = &mut request.parameters;
    let active = parameters.take_flag("active")?;
    let nickname = parameters.take_given("nickname");
    let key = parameters.take("lookup_key");
    let transfer = parameters
        .take_flag("transfer_lookup_key")?
        .unwrap_or(false);
    let metadata = parameters.take_map("metadata");
    std::mem::take(&mut request.parameters).finish()?;
    let own = change.billing.prices[place].lookup_key.clone();
    if key.is_some() && key != own {
        change.take_lookup_key(key.as_deref(), transfer)?;
    }
    change.alter_price(place, |it| {
        it.active = active.unwrap_or(it.active);
        it.lookup_key = key.or(it.lookup_key.take());
        if let Some(nickname) = nickname {
            it.nickname = Some(nickname).filter(|it| !it.is_empty());
        }
        merge_metadata(&mut it.metadata, metadata);
    });
    Ok(request.shown(change, Kind::Price, place))
}

pub(super) fn create_coupon(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let share = parameters.take("percent_off");
    let amount = parameters.take_integer("amount_off")?;
    let currency = take_currency(parameters)?;
    let duration = parameters.take("duration");
    let id = parameters.take("id");
    let terms = (parameters.take("name"), parameters.take_map("metadata"));
    std::mem::take(&mut request.parameters).finish()?;
    let off = match (share, amount, currency) {
        (Some(share), None, _) => Off::Share(hundredths(&share)?),
        (None, Some(amount), Some(currency)) => Off::Amount(amount, currency),
        (None, Some(_), None) => return Err(StripeError::missing("currency")),
        _ => {
            let message = "You must pass exactly one of percent_off or amount_off.";
            return Err(StripeError::invalid("percent_off", message));
        }
    };
    let forever = match duration.as_deref() {
        None | Some("once") => false,
        Some("forever") => true,
        Some(_) => {
            let message = "Invalid duration: the simulator has once and forever";
            return Err(StripeError::invalid("duration", message));
        }
    };
    if let Some(id) = id.as_ref().filter(|id| change.coupon(id).is_some()) {
        let message = format!("Coupon already exists: {id}");
        return Err(StripeError::invalid("id", message).of("resource_already_exists"));
    }
    let place = change.create_coupon(id, (off, forever), terms);
    let coupon = &change.billing.coupons[place];
    Ok(shown(change, request.version).coupon(coupon))
}

/// A percentage such as `12.5` in hundredths.
fn hundredths(text: &str) -> Result<i64, StripeError> {
    let share = text
        .parse::<f64>()
        .ok()
        .filter(|it| *it > 0.0 && *it <= 100.0);
    let invalid = || StripeError::invalid("percent_off", "Invalid percentage");
    Ok((share.ok_or_else(invalid)? * 100.0).round() as i64)
}

pub(super) fn get_coupon(
    change: &mut Change<'_>,
    request: Request<'_>,
) -> Result<Value, StripeError> {
    let missing = || StripeError::no_such("coupon", request.id);
    let place = change.coupon(request.id).ok_or_else(missing)?;
    let version = request.version;
    request.parameters.finish()?;
    Ok(shown(change, version).coupon(&change.billing.coupons[place]))
}

pub(super) fn create_promotion_code(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let code = parameters.take("code");
    drop(parameters.take("promotion[type]"));
    let coupon = parameters
        .take("promotion[coupon]")
        .or_else(|| parameters.take("coupon"));
    drop(parameters.take_map("metadata"));
    std::mem::take(&mut request.parameters).finish()?;
    let id = coupon.ok_or_else(|| StripeError::missing("promotion"))?;
    let missing = || StripeError::no_such_in("promotion[coupon]", "coupon", &id);
    let coupon = change.coupon(&id).ok_or_else(missing)?;
    let place = change.create_promotion_code(coupon, code);
    Ok(request.shown(change, Kind::PromotionCode, place))
}

/// What `discounts[0]` names; an empty `discounts` lifts what there is.
pub(super) fn take_discounts(
    change: &Change<'_>,
    parameters: &mut Parameters,
) -> Result<Assigned<Redeemed>, StripeError> {
    let lifted = parameters.take_given("discounts").is_some();
    let Some(mut first) = parameters.take_list("discounts").into_iter().next() else {
        return Ok(if lifted {
            Assigned::Cleared
        } else {
            Assigned::Unchanged
        });
    };
    if let Some(id) = first.take("promotion_code") {
        let place = change.place(Kind::PromotionCode, &id);
        let missing =
            || StripeError::no_such_in("discounts[0][promotion_code]", "promotion code", &id);
        let place = place.ok_or_else(missing)?;
        let code = &change.billing.promotion_codes[place];
        if !code.active {
            return Err(crate::billing::Refusal::CodeInactive.into());
        }
        return Ok(Assigned::To((code.coupon, Some(place))));
    }
    let id = first.take("coupon");
    let id = id.ok_or_else(|| StripeError::missing("discounts[0][coupon]"))?;
    let missing = || StripeError::no_such_in("discounts[0][coupon]", "coupon", &id);
    Ok(Assigned::To((
        change.coupon(&id).ok_or_else(missing)?,
        None,
    )))
}
