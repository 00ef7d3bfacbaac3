"""The archiver: every message of the log in PostgreSQL, encrypted under a key per customer."""
