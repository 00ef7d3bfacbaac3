"""Settings of the escalation specialty: section `escalation`."""

from parley_specialist.settings import Settings

__all__ = ["Settings"]
