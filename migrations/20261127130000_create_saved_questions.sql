-- Saved questions: what people ask of their revenue again and again, under a name.

CREATE TABLE saved_questions (
    organization_id TEXT NOT NULL,
    question_id     UUID NOT NULL,
    name            TEXT NOT NULL,
    page            TEXT NOT NULL,
    query           TEXT NOT NULL,
    shared          BOOLEAN NOT NULL,
    token_id        UUID,
    created_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, question_id),
    CONSTRAINT saved_questions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT saved_questions_token_fkey FOREIGN KEY (organization_id, token_id) REFERENCES api_tokens ON DELETE CASCADE,
    CONSTRAINT saved_questions_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT saved_questions_page_check CHECK (page IN ('overview', 'explore')),
    CONSTRAINT saved_questions_query_check CHECK (length(query) <= 8000),
    -- A private one that is nobody's would be seen by nobody.
    CONSTRAINT saved_questions_owner_check CHECK (shared OR token_id IS NOT NULL)
);
COMMENT ON TABLE saved_questions IS
    'Questions about revenue under a name: a page and the query of its address. Shared ones are seen by everybody in the '
    'organization, the others by their token.';
COMMENT ON COLUMN saved_questions.query IS 'What follows the question mark of the page''s address.';
COMMENT ON COLUMN saved_questions.token_id IS
    'The token by which it was saved. Null for a shared one of a person who signed in by a link.';

-- Everybody sees the names of shared questions, so no two are the same.
CREATE UNIQUE INDEX saved_questions_shared_name ON saved_questions (organization_id, name) WHERE shared;
-- Names of private questions differ for each token.
CREATE UNIQUE INDEX saved_questions_private_name ON saved_questions (organization_id, token_id, name) WHERE NOT shared;
