-- The ledger: money that the platform moves to connected accounts, takes back from them, and pays out from them. A row is
-- appended and committed before Stripe is asked, and afterwards only what became of it changes.

-- Checked at once: few rows, and none has a value.
ALTER TABLE organizations ADD COLUMN platform_fee_basis_points INTEGER
    CONSTRAINT organizations_platform_fee_check CHECK (platform_fee_basis_points BETWEEN 0 AND 10000);
COMMENT ON COLUMN organizations.platform_fee_basis_points IS
    'What the platform keeps of each transfer, in hundredths of a percent; null for PLATFORM_FEE_PERCENT.';

CREATE TABLE ledger_entries (
    organization_id   TEXT NOT NULL,
    entry_id          UUID NOT NULL,
    kind              TEXT NOT NULL,
    account_id        TEXT NOT NULL,
    amount            BIGINT NOT NULL,
    currency          TEXT NOT NULL,
    state             TEXT NOT NULL,
    external_id       TEXT,
    error_code        TEXT,
    error_message     TEXT,
    request_key       TEXT,
    request_hash      BYTEA,
    attempts          INTEGER NOT NULL DEFAULT 0,
    next_attempt_at   TIMESTAMPTZ,
    created_at        TIMESTAMPTZ NOT NULL,
    platform_fee      BIGINT,
    source_charge     TEXT,
    transfer_group    TEXT,
    description       TEXT,
    reversed_entry_id UUID,
    payout_method     TEXT,
    payout_status     TEXT,
    payout_automatic  BOOLEAN,
    arrival_date      DATE,
    read_at           TIMESTAMPTZ,

    PRIMARY KEY (organization_id, entry_id),
    CONSTRAINT ledger_entries_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT ledger_entries_reversed_fkey FOREIGN KEY (organization_id, reversed_entry_id) REFERENCES ledger_entries,
    CONSTRAINT ledger_entries_request_key UNIQUE (organization_id, request_key),
    CONSTRAINT ledger_entries_external_id UNIQUE (organization_id, external_id),
    CONSTRAINT ledger_entries_kind_check CHECK (kind IN ('transfer', 'reversal', 'payout')),
    CONSTRAINT ledger_entries_state_check CHECK (state IN ('intended', 'sent', 'done', 'failed', 'unknown')),
    CONSTRAINT ledger_entries_amount_check CHECK (amount > 0),
    CONSTRAINT ledger_entries_request_check CHECK ((request_key IS NULL) = (request_hash IS NULL)),
    CONSTRAINT ledger_entries_done_check CHECK (state <> 'done' OR external_id IS NOT NULL),
    CONSTRAINT ledger_entries_failed_check CHECK (state <> 'failed' OR error_message IS NOT NULL),
    -- What is not settled has a time at which it is, or nobody would ever look.
    CONSTRAINT ledger_entries_settled_check CHECK ((state IN ('done', 'failed')) = (next_attempt_at IS NULL)),
    CONSTRAINT ledger_entries_fee_check CHECK ((kind <> 'payout') = (platform_fee IS NOT NULL) AND platform_fee >= 0),
    CONSTRAINT ledger_entries_reversal_check CHECK ((kind = 'reversal') = (reversed_entry_id IS NOT NULL)),
    CONSTRAINT ledger_entries_payout_check CHECK (
        (kind = 'payout') = (payout_method IS NOT NULL) AND (kind = 'payout') = (payout_automatic IS NOT NULL)),
    CONSTRAINT ledger_entries_payout_status_check CHECK (
        payout_status IN ('pending', 'in_transit', 'paid', 'failed', 'canceled'))
);
COMMENT ON TABLE ledger_entries IS
    'Transfers to connected accounts, their reversals, and payouts from connected accounts. A row is committed before Stripe '
    'is asked; its id is the idempotency key of the request and stands in the metadata of what the request makes.';
COMMENT ON COLUMN ledger_entries.account_id IS 'The connected account at Stripe, acct_….';
COMMENT ON COLUMN ledger_entries.amount IS
    'What moves, in minor units: of a transfer what is left after the platform''s fee.';
COMMENT ON COLUMN ledger_entries.state IS
    'intended: nothing was sent. sent: a request is being sent, or a program died while it was. done, failed: settled. '
    'unknown: it is not known yet what became of the request, and nobody is asking.';
COMMENT ON COLUMN ledger_entries.external_id IS 'What was made at Stripe: tr_…, trr_… or po_….';
COMMENT ON COLUMN ledger_entries.error_message IS
    'Why it failed. Of a payout that was made, why the bank did not take it.';
COMMENT ON COLUMN ledger_entries.request_key IS
    'The Idempotency-Key of the caller; null for a payout that Stripe made by its schedule, or that was made elsewhere.';
COMMENT ON COLUMN ledger_entries.request_hash IS 'SHA-256 of the request, so that the key is not used for another one.';
COMMENT ON COLUMN ledger_entries.next_attempt_at IS
    'When it is looked up next; null once it is settled. Whoever works on it moves it forward by a lease, and writes what '
    'became of it only if it is still there: so it is also the fence.';
COMMENT ON COLUMN ledger_entries.platform_fee IS
    'Of a transfer, what the platform keeps, in addition to the amount. Of a reversal, how much of that is given up.';
COMMENT ON COLUMN ledger_entries.reversed_entry_id IS 'The transfer that a reversal takes back a part of.';
COMMENT ON COLUMN ledger_entries.payout_status IS 'As last read from Stripe; null until the payout is made.';
COMMENT ON COLUMN ledger_entries.read_at IS 'When the reading began by which the payout''s status is known.';

-- The lists, newest first.
CREATE INDEX ledger_entries_by_time ON ledger_entries (organization_id, kind, created_at DESC, entry_id DESC);
CREATE INDEX ledger_entries_reversals ON ledger_entries (organization_id, reversed_entry_id)
    WHERE reversed_entry_id IS NOT NULL;
-- Which entries are to be settled now?
CREATE INDEX ledger_entries_unsettled ON ledger_entries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE TABLE ledger_reconciliations (
    organization_id TEXT NOT NULL,
    next_run_at     TIMESTAMPTZ NOT NULL,
    ran_at          TIMESTAMPTZ,

    PRIMARY KEY (organization_id),
    CONSTRAINT ledger_reconciliations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations
);
COMMENT ON TABLE ledger_reconciliations IS 'When an organization''s ledger was last compared with Stripe, and is next.';
COMMENT ON COLUMN ledger_reconciliations.next_run_at IS 'A claim moves it forward by a lease, a finished reconciliation by a day.';

CREATE TABLE ledger_differences (
    organization_id TEXT NOT NULL,
    ran_at          TIMESTAMPTZ NOT NULL,
    object          TEXT NOT NULL,
    external_id     TEXT NOT NULL,
    ours            JSONB,
    theirs          JSONB,

    PRIMARY KEY (organization_id, ran_at, object, external_id),
    CONSTRAINT ledger_differences_reconciliation_fkey FOREIGN KEY (organization_id) REFERENCES ledger_reconciliations,
    CONSTRAINT ledger_differences_object_check CHECK (object IN ('transfer', 'reversal', 'payout'))
);
COMMENT ON TABLE ledger_differences IS
    'Where the ledger and Stripe disagreed when they were last reconciled. Nothing is corrected by it; a person decides.';
COMMENT ON COLUMN ledger_differences.ours IS 'Amount, currency and status in the ledger; null where it has no such entry.';
COMMENT ON COLUMN ledger_differences.theirs IS 'The same at Stripe; null where Stripe has no such object.';
