"""Settings of the returns specialty: section `returns`."""

from parley_specialist.settings import Settings

__all__ = ["Settings"]
