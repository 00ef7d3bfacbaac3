"""Settings of the billing specialty: section `billing`."""

from parley_specialist.settings import Settings

__all__ = ["Settings"]
