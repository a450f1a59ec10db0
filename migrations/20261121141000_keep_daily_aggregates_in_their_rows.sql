-- A year of aggregates is read by whoever opens a dashboard, and fetching each JSON text from beside its row took
-- most of the time. So they stand in the row, plain up to a page's length and packed beyond it; what is still
-- longer stands beside it. What is stored already moves as its day is made anew.
ALTER TABLE stripe_daily_aggregates
    ALTER COLUMN revenue_by_product SET STORAGE EXTENDED,
    ALTER COLUMN top_metadata_values SET STORAGE EXTENDED,
    SET (toast_tuple_target = 8160);
