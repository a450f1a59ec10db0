-- Why an object is parked: it could not be understood, or PostgreSQL refused it. All that is there was not understood.
ALTER TABLE stripe_parked_objects
    ADD COLUMN code TEXT NOT NULL DEFAULT 'unreadable' CHECK (code IN ('unreadable', 'unstorable'));
