"""Settings of the account specialty: section `account`."""

from parley_specialist.settings import Settings

__all__ = ["Settings"]
