-- Metadata of what charges belong to, which Stripe does not copy onto the charge.

ALTER TABLE stripe_revenue_data
    ADD COLUMN invoice_metadata JSONB,
    ADD COLUMN invoice_line_metadata JSONB,
    ADD COLUMN subscription_metadata JSONB,
    ADD COLUMN checkout_session_metadata JSONB,
    ADD COLUMN payment_intent_metadata JSONB;
COMMENT ON COLUMN stripe_revenue_data.invoice_metadata IS
    'The metadata of the invoice; null if it has none, as in the columns like it, since most rows have none.';
COMMENT ON COLUMN stripe_revenue_data.subscription_metadata IS 'The metadata of the subscription as the invoice shows it.';
COMMENT ON COLUMN stripe_revenue_data.payment_intent_metadata IS
    'The present metadata of the payment intent, of connections that read it.';

ALTER TABLE stripe_referenced_objects
    DROP CONSTRAINT stripe_referenced_objects_object_type_check,
    ADD CONSTRAINT stripe_referenced_objects_object_type_check
        CHECK (object_type IN ('customer', 'product', 'price', 'payment_intent'));

ALTER TABLE stripe_metadata_keys
    DROP CONSTRAINT stripe_metadata_keys_object_type_check,
    ADD CONSTRAINT stripe_metadata_keys_object_type_check
        CHECK (object_type IN ('charge', 'product', 'price', 'customer', 'invoice', 'invoice_line', 'subscription',
                               'checkout_session', 'payment_intent'));

ALTER TABLE stripe_purchases
    ADD COLUMN metadata JSONB,
    ADD COLUMN subscription_metadata JSONB;
COMMENT ON COLUMN stripe_purchases.metadata IS 'The metadata of the invoice or checkout session; null if it has none.';
COMMENT ON COLUMN stripe_purchases.subscription_metadata IS
    'The metadata of the subscription as the invoice shows it: Stripe copies it when the invoice is finalized. Null if none.';
COMMENT ON COLUMN stripe_purchases.payment_id IS
    'The payment intent, or the charge if there is none, or the invoice that a checkout session had paid. Empty if the purchase '
    'names none of these and the charge names the purchase, as in Stripe''s API versions up to 2025-02-24.acacia.';
COMMENT ON COLUMN stripe_purchases.lines IS
    '[{line_id, product_id, price_id, quantity, amount, weight, credit, metadata}], amounts in minor units.';
