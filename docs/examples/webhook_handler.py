#!/usr/bin/env python3
"""An internal handler of forwarded events: it checks who asks, and does its work once for each event.

    WEBHOOK_FORWARD_SECRET=... python3 webhook_handler.py [PORT] [DATABASE]

Needs Python's standard library alone. The answer is 200 only once the work is committed; 401 is for whoever does not
know the secret. See docs/forwarding.md.
"""

import base64
import hmac
import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_FORWARD_SECRET"]
KEY = base64.b64decode(SECRET[6:]) if SECRET.startswith("whsec_") else SECRET.encode()
TOLERANCE_SECONDS = 300
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
DATABASE = sys.argv[2] if len(sys.argv) > 2 else "handled.db"


def is_genuine(headers, body):
    """Whether the body was signed with the secret a short time ago (standardwebhooks.com)."""
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    digest = hmac.new(KEY, f"{event_id}.{timestamp}.".encode() + body, "sha256").digest()
    expected = "v1," + base64.b64encode(digest).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


def work(transaction, event, organization):
    """What there is to do. In the transaction that remembers the event, it happens once; what cannot be in it must
    itself be safe to do twice."""
    print(f"handled {event['id']} {event['type']} of {organization}", flush=True)


def handle_once(event_id, event, organization):
    with sqlite3.connect(DATABASE, timeout=5) as transaction:
        key = (event_id, organization or "")  # none for an event of the platform itself
        new = transaction.execute("INSERT OR IGNORE INTO handled VALUES (?, ?)", key).rowcount
        if new:
            work(transaction, event, organization)
        else:
            print(f"known {event_id}", flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if is_genuine(self.headers, body):
            # An exception in here is answered by nothing, and the event comes again.
            handle_once(self.headers["webhook-id"], json.loads(body), self.headers.get("x-organization-id"))
            self.send_response(200)
        else:
            self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with sqlite3.connect(DATABASE) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS handled (event_id TEXT, organization TEXT, PRIMARY KEY (event_id, organization))"
        )
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
