"""What generated requests need that the API document cannot state, for the schemathesis run of scripts/check-api.

The document says what a value looks like. It cannot say which ids exist, what order two dates have, or every rule of
a language inside a text. Those are filled in here, so that requests reach the code behind the validation. What a request
deletes or cancels is created for that request, on a connection that no other request is about. The check at the end
decides which refusals are faults of the document. Operations that succeeded at least once are listed in the file
CHECK_SUCCEEDED, since an operation that is always refused has not been tested.
"""

import hashlib
import hmac
import os
import threading
import time
import uuid

import requests
import schemathesis
from hypothesis import strategies as st

URL = os.environ["CHECK_URL"]
# Not the token of the generated requests: these keep to its limit, and would be answered 429 if calls made here counted too.
HEADERS = {"Authorization": f"Bearer {os.environ['CHECK_HOOKS_TOKEN']}"}
ORGANIZATION = os.environ["CHECK_ORGANIZATION"]
# Keys of five accounts: of the one connection, and of those whose jobs are cancelled, whose jobs fail and are retried,
# whose connection is deleted again and again, and that requests connect.
KEY, CANCELLED_KEY, FAILING_KEY, DELETED_KEY, CONNECTED_KEY = os.environ["CHECK_KEYS"].split()
PATIENCE_SECONDS = 60


def ask(method, path, **arguments):
    response = requests.request(method, URL + path, headers=HEADERS, timeout=30, **arguments)
    response.raise_for_status()
    return response.json()


# The one connection, its synced job, a stored charge, and a rule that stays.
CONNECTION = ask("GET", "/v1/connectors")["data"][0]["connection_id"]
IDS = {
    "id": CONNECTION,
    "org": ORGANIZATION,
    "job_id": ask("GET", f"/v1/connectors/{CONNECTION}/jobs")["data"][-1]["job_id"],
    "charge_id": ask("GET", f"/v1/analytics/stripe/charges?connection_id={CONNECTION}&limit=1")["data"][0]["charge_id"],
    "filter_id": ask(
        "POST",
        f"/v1/connectors/{CONNECTION}/filters",
        json={"name": "stays", "conditions": [{"type": "field", "field": "amount", "operator": "exists"}]},
    )["filter_id"],
    "question_id": ask("POST", "/v1/questions", json={"name": "stays", "shared": True})["question_id"],
}

COVERED_DAY = ask("GET", f"/v1/connectors/{CONNECTION}/completeness")["data"][-1]["date"]
CONNECTIONS = f"/v1/connectors/{CONNECTION}"


