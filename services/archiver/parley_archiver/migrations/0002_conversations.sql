-- One row for each conversation, kept in the transaction that writes its messages. No personal text.
-- `customer_key_id` is the customer's first key; it is null while no message has said who the customer is.
CREATE TABLE archive.conversations (
    tenant text NOT NULL,
    conversation text NOT NULL,
    customer_key_id text,
    opened_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    messages bigint NOT NULL,
    last_seq bigint NOT NULL,
    owner text NOT NULL,
    owner_seq bigint NOT NULL,
    PRIMARY KEY (tenant, conversation)
);
CREATE INDEX conversations_by_id ON archive.conversations (conversation);
CREATE INDEX conversations_by_customer ON archive.conversations (customer_key_id);
CREATE INDEX conversations_by_activity ON archive.conversations (tenant, last_at DESC);

ALTER TABLE archive.conversations ENABLE ROW LEVEL SECURITY;
CREATE POLICY per_tenant ON archive.conversations FOR SELECT USING (tenant = current_setting('parley.tenant', true));
