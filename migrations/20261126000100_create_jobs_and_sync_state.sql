-- The job queue, and the progress of each connection's syncs.
--
-- The rows are the queue; a message or notification only says that there is a job. Finished jobs accumulate next to a
-- few live ones, so claims, the scheduler and the dispatcher use partial indexes of live jobs.
--
-- The conditions of these indexes are worded differently on purpose. Statistics lag behind a queue that fills within
-- seconds. To a planner that last saw an empty queue, partial indexes with the same condition cost the same, and it
-- picks any of them. With a wording for each question, only the intended index matches. Guarded by
-- a_claim_reads_a_few_jobs_though_statistics_show_no_queue.

CREATE TABLE sync_jobs (
    organization_id      TEXT NOT NULL,
    job_id               UUID NOT NULL,
    connection_id        TEXT NOT NULL,
    external_account_id  TEXT NOT NULL,
    job_type             TEXT NOT NULL,
    payload              JSONB NOT NULL DEFAULT '{}',
    lane                 TEXT NOT NULL,
    exclusive_on_account BOOLEAN NOT NULL,
    trigger              TEXT NOT NULL,

    status               TEXT NOT NULL,
    attempt              INTEGER NOT NULL DEFAULT 0,
    failures             INTEGER NOT NULL DEFAULT 0,
    cancel_requested     BOOLEAN NOT NULL DEFAULT FALSE,
    created_at           TIMESTAMPTZ NOT NULL,
    started_at           TIMESTAMPTZ,
    finished_at          TIMESTAMPTZ,
    lease_owner          TEXT,
    lease_expires_at     TIMESTAMPTZ,
    dispatched_at        TIMESTAMPTZ,

    checkpoint           JSONB,
    charges_seen         BIGINT NOT NULL DEFAULT 0,
    rows_written         BIGINT NOT NULL DEFAULT 0,
    requests             BIGINT NOT NULL DEFAULT 0,
    error_code           TEXT,
    error_message        TEXT,

    PRIMARY KEY (organization_id, job_id),
    -- No foreign key to platform_connections: the job that deleted a connection stays readable.
    CONSTRAINT sync_jobs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT sync_jobs_lane_check CHECK (lane IN ('backfill', 'interactive')),
    CONSTRAINT sync_jobs_trigger_check CHECK (trigger IN ('connect', 'schedule', 'manual', 'filters', 'settings')),
    CONSTRAINT sync_jobs_status_check CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    CONSTRAINT sync_jobs_running_has_lease CHECK ((status = 'running') = (lease_expires_at IS NOT NULL))
)
-- A tick of the scheduler updates a large part of the table at once.
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
COMMENT ON TABLE sync_jobs IS 'The queue and its history: all jobs, in any state.';
COMMENT ON COLUMN sync_jobs.external_account_id IS 'The account at the other side: Stripe''s acct_….';
COMMENT ON COLUMN sync_jobs.job_type IS
    'The name of the job''s kind. Not a closed list: programs know kinds, the schema does not.';
COMMENT ON COLUMN sync_jobs.payload IS 'What the job''s handler is to do, beyond what the kind says.';
COMMENT ON COLUMN sync_jobs.lane IS
    'backfill: occupies a slot for minutes to hours. interactive: everything else.';
COMMENT ON COLUMN sync_jobs.exclusive_on_account IS
    'Whether no other such job of the same external account may run, of any tenant: an account has one rate limit.';
COMMENT ON COLUMN sync_jobs.attempt IS
    'The fencing token: incremented by every claim, and checked in every transaction of the job.';
COMMENT ON COLUMN sync_jobs.failures IS 'Failures in a row without progress.';
COMMENT ON COLUMN sync_jobs.lease_expires_at IS
    'When a running job may be claimed again, because its consumer died, stalled or is backing off.';
COMMENT ON COLUMN sync_jobs.dispatched_at IS 'When the last message about the job was sent.';
COMMENT ON COLUMN sync_jobs.checkpoint IS
    'From where the next attempt continues, in the form of the job''s handler; of a full sync, stripe::sync::Plan.';
COMMENT ON COLUMN sync_jobs.requests IS 'Requests to the external account so far.';
COMMENT ON COLUMN sync_jobs.error_message IS 'One sentence for the tenant; the causes are in the consumer''s log.';

-- Invariants: one running job per connection; one running job that is exclusive on its account, across tenants; one
-- pending job per connection, kind and payload, which further requests join.
CREATE UNIQUE INDEX sync_jobs_one_running_per_connection
    ON sync_jobs (organization_id, connection_id) WHERE status = 'running';
CREATE UNIQUE INDEX sync_jobs_one_running_per_account
    ON sync_jobs (external_account_id) WHERE status = 'running' AND exclusive_on_account;
CREATE UNIQUE INDEX sync_jobs_one_pending_per_type
    ON sync_jobs (organization_id, connection_id, job_type, md5(payload::TEXT)) WHERE status = 'pending';