def webhook_event():
    """An event that came to the connection's webhook endpoint."""
    secret = "whsec_check"
    endpoint = ask("POST", f"/v1/connectors/stripe/{CONNECTION}/webhook", json={"signing_secret": secret})
    body = b'{"id": "evt_check", "type": "payout.paid", "data": {"object": {"object": "payout", "id": "po_1"}}}'
    seconds = int(time.time())
    digest = hmac.new(secret.encode(), b"%d." % seconds + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={seconds},v1={digest}"}
    url = f"{URL}/webhooks/stripe/{endpoint['endpoint_id']}"
    requests.post(url, data=body, headers=headers, timeout=30).raise_for_status()
    return ask("GET", "/v1/webhooks/events")["data"][0]["event_id"]


IDS["event_id"] = webhook_event()


def eventually(what, attempt):
    """What `attempt` returns once that is not None."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := attempt()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.1)
    return found


def new_connection(key):
    """Connects an account, once a former connection of it is gone."""

    def attempt():
        body = {"organization_id": ORGANIZATION, "api_key": key}
        response = requests.post(URL + "/v1/connectors/stripe/connect", headers=HEADERS, json=body, timeout=30)
        if response.status_code == 409 and response.json()["code"] == "connection_deleting":
            return None
        response.raise_for_status()
        return response.json()["connection_id"]

    return eventually("a former connection to be deleted", attempt)


def ended(job_id):
    def attempt():
        job = ask("GET", f"/v1/sync-jobs/{job_id}")
        return job if job["status"] in ("completed", "failed", "cancelled") else None

    return eventually("a job to end", attempt)


def new_filter():
    conditions = [{"type": "field", "field": "amount", "operator": "exists"}]
    return ask("POST", f"{CONNECTIONS}/filters", json={"name": "goes", "conditions": conditions})["filter_id"]


def new_question():
    # Shared, since a private one is seen by its own token only.
    return ask("POST", "/v1/questions", json={"name": f"goes {uuid.uuid4()}", "shared": True})["question_id"]


def new_webhook_endpoint():
    ask("POST", f"/v1/connectors/stripe/{CANCELLED_CONNECTION}/webhook")
    return {"id": CANCELLED_CONNECTION}



def ended_jobs(connection):
    """Waits for the jobs of a connection."""
    for job in ask("GET", f"/v1/connectors/{connection}/jobs?limit=5")["data"]:
        ended(job["job_id"])


def new_job(connection):
    """A job that has just begun, and no other of its connection is left."""
    ended_jobs(connection)
    path = f"/v1/connectors/stripe/{connection}/sync"
    return ask("POST", path, json={"job_type": "full"})["job_id"]


def onboarded_account():
    """An account that has submitted its details, so that it has a dashboard."""
    account = ask("POST", "/v1/connect/onboard")["account_id"]
    submit = f"{os.environ['STRIPE_API_BASE']}/_sim/connect/accounts/{account}/submit"
    requests.post(submit, json={"complete": True}, timeout=30).raise_for_status()
    return {}


def control(path, body):
    """Turns something of the simulator's Connect."""
    url = f"{os.environ['STRIPE_API_BASE']}/_sim/connect{path}"
    requests.post(url, json=body, timeout=30).raise_for_status()


def paid_account():
    """An account that can be sent money and paid out, and has some."""
    onboarded_account()
    status = ask("GET", f"/v1/connect/status/{ORGANIZATION}?refresh=true")
    control("/fund", {"amount": 1_000_000, "currency": "usd"})
    control("/fund", {"amount": 1_000_000, "currency": "usd", "account": status["account_id"]})
    return {}


def new_transfer():
    """A transfer of 900 cents. Another request may disconnect the account meanwhile."""

    def attempt():
        paid_account()
        headers = HEADERS | {"Idempotency-Key": str(uuid.uuid4())}
        body = {"amount": 1000, "currency": "usd"}
        response = requests.post(URL + "/v1/connect/transfer", headers=headers, json=body, timeout=30)
        return response.json()["transfer_id"] if response.status_code == 201 else None

    return eventually("a transfer", attempt)


def failed_job():
    return ended(new_job(FAILING_CONNECTION))["job_id"]


# The calls of operators are about no connection, and are checked in a second run, when these exist.
if os.environ["CHECK_CALLS"] != "operator":
    IDS["transfer_id"] = new_transfer()
    CANCELLED_CONNECTION = new_connection(CANCELLED_KEY)
    FAILING_CONNECTION = new_connection(FAILING_KEY)
    ended_jobs(FAILING_CONNECTION)
    requests.post(
        os.environ["STRIPE_API_BASE"] + "/_sim/keys",
        params={"account": ask("GET", f"/v1/connectors/{FAILING_CONNECTION}")["stripe_account_id"]},
        json={"key": FAILING_KEY, "state": "revoked"},
        timeout=30,
    ).raise_for_status()

# What a request uses up is made for it.
MADE = {
    "DELETE /v1/connectors/{id}": lambda: {"id": new_connection(DELETED_KEY)},
    "DELETE /v1/connectors/{id}/filters/{filter_id}": lambda: {"filter_id": new_filter()},
    "DELETE /v1/connectors/stripe/{id}/webhook": lambda: new_webhook_endpoint(),
    "DELETE /v1/questions/{question_id}": lambda: {"question_id": new_question()},
    "POST /v1/connect/dashboard-link": lambda: onboarded_account(),
    "POST /v1/connect/disconnect": lambda: onboarded_account(),
    "GET /v1/connect/balance/{org}": lambda: paid_account(),
    "GET /v1/connect/payout-schedule": lambda: paid_account(),
    "PUT /v1/connect/payout-schedule": lambda: paid_account(),
    "POST /v1/connect/payouts": lambda: paid_account(),
    "POST /v1/connect/transfer": lambda: paid_account(),
    "POST /v1/connect/transfers/{transfer_id}/reverse": lambda: {"transfer_id": new_transfer()},
    "POST /v1/sync-jobs/{job_id}/cancel": lambda: {"job_id": new_job(CANCELLED_CONNECTION)},
    "POST /v1/sync-jobs/{job_id}/retry": lambda: {"job_id": failed_job()},
}
# Two requests at a time must not make the same thing, and lines must not mix.
MAKING, WRITING = threading.Lock(), threading.Lock()

# Languages inside of texts.
JSON_PATHS = st.sampled_from(["$.tier", "$['order'].id", "$.cart[*].sku", "$..sku", "$.items[?@.n > 1].sku", "$"])
schemathesis.openapi.format("json-path", JSON_PATHS)
schemathesis.openapi.format(
    "metadata-json-path",
    st.tuples(st.sampled_from(["charge", "product", "price", "customer", "invoice_line", "payment_intent"]), JSON_PATHS).map(
        lambda parts: f"metadata:{parts[0]}.{parts[1]}"
    ),
)
schemathesis.openapi.format("page-query", st.sampled_from(["range=7d", "currency=usd", "group_by=country", "range=12m"]))
schemathesis.openapi.format("regex", st.sampled_from(["^gold$", "a|b", r"\d{2,3}", "(?i)vip", "[^x]+", ""]))
schemathesis.openapi.format(
    "iana-time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"])
)


