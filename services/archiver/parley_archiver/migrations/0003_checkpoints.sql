-- The newest checkpoint of each conversation: what brings it back after it has left the log. Encrypted as messages are;
-- `remains` is what is left of it when its customer's key is destroyed: counters and message ids, no words.
-- `seq` is the revision in the log. `rests_since` is null while a turn is open or messages wait.
CREATE TABLE archive.checkpoints (
    tenant text NOT NULL,
    stream text NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    conversation text PRIMARY KEY,
    subject text NOT NULL,
    type text NOT NULL,
    role text NOT NULL,
    turn_id text NOT NULL,
    trace text NOT NULL,
    key_id text NOT NULL,
    salt bytea NOT NULL,
    nonce bytea NOT NULL,
    ciphertext bytea NOT NULL,
    digest bytea NOT NULL,
    remains text NOT NULL,
    rests_since timestamptz,
    retired_at timestamptz
);
CREATE INDEX checkpoints_at_rest ON archive.checkpoints (rests_since, conversation) WHERE retired_at IS NULL;

ALTER TABLE archive.checkpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY per_tenant ON archive.checkpoints FOR SELECT USING (tenant = current_setting('parley.tenant', true));
