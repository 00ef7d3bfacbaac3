"""Settings of the technical specialty: section `technical`."""

from parley_specialist.settings import Settings

__all__ = ["Settings"]
