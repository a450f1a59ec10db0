-- Tables whose row-level security binds their owner too show this migration no row, unless its user is a superuser.
ALTER TABLE platform_connections NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_sync_state NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sync_jobs NO FORCE ROW LEVEL SECURITY;

-- A smaller share left a sync without a request for hours or for ever.
UPDATE platform_connections SET rate_share = 0.01 WHERE rate_share < 0.01;
ALTER TABLE platform_connections
    DROP CONSTRAINT platform_connections_rate_share_check,
    ADD CONSTRAINT platform_connections_rate_share_check CHECK (rate_share >= 0.01 AND rate_share <= 1);

-- What failed last and has not succeeded since: {"sync" | "refilter" | "redate": {since, count, code, message}}.
-- Kept here because a job that is retried no longer says that it failed, and old jobs may be deleted.
ALTER TABLE stripe_sync_state ADD COLUMN failing_jobs JSONB NOT NULL DEFAULT '{}';

-- Messages so far held the texts of libraries and of PostgreSQL. Stripe's own words about keys and permissions stay.
UPDATE sync_jobs
SET error_message = CASE error_code
        WHEN 'stripe_unavailable' THEN 'Stripe could not be read from.'
        ELSE 'The job stopped on an error inside the engine.'
    END
WHERE error_code IN ('stripe_unavailable', 'internal');

UPDATE stripe_sync_state AS state
SET failing_jobs = failing.jobs
FROM (
    SELECT organization_id, connection_id,
           jsonb_object_agg(work, jsonb_build_object(
               'since', since, 'count', count, 'code', code, 'message', message)) AS jobs
    FROM (
        SELECT organization_id, connection_id,
               CASE WHEN job_type IN ('full', 'incremental') THEN 'sync' ELSE job_type END AS work,
               MIN(finished_at) AS since, COUNT(*) AS count,
               (array_agg(error_code ORDER BY finished_at DESC))[1] AS code,
               (array_agg(error_message ORDER BY finished_at DESC))[1] AS message
        FROM sync_jobs AS failed
        WHERE status = 'failed' AND job_type <> 'delete' AND error_code IS NOT NULL AND error_message IS NOT NULL
          AND NOT EXISTS (
              SELECT FROM sync_jobs AS completed
              WHERE completed.organization_id = failed.organization_id
                AND completed.connection_id = failed.connection_id
                AND completed.status = 'completed' AND completed.finished_at > failed.finished_at
                AND (completed.job_type IN ('full', failed.job_type)
                     OR (failed.job_type = 'full' AND completed.job_type = 'incremental')))
        GROUP BY organization_id, connection_id, work
    ) AS works
    GROUP BY organization_id, connection_id
) AS failing
WHERE state.organization_id = failing.organization_id AND state.connection_id = failing.connection_id;

ALTER TABLE platform_connections FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_sync_state FORCE ROW LEVEL SECURITY;
ALTER TABLE sync_jobs FORCE ROW LEVEL SECURITY;
