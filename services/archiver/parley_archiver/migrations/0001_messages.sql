-- The record: one row for each message of the log. Words are only in `ciphertext`; the other columns stay readable
-- after a customer's key is destroyed, and `digest` = SHA-256(salt || envelope || ciphertext) still proves them.
CREATE TABLE archive.messages (
    tenant text NOT NULL,
    stream text NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    conversation text NOT NULL,
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
    -- A partitioned key must hold the partition's column; the log's time of a sequence never changes.
    PRIMARY KEY (tenant, stream, seq, at)
) PARTITION BY RANGE (at);

-- Once is once, whichever tenant a second delivery would have been filed under.
CREATE UNIQUE INDEX messages_once ON archive.messages (stream, seq, at);
CREATE INDEX messages_by_conversation ON archive.messages (tenant, conversation, seq);

ALTER TABLE archive.messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY per_tenant ON archive.messages FOR SELECT USING (tenant = current_setting('parley.tenant', true));

-- Rows are added and never touched again, also by the owner of the table: a customer is erased by destroying the key,
-- and what is too old goes with its whole partition.
CREATE FUNCTION archive.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    RAISE EXCEPTION 'archived messages are never changed or deleted' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER unchanged BEFORE UPDATE OR DELETE ON archive.messages
    FOR EACH ROW EXECUTE FUNCTION archive.refuse_change();

-- The partition of the month of `day` (UTC) and of the one after it, so that the turn of a month finds its own.
-- Attached, not created in place: attaching lets writers and readers of the other partitions go on.
CREATE FUNCTION archive.ensure_months(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    first date := make_date(extract(year FROM day)::integer, extract(month FROM day)::integer, 1);
    month date;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(7243110002);
    FOR month IN SELECT (first + make_interval(months => ahead))::date FROM generate_series(0, 1) AS ahead LOOP
        name := 'messages_' || to_char(month, 'YYYY_MM');
        IF to_regclass('archive.' || name) IS NULL THEN
            EXECUTE format('CREATE TABLE archive.%I (LIKE archive.messages INCLUDING ALL)', name);
            EXECUTE format(
                'ALTER TABLE archive.messages ATTACH PARTITION archive.%I FOR VALUES FROM (%L) TO (%L)',
                name, month || ' 00:00:00+00', (month + interval '1 month')::date || ' 00:00:00+00'
            );
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION archive.ensure_months(date) FROM PUBLIC;
