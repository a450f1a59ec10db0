"""What generated requests need that the API document cannot state, for the schemathesis run of scripts/check-api.

The document says what a value looks like. It cannot say which ids exist, what order two dates have, or every rule of
a language inside a text. Those are filled in here, so that requests reach the code behind the validation. The check
at the end decides which refusals are faults of the document.
"""

import os

import requests
import schemathesis
from hypothesis import strategies as st

URL = os.environ["CHECK_URL"]
HEADERS = {"Authorization": f"Bearer {os.environ['CHECK_TOKEN']}"}
ORGANIZATION = os.environ["CHECK_ORGANIZATION"]


def ask(method, path, **arguments):
    response = requests.request(method, URL + path, headers=HEADERS, timeout=30, **arguments)
    response.raise_for_status()
    return response.json()


# The one connection, its synced job, a stored charge, and a rule that stays.
CONNECTION = ask("GET", "/v1/connectors")["data"][0]["connection_id"]
IDS = {
    "id": CONNECTION,
    "job_id": ask("GET", f"/v1/connectors/{CONNECTION}/jobs")["data"][-1]["job_id"],
    "charge_id": ask("GET", f"/v1/analytics/stripe/charges?connection_id={CONNECTION}&limit=1")["data"][0]["charge_id"],
    "filter_id": ask(
        "POST",
        f"/v1/connectors/{CONNECTION}/filters",
        json={"name": "stays", "conditions": [{"type": "field", "field": "amount", "operator": "exists"}]},
    )["filter_id"],
}

# Languages inside of texts.
JSON_PATHS = st.sampled_from(["$.tier", "$['order'].id", "$.cart[*].sku", "$..sku", "$.items[?@.n > 1].sku", "$"])
schemathesis.openapi.format("json-path", JSON_PATHS)
schemathesis.openapi.format(
    "metadata-json-path",
    st.tuples(st.sampled_from(["charge", "product", "price", "customer"]), JSON_PATHS).map(
        lambda parts: f"metadata:{parts[0]}.{parts[1]}"
    ),
)
schemathesis.openapi.format("regex", st.sampled_from(["^gold$", "a|b", r"\d{2,3}", "(?i)vip", "[^x]+", ""]))
schemathesis.openapi.format(
    "iana-time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"])
)


@schemathesis.hook
def before_call(context, case, kwargs):
    # What is deleted must not be what the other requests are about.
    if case.method != "DELETE":
        for name in case.path_parameters or {}:
            case.path_parameters[name] = IDS.get(name, case.path_parameters[name])
    query = case.query or {}
    if "connection_id" in query:
        query["connection_id"] = CONNECTION
    dates = [query.get("date_from"), query.get("date_to")]
    if all(isinstance(date, str) for date in dates):
        query["date_from"], query["date_to"] = sorted(dates)
    # An organization that is not the token's is refused before anything else is looked at.
    if isinstance(case.body, dict) and "organization_id" in case.body:
        case.body["organization_id"] = ORGANIZATION


@schemathesis.hook
def after_call(context, case, response):
    # A connection has at most 50 rules.
    if case.operation.label == "POST /v1/connectors/{id}/filters" and response.status_code == 201:
        ask("DELETE", f"/v1/connectors/{CONNECTION}/filters/{response.json()['filter_id']}")


# Statuses that say nothing about the form of a request.
STATUSES = {
    404,  # an id that does not exist; generated ones do not
    409,  # the job, rule or account is in a state that does not allow it
}
# Codes of 422 that no schema can rule out.
CODES = {
    "cursor_invalid",  # only a previous answer has a cursor that is valid
    "stripe_key_invalid",  # Stripe decides which keys exist
    "stripe_key_wrong_kind",  # publishable and organization keys have a code of their own
    "stripe_permission_missing",  # Stripe decides what a key may read
    "stripe_account_mismatch",  # Stripe decides whose a key is
}


@schemathesis.check
def no_valid_request_is_refused(context, response, case):
    status = response.status_code
    if status < 400 or status >= 500 or status in STATUSES:
        return
    problem = response.json()
    if status == 422 and problem.get("code") in CODES:
        return
    raise AssertionError(f"the document allows this request, and the API refuses it: {problem}")
