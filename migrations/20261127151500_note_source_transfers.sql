-- Charges that stand for what a platform transferred to the account, so that rules can name them.

ALTER TABLE stripe_revenue_data ADD COLUMN source_transfer TEXT;
COMMENT ON COLUMN stripe_revenue_data.source_transfer IS
    'Of a mirrored payment, Stripe''s id of the platform''s transfer that it was made by; else null. Rows of before have theirs '
    'once their charge is read again, at the latest after a full sync.';