def choose_days(schedule):
    """Days belong to the interval that has them."""
    days = {"weekly": ("weekly_payout_days", ["monday", "friday"]), "monthly": ("monthly_payout_days", [1, 31])}
    for interval, (name, some) in days.items():
        schedule.pop(name, None)
        if schedule.get("interval") == interval:
            schedule[name] = some


@schemathesis.hook
def before_call(context, case, kwargs):
    label = case.operation.label
    ids = IDS
    if label in MADE:
        with MAKING:
            ids = IDS | MADE[label]()
    for name in case.path_parameters or {}:
        case.path_parameters[name] = ids[name]
    query = case.query or {}
    if "connection_id" in query:
        query["connection_id"] = CONNECTION
    if "organization_id" in query:
        query["organization_id"] = ORGANIZATION
    dates = [query.get("date_from"), query.get("date_to")]
    if all(isinstance(date, str) for date in dates):
        query["date_from"], query["date_to"] = sorted(dates)
    # Only days that have a beginning and an end are compared.
    if None in dates:
        query.pop("compare", None)
    if not isinstance(case.body, dict):
        return
    # Only days of the covered range are compared.
    if label == "POST /v1/connectors/{id}/comparisons":
        case.body["date_from"] = case.body["date_to"] = COVERED_DAY
    # An organization that is not the token's is refused before anything else is looked at.
    if "organization_id" in case.body:
        case.body["organization_id"] = ORGANIZATION
    # Only addresses of the API's own origin are led to.
    for name in ("return_url", "refresh_url", "success_url", "cancel_url"):
        if name in case.body:
            case.body[name] = f"{URL}/back"
    # Only plans of the setting are sold.
    if "plan" in case.body:
        case.body["plan"] = "pro"
    # Only dollars are there, and half of the amounts are as little as is there.
    if "currency" in case.body and label.startswith("POST /v1/connect/"):
        case.body["currency"] = "usd"
        if case.body["amount"] % 2 == 0:
            case.body["amount"] = 200
    if label.endswith("/reverse") and case.body.get("amount") is not None:
        case.body["amount"] = 1 + case.body["amount"] % 900
    if label == "PUT /v1/connect/payout-schedule":
        choose_days(case.body)
    # As a person writes a percentage.
    if case.body.get("platform_fee_percent") is not None:
        case.body["platform_fee_percent"] = round(case.body["platform_fee_percent"], 2)
    # An account is reached with a key or via the platform, not both.
    if label == "POST /v1/connectors/stripe/connect":
        if case.body.get("via") is None:
            case.body.pop("via", None)
            if case.body.get("api_key") is None:
                case.body["api_key"] = CONNECTED_KEY
        else:
            case.body.pop("api_key", None)
    # Stripe knows none of the generated keys; about half of them are left, for what is said then.
    if len(case.body.get("api_key") or "x") % 2 == 0:
        case.body["api_key"] = CONNECTED_KEY if label.endswith("/connect") else KEY


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code < 300:
        with WRITING, open(os.environ["CHECK_SUCCEEDED"], "a", encoding="utf-8") as succeeded:
            print(case.operation.label, file=succeeded)
    if case.operation.label == "POST /v1/connectors/stripe/connect" and response.status_code == 201:
        ask("DELETE", f"/v1/connectors/{response.json()['connection_id']}")
    # A connection has at most 50 rules.
    if case.operation.label == "POST /v1/connectors/{id}/filters" and response.status_code == 201:
        ask("DELETE", f"/v1/connectors/{CONNECTION}/filters/{response.json()['filter_id']}")


