-- Run at every start: the role of the running service, which can add to the record and never change it.
-- Where the connected user may not create roles, an administrator creates it and grants it; the rest follows here.
DO $$
DECLARE
    relation text;
BEGIN
    IF to_regrole('parley_archiver_writer') IS NULL
        AND (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            CREATE ROLE parley_archiver_writer NOLOGIN;
            GRANT parley_archiver_writer TO CURRENT_USER;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            RAISE NOTICE 'parley_archiver_writer was created by another database of this server just now';
        END;
    END IF;
    IF to_regrole('parley_archiver_writer') IS NULL THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA archive TO parley_archiver_writer;
    GRANT SELECT, INSERT ON archive.messages TO parley_archiver_writer;
    GRANT SELECT, INSERT, UPDATE ON archive.conversations, archive.checkpoints TO parley_archiver_writer;
    GRANT EXECUTE ON FUNCTION archive.ensure_months(date) TO parley_archiver_writer;
    FOREACH relation IN ARRAY ARRAY['messages', 'conversations', 'checkpoints'] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_policies
            WHERE schemaname = 'archive' AND tablename = relation AND policyname = 'written_for_all_tenants'
        ) THEN
            EXECUTE format(
                'CREATE POLICY written_for_all_tenants ON archive.%I TO parley_archiver_writer '
                'USING (true) WITH CHECK (true)', relation
            );
        END IF;
    END LOOP;
END
$$;
