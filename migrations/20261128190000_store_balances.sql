-- What connected accounts held when it was last asked for, to be shown before and where Stripe does not answer.

ALTER TABLE connected_accounts ADD COLUMN balance JSONB, ADD COLUMN balance_read_at TIMESTAMPTZ;
ALTER TABLE connected_accounts ADD CONSTRAINT connected_accounts_balance_check
    CHECK ((balance IS NULL) = (balance_read_at IS NULL));
COMMENT ON COLUMN connected_accounts.balance IS
    'What the account held: available and pending, each as pairs of a currency and minor units; null until it was asked for.';
COMMENT ON COLUMN connected_accounts.balance_read_at IS 'When the request was sent whose answer balance is.';
