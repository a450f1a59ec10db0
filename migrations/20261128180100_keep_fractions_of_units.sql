-- Units with decimals, exact: a whole number as before, and what rounding took from it.

ALTER TABLE stripe_revenue_data ADD COLUMN units_fraction BIGINT;
COMMENT ON COLUMN stripe_revenue_data.units IS
    'The line''s quantity, rounded, halves away from zero; negative where the line credits what an earlier one sold.';
COMMENT ON COLUMN stripe_revenue_data.units_fraction IS
    'What rounding took from units, in trillionths (10^-12); null if nothing. Quantities have at most twelve decimals.';

-- Sums of many trillionths do not fit 64 bits.
ALTER TABLE stripe_daily_aggregates ADD COLUMN units_fraction NUMERIC;
ALTER TABLE stripe_daily_rollups ADD COLUMN units_fraction NUMERIC;
COMMENT ON COLUMN stripe_daily_aggregates.units_fraction IS 'Sum of the rows'' units_fraction; null if they have none.';
COMMENT ON COLUMN stripe_daily_rollups.units_fraction IS 'Sum of the rows'' units_fraction; null if they have none.';
