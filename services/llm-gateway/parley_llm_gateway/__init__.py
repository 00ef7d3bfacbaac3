"""The llm-gateway: every call to a model goes through here."""
