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
    organization_id   TEXT NOT NULL,
    job_id            UUID NOT NULL,
    connection_id     TEXT NOT NULL,
    stripe_account_id TEXT NOT NULL,
    job_type          TEXT NOT NULL,
    trigger           TEXT NOT NULL,

    status            TEXT NOT NULL,
    attempt           INTEGER NOT NULL DEFAULT 0,
    failures          INTEGER NOT NULL DEFAULT 0,
    cancel_requested  BOOLEAN NOT NULL DEFAULT FALSE,
    created_at        TIMESTAMPTZ NOT NULL,
    started_at        TIMESTAMPTZ,
    finished_at       TIMESTAMPTZ,
    lease_owner       TEXT,
    lease_expires_at  TIMESTAMPTZ,
    dispatched_at     TIMESTAMPTZ,

    plan              JSONB,
    charges_seen      BIGINT NOT NULL DEFAULT 0,
    rows_written      BIGINT NOT NULL DEFAULT 0,
    requests          BIGINT NOT NULL DEFAULT 0,
    error_code        TEXT,
    error_message     TEXT,

    PRIMARY KEY (organization_id, job_id),
    -- No foreign key to platform_connections: the job that deleted a connection stays readable.
    CONSTRAINT sync_jobs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT sync_jobs_job_type_check CHECK (job_type IN ('full', 'incremental', 'refilter', 'redate', 'delete')),
    CONSTRAINT sync_jobs_trigger_check CHECK (trigger IN ('connect', 'schedule', 'manual', 'filters', 'settings')),
    CONSTRAINT sync_jobs_status_check CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    CONSTRAINT sync_jobs_running_has_lease CHECK ((status = 'running') = (lease_expires_at IS NOT NULL))
)
-- A tick of the scheduler updates a large part of the table at once.
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
COMMENT ON TABLE sync_jobs IS 'The queue and its history: all jobs, in any state.';
COMMENT ON COLUMN sync_jobs.attempt IS
    'The fencing token: incremented by every claim, and checked in every transaction of the job.';
COMMENT ON COLUMN sync_jobs.failures IS 'Failures in a row without progress.';
COMMENT ON COLUMN sync_jobs.lease_expires_at IS
    'When a running job may be claimed again, because its consumer died, stalled or is backing off.';
COMMENT ON COLUMN sync_jobs.dispatched_at IS 'When the last message about the job was sent.';
COMMENT ON COLUMN sync_jobs.plan IS
    'The progress of a sync, from which the next attempt continues: common::sync::Plan as JSON.';
COMMENT ON COLUMN sync_jobs.requests IS 'Requests to Stripe so far.';
COMMENT ON COLUMN sync_jobs.error_message IS 'One sentence for the tenant; the causes are in the consumer''s log.';

-- Invariants: one running job per connection; one reading job per Stripe account, across tenants, because an account
-- has one rate limit; one pending job per connection and type, which further requests join.
CREATE UNIQUE INDEX sync_jobs_one_running_per_connection
    ON sync_jobs (organization_id, connection_id) WHERE status = 'running';
CREATE UNIQUE INDEX sync_jobs_one_running_per_account
    ON sync_jobs (stripe_account_id) WHERE status = 'running' AND job_type IN ('full', 'incremental');
CREATE UNIQUE INDEX sync_jobs_one_pending_per_type
    ON sync_jobs (organization_id, connection_id, job_type) WHERE status = 'pending';

-- Which pending job is next? Full jobs have their own queue, because they occupy a slot for long. The expression is an
-- integer because PostgreSQL simplifies comparisons of boolean expressions with constants, and the statement would no
-- longer match the index. common::sync::Lane::number has the values. Guarded by
-- a_claim_reads_a_few_jobs_of_a_long_queue.
CREATE INDEX sync_jobs_pending_by_lane ON sync_jobs (((job_type = 'full')::INTEGER), created_at, job_id)
    WHERE status = 'pending';
-- Which running jobs may be claimed again, because their lease has expired?
CREATE INDEX sync_jobs_running_by_lease ON sync_jobs (lease_expires_at) WHERE status = 'running';
-- Which live jobs of the same Stripe account or connection keep a job waiting?
CREATE INDEX sync_jobs_live_by_account ON sync_jobs (stripe_account_id) WHERE finished_at IS NULL;
-- What are a connection's jobs, newest first?
CREATE INDEX sync_jobs_by_connection ON sync_jobs (organization_id, connection_id, created_at DESC, job_id DESC);

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
