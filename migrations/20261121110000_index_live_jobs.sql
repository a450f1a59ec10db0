-- Finished jobs pile up beside the few that live, so whatever a claim or the schedule asks is answered by an
-- index of live jobs alone. Statistics lag behind a queue that fills within seconds: to a planner that last
-- saw it empty, all partial indexes with the same condition cost the same, and it takes any of them. Hence
-- one index for each question, each with a condition of its own wording.

-- In which order pending jobs are claimed: full jobs stand in a line of their own, since they hold a slot for
-- long. An integer, because comparing a boolean expression with a constant is simplified until it no longer
-- matches the index.
DROP INDEX sync_jobs_pending;
CREATE INDEX sync_jobs_pending ON sync_jobs (((job_type = 'full')::INTEGER), created_at, job_id)
    WHERE status = 'pending';
-- What may keep a job waiting: live jobs of its Stripe account, its connection's among them.
CREATE INDEX sync_jobs_live_by_account ON sync_jobs (stripe_account_id) WHERE finished_at IS NULL;
-- A tick of many connections turns over much of the table at once.
ALTER TABLE sync_jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE platform_connections
    SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
