"""How a Parley service lives on NATS: bus, consumers, ownership, telemetry, lifecycle."""