# Operations that a state of their object may not allow; the document says which.
STATEFUL = {
    "POST /v1/connect/dashboard-link",
    "POST /v1/connect/disconnect",
    # Nothing is subscribed to here, and another request may be subscribing.
    "POST /v1/billing/api-key/reveal",
    "POST /v1/billing/api-key/roll",
    "POST /v1/billing/checkout",
    "POST /v1/billing/portal",
    "POST /v1/billing/subscription/cancel",
    "POST /v1/billing/subscription/change",
    "POST /v1/billing/subscription/preview",
    "POST /v1/billing/subscription/resume",
    # A key may have come with another request, and another request may have disconnected the account.
    "GET /v1/connect/balance/{org}",
    "GET /v1/connect/payout-schedule",
    "PUT /v1/connect/payout-schedule",
    "POST /v1/connect/payouts",
    "POST /v1/connect/transfer",
    "POST /v1/connect/transfers/{transfer_id}/reverse",
    "PATCH /v1/questions/{question_id}",
    "POST /v1/connectors/stripe/connect",
    "POST /v1/questions",
    "POST /v1/sync-jobs/{job_id}/cancel",
    "POST /v1/sync-jobs/{job_id}/retry",
}
# Codes of 422 that no schema can rule out.
CODES = {
    "cursor_invalid",  # only a previous answer has a cursor that is valid
    "stripe_key_invalid",  # Stripe decides which keys exist
    "stripe_key_wrong_kind",  # publishable and organization keys have a code of their own
    "stripe_refused",  # Stripe decides what it does for a platform
    "stripe_permission_missing",  # Stripe decides what a key may read
    "stripe_account_mismatch",  # Stripe decides whose a key is
}


@schemathesis.check
def no_valid_request_is_refused(context, response, case):
    status = response.status_code
    if status < 400 or status >= 500:
        return
    # Never 404: every id in a path is of something that exists.
    if status == 409 and case.operation.label in STATEFUL:
        return
    problem = response.json()
    if status == 422 and problem.get("code") in CODES:
        return
    raise AssertionError(f"the document allows this request, and the API refuses it: {problem}")