-- Which pending job of a lane is next? Guarded by a_claim_reads_a_few_jobs_of_a_long_queue.
CREATE INDEX sync_jobs_pending_by_lane ON sync_jobs (lane, created_at, job_id) WHERE status = 'pending';
-- Which running jobs may be claimed again, because their lease has expired?
CREATE INDEX sync_jobs_running_by_lease ON sync_jobs (lease_expires_at) WHERE status = 'running';
-- Which live jobs of the same external account or connection keep a job waiting?
CREATE INDEX sync_jobs_live_by_account ON sync_jobs (external_account_id) WHERE finished_at IS NULL;
-- What are a connection's jobs, newest first?
CREATE INDEX sync_jobs_by_connection ON sync_jobs (organization_id, connection_id, created_at DESC, job_id DESC);

-- May this pending job run? The only place that says so; whoever claims, counts or dispatches jobs selects from it.
--
-- "Pending" is worded so that it matches no partial index: a statement that wants the queue's order adds
-- status = 'pending'. OFFSET 0 keeps the question one lookup by index, whatever the planner believes of the table.
-- security_invoker, so that row-level security is that of the caller.
CREATE VIEW startable_jobs WITH (security_invoker = true) AS
SELECT organization_id, job_id, status, lane, created_at, dispatched_at
FROM sync_jobs AS candidate
WHERE status NOT IN ('running', 'completed', 'failed', 'cancelled')
  AND NOT EXISTS (
      SELECT FROM sync_jobs AS other
      WHERE other.external_account_id = candidate.external_account_id
        AND other.finished_at IS NULL
        AND (
            -- An earlier job of the connection.
            (other.organization_id = candidate.organization_id
             AND other.connection_id = candidate.connection_id
             AND (other.status = 'running'
                  OR (other.status = 'pending'
                      AND (other.created_at, other.job_id) < (candidate.created_at, candidate.job_id))))
            -- An exclusive job of the account, of whatever tenant.
            OR (other.status = 'running' AND other.exclusive_on_account AND candidate.exclusive_on_account))
      OFFSET 0);
COMMENT ON VIEW startable_jobs IS 'Pending jobs that no other job keeps waiting.';

CREATE TABLE stripe_sync_state (
    organization_id       TEXT NOT NULL,
    connection_id         TEXT NOT NULL,

    covered_from          TIMESTAMPTZ,
    covered_to            TIMESTAMPTZ,
    full_synced_at        TIMESTAMPTZ,
    listed_resources      TEXT[] NOT NULL DEFAULT '{}',
    next_list_from        TIMESTAMPTZ,
    events_cursor         TIMESTAMPTZ,
    applied_events        TEXT[] NOT NULL DEFAULT '{}',
    reconciled_on         DATE,
    rows_repaired         BIGINT NOT NULL DEFAULT 0,

    last_charge_id        TEXT,
    charges_synced        BIGINT NOT NULL DEFAULT 0,
    total_revenue_synced  JSONB NOT NULL DEFAULT '{}',
    stale_catalogue_types TEXT[] NOT NULL DEFAULT '{}',
    failing_jobs          JSONB NOT NULL DEFAULT '{}',

    PRIMARY KEY (organization_id, connection_id),
    CONSTRAINT stripe_sync_state_organization_id_connection_id_fkey
        FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE
);
COMMENT ON TABLE stripe_sync_state IS
    'How far a connection has been synced, where the next sync begins, and the totals of what is stored. '
    'Lock the row in platform_connections first.';
COMMENT ON COLUMN stripe_sync_state.covered_from IS 'Start of the covered range; null until something is covered.';
COMMENT ON COLUMN stripe_sync_state.covered_to IS 'End of the covered range: the time up to which Stripe was read.';
COMMENT ON COLUMN stripe_sync_state.full_synced_at IS 'When a full job last completed.';
COMMENT ON COLUMN stripe_sync_state.listed_resources IS
    'The lists that the rows were made from, and what was expanded in them. A key with other permissions needs a full '
    'job.';
COMMENT ON COLUMN stripe_sync_state.next_list_from IS 'The `created` from which new charges are listed next.';
COMMENT ON COLUMN stripe_sync_state.events_cursor IS 'Events at or after it are read next.';
COMMENT ON COLUMN stripe_sync_state.applied_events IS 'Ids of events at or after the cursor that are already applied.';
COMMENT ON COLUMN stripe_sync_state.reconciled_on IS
    'UTC day of the last daily listing, which finds changes that had no event.';
COMMENT ON COLUMN stripe_sync_state.rows_repaired IS 'How many rows the last daily listing corrected.';
COMMENT ON COLUMN stripe_sync_state.last_charge_id IS 'The newest stored charge, by (created, id).';
COMMENT ON COLUMN stripe_sync_state.charges_synced IS 'Charges stored, of any status, excluded ones included.';
COMMENT ON COLUMN stripe_sync_state.total_revenue_synced IS
    '{currency: net} of all that counts, in minor units: the sum of stripe_daily_aggregates.';
COMMENT ON COLUMN stripe_sync_state.stale_catalogue_types IS
    'Object types whose entries in stripe_metadata_keys must be rebuilt from the rows.';
COMMENT ON COLUMN stripe_sync_state.failing_jobs IS
    '{"sync" | "refilter" | "redate": {since, count, code, message}}: work that has failed since it last succeeded. '
    'Stored here because a retried job no longer shows its failure, and old jobs may be deleted.';
