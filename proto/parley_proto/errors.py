"""Every error of the mesh: a stable code, one sentence for a person, and whether trying again can help."""

from __future__ import annotations

# Nobody knows whether a side effect has happened, and nobody may try it again: of outcomes and of their dead letters.
UNKNOWN_OUTCOME = "unknown_outcome"


class ParleyError(Exception):
    """A failure with a stable `code`; its text is one sentence: what is wrong, where, what to do."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code


class TransientError(ParleyError):
    """Trying again may help: the delivery goes back to the log."""

    code = "unavailable"


class PermanentError(ParleyError):
    """Trying again can't help: the message becomes a dead letter or the caller is refused."""

    code = "invalid"


class ConflictError(ParleyError):
    """A fenced write came too late: somebody else has written since the version that we read."""

    code = "conflict"


class AmbiguousCommitError(TransientError):
    """The log did not say whether a commit was stored: read before redoing."""

    code = "ambiguous_commit"


class StreamFullError(TransientError):
    """The log has reached `max_bytes`: nothing more is accepted until the archive has caught up."""

    code = "overloaded"


class SettingsError(ParleyError):
    """A setting is missing or wrong; the process ends with exit code 2."""

    code = "settings"
