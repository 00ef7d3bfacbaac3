-- Status and body are null only inside the transaction that carries the call out.
CREATE TABLE backoffice.calls (
    idempotency_key text PRIMARY KEY,
    fingerprint     text NOT NULL,
    name            text NOT NULL,
    status          integer,
    body            text,
    created_at      timestamptz NOT NULL
);
