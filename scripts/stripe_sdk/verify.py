"""Verifies webhooks with Stripe's own library.

Reads lines of JSON, {"payload", "header", "secret"}, and answers each with the event's id, or with "refused". The age
of a signature is not checked: a simulator has a clock of its own.
"""

import json
import sys

import stripe

for line in sys.stdin:
    webhook = json.loads(line)
    try:
        event = stripe.Webhook.construct_event(webhook["payload"], webhook["header"], webhook["secret"], tolerance=None)
        print(event["id"])
    except stripe.SignatureVerificationError:
        print("refused")
